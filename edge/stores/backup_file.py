"""One backup as one file, which a passphrase opens, and from which a person can be erased.

::

    "JANUSBK1"                    8 bytes
    length of the header          4 bytes, big-endian
    header                        JSON: id, time, scrypt's salt and cost, count of slots, a check
    slots                         76 bytes for each subject: id (16), the subject's key sealed (60)
    body                          a tar archive in chunks of 1 MiB, each sealed, the last one marked

Everything that the archive holds of a person is sealed with that person's own key, as in the
gallery, and that key is in the slot only. So whoever overwrites a slot has erased the person from
the backup, and needs no passphrase for it.

Key from passphrase: scrypt (RFC 7914). Chunks: AES-256-GCM under a key that no other backup has,
with a counter as nonce and a mark in the last one's, as in the STREAM construction (Hoang,
Reyhanitabar, Rogaway, Vizár 2015): none can be left out, moved or cut off.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from edge.errors import GalleryError
from edge.stores.aes_gcm import KEY_BYTES
from edge.stores.sealing import SEALED_KEY_BYTES, Cipher, derived

_MAGIC = b"JANUSBK1"
_ID_BYTES = 16
_SLOT_BYTES = _ID_BYTES + SEALED_KEY_BYTES
_CHUNK = 1 << 20
_TAG_BYTES = 16
_LONGEST_HEADER = 1 << 16
# OWASP's password storage cheat sheet: N = 2^17, r = 8, p = 1; that takes 128 MiB for a second.
COST_LOG2 = 17
_LEAST_COST_LOG2, _MOST_COST_LOG2 = 10, 20
_CHECK = "check"


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a backup without its passphrase; ``body_at`` counts bytes."""

    backup_id: str
    made_on: str
    slots: int
    written: bytes
    fields: Mapping[str, Any]

    @property
    def slots_at(self) -> int:
        """Return where the slots begin."""
        return len(_MAGIC) + 4 + len(self.written)

    @property
    def body_at(self) -> int:
        """Return where the archive begins."""
        return self.slots_at + self.slots * _SLOT_BYTES


class Keys:
    """What the passphrase of one backup gives: for the slots, and for the body."""

    def __init__(self, passphrase: str, salt: bytes, cost_log2: int) -> None:
        kdf = Scrypt(salt=salt, length=KEY_BYTES, n=1 << cost_log2, r=8, p=1)
        secret = kdf.derive(passphrase.encode())
        self.salt, self.cost_log2 = salt, cost_log2
        self.slots = Cipher(derived(secret, "backup slots"))
        self.body = AESGCM(derived(secret, "backup body"))


def new_keys(passphrase: str, cost_log2: int) -> Keys:
    """Return the keys of a new backup."""
    return Keys(passphrase, os.urandom(16), cost_log2)


def new_header(backup_id: str, made_on: str, slots: int, keys: Keys) -> Header:
    """Return the header of a new backup."""
    fields = {
        "backup_id": backup_id,
        "made_on": made_on,
        "slots": slots,
        "salt": keys.salt.hex(),
        "cost_log2": keys.cost_log2,
        _CHECK: base64.b64encode(keys.slots.seal(b"", _CHECK)).decode(),
    }
    return Header(backup_id, made_on, slots, json.dumps(fields).encode(), fields)


def write_backup(
    file: IO[bytes], header: Header, keys: Keys, slots: Mapping[str, bytes], content: Path
) -> None:
    """Write a whole backup: *slots* by subject id, and everything in the directory *content*."""
    file.write(_MAGIC + len(header.written).to_bytes(4, "big") + header.written)
    for subject_id, sealed in slots.items():
        file.write(subject_id.encode().ljust(_ID_BYTES, b"\0") + sealed)
    writer = _ChunkWriter(file, keys.body, header.written)
    with tarfile.open(fileobj=writer, mode="w|", bufsize=_CHUNK) as archive:
        for each in sorted(content.iterdir()):
            archive.add(each, arcname=each.name)
    writer.finish()


def read_header(file: IO[bytes], path: Path) -> Header:
    """Read the header of the backup in *file*, which stands at its beginning.

    Raises:
        GalleryError: if it is no backup of Janus, or damaged.
    """
    wrong = GalleryError(f"{path} is no backup made by `janus backup`, or it was damaged")
    if file.read(len(_MAGIC)) != _MAGIC:
        raise wrong
    length = int.from_bytes(file.read(4), "big")
    if length > _LONGEST_HEADER:
        raise wrong
    written = file.read(length)
    try:
        fields = json.loads(written)
        header = Header(
            str(fields["backup_id"]),
            str(fields["made_on"]),
            int(fields["slots"]),
            written,
            fields,
        )
        cost_log2 = int(fields["cost_log2"])
        bytes.fromhex(fields["salt"])
        base64.b64decode(fields[_CHECK])
    except (ValueError, KeyError, TypeError) as exc:
        raise wrong from exc
    if not _LEAST_COST_LOG2 <= cost_log2 <= _MOST_COST_LOG2 or header.slots < 0:
        raise wrong
    return header


def read_slots(file: IO[bytes], header: Header) -> dict[str, bytes]:
    """Return the sealed key of every subject that was not erased, by id; *file* stands there."""
    slots = {}
    for _ in range(header.slots):
        slot = file.read(_SLOT_BYTES)
        if any(slot):
            slots[slot[:_ID_BYTES].rstrip(b"\0").decode("ascii", "replace")] = slot[_ID_BYTES:]
    return slots


def unlock(header: Header, passphrase: str, path: Path) -> Keys:
    """Return the keys of a backup.

    Raises:
        GalleryError: if this is not its passphrase.
    """
    salt, cost = bytes.fromhex(header.fields["salt"]), int(header.fields["cost_log2"])
    keys = Keys(passphrase, salt, cost)
    if keys.slots.open(base64.b64decode(header.fields[_CHECK]), _CHECK) is None:
        raise GalleryError(f"this is not the passphrase of {path}")
    return keys


def extract(file: IO[bytes], header: Header, keys: Keys, *, into: Path, path: Path) -> None:
    """Unpack the body, at which *file* stands, and check every chunk of it.

    Raises:
        GalleryError: if it was altered or cut off.
    """
    reader = _ChunkReader(file, keys.body, header.written, path)
    try:
        with tarfile.open(fileobj=io.BufferedReader(reader, _CHUNK), mode="r|") as archive:
            for member in archive:
                _unpack(archive, member, into, path)
        while reader.read(_CHUNK):
            pass  # the padding of the archive: the last chunk must have been seen
    except tarfile.TarError as exc:
        raise GalleryError(f"{path} holds no archive of Janus: {exc}") from exc


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path, path: Path) -> None:
    """Unpack one file or directory; by hand, for Python 3.11.2 of Bookworm has no filters yet.

    Raises:
        GalleryError: if it is anything else, or would come to lie elsewhere.
    """
    name = PurePosixPath(member.name)
    target = into / name
    if name.is_absolute() or ".." in name.parts or not (member.isdir() or member.isreg()):
        raise GalleryError(f"{path} holds {member.name!r}, which no backup of Janus holds")
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    with target.open("wb") as file:
        if content is not None:
            shutil.copyfileobj(content, file, _CHUNK)


def erase_slots(path: Path, backup_id: str, subject_ids: Collection[str]) -> int:
    """Overwrite the slots of these subjects in the backup at *path*; return how many there were.

    Raises:
        GalleryError: if that file is no backup, or not this one.
        OSError: if it is not there, or cannot be written.
    """
    wanted = {each.encode().ljust(_ID_BYTES, b"\0") for each in subject_ids}
    erased = 0
    with path.open("r+b") as file:
        header = read_header(file, path)
        if header.backup_id != backup_id:
            raise GalleryError(f"{path} is another backup, of {header.made_on}")
        slots = file.read(header.slots * _SLOT_BYTES)
        for at in range(0, len(slots), _SLOT_BYTES):
            if slots[at : at + _ID_BYTES] in wanted:
                file.seek(header.slots_at + at)
                file.write(bytes(_SLOT_BYTES))
                erased += 1
        if erased:
            file.flush()
            os.fsync(file.fileno())
    return erased


class _ChunkWriter(io.RawIOBase):
    """Seals what is written to it; `finish` writes the last chunk."""

    def __init__(self, file: IO[bytes], key: AESGCM, header: bytes) -> None:
        super().__init__()
        self._file, self._key, self._bound = file, key, hashlib.sha256(header).digest()
        self._waiting, self._count = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer, as the base class has it
        self._waiting += data
        while len(self._waiting) > _CHUNK:
            self._seal(bytes(self._waiting[:_CHUNK]), last=False)
            del self._waiting[:_CHUNK]
        return len(data)

    def finish(self) -> None:
        self._seal(bytes(self._waiting), last=True)

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._key.encrypt(_nonce(self._count, last), chunk, self._bound))
        self._count += 1


class _ChunkReader(io.RawIOBase):
    """Opens what `_ChunkWriter` sealed, chunk by chunk."""

    def __init__(self, file: IO[bytes], key: AESGCM, header: bytes, path: Path) -> None:
        super().__init__()
        self._file, self._key, self._path = file, key, path
        self._bound = hashlib.sha256(header).digest()
        self._chunks = self._opened()
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer, as the base class has it
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _opened(self) -> Iterator[bytes]:
        sealed, count = self._file.read(_CHUNK + _TAG_BYTES), 0
        while sealed:
            following = self._file.read(_CHUNK + _TAG_BYTES)
            try:
                yield self._key.decrypt(_nonce(count, not following), sealed, self._bound)
            except InvalidTag as exc:
                raise GalleryError(
                    f"{self._path} was altered or cut off; nothing was restored from it"
                ) from exc
            sealed, count = following, count + 1
        if count == 0:
            raise GalleryError(f"{self._path} was cut off; nothing was restored from it")


def _nonce(count: int, last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes([last])
