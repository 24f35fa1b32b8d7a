"""`janus backup` writes one file that a passphrase opens; `janus restore` brings it back."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack, suppress
from pathlib import Path

from edge.access.opening import state_path
from edge.audit import Audit
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.config import DoorConfig
from edge.erasure import contents_of, erase_from_backups, forgotten_ids
from edge.errors import AuditError, ConfigError, DoorError, GalleryError
from edge.gallery import GalleryStore
from edge.instance import sole_door
from edge.stores.backup import (
    ACCESS,
    AUDIT,
    BUNDLES,
    GALLERY,
    SHORTEST_PASSPHRASE,
    BackupLedger,
    back_up,
)
from edge.stores.restore import Unpacked, put_bundles, put_in_place, set_aside, unpacked

_KEPT = 1  # exit code of a person who thought better of it
_UNREACHED = 4


def _add_passphrase_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="read the passphrase from the first line of FILE instead of asking for it",
    )


def _add_backup_arguments(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "file", metavar="FILE", type=Path, nargs="?", help="the new backup; nothing may be there"
    )
    what.add_argument(
        "--list", action="store_true", help="list the backups that may hold people of this door"
    )
    what.add_argument(
        "--erase-forgotten",
        action="store_true",
        help="erase from all of them whoever was forgotten while they were out of reach",
    )
    what.add_argument("--gone", metavar="ID", help="note that the backup of this id is no more")
    parser.add_argument(
        "--bundles", action="store_true", help="back up the installed bundles as well"
    )
    _add_passphrase_option(parser)
    add_config_option(parser)


def _backup(arguments: Namespace) -> int:
    config = config_from(arguments)
    if arguments.list:
        return _list(config)
    if arguments.erase_forgotten:
        return _erase_forgotten(config)
    if arguments.gone:
        with BackupLedger(config.store.gallery, key=config.store.storage_key) as ledger:
            ledger.drop(arguments.gone)
        print(f"the backup {arguments.gone} is noted as gone")
        return 0
    with GalleryStore(config.store.gallery, None, key=config.store.storage_key) as gallery:
        people = len(gallery.people())
    passphrase = _passphrase(arguments, twice=True)
    with Audit(config.store.audit) as audit:
        audit.note("backup", people=people)
        backup = back_up(arguments.file, passphrase, contents_of(config, bundles=arguments.bundles))
        audit.note("backed up", backup=backup.backup_id)
    size_mb = backup.path.stat().st_size / 1e6
    print(f"{people} people, audit and access state are in {backup.path} ({size_mb:.1f} MB)")
    return 0


def _list(config: DoorConfig) -> int:
    with BackupLedger(config.store.gallery, key=config.store.storage_key) as ledger:
        backups = ledger.backups()
    for each in backups:
        there = "" if each.path.exists() else "  (not there now)"
        print(f"{each.backup_id}  {each.made_on[:16]}  {each.path}{there}")
    if not backups:
        print("no backup was made of this gallery", file=sys.stderr)
    return 0


def _erase_forgotten(config: DoorConfig) -> int:
    with Audit(config.store.audit, create=False) as audit:
        erased, unreached = erase_from_backups(config, forgotten_ids(audit))
    for each in erased:
        print(f"erased from {each.path}")
    for each, why in unreached:
        print(f"not reached: {each.path} of {each.made_on[:10]} ({why})", file=sys.stderr)
    if not erased and not unreached:
        print("no backup holds anybody who was forgotten")
    return _UNREACHED if unreached else 0


def _add_restore_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a file of `janus backup`")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_passphrase_option(parser)
    add_config_option(parser)


def _restore(arguments: Namespace) -> int:
    config = config_from(arguments)
    if not arguments.file.is_file():
        raise GalleryError(f"there is no backup at {arguments.file}; check the path")
    passphrase = _passphrase(arguments, twice=False)
    with ExitStack() as stack:
        stack.enter_context(sole_door(config.store.audit.parent))
        found = stack.enter_context(
            unpacked(arguments.file, passphrase, contents_of(config), _forgotten(config))
        )
        audit_is_sound = _audit_is_sound(config.store.audit)
        _verify(found)
        if not arguments.yes and not _agreed(config, found):
            print("nothing was changed", file=sys.stderr)
            return _KEPT
        done = _put_back(config, found, audit_is_sound=audit_is_sound)
    with Audit(config.store.audit) as audit:
        audit.note(
            "restore", backup=found.backup_id, people=found.people, forgotten=found.forgotten
        )
    print(f"restored from the backup of {found.made_on[:16]}: {', '.join(done)}")
    if found.forgotten:
        print(f"{found.forgotten} people were forgotten since, and stay so")
    print("`janus check` says whether this door can open with it")
    return 0


def _verify(found: Unpacked) -> None:
    """Read everything that would be restored, as the door will.

    Raises:
        GalleryError, AuditError: if it is not as it should be.
    """
    # The key that sealed it lies where the door has it: `unpacked` sealed it by that.
    with GalleryStore(found.directory / GALLERY, None, key=found.storage_key) as gallery:
        gallery.load()
        gallery.people()
    if found.holds(AUDIT):
        with Audit(found.directory / AUDIT, create=False) as audit:
            if (broken := audit.verify()) is not None:
                raise AuditError(f"the audit in the backup is broken: {broken}")


def _put_back(config: DoorConfig, found: Unpacked, *, audit_is_sound: bool) -> list[str]:
    """Replace the gallery; the audit and the access state only where there is none that is sound.

    An audit that goes back in time would hide what happened since, and an access state would let
    those try again who are paused.
    """
    put_in_place(found.directory / GALLERY, config.store.gallery)
    done = [f"{found.people} people"]
    if not audit_is_sound and found.holds(AUDIT):
        set_aside(config.store.audit)
        put_in_place(found.directory / AUDIT, config.store.audit)
        done.append("the audit")
    access = state_path(config)
    if not access.exists() and found.holds(ACCESS):
        put_in_place(found.directory / ACCESS, access)
        done.append("the access state")
    if found.holds(BUNDLES) and put_bundles(found.directory, config.store.bundles):
        done.append("the bundles")
    return done


def _audit_is_sound(path: Path) -> bool:
    with suppress(AuditError), Audit(path, create=False) as audit:
        return audit.verify() is None
    return False


def _forgotten(config: DoorConfig) -> frozenset[str]:
    """Return who was forgotten by this door, as far as its audit can still be read."""
    with suppress(AuditError), Audit(config.store.audit, create=False) as audit:
        return forgotten_ids(audit)
    return frozenset()


def _agreed(config: DoorConfig, found: Unpacked) -> bool:
    """Ask the person at the terminal.

    Raises:
        ConfigError: if there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise ConfigError("restore asks before it replaces, and there is no terminal; pass --yes")
    try:
        with GalleryStore(config.store.gallery, None, key=config.store.storage_key) as gallery:
            now = f"the {len(gallery.people())} who are enrolled now"
    except DoorError as exc:
        now = f"what is there now ({exc})"
    question = f"This replaces {now} by the {found.people} of {found.made_on[:16]}. Go on? [y/N] "
    try:
        return input(question).strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def _passphrase(arguments: Namespace, *, twice: bool) -> str:
    """Return the passphrase, from a file or from the person at the terminal.

    Raises:
        ConfigError: if there is neither, or two that were typed differ.
    """
    path: Path | None = arguments.passphrase_file
    if path is not None:
        try:
            return path.read_text(encoding="utf-8").splitlines()[0]
        except (OSError, UnicodeDecodeError, IndexError) as exc:
            raise ConfigError(f"--passphrase-file {path} cannot be read: {exc}") from exc
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask at; pass --passphrase-file")
    asked = f"Passphrase ({SHORTEST_PASSPHRASE} characters or more): " if twice else "Passphrase: "
    typed = getpass.getpass(asked)
    if twice and getpass.getpass("Once more: ") != typed:
        raise ConfigError("the two differ; nothing was written")
    return typed


COMMANDS = (
    Command(
        name="backup",
        summary="Back up people, audit and access state into one sealed file.",
        example="janus backup /media/stick/door.janus",
        add_arguments=_add_backup_arguments,
        run=_backup,
    ),
    Command(
        name="restore",
        summary="Bring back a backup, once all of it is verified.",
        example="janus restore /media/stick/door.janus",
        add_arguments=_add_restore_arguments,
        run=_restore,
    ),
)
