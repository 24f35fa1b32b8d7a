"""The storage key (`janus keys storage`, `janus keys rotate`), and `janus snapshots`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.audit import Audit
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.errors import GalleryError
from edge.privacy import snapshots_of
from edge.stores.directory import write_private
from edge.stores.keyfile import KeyFile, key_line, key_place
from edge.stores.rotation import rotate
from edge.stores.sealing import StorageKey


def add_key_actions(actions: Any) -> None:  # noqa: ANN401 - argparse does not name its type
    """Declare `storage` and `rotate` among the actions of `janus keys`."""
    summary = "Make the key that seals gallery and snapshots; the first start does it otherwise."
    storage = actions.add_parser(
        "storage", help=summary, description=summary, epilog="example: janus keys storage"
    )
    storage.add_argument(
        "--print",
        action="store_true",
        help="print a new key's line instead, for a systemd credential",
    )
    add_config_option(storage)
    storage.set_defaults(act=_storage)
    summary = "Seal everything by a new storage key, and let go of the old one."
    rotation = actions.add_parser(
        "rotate", help=summary, description=summary, epilog="example: janus keys rotate"
    )
    add_config_option(rotation)
    rotation.set_defaults(act=_rotate)


def _storage(arguments: Namespace) -> None:
    if arguments.print:
        print(key_line(StorageKey.new()))
        return
    config = config_from(arguments)
    file = KeyFile(key_place(config.store.gallery, config.store.storage_key))
    key = file.make()
    print(
        f"storage key {key.key_id} is in {file.path}\nkeep a copy elsewhere, not beside the backups"
    )


def _rotate(arguments: Namespace) -> None:
    config = config_from(arguments)
    with Audit(config.store.audit) as audit:
        audit.note("rotate")
        done = rotate(config.store.gallery, config.store.storage_key, snapshots_of(config))
        audit.note("rotated", key_id=done.key_id)
    print(
        f"{done.subjects} people and {done.snapshots} snapshot(s) are sealed by the storage key "
        f"{done.key_id} now"
    )
    if done.leftover:
        print("take the lines below the first out of the credential", file=sys.stderr)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.set_defaults(act=_list)
    add_config_option(parser)
    actions = parser.add_subparsers(metavar="{show,prune}")
    summary = "Write one snapshot as a JPEG file."
    show = actions.add_parser(
        "show", help=summary, description=summary, epilog="example: janus snapshots show 17 17.jpg"
    )
    show.add_argument("seq", metavar="EVENT", type=int, help="the number of its audit event")
    show.add_argument("file", metavar="FILE", type=Path, help="made here; nothing may be there")
    add_config_option(show, again=True)
    show.set_defaults(act=_show)
    summary = "Erase the snapshots whose time is over."
    prune = actions.add_parser(
        "prune", help=summary, description=summary, epilog="example: janus snapshots prune"
    )
    add_config_option(prune, again=True)
    prune.set_defaults(act=_prune)


def _run(arguments: Namespace) -> int:
    arguments.act(arguments)
    return 0


def _list(arguments: Namespace) -> None:
    config = config_from(arguments)
    kept = snapshots_of(config).all()
    for each in kept:
        print(f"{each.seq:6}  {each.at_utc:%Y-%m-%d %H:%M:%S}  {each.subject_id or 'nobody'}")
    if not kept:
        print(
            f"no snapshot is kept; [privacy] snapshots = {config.privacy.snapshots!r}",
            file=sys.stderr,
        )


def _show(arguments: Namespace) -> None:
    config = config_from(arguments)
    snapshots = snapshots_of(config)
    found = [each for each in snapshots.all() if each.seq == arguments.seq]
    if not found:
        raise GalleryError(f"no snapshot is kept of event {arguments.seq}; `janus snapshots` lists")
    # Who looked at whom is noted first.
    with Audit(config.store.audit) as audit:
        audit.note("snapshot shown", event=arguments.seq)
    try:
        write_private(arguments.file, snapshots.open(found[0]))
    except OSError as exc:
        raise GalleryError(f"{arguments.file} cannot be written: {exc.strerror}") from exc
    print(f"the snapshot of event {arguments.seq} is in {arguments.file}")


def _prune(arguments: Namespace) -> None:
    print(f"{snapshots_of(config_from(arguments)).prune(datetime.now(UTC))} snapshot(s) erased")


COMMANDS = (
    Command(
        name="snapshots",
        summary="List the pictures of visits, if any are kept, or show one.",
        example="janus snapshots show 17 17.jpg",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
