"""Bring a backup back: everything is verified beside the stores before anything is replaced."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import GalleryError
from edge.stores.backup import BUNDLES, GALLERY, BackupLedger, Contents, KnownBackup
from edge.stores.backup_file import Keys, extract, read_header, read_slots, unlock
from edge.stores.database_file import make_private
from edge.stores.directory import sync_directory
from edge.stores.gallery_layout import gallery_layout
from edge.stores.keyfile import KeyFile, key_place
from edge.stores.naming import folded
from edge.stores.sealing import NAME, SubjectKey
from edge.stores.store import BUSY_S, Database, Store
from edge.stores.traces import database_files

_SCRATCH = ".janus-restore-"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A backup that was opened and verified, in a directory of its own.

    Args:
        backup_id: which backup it is.
        made_on: when it was made, ISO 8601 in UTC.
        directory: where its files are, until the `with` block ends.
        people: how many it holds.
        forgotten: how many of those it held were left out, for they were forgotten since.
        storage_key: the file of the key that seals it now.
    """

    backup_id: str
    made_on: str
    directory: Path
    people: int
    forgotten: int
    storage_key: Path

    def holds(self, name: str) -> bool:
        """Tell whether the backup has a file, or the bundles, of that name."""
        return (self.directory / name).exists()


@contextmanager
def unpacked(
    path: Path, passphrase: str, contents: Contents, forgotten: Collection[str]
) -> Iterator[Unpacked]:
    """Open the backup at *path* beside the gallery, sealed by this door's storage key.

    Args:
        path: the backup.
        passphrase: what it was made with.
        contents: where the stores of this door are.
        forgotten: ids of subjects who were forgotten since, and stay so.

    Raises:
        GalleryError: if the passphrase is another, or anything in the backup is not as it was.
    """
    home = contents.gallery.parent
    for left in home.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)  # of a restoration that was killed
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            path.open("rb") as file,
            tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=home) as scratch,
        ):
            header = read_header(file, path)
            keys = unlock(header, passphrase, path)
            slots = read_slots(file, header)
            directory = Path(scratch)
            extract(file, header, keys, into=directory, path=path)
            if not (directory / GALLERY).exists():
                raise GalleryError(f"{path} holds no gallery; nothing was restored from it")
            this = KnownBackup(header.backup_id, path.absolute(), header.made_on)
            with _Rekeying(directory / GALLERY, contents) as gallery:
                people, left_out = gallery.rekey(slots, keys, forgotten)
                gallery.remember(_known(contents), this)
            for each in directory.glob("*.sqlite"):
                _require_sound(each)
            key = key_place(contents.gallery, contents.storage_key)
            yield Unpacked(header.backup_id, header.made_on, directory, people, left_out, key)
    except OSError as exc:
        raise GalleryError(f"{path} cannot be restored: {exc}; check path and disk") from exc


def put_in_place(new: Path, path: Path) -> None:
    """Replace the database at *path* by *new*, which is on the same disk; afterwards it is either.

    One that is damaged is kept under another name.

    Raises:
        GalleryError: if another program has it open.
    """
    make_private(new, path.parent)
    with _alone(path):
        new.replace(path)
        sync_directory(path.parent)


def put_bundles(new: Path, path: Path) -> bool:
    """Move the bundles to *path* if there are none; tell whether they were moved."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(new / BUNDLES, path)
    return True


def set_aside(path: Path) -> Path | None:
    """Rename a damaged database and what SQLite keeps beside it; return its new name."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    moved = path.with_name(f"{path.name}.damaged-{stamp}")
    for each in reversed(database_files(path)):
        each.rename(moved.with_name(moved.name + each.name.removeprefix(path.name)))
    return moved if moved.exists() else None


class _Rekeying(Store):
    """The gallery of a backup, which has no keys until `rekey`."""

    def __init__(self, path: Path, contents: Contents) -> None:
        self._keys = KeyFile(key_place(contents.gallery, contents.storage_key))
        self._database = Database(path, gallery_layout(self._keys), create=False, busy_s=BUSY_S)

    def rekey(
        self, slots: dict[str, bytes], keys: Keys, forgotten: Collection[str]
    ) -> tuple[int, int]:
        """Seal every subject's key by this door's; erase who was forgotten.

        Returns: how many people there are, and how many were erased.
        """
        by = self._keys.newest()
        with self._database.writing() as rows:
            found = rows.execute("SELECT subject_id, slot, name FROM subject").fetchall()
            kept = [each for each in found if each[0] in slots and each[0] not in forgotten]
            for subject_id, slot, sealed_name in kept:
                key = SubjectKey.unwrapped(slots[subject_id], subject_id, keys.slots)
                name = None if key is None else key.open_row(sealed_name, NAME)
                if key is None or name is None:
                    raise self._database.damaged(f"subject {subject_id} does not open")
                rows.execute(
                    "UPDATE subject_key SET name_tag = ?, key = ? WHERE slot = ?",
                    (by.name_tag(folded(name.decode())), key.wrapped(by), slot),
                )
            ids = {each[0] for each in kept}
            for subject_id in {each[0] for each in found} - ids:
                rows.execute("DELETE FROM subject WHERE subject_id = ?", (subject_id,))
            for slot, subject_id in rows.execute(
                "SELECT slot, subject_id FROM subject_key"
            ).fetchall():
                if subject_id not in ids:
                    rows.execute(
                        "UPDATE subject_key SET subject_id = ? WHERE slot = ?",
                        ("0" * len(subject_id), slot),
                    )
            rows.execute("UPDATE model SET key_id = ?", (by.key_id,))
        self._database.vacuum()
        return len(kept), len(found) - len(kept)

    def remember(self, known: Iterable[KnownBackup], this: KnownBackup) -> None:
        """Take over which backups there are, this one too: it may lie elsewhere by now."""
        with self._database.writing() as rows:
            rows.executemany(
                "INSERT OR IGNORE INTO backup VALUES (?, ?, ?)",
                [(each.backup_id, str(each.path), each.made_on) for each in (*known, this)],
            )


def _known(contents: Contents) -> tuple[KnownBackup, ...]:
    """Return the backups of the gallery that is to be replaced, if it can still say."""
    with (
        suppress(GalleryError),
        BackupLedger(contents.gallery, key=contents.storage_key) as ledger,
    ):
        return ledger.backups()
    return ()


def _require_sound(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as rows:
            found = rows.execute("PRAGMA integrity_check").fetchall()
            rows.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as exc:
        raise GalleryError(f"{path.name} of the backup is damaged: {exc}") from exc
    if found != [("ok",)]:
        raise GalleryError(f"{path.name} of the backup is damaged: {found[0][0]}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the database at *path* against everybody else, without a log; none is fine too."""
    if not path.exists():
        yield
        return
    rows = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
    try:
        # SQLite leaves the write-ahead log only if nobody else has the file open, and removes it:
        # a log that stayed would be taken for that of the new file.
        (mode,) = rows.execute("PRAGMA journal_mode = DELETE").fetchone()
        held = mode != "delete"
        if not held:
            rows.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        held = True
    except sqlite3.DatabaseError:
        rows.close()
        set_aside(path)
        yield
        return
    if held:
        rows.close()
        raise GalleryError(
            f"{path} is in use by another program; stop the door and every `janus` command, then "
            "restore again"
        )
    with closing(rows):
        yield
