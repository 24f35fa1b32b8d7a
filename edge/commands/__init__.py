"""The commands of the door, a module for each room of them; `listed` has them all.

Nothing is imported here: with all that the commands import in turn, the running door would be
larger by a tenth.
"""
