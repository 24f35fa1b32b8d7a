"""Look for bytes in files: the proof that something is there no more."""

from __future__ import annotations

import mmap
from collections.abc import Collection, Iterable
from pathlib import Path

from edge.errors import GalleryError

_PIECE = 16


def find_traces(files: Iterable[Path], marks: Collection[bytes]) -> tuple[Path, ...]:
    """Return the files in which a piece of 16 bytes of one of *marks* lies, wherever in the file.

    Pieces, because SQLite may have written something else over a part of what it moved.

    Raises:
        GalleryError: if a file cannot be read.
    """
    pieces = {
        mark[start : start + _PIECE]
        for mark in marks
        for start in range(0, len(mark) - _PIECE + 1, _PIECE)
    } | {mark for mark in marks if len(mark) < _PIECE}
    return tuple(each for each in files if _holds(each, pieces))


def database_files(path: Path) -> tuple[Path, ...]:
    """Return the file of a SQLite database and those that SQLite keeps beside it."""
    return tuple(
        each
        for suffix in ("", "-wal", "-shm", "-journal")
        if (each := path.with_name(path.name + suffix)).exists()
    )


def _holds(path: Path, pieces: Collection[bytes]) -> bool:
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return any(content.find(each) >= 0 for each in pieces)
    except FileNotFoundError:
        return False  # SQLite has removed its log meanwhile
    except OSError as exc:
        raise GalleryError(f"{path} cannot be looked through: {exc.strerror}") from exc
