"""Janus on the door: camera, detect, align, embed, match, decide, relay."""
