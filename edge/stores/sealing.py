"""Rows that only the holder of the storage key can read: AES-256-GCM, one key for each subject.

The storage key seals nothing but the subjects' keys, and a subject's key seals what is stored of
that subject. So a new storage key costs one short row a person, and a subject whose key is
overwritten is forgotten wherever the sealed rows still lie.

Every sealed text is nonce (12 bytes, random), ciphertext, tag (16 bytes). What kind of row it is,
whose, and of which model is bound in as associated data: a row that was moved does not open.
Random nonces are safe for 2^32 texts a key (NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import hashlib
import hmac
import os

from edge.stores.aes_gcm import KEY_BYTES, NONCE_BYTES, TAG_BYTES, aes_256_gcm

SEALED_KEY_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
NAME_TAG_BYTES = 16
# What stands in place of the key and the name of somebody who was forgotten.
NO_KEY, NO_NAME = bytes(SEALED_KEY_BYTES), bytes(NAME_TAG_BYTES)

KEY, NAME, CONSENT, VECTOR, CROP = "key", "name", "consent", "vector", "crop"


class Cipher:
    """One AES-256-GCM key, from 32 random bytes."""

    def __init__(self, key: bytes) -> None:
        self._aes = aes_256_gcm(key)

    def seal(self, plain: bytes, kind: str, *bound: str) -> bytes:
        """Return *plain* sealed; it opens only as this *kind* and with the same *bound* words."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aes.encrypt(nonce, plain, _associated(kind, bound))

    def open(self, sealed: object, kind: str, *bound: str) -> bytes | None:
        """Return what was sealed, or None if this is not it: altered, moved, or another key's."""
        if not isinstance(sealed, bytes) or len(sealed) < NONCE_BYTES:
            return None
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        return self._aes.decrypt(nonce, text, _associated(kind, bound))


class SubjectKey(Cipher):
    """What one subject's rows are sealed with."""

    def __init__(self, key: bytes, subject_id: str) -> None:
        super().__init__(key)
        self._key, self._subject_id = key, subject_id

    @classmethod
    def new(cls, subject_id: str) -> SubjectKey:
        """Draw a key."""
        return cls(os.urandom(KEY_BYTES), subject_id)

    def wrapped(self, by: Cipher) -> bytes:
        """Return this key, sealed by the storage key or by that of a backup: 60 bytes."""
        return by.seal(self._key, KEY, self._subject_id)

    @classmethod
    def unwrapped(cls, sealed: object, subject_id: str, by: Cipher) -> SubjectKey | None:
        """Return the key that `wrapped` sealed, or None if this is not it."""
        key = by.open(sealed, KEY, subject_id)
        return None if key is None else cls(key, subject_id)

    def seal_row(self, plain: bytes, kind: str, model_id: str = "") -> bytes:
        """Return one value of this subject's, sealed; *model_id* where the value is a model's."""
        return self.seal(plain, kind, self._subject_id, model_id)

    def open_row(self, sealed: object, kind: str, model_id: str = "") -> bytes | None:
        """Return the value, or None if it was altered, moved or sealed for somebody else."""
        return self.open(sealed, kind, self._subject_id, model_id)


class StorageKey(Cipher):
    """The key of a whole store; ``key_id`` tells keys apart and says nothing about them."""

    def __init__(self, secret: bytes) -> None:
        super().__init__(derived(secret, "seal"))
        self.secret = secret
        self.key_id = hashlib.sha256(b"janus storage key\0" + secret).hexdigest()[:16]
        self._names = derived(secret, "names")

    @classmethod
    def new(cls) -> StorageKey:
        """Draw a key."""
        return cls(os.urandom(KEY_BYTES))

    def name_tag(self, folded_name: str) -> bytes:
        """Return 16 bytes that are equal for equal names, and tell nobody else which name it is."""
        return hmac.digest(self._names, folded_name.encode(), "sha256")[:NAME_TAG_BYTES]


def derived(secret: bytes, purpose: str) -> bytes:
    """Return a key for one purpose: HMAC-SHA-256 of a uniform secret is a pseudorandom one."""
    return hmac.digest(secret, b"janus/" + purpose.encode(), "sha256")


def _associated(kind: str, bound: tuple[str, ...]) -> bytes:
    """Return the associated data; ids hold no NUL, so two lists of words are never one text."""
    return "\0".join(("janus/1", kind, *bound)).encode()
