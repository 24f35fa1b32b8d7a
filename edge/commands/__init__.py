"""The commands of the door, in the order in which `janus --help` lists them."""

from edge.command import Command
from edge.commands import bundle, config, demo, enrol, events, keys, people, replay, run

COMMANDS: tuple[Command, ...] = (
    *demo.COMMANDS,
    *run.COMMANDS,
    *replay.COMMANDS,
    *enrol.COMMANDS,
    *people.COMMANDS,
    *events.COMMANDS,
    *bundle.COMMANDS,
    *keys.COMMANDS,
    *config.COMMANDS,
)
