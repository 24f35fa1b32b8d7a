"""Back up what a door remembers into one file, and know where the backups are.

A backup holds everybody who is enrolled at that moment. The gallery's ledger of backups is written
before the backup is, so that `janus forget` finds every one that Janus ever made.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import GalleryError
from edge.stores.backup_file import (
    COST_LOG2,
    Keys,
    erase_slots,
    new_header,
    new_keys,
    write_backup,
)
from edge.stores.database_file import copy_database
from edge.stores.directory import sync_directory
from edge.stores.gallery_layout import gallery_layout
from edge.stores.keyfile import KeyFile, key_place
from edge.stores.sealing import NAME_TAG_BYTES, SEALED_KEY_BYTES, Cipher
from edge.stores.store import BUSY_S, Database, Store
from edge.stores.subjects import Subjects

GALLERY, AUDIT, ACCESS, BUNDLES = "gallery.sqlite", "audit.sqlite", "access.sqlite", "bundles"
_SCRATCH = ".janus-backup-"
SHORTEST_PASSPHRASE = 12


@dataclass(frozen=True, slots=True)
class Contents:
    """What is backed up, and where it goes when it is restored.

    Args:
        gallery: the gallery; with `storage_key` as `edge.gallery.GalleryStore` takes it.
        others: SQLite files by the name that they have in the backup.
        bundles: a directory of bundles, or None.
    """

    gallery: Path
    storage_key: Path | None
    others: Mapping[str, Path] = field(default_factory=dict)
    bundles: Path | None = None


@dataclass(frozen=True, slots=True)
class KnownBackup:
    """A backup that Janus made of this gallery: where it was written, and when."""

    backup_id: str
    path: Path
    made_on: str


class BackupLedger(Store):
    """The gallery at *path*, as the one who backs it up sees it; `close` may be called twice.

    Raises:
        GalleryError: if the gallery is absent, damaged, locked or its key is not there.
    """

    def __init__(self, path: Path, *, key: Path | None = None) -> None:
        keys = KeyFile(key_place(path, key))
        self._database = Database(path, gallery_layout(keys), create=False, busy_s=BUSY_S)
        self._subjects = Subjects(self._database, keys)

    def backups(self) -> tuple[KnownBackup, ...]:
        """Return every backup that may still hold people of this gallery, oldest first."""
        with self._database.reading() as rows:
            found = rows.execute("SELECT backup_id, path, made_on FROM backup ORDER BY made_on")
            return tuple(KnownBackup(one, Path(path), on) for one, path, on in found)

    def add(self, backup: KnownBackup) -> None:
        """Note a backup, before it is written."""
        with self._database.writing() as rows:
            rows.execute(
                "INSERT INTO backup VALUES (?, ?, ?)",
                (backup.backup_id, str(backup.path), backup.made_on),
            )

    def drop(self, backup_id: str) -> None:
        """Forget a backup that is no more."""
        with self._database.writing() as rows:
            rows.execute("DELETE FROM backup WHERE backup_id = ?", (backup_id,))

    def ids(self) -> frozenset[str]:
        """Return the ids of everybody who is enrolled."""
        with self._database.reading() as rows:
            return frozenset(each for (each,) in rows.execute("SELECT subject_id FROM subject"))

    def sealed_keys(self, by: Cipher) -> dict[str, bytes]:
        """Return every subject's key, by id, sealed by the key of a backup."""
        with self._database.reading() as rows:
            storage_key = self._subjects.storage_key(rows)
            found = rows.execute(
                "SELECT subject.subject_id, key FROM subject JOIN subject_key USING (slot)"
            )
            return {
                subject_id: self._subjects.unwrapped(sealed, subject_id, storage_key).wrapped(by)
                for subject_id, sealed in found
            }

    def copy_without_keys(self, path: Path) -> None:
        """Copy the gallery to *path*, but no key and no name tag: not even for a moment."""
        with self._database.attached(path, "copy"), self._database.reading() as rows:
            made = rows.execute(
                "SELECT sql FROM main.sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
            ).fetchall()
            for (statement,) in made:
                words = statement.split(maxsplit=2)  # CREATE, TABLE or INDEX, the rest
                rows.execute(f"{words[0]} {words[1]} copy.{words[2]}")
            for table in _TABLES:
                rows.execute(f"INSERT INTO copy.{table} SELECT * FROM main.{table}")  # noqa: S608
            rows.execute(
                "INSERT INTO copy.subject_key SELECT slot, subject_id, zeroblob(?), zeroblob(?) "
                "FROM main.subject_key",
                (NAME_TAG_BYTES, SEALED_KEY_BYTES),
            )
            for table in _CHILDREN:
                rows.execute(f"INSERT INTO copy.{table} SELECT * FROM main.{table}")  # noqa: S608
            rows.execute("UPDATE copy.model SET key_id = ''")
            for pragma in ("application_id", "user_version"):
                (value,) = rows.execute(f"PRAGMA main.{pragma}").fetchone()
                rows.execute(f"PRAGMA copy.{pragma} = {value}")


_TABLES = ("model", "known_model")
_CHILDREN = ("subject", "crop", "reference")  # those whom they refer to come first


def back_up(
    target: Path, passphrase: str, contents: Contents, *, cost_log2: int = COST_LOG2
) -> KnownBackup:
    """Write everything into a new file at *target*, which appears whole or not at all.

    A door may run meanwhile: each store is copied as it is at one moment.

    Args:
        target: the file; nothing may be there.
        passphrase: 12 characters or more.
        contents: what goes into it; files that do not exist are left out.
        cost_log2: of scrypt; less only for tests.

    Raises:
        GalleryError: if a store cannot be read, or the file cannot be written.
    """
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise GalleryError(
            f"the passphrase has {len(passphrase)} characters; {SHORTEST_PASSPHRASE} are the "
            "least: whoever finds the backup can try very many"
        )
    target = target.absolute()
    if target.exists():
        raise GalleryError(f"{target} exists already; choose another name, or remove it first")
    made_on = datetime.now(UTC).isoformat(timespec="seconds")
    backup = KnownBackup(secrets.token_hex(8), target, made_on)
    with BackupLedger(contents.gallery, key=contents.storage_key) as ledger:
        _remove_scratch(contents.gallery.parent)
        keys = new_keys(passphrase, cost_log2)
        ledger.add(backup)
        try:
            with tempfile.TemporaryDirectory(
                prefix=_SCRATCH, dir=contents.gallery.parent
            ) as scratch:
                ledger.copy_without_keys(Path(scratch) / GALLERY)
                _copy_others(contents, Path(scratch))
                slots = ledger.sealed_keys(keys.slots)
                _publish(backup, keys, slots, Path(scratch))
            # Whoever was forgotten while it was written is forgotten in it too.
            erase_slots(target, backup.backup_id, slots.keys() - ledger.ids())
        except BaseException as exc:
            if not target.exists():
                ledger.drop(backup.backup_id)
            if isinstance(exc, OSError):
                raise GalleryError(
                    f"the backup {target} cannot be written: {exc.strerror}; check the path and "
                    "the room there"
                ) from exc
            raise
    return backup


def _copy_others(contents: Contents, scratch: Path) -> None:
    for name, path in contents.others.items():
        if path.exists():
            copy_database(path, scratch / name)
    if contents.bundles is not None and contents.bundles.is_dir():
        shutil.copytree(contents.bundles, scratch / BUNDLES)


def _publish(backup: KnownBackup, keys: Keys, slots: Mapping[str, bytes], content: Path) -> None:
    """Write the file under a name of its own, see it onto the disk, and rename it."""
    partial = backup.path.with_name(f".{backup.path.name}.partial")
    header = new_header(backup.backup_id, backup.made_on, len(slots), keys)
    partial.unlink(missing_ok=True)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            write_backup(file, header, keys, slots, content)
            file.flush()
            os.fsync(descriptor)
        partial.replace(backup.path)
    finally:
        partial.unlink(missing_ok=True)
    sync_directory(backup.path.parent)


def _remove_scratch(directory: Path) -> None:
    """Remove what a backup that was killed left: it holds nothing that opens."""
    for each in directory.glob(f"{_SCRATCH}*"):
        shutil.rmtree(each, ignore_errors=True)
