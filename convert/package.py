"""Manifest and encoder become a bundle directory: everything the edge needs, or nothing."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edge.bundle import ENCODER_FILE, Manifest, manifest_bytes
from edge.errors import BundleError
from edge.manifest import MANIFEST_FILE

_BUNDLE_FILES = frozenset({ENCODER_FILE, MANIFEST_FILE})


def write_bundle(directory: Path, manifest: Manifest, encoder: bytes) -> None:
    """Write the bundle to *directory*, which appears complete or not at all.

    A bundle that is there already is replaced; it is moved aside first, so that a crash leaves the
    old one, the new one, or (between two renames) none, never a mixture.

    Raises:
        BundleError: if *directory* holds something else, or cannot be written.
    """
    check_target(directory)
    write_directory(directory, {ENCODER_FILE: encoder, MANIFEST_FILE: manifest_bytes(manifest)})


def write_directory(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write *files* as the whole of *directory*, which appears complete or not at all.

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
        _sync_directory(directory.parent)
    except OSError as exc:
        raise BundleError(
            f"the bundle cannot be written to {directory}: {exc.strerror or exc}; free space or "
            "choose another --out"
        ) from exc


def check_target(directory: Path, files: frozenset[str] = _BUNDLE_FILES) -> None:
    """Refuse a target that exists and is no bundle of these *files*.

    Raises:
        BundleError: naming what is there.
    """
    if not directory.exists() and not directory.is_symlink():
        return
    if directory.is_symlink() or not directory.is_dir():
        raise BundleError(f"--out {directory} exists and is no directory; choose another")
    others = sorted({each.name for each in directory.iterdir()} - files)
    if others:
        raise BundleError(
            f"--out {directory} holds {others[0]}, which is no part of a bundle; choose a new "
            "directory, or empty it"
        )


def _write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write *files* into the new *directory* and make sure that they are on the disk."""
    directory.mkdir(mode=0o755)
    for name, content in files.items():
        with (directory / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    _sync_directory(directory)


def _swap_in(new: Path, target: Path, old: Path) -> None:
    """Put *new* where *target* is; whatever ends it early, Ctrl-C too, the old one comes back."""
    try:
        with contextlib.suppress(FileNotFoundError):
            target.rename(old)
        new.rename(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)


def _sync_directory(directory: Path) -> None:
    """Make renames in *directory* survive a power cut."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
