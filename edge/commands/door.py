"""`janus door`: an operator's word to the door; `janus lock`: the strike locked without it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack, closing
from pathlib import Path

from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.control import LOCKDOWN, RELEASE, RESUME, STATE, WORDS, ask, is_locked_down, set_lockdown
from edge.door_events import Happening
from edge.errors import DoorIsRunningError, HardwareError
from edge.instance import sole_door
from edge.sentinel import lock

_MEANINGS = {
    STATE: "say what the door is (the default)",
    RELEASE: "release the strike once, for [relay] release_s",
    LOCKDOWN: "lock, and release for nobody, also after a restart, until `janus door resume`",
    RESUME: "end a lockdown; the door is locked and works as always",
}


def _add_arguments(parser: ArgumentParser) -> None:
    said = "; ".join(f"{word}: {_MEANINGS[word]}" for word in WORDS)
    parser.add_argument("word", nargs="?", choices=WORDS, default=STATE, help=said)
    add_config_option(parser)


def _door(arguments: Namespace) -> int:
    directory = config_from(arguments).store.audit.parent
    answer = ask(directory, arguments.word)
    if answer is None:
        answer = _without_door(directory, config_from(arguments).store.audit, arguments.word)
    print(answer)
    return 0


def _without_door(directory: Path, audit: Path, word: str) -> str:
    """Do what can be done while no door runs, and return what to print.

    Raises:
        HardwareError: for a release, which only a running door can give.
    """
    if word == RELEASE:
        raise HardwareError("no door runs, so the strike stays locked; start it: janus run")
    if word in (LOCKDOWN, RESUME):
        from edge.audit import Audit  # noqa: PLC0415 - numpy and all: `janus lock` is not to wait

        happening = Happening.LOCKDOWN if word == LOCKDOWN else Happening.RESUME
        with sole_door(directory):
            # What locks comes first, what unlocks comes last: so an error in between is safe.
            if word == LOCKDOWN:
                set_lockdown(directory, holds=True)
            with closing(Audit(audit)) as log:
                log.note("door", state=happening.value)
            if word == RESUME:
                set_lockdown(directory, holds=False)
    state = "a lockdown holds" if is_locked_down(directory) else "no lockdown holds"
    return f"no door runs; {state} when one starts"


def _lock(arguments: Namespace) -> int:
    config = config_from(arguments)
    with ExitStack() as stack:
        try:
            stack.enter_context(sole_door(config.store.audit.parent))
        except DoorIsRunningError as exc:
            raise DoorIsRunningError(
                "the running door holds the pin, and locks it itself; for a lockdown: janus door "
                "lockdown"
            ) from exc
        except HardwareError as exc:
            print(f"{exc}; the strike is locked nevertheless", file=sys.stderr)
        lock(config.relay)
    print(f"GPIO {config.relay.pin} was taken and is locked")
    return 0


COMMANDS = (
    Command(
        name="door",
        summary="Tell the running door to release, to lock down or to resume, or ask how it is.",
        example="janus door lockdown",
        add_arguments=_add_arguments,
        run=_door,
    ),
    Command(
        name="lock",
        summary="Lock the strike without a door: after it was killed, say, by ExecStopPost.",
        example="janus lock --config /etc/janus/janus.toml",
        add_arguments=add_config_option,
        run=_lock,
    ),
)
