"""AES-256-GCM by the OpenSSL that Python has loaded for hashlib.

The package cryptography brings an OpenSSL of its own; to open the gallery's rows with that costs a
door more memory than its networks need (docs/performance.md). It is used where Python's own OpenSSL
is out of reach, as in a Python that is linked into one file. Both give the same bytes.

Source: EVP_EncryptInit(3), "AEAD Interface" and "GCM and OCB Modes"; OpenSSL 1.1.1 and later.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Protocol

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
# openssl/evp.h: `enc` of EVP_CipherInit_ex; EVP_CTRL_AEAD_GET_TAG and EVP_CTRL_AEAD_SET_TAG.
_ENCRYPT, _DECRYPT = 1, 0
_GET_TAG, _SET_TAG = 0x10, 0x11
_NOT_DONE = "OpenSSL could not begin or end AES-256-GCM; look at the memory"


class Aes(Protocol):
    """AES-256-GCM with one key; for any thread."""

    def encrypt(self, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
        """Return ciphertext and tag, `TAG_BYTES` longer than *plain*; *nonce* never twice."""

    def decrypt(self, nonce: bytes, text: bytes, associated: bytes) -> bytes | None:
        """Return what `encrypt` was given, or None if anything of it was altered."""


class LoadedOpenSsl:
    """By OpenSSL's own functions, in the library that `hashlib` has loaded.

    Args:
        key: 32 bytes.

    Raises:
        ImportError: if they are out of reach.
        ValueError: if the key has another length.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes; expected {KEY_BYTES}")
        self._openssl, self._key = _functions(), key

    def encrypt(self, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
        """Return ciphertext and tag, `TAG_BYTES` longer than *plain*; *nonce* never twice."""
        tag = ctypes.create_string_buffer(TAG_BYTES)
        text = self._passed(_ENCRYPT, nonce, plain, associated, tag)
        if text is None:
            raise OSError(_NOT_DONE)
        return text + tag.raw

    def decrypt(self, nonce: bytes, text: bytes, associated: bytes) -> bytes | None:
        """Return what `encrypt` was given, or None if anything of it was altered."""
        if len(text) < TAG_BYTES:
            return None
        tag = ctypes.create_string_buffer(text[-TAG_BYTES:], TAG_BYTES)
        return self._passed(_DECRYPT, nonce, text[:-TAG_BYTES], associated, tag)

    def _passed(
        self, way: int, nonce: bytes, given: bytes, associated: bytes, tag: ctypes.Array[Any]
    ) -> bytes | None:
        """Return *given* en- or decrypted, or None if *tag* does not fit; encrypting fills it.

        Raises:
            OSError: if OpenSSL cannot even begin.
        """
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"the nonce has {len(nonce)} bytes; expected {NONCE_BYTES}")
        openssl, written = self._openssl, ctypes.c_int()
        taken = ctypes.create_string_buffer(len(given) + TAG_BYTES)
        context = openssl.EVP_CIPHER_CTX_new()
        try:
            begun = (
                context is not None
                and openssl.EVP_CipherInit_ex(
                    context, openssl.EVP_aes_256_gcm(), None, self._key, nonce, way
                )
                == 1
                and openssl.EVP_CipherUpdate(context, None, written, associated, len(associated))
                == 1
                and openssl.EVP_CipherUpdate(context, taken, written, given, len(given)) == 1
                and written.value == len(given)
                and (way == _ENCRYPT or self._tagged(context, _SET_TAG, tag))
            )
            if not begun:
                raise OSError(_NOT_DONE)
            # When decrypting, only this says whether the tag fits.
            whole = openssl.EVP_CipherFinal_ex(context, ctypes.byref(taken, len(given)), written)
            if whole != 1 or (way == _ENCRYPT and not self._tagged(context, _GET_TAG, tag)):
                return None
            return taken.raw[: len(given)]
        finally:
            openssl.EVP_CIPHER_CTX_free(context)  # which wipes it
            openssl.ERR_clear_error()

    def _tagged(self, context: int, act: int, tag: ctypes.Array[Any]) -> bool:
        done: int = self._openssl.EVP_CIPHER_CTX_ctrl(context, act, TAG_BYTES, tag)
        return done == 1


class OwnOpenSsl:
    """By the package cryptography.

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see above
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see above

        self._aes, self._invalid = AESGCM(key), InvalidTag

    def encrypt(self, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
        """Return ciphertext and tag, `TAG_BYTES` longer than *plain*; *nonce* never twice."""
        return self._aes.encrypt(nonce, plain, associated)

    def decrypt(self, nonce: bytes, text: bytes, associated: bytes) -> bytes | None:
        """Return what `encrypt` was given, or None if anything of it was altered."""
        try:
            return self._aes.decrypt(nonce, text, associated)
        except self._invalid:
            return None


def aes_256_gcm(key: bytes) -> Aes:
    """Return AES-256-GCM with *key*, 32 bytes, by whichever OpenSSL takes less memory."""
    try:
        return LoadedOpenSsl(key)
    except ImportError:
        return OwnOpenSsl(key)


@cache
def _functions() -> ctypes.CDLL:
    """Return OpenSSL's functions, with their types.

    Raises:
        ImportError: if they are out of reach.
    """
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    length = ctypes.POINTER(number)
    try:
        import _hashlib  # noqa: PLC0415 - a Python without OpenSSL has none

        # A library's name stands for all that it is linked with.
        openssl = ctypes.CDLL(_hashlib.__file__)
        for name, result, arguments in (
            ("EVP_CIPHER_CTX_new", pointer, ()),
            ("EVP_CIPHER_CTX_free", None, (pointer,)),
            ("EVP_CIPHER_CTX_ctrl", number, (pointer, number, number, pointer)),
            ("EVP_aes_256_gcm", pointer, ()),
            ("EVP_CipherInit_ex", number, (pointer, pointer, pointer, text, text, number)),
            ("EVP_CipherUpdate", number, (pointer, pointer, length, text, number)),
            ("EVP_CipherFinal_ex", number, (pointer, pointer, length)),
            ("ERR_clear_error", None, ()),
        ):
            function = getattr(openssl, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as exc:
        raise ImportError(f"Python's own OpenSSL is out of reach: {exc}") from exc
    return openssl
