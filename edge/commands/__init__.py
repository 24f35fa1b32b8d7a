"""The commands of the door, in the order in which `janus --help` lists them."""

from edge.command import Command
from edge.commands import config, demo, enrol, events, people, replay, run

COMMANDS: tuple[Command, ...] = (
    *demo.COMMANDS,
    *run.COMMANDS,
    *replay.COMMANDS,
    *enrol.COMMANDS,
    *people.COMMANDS,
    *events.COMMANDS,
    *config.COMMANDS,
)
