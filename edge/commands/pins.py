"""`janus pins`: give an enrolled person a PIN, or take it away."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser, Namespace
from contextlib import closing

from edge.access.opening import state_path
from edge.access.pins import (
    LONGEST,
    SHORTEST,
    StoredPin,
    make_pin,
    require_strong,
    with_duress,
    with_pin,
)
from edge.access.state import AccessStore
from edge.audit import Audit
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.config import DoorConfig
from edge.errors import ConfigError
from edge.gallery import GalleryStore
from edge.stores.subjects import Person

_NOTHING_DONE = 1


def _add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="{set,remove}")
    summary = "Set a person's PIN; it is asked for twice at the terminal."
    setting = actions.add_parser(
        "set", help=summary, description=summary, epilog="example: janus pins set Ada"
    )
    setting.add_argument(
        "--duress",
        action="store_true",
        help="set the second PIN: it opens as the first does, and raises a silent alarm",
    )
    setting.set_defaults(act=_set)
    summary = "Erase a person's PINs."
    removing = actions.add_parser(
        "remove", help=summary, description=summary, epilog="example: janus pins remove Ada"
    )
    removing.set_defaults(act=_remove)
    for each in (setting, removing):
        each.add_argument("name", metavar="NAME", help="who it is, as `janus people` lists it")
        add_config_option(each)


def _run(arguments: Namespace) -> int:
    config = config_from(arguments)
    with closing(
        GalleryStore(config.store.gallery, model_id=None, key=config.store.storage_key)
    ) as gallery:
        person = gallery.find(arguments.name)
    with AccessStore(state_path(config)) as store, Audit(config.store.audit) as audit:
        code: int = arguments.act(arguments, config, person, store, audit)
    return code


def _set(
    arguments: Namespace, config: DoorConfig, person: Person, store: AccessStore, audit: Audit
) -> int:
    name, subject_id = person.name, person.subject_id
    stored = store.pin(subject_id)
    if arguments.duress and stored is None:
        raise ConfigError(
            f"{name} has no PIN, and a duress PIN is a second one; first: janus pins set {name}"
        )
    kind = "duress PIN" if arguments.duress else "PIN"
    changed = _changed(stored, _typed_twice(f"{kind} of {name}"), duress=arguments.duress)
    # Before the deed: a PIN that nobody noted is worse than a note without a PIN.
    audit.note("pin set", subject_id=subject_id)
    store.set_pin(subject_id, changed)
    print(f"the {kind} of {name} is set")
    if config.access.keypad == "none":
        print("no keypad is configured, so nobody can enter it: [access] keypad", file=sys.stderr)
    return 0


def _changed(stored: StoredPin | None, digits: str, *, duress: bool) -> StoredPin:
    if stored is None:
        return make_pin(digits)
    return with_duress(stored, digits) if duress else with_pin(stored, digits)


def _typed_twice(what: str) -> str:
    """Return digits that were typed twice alike at the terminal, where they do not show.

    Raises:
        ConfigError: if there is no terminal, the two differ, or the PIN is weak.
    """
    if not sys.stdin.isatty():
        raise ConfigError(
            "a PIN is typed at a terminal, so that no file and no list of processes holds it; "
            "run this in one (`ssh -t`)"
        )
    try:
        digits = getpass.getpass(f"{what}, {SHORTEST} to {LONGEST} digits: ")
        require_strong(digits)
        again = getpass.getpass("once more: ")
    except EOFError as exc:
        raise ConfigError("nothing was typed; the PIN stays as it was") from exc
    if digits != again:
        raise ConfigError("the two differ; the PIN stays as it was: try again")
    return digits


def _remove(
    _arguments: Namespace, _config: DoorConfig, person: Person, store: AccessStore, audit: Audit
) -> int:
    name, subject_id = person.name, person.subject_id
    if store.pin(subject_id) is None:
        print(f"{name} has no PIN", file=sys.stderr)
        return _NOTHING_DONE
    audit.note("pin removed", subject_id=subject_id)
    store.remove_pin(subject_id)
    print(f"the PINs of {name} are erased")
    return 0


COMMANDS = (
    Command(
        name="pins",
        summary="Give an enrolled person a PIN, or take it away.",
        example="janus pins set Ada",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
