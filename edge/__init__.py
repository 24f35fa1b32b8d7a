"""Janus on the door: camera, detect, align, embed, match, decide, relay."""

__version__ = "0.1.0"
