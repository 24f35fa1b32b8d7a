"""SQLite files as files: made, recognised, copied."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from edge.errors import GalleryError


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite file as it is at one moment, whoever writes it meanwhile, into one new file.

    Raises:
        GalleryError: if it cannot be read or written.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as exc:
        raise GalleryError(
            f"{source} cannot be copied to {target.parent}: {exc}; check both disks"
        ) from exc


def identity(path: Path) -> tuple[int, int]:
    """Return what stays equal as long as the name stands for the same file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def is_cut(path: Path) -> bool:
    """Tell whether the file ends within a page, which SQLite would silently read as zeros.

    A disk that fills up may leave that too, but then the write-ahead log still holds the page.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(18)
    if not head.startswith(b"SQLite format 3\0"):  # sqlite.org/fileformat2.html, 1.3
        return False
    size = path.stat().st_size
    page = int.from_bytes(head[16:18], "big")
    log = path.with_name(path.name + "-wal")
    return bool(page > 1 and size % page) and not (log.exists() and log.stat().st_size)


def make_file(path: Path) -> None:
    """Make an empty file for the owner only; it belongs to whoever owns its directory.

    Root enrols people (`sudo janus enrol`) and the service's own user must still read them.
    """
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):  # another program was faster
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.close(descriptor)
        make_private(path, path.parent)


def make_private(path: Path, directory: Path) -> None:
    """Let nobody read *path* but its owner, who is that of *directory* if root asks."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
    path.chmod(0o600)
