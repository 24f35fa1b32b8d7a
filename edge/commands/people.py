"""`janus people` lists who is enrolled; `janus forget` erases one of them."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from edge.audit import Audit
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.errors import ConfigError
from edge.gallery import GalleryStore, Person

_KEPT = 1  # exit code of a person who thought better of it


def _add_people_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    add_config_option(parser)


def _people(arguments: Namespace) -> int:
    config = config_from(arguments)
    with GalleryStore(config.store.gallery, model_id=None) as gallery:
        people = gallery.people()
    if arguments.json:
        print(json.dumps([asdict(person) for person in people], ensure_ascii=False, indent=2))
    elif people:
        _print_table(people)
    else:
        print("nobody is enrolled; `janus enrol NAME PHOTO` begins", file=sys.stderr)
    return 0


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
    with (
        GalleryStore(config.store.gallery, model_id=None) as gallery,
        Audit(config.store.audit) as audit,
    ):
        person = gallery.find(arguments.name)
        if not arguments.yes and not _agreed(person):
            print(f"{person.name} stays enrolled", file=sys.stderr)
            return _KEPT
        # Before the deed, so that no erasure goes unnoted; if it then fails, `people` shows so.
        audit.note("forget", subject_id=person.subject_id, references=person.references)
        references = gallery.forget(person.name)
    print(f"{person.name} is forgotten, with {references} reference(s)")
    return 0


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
        summary="List who is enrolled.",
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
