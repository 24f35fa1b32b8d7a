"""Ed25519 signatures over a bundle's manifest, the keys that make them, and whom a door trusts.

The manifest names the sha256 of every other file, so that a signature over its exact bytes holds
for the whole bundle. `openssl pkeyutl -verify -rawin` can check one too: manifest.sig ends with
the 64 bytes of the signature in hex.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bundles.manifest import MANIFEST_FILE, SIGNATURE_FILE
from edge.errors import BundleError, ConfigError

# The package cryptography is imported where a key is read or used: a door with the shipped bundle
# needs none, and is spared the memory (docs/performance.md).
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PRIVATE_KEY_FILE, PUBLIC_KEY_FILE = "janus-signing.key", "janus-signing.pub"
MOST_SIGNATURE_BYTES = 1024
_MOST_KEY_BYTES = 16 << 10

# One form only: lower-case hex, one blank, one newline a line.
_SIGNATURE = re.compile(
    rb"janus-signature/1 ed25519\nkey ([0-9a-f]{64})\nsignature ([0-9a-f]{128})\n"
)


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose bundles are opened; by default nobody's.

    Args:
        keys: fingerprint → public key.
        allow_unsigned: open a bundle without a signature. A signature that is there is checked
            all the same.
        pinned: sha256 of manifests that need no signature, because the program carries them.
    """

    keys: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)
    allow_unsigned: bool = False
    pinned: frozenset[str] = frozenset()

    def check(self, manifest: bytes, signature: bytes | None, directory: Path) -> str | None:
        """Return the fingerprint of the key that signed *manifest*, or None where none need to.

        Args:
            manifest: the exact bytes of manifest.json.
            signature: those of manifest.sig; None if there is no such file.
            directory: for messages.

        Raises:
            BundleError: if nobody who is trusted vouches for these bytes.
        """
        if signature is not None:
            return self._signer(manifest, signature, directory)
        if hashlib.sha256(manifest).hexdigest() in self.pinned or self.allow_unsigned:
            return None
        raise BundleError(
            f"{directory} has no {SIGNATURE_FILE}, so nobody vouches for it: sign it where it was "
            "made (`janus bundle sign`), or accept what anybody could have written with "
            "[encoder] allow_unsigned = true"
        )

    def _signer(self, manifest: bytes, signature: bytes, directory: Path) -> str:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - see above

        path = directory / SIGNATURE_FILE
        fingerprint, signed = parse_signature(signature, path)
        key = self.keys.get(fingerprint)
        if key is None:
            known = ", ".join(each[:12] for each in self.keys) or "none"
            raise BundleError(
                f"{path} is by the key {fingerprint[:12]}…, which this door does not trust "
                f"(trusted: {known}); add its public key to [encoder] trusted_keys, or have the "
                "bundle signed by a key of yours"
            )
        try:
            key.verify(signed, manifest)
        except InvalidSignature as exc:
            raise BundleError(
                f"{path} does not fit {MANIFEST_FILE}: one of them was damaged, altered or taken "
                "from another bundle; copy the bundle again"
            ) from exc
        return fingerprint


def parse_signature(written: bytes, path: Path) -> tuple[str, bytes]:
    """Return fingerprint and signature of a manifest.sig.

    Raises:
        BundleError: if it is none.
    """
    found = _SIGNATURE.fullmatch(written)
    if found is None:
        raise BundleError(
            f"{path} is no signature of a bundle: it was damaged or cut off; copy the bundle again"
        )
    return found[1].decode(), bytes.fromhex(found[2].decode())


def sign(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return the manifest.sig for the exact bytes of *manifest*; equal inputs, equal bytes."""
    fingerprint = fingerprint_of(key.public_key())
    signature = key.sign(manifest).hex()
    return f"janus-signature/1 ed25519\nkey {fingerprint}\nsignature {signature}\n".encode()


def fingerprint_of(key: Ed25519PublicKey) -> str:
    """Return the sha256 of the key's 32 bytes, in hex."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - see above
        Encoding,
        PublicFormat,
    )

    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def make_keys(directory: Path) -> str:
    """Write a new pair of keys to *directory*, the private one for its owner only.

    Returns: the fingerprint.

    Raises:
        ConfigError: if there is a key already, or it cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - see above
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    paths = (directory / PUBLIC_KEY_FILE, directory / PRIVATE_KEY_FILE)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in paths:
            if path.exists() or path.is_symlink():
                raise ConfigError(f"{path} is there already and is not overwritten; choose another")
        _write_new(paths[1], private, 0o600)
        _write_new(paths[0], public, 0o644)
    except OSError as exc:
        raise ConfigError(f"{directory}: no key can be written there: {exc.strerror}") from exc
    return fingerprint_of(key.public_key())


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist; a crash leaves none, or the whole."""
    partial = path.with_name(f".{path.name}.partial")
    with contextlib.suppress(FileNotFoundError):
        partial.unlink()
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)  # unlike a rename, it never replaces
    finally:
        partial.unlink(missing_ok=True)


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read the private key at *path*.

    Raises:
        ConfigError: if others may read it, or it is no Ed25519 key without a passphrase.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - see above
        load_pem_private_key,
    )

    content = _read_key(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(
            f"{path} can be read by others, so it is no secret; run: chmod 600 {path}"
        )
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ConfigError(f"{path} is no private key that can be read: {exc}") from exc
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigError(f"{path} is no Ed25519 key; make one with `janus keys new`")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read the public key at *path*.

    Raises:
        ConfigError: if it is missing, or no Ed25519 public key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - see above
        load_pem_public_key,
    )

    try:
        key = load_pem_public_key(_read_key(path))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ConfigError(f"{path} is no public key that can be read: {exc}") from exc
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ConfigError(f"{path} is no Ed25519 key; make one with `janus keys new`")
    return key


def read_trust(
    trusted_keys: Sequence[Path], *, allow_unsigned: bool, pinned: frozenset[str]
) -> Trust:
    """Return the trust in the public keys at *trusted_keys*.

    Raises:
        ConfigError: if one of them cannot be read.
    """
    keys = [read_public_key(path) for path in trusted_keys]
    return Trust({fingerprint_of(each): each for each in keys}, allow_unsigned, pinned)


def _read_key(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ConfigError(f"there is no key at {path}; `janus keys new DIR` makes a pair")
        with path.open("rb") as file:
            return file.read(_MOST_KEY_BYTES)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}; check its owner") from exc
