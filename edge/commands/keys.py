"""`janus keys`: pairs of keys that sign bundles, and the key that seals what is stored."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from edge.bundles.signing import (
    PRIVATE_KEY_FILE,
    PUBLIC_KEY_FILE,
    fingerprint_of,
    make_keys,
    read_public_key,
)
from edge.command import Command
from edge.commands.privacy import add_key_actions


def _add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="{new,show,storage,rotate}"
    )
    summary = "Make a pair of keys; the private one stays with those who sign."
    new = actions.add_parser(
        "new", help=summary, description=summary, epilog="example: janus keys new keys/"
    )
    new.add_argument("directory", metavar="DIR", type=Path, help="where the two files go")
    new.set_defaults(act=_new)
    summary = "Print the fingerprint of a public key."
    show = actions.add_parser(
        "show",
        help=summary,
        description=summary,
        epilog=f"example: janus keys show keys/{PUBLIC_KEY_FILE}",
    )
    show.add_argument("key", metavar="FILE", type=Path, help="a public key")
    show.set_defaults(act=_show)
    add_key_actions(actions)


def _run(arguments: Namespace) -> int:
    arguments.act(arguments)
    return 0


def _new(arguments: Namespace) -> None:
    fingerprint = make_keys(arguments.directory)
    print(
        f"private key  {arguments.directory / PRIVATE_KEY_FILE}  (keep it off the door)\n"
        f"public key   {arguments.directory / PUBLIC_KEY_FILE}  (for [encoder] trusted_keys)\n"
        f"fingerprint  {fingerprint}"
    )


def _show(arguments: Namespace) -> None:
    print(fingerprint_of(read_public_key(arguments.key)))


COMMANDS = (
    Command(
        name="keys",
        summary="Make the keys that sign bundles, or the one that seals what is stored.",
        example="janus keys new keys/",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
