"""Where the storage key lies: in a file that only its owner reads, or a systemd credential.

A file may hold several keys, a line each. The first seals; the others open what is not yet sealed
by the first, which is so only while `janus keys rotate` is at work or was cut short.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from edge.errors import GalleryError
from edge.stores.aes_gcm import KEY_BYTES
from edge.stores.directory import sync_directory, write_private
from edge.stores.sealing import StorageKey

KEY_FILE = "storage.key"
CREDENTIAL = "janus-storage-key"
_CREDENTIALS = "CREDENTIALS_DIRECTORY"  # systemd.exec(5), "Credentials"
_LINE = re.compile(r"janus-storage-key-1 ([A-Za-z0-9+/]{43}=)")
_HEAD = (
    "# Opens this door's gallery, which nobody can read without it: keep a copy elsewhere, but\n"
    "# not beside the backups, which have a passphrase of their own.\n"
)


def key_place(store: Path, configured: Path | None) -> Path:
    """Return where the key of *store* is: as configured, else the credential, else beside it."""
    if configured is not None:
        return configured
    directory = os.environ.get(_CREDENTIALS)
    if directory and (Path(directory) / CREDENTIAL).is_file():
        return Path(directory) / CREDENTIAL
    return store.parent / KEY_FILE


def is_credential(path: Path) -> bool:
    """Tell whether *path* is a systemd credential, which no program can replace."""
    directory = os.environ.get(_CREDENTIALS)
    return bool(directory) and path.parent == Path(directory or "")


def key_line(key: StorageKey) -> str:
    """Return the line of a key file that holds *key*."""
    return f"janus-storage-key-1 {base64.b64encode(key.secret).decode()}"


class KeyFile:
    """The keys at *path*, read when they are first needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: tuple[StorageKey, ...] = ()

    def key(self, key_id: str) -> StorageKey:
        """Return the key of that id; the file is read again if it was not in it last time.

        Raises:
            GalleryError: if it is not there, or the file cannot be used.
        """
        found = self._held(key_id)
        if found is None:
            self._keys = self.read()
            found = self._held(key_id)
        if found is not None:
            return found
        held = ", ".join(each.key_id for each in self._keys)
        raise GalleryError(
            f"it is sealed with the storage key {key_id}, but {self.path} holds {held}; put the "
            "right key there, name its file as [store] storage_key, or restore a backup "
            "(`janus restore`)"
        )

    def _held(self, key_id: str) -> StorageKey | None:
        return next((each for each in self._keys if each.key_id == key_id), None)

    def newest(self) -> StorageKey:
        """Return the key that seals; one is made if there is no file.

        Raises:
            GalleryError: if the file cannot be read or made.
        """
        with suppress(FileExistsError):
            if not self.path.exists():
                self._publish((StorageKey.new(),), replace=False)
        self._keys = self.read()
        return self._keys[0]

    def read(self) -> tuple[StorageKey, ...]:
        """Return every key in the file, that which seals first.

        Raises:
            GalleryError: if it is absent, open to others, or not a key file.
        """
        try:
            mode = self.path.stat().st_mode
            text = self.path.read_text(encoding="ascii")
        except FileNotFoundError as exc:
            raise GalleryError(
                f"there is no storage key at {self.path}; put it back, name its file as [store] "
                "storage_key, or start this service with its credential"
            ) from exc
        except (OSError, UnicodeDecodeError) as exc:
            raise GalleryError(
                f"the storage key {self.path} cannot be read: {exc}; check its owner and the disk"
            ) from exc
        if mode & 0o077 and not is_credential(self.path):
            raise GalleryError(
                f"the storage key {self.path} is open to other users (mode {mode & 0o777:o}); "
                f"close it: chmod 600 {self.path}"
            )
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        found = [_LINE.fullmatch(line) for line in lines]
        keys = [StorageKey(base64.b64decode(each[1])) for each in found if each]
        if not keys or len(keys) < len(lines) or any(len(k.secret) != KEY_BYTES for k in keys):
            raise GalleryError(
                f"{self.path} is no storage key, or was damaged; put the right file there from "
                "where a copy is kept"
            )
        return tuple(keys)

    def make(self) -> StorageKey:
        """Make the file with a new key.

        Raises:
            GalleryError: if there is one already, or it cannot be written.
        """
        key = StorageKey.new()
        try:
            self._publish((key,), replace=False)
        except FileExistsError as exc:
            raise GalleryError(
                f"there is a storage key at {self.path} already, and what it sealed opens with no "
                "other; `janus keys rotate` changes it"
            ) from exc
        return key

    def write(self, keys: Sequence[StorageKey]) -> None:
        """Replace the file: afterwards it is the old one or the new one.

        Raises:
            GalleryError: if it cannot be written.
        """
        self._publish(keys, replace=True)
        self._keys = tuple(keys)

    def _publish(self, keys: Sequence[StorageKey], *, replace: bool) -> None:
        """Write a file of its own, and give it the name at the end."""
        path = self.path.resolve()
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        text = _HEAD + "".join(key_line(each) + "\n" for each in keys)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                write_private(partial, text.encode("ascii"))
                if replace:
                    partial.replace(path)
                else:
                    _name(partial, path)
            finally:
                partial.unlink(missing_ok=True)
            sync_directory(path.parent)
        except FileExistsError:
            raise
        except OSError as exc:
            raise GalleryError(
                f"the storage key {path} cannot be written: {exc.strerror}; check the owner of "
                f"{path.parent} and the disk"
            ) from exc


def _name(partial: Path, path: Path) -> None:
    """Give *partial* its name, unless another program was faster."""
    try:
        path.hardlink_to(partial)
    except PermissionError:  # FAT, as on a memory stick, has no links
        if path.exists():
            raise FileExistsError(path) from None
        partial.replace(path)
