"""The commands of the door, in the order in which `janus --help` lists them."""

from __future__ import annotations

from edge.command import Command
from edge.commands import (
    access,
    backup,
    bundle,
    config,
    demo,
    door,
    enrol,
    events,
    keys,
    people,
    pins,
    privacy,
    replay,
    run,
    status,
)

COMMANDS: tuple[Command, ...] = (
    *demo.COMMANDS,
    *run.COMMANDS,
    *status.COMMANDS,
    *door.COMMANDS,
    *replay.COMMANDS,
    *enrol.COMMANDS,
    *people.COMMANDS,
    *pins.COMMANDS,
    *access.COMMANDS,
    *events.COMMANDS,
    *privacy.COMMANDS,
    *backup.COMMANDS,
    *bundle.COMMANDS,
    *keys.COMMANDS,
    *config.COMMANDS,
)
