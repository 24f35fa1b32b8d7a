"""Files and directories that appear complete or not at all, and survive a power cut."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edge.errors import BundleError


def write_directory(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write *files* as the whole of *directory*, which appears complete or not at all.

    A directory that is there already is replaced; it is moved aside first, so that a crash leaves
    the old one, the new one, or (between two renames) none, never a mixture.

    Raises:
        BundleError: if it cannot be written.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{directory.name}.", dir=directory.parent, ignore_cleanup_errors=True
        ) as scratch:
            _write_files(Path(scratch) / "new", files)
            _swap_in(Path(scratch) / "new", directory, Path(scratch) / "old")
        sync_directory(directory.parent)
    except OSError as exc:
        raise _unwritable(directory, exc) from exc


def write_file(path: Path, content: bytes) -> None:
    """Write the file at *path*, replacing one that is there: afterwards it is old or new.

    Raises:
        BundleError: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(partial, content)
        partial.replace(path)
        sync_directory(path.parent)
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner reads (with root: that of its directory), and sync it.

    Raises:
        OSError: if it cannot be written, or is there already.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _unwritable(path: Path, exc: OSError) -> BundleError:
    return BundleError(
        f"{path} cannot be written: {exc.strerror or exc}; free space, check the owner of "
        f"{path.parent}, or choose another place"
    )


def _write(path: Path, content: bytes) -> None:
    """Write *content* and make sure that it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write *files* into the new *directory* and make sure that they are on the disk."""
    directory.mkdir(mode=0o755)
    for name, content in files.items():
        _write(directory / name, content)
    sync_directory(directory)


def _swap_in(new: Path, target: Path, old: Path) -> None:
    """Put *new* where *target* is; whatever ends it early, Ctrl-C too, the old one comes back."""
    try:
        with contextlib.suppress(FileNotFoundError):
            target.rename(old)
        new.rename(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)


def sync_directory(directory: Path) -> None:
    """Make renames in *directory* survive a power cut."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
