"""Pictures of visits, if a site wants them: sealed, few, and the first to stop when room is short.

Each is a file of its own, named by the audit event that it belongs to, its time and the subject.
Nothing here ever stops the door: what cannot be kept is left out, and the log says so once.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np

from edge.errors import GalleryError
from edge.stores.directory import sync_directory, write_private
from edge.stores.keyfile import KeyFile
from edge.vocabulary import PixelArray

_SUFFIX = ".snapshot"
_MAGIC = b"JANUSSN1"
_KEY_ID_BYTES = 16
_NOBODY = "nobody"
_TIME = "%Y%m%dT%H%M%SZ"
_KIND = "snapshot"
_QUALITY = 85  # of JPEG; 640 x 480 pixels take about 60 kB

log = logging.getLogger("janus")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One picture on the disk: its audit event, when, and of whom as far as the door knew."""

    path: Path
    seq: int
    at_utc: datetime
    subject_id: str | None


class Snapshots:
    """The snapshots in *directory*.

    Args:
        directory: made with the first of them, for its owner only.
        keys: the storage key that seals them.
        most: how many are kept; the oldest go first.
        most_days: how long each is kept.
        room_bytes: none is taken unless so much stays free, for the audit comes first.
    """

    def __init__(
        self, directory: Path, keys: KeyFile, *, most: int, most_days: float, room_bytes: int
    ) -> None:
        self._directory, self._keys = directory, keys
        self._most, self._most_days, self._room_bytes = most, most_days, room_bytes
        self._said = False

    def keep(self, seq: int, subject_id: str | None, pixels: PixelArray, at: datetime) -> bool:
        """Keep the picture of one visit, and let go of those whose time is over.

        Args:
            seq: the audit event that it belongs to.
            subject_id: whom the door took the visitor for, or None.
            pixels: (H, W, 3) uint8 RGB.
            at: the present time, with a time zone.

        Returns: whether it was kept; if not, the log says why, once.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.prune(at, room_for=1)
            free = shutil.disk_usage(self._directory).free
            if free < self._room_bytes:
                return self._refused(f"only {free // 1_000_000} MB are free")
            self._write(seq, subject_id, pixels, at)
        except (OSError, GalleryError) as exc:
            return self._refused(exc)
        self._said = False
        return True

    def all(self) -> tuple[Snapshot, ...]:
        """Return what is kept, oldest first."""
        found = (_parsed(each) for each in self._directory.glob(f"*{_SUFFIX}"))
        return tuple(sorted((each for each in found if each), key=lambda each: each.seq))

    def open(self, snapshot: Snapshot) -> bytes:
        """Return the JPEG of one snapshot.

        Raises:
            GalleryError: if it does not open, or its storage key is not there.
        """
        plain = self._opened(snapshot.path)
        if plain is None:
            raise GalleryError(f"{snapshot.path} does not open: it was altered or renamed")
        return plain

    def forget(self, subject_id: str) -> int:
        """Erase every snapshot of one subject, and return how many there were.

        Raises:
            GalleryError: if one cannot be erased.
        """
        found = [each for each in self.all() if each.subject_id == subject_id]
        self._erase(found)
        return len(found)

    def prune(self, now: datetime, *, room_for: int = 0) -> int:
        """Erase what is too old or too many, and return how many that were.

        Raises:
            GalleryError: if one cannot be erased.
        """
        kept = self.all()
        oldest = now.astimezone(UTC) - timedelta(days=self._most_days)
        over = max(0, len(kept) + room_for - self._most)
        found = [each for i, each in enumerate(kept) if i < over or each.at_utc < oldest]
        self._erase(found)
        return len(found)

    def reseal(self) -> int:
        """Seal anew, by the newest storage key, what an earlier one sealed.

        Raises:
            GalleryError: if one cannot be opened or written; it is then as it was.
        """
        newest, count = self._keys.newest(), 0
        for each in self.all():
            if each.path.read_bytes()[len(_MAGIC) :][:_KEY_ID_BYTES] == newest.key_id.encode():
                continue
            self._replace(each.path, self.open(each))
            count += 1
        return count

    def _write(self, seq: int, subject_id: str | None, pixels: PixelArray, at: datetime) -> None:
        stamp = at.astimezone(UTC).strftime(_TIME)
        name = f"{seq:010d}-{stamp}-{subject_id or _NOBODY}{_SUFFIX}"
        bgr = np.ascontiguousarray(pixels[:, :, ::-1])
        _, coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        self._replace(self._directory / name, coded.tobytes())

    def _replace(self, path: Path, plain: bytes) -> None:
        key = self._keys.newest()
        sealed = key.seal(plain, _KIND, path.name)
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.unlink(missing_ok=True)
            write_private(partial, _MAGIC + key.key_id.encode() + sealed)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        sync_directory(path.parent)

    def _opened(self, path: Path) -> bytes | None:
        written = path.read_bytes()
        key_id = written[len(_MAGIC) :][:_KEY_ID_BYTES].decode("ascii", "replace")
        if not written.startswith(_MAGIC):
            return None
        key = self._keys.key(key_id)
        return key.open(written[len(_MAGIC) + _KEY_ID_BYTES :], _KIND, path.name)

    def _erase(self, found: list[Snapshot]) -> None:
        try:
            for each in found:
                with suppress(FileNotFoundError):  # another thread or program was faster
                    _overwrite(each.path)
                    each.path.unlink()
        except OSError as exc:
            raise GalleryError(
                f"a snapshot in {self._directory} cannot be erased: {exc.strerror}; check its "
                "owner and the disk"
            ) from exc

    def _refused(self, why: object) -> bool:
        if not self._said:
            log.warning("no snapshots are kept for now: %s", why)
        self._said = True
        return False


def _overwrite(path: Path) -> None:
    """Write zeros where the file lies, so that its blocks hold it no more once they are free."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())


def _parsed(path: Path) -> Snapshot | None:
    parts = path.name.removesuffix(_SUFFIX).split("-")
    try:
        seq, stamp, subject = int(parts[0]), parts[1], parts[2]
        at = datetime.strptime(stamp, _TIME).replace(tzinfo=UTC)
    except (ValueError, IndexError):
        return None
    return Snapshot(path, seq, at, None if subject == _NOBODY else subject)
