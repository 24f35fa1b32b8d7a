"""`janus people` lists who is enrolled, or exports one; `janus forget` erases one of them."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from edge.audit import Audit
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.config import DoorConfig
from edge.erasure import Erasure, erase
from edge.errors import ConfigError
from edge.export import export_person
from edge.gallery import GalleryStore
from edge.stores.subjects import Person

_KEPT = 1  # exit code of a person who thought better of it
_UNREACHED = 4  # exit code of a forgetting that a backup out of reach leaves unfinished


def _add_people_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    add_config_option(parser)
    parser.set_defaults(act=_list)
    actions = parser.add_subparsers(metavar="{export}")
    summary = "Write everything that is kept of one person into a new folder."
    export = actions.add_parser(
        "export",
        help=summary,
        description=summary,
        epilog="example: janus people export Ada ada-export/",
    )
    export.add_argument("name", metavar="NAME", help="who it is, as `janus people` lists it")
    export.add_argument(
        "directory", metavar="DIR", type=Path, help="made here; nothing may be there"
    )
    add_config_option(export, again=True)
    export.set_defaults(act=_export)


def _people(arguments: Namespace) -> int:
    code: int = arguments.act(arguments, config_from(arguments))
    return code


def _list(arguments: Namespace, config: DoorConfig) -> int:
    with _gallery(config) as gallery:
        people = gallery.people()
    if arguments.json:
        print(json.dumps([asdict(person) for person in people], ensure_ascii=False, indent=2))
    elif people:
        _print_table(people)
    else:
        print("nobody is enrolled; `janus enrol NAME PHOTO` begins", file=sys.stderr)
    return 0


def _export(arguments: Namespace, config: DoorConfig) -> int:
    with _gallery(config) as gallery, Audit(config.store.audit) as audit:
        person = gallery.find(arguments.name)
        audit.note("export", subject_id=person.subject_id)
        written = export_person(config, person, audit, arguments.directory)
    print(f"everything kept of {person.name}: {', '.join(written)} in {arguments.directory}")
    return 0


def _gallery(config: DoorConfig) -> GalleryStore:
    return GalleryStore(config.store.gallery, model_id=None, key=config.store.storage_key)


def _print_table(people: tuple[Person, ...]) -> None:
    width = max(len("name"), *(len(person.name) for person in people))
    print(f"{'name':{width}}  {'subject':8}  references  enrolled (UTC)")
    for person in people:
        print(
            f"{person.name:{width}}  {person.subject_id:8}  {person.references:10}  "
            f"{person.enrolled_on[:10]}"
        )


def _add_forget_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="who it is, as `janus people` lists it")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_config_option(parser)


def _forget(arguments: Namespace) -> int:
    config = config_from(arguments)
    with _gallery(config) as gallery, Audit(config.store.audit) as audit:
        person = gallery.find(arguments.name)
        if not arguments.yes and not _agreed(person):
            print(f"{person.name} stays enrolled", file=sys.stderr)
            return _KEPT
        erasure = erase(config, gallery, audit, person)
    print(f"{person.name} is forgotten, with {erasure.references} reference(s)")
    return _report(erasure)


def _report(erasure: Erasure) -> int:
    """Say what else was erased, what was looked through, and what could not be reached."""
    if erasure.snapshots:
        print(f"{erasure.snapshots} snapshot(s) erased")
    for backup in erasure.backups:
        print(f"erased from the backup {backup.path}")
    searched = ", ".join(each.name for each in erasure.searched)
    print(f"looked for the key, the name tag and the id in {searched}: not there")
    for backup, why in erasure.unreached:
        print(
            f"the backup {backup.path} of {backup.made_on[:10]} may still hold this person "
            f"({why}): make it reachable and run `janus backup --erase-forgotten`, or, if it is no "
            f"more, `janus backup --gone {backup.backup_id}`",
            file=sys.stderr,
        )
    return _UNREACHED if erasure.unreached else 0


def _agreed(person: Person) -> bool:
    """Ask the person at the terminal to type the name.

    Raises:
        ConfigError: if there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise ConfigError("forget asks before it erases, and there is no terminal; pass --yes")
    try:
        typed = input(
            f"This erases {person.name} and {person.references} reference(s) for good. "
            "Type the name to go on: "
        )
    except EOFError:
        return False
    return typed.strip() == person.name


COMMANDS = (
    Command(
        name="people",
        summary="List who is enrolled, or export what is kept of one person.",
        example="janus people --json",
        add_arguments=_add_people_arguments,
        run=_people,
    ),
    Command(
        name="forget",
        summary="Erase a person and every reference of theirs.",
        example="janus forget Ada --yes",
        add_arguments=_add_forget_arguments,
        run=_forget,
    ),
)
