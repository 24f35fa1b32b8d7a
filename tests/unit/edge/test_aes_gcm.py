"""AES-256-GCM by Python's own OpenSSL and by the package cryptography: the same bytes, or none."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.stores import aes_gcm
from edge.stores.aes_gcm import LoadedOpenSsl, OwnOpenSsl, aes_256_gcm

BOTH = (LoadedOpenSsl, OwnOpenSsl)
# McGrew and Viega, The Galois/Counter Mode of Operation (2005), appendix B, test case 16.
KEY = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
NONCE = bytes.fromhex("cafebabefacedbaddecaf888")
ASSOCIATED = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
PLAIN = bytes.fromhex(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
)
TEXT = bytes.fromhex(
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
    "76fc6ece0f4e1768cddf8853bb2d551b"
)


@pytest.mark.parametrize("by", BOTH)
def test_the_published_case_comes_out(by):
    assert by(KEY).encrypt(NONCE, PLAIN, ASSOCIATED) == TEXT
    assert by(KEY).decrypt(NONCE, TEXT, ASSOCIATED) == PLAIN


texts = st.binary(max_size=600)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=12, max_size=12), texts, texts)
def test_each_opens_what_the_other_sealed(key, nonce, plain, associated):
    ours, theirs = LoadedOpenSsl(key), OwnOpenSsl(key)
    text = ours.encrypt(nonce, plain, associated)
    assert text == theirs.encrypt(nonce, plain, associated)
    assert ours.decrypt(nonce, text, associated) == plain
    assert theirs.decrypt(nonce, text, associated) == plain


@pytest.mark.parametrize("by", BOTH)
@given(data=st.data())
def test_nothing_comes_of_what_was_altered_anywhere(by, data):
    parts = [KEY, NONCE, TEXT, ASSOCIATED]
    which = data.draw(st.integers(0, 3))
    bit = data.draw(st.integers(0, 8 * len(parts[which]) - 1))
    spoilt = bytearray(parts[which])
    spoilt[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(spoilt)
    assert by(parts[0]).decrypt(*parts[1:]) is None


@pytest.mark.parametrize("by", BOTH)
@pytest.mark.parametrize("text", [b"", TEXT[:15], TEXT[:16], TEXT[:-1], TEXT + b"\0"])
def test_nothing_comes_of_what_was_cut_or_grew(by, text):
    assert by(KEY).decrypt(NONCE, text, ASSOCIATED) is None


def test_a_refusal_spoils_nothing_that_comes_after_it():
    aes = LoadedOpenSsl(KEY)
    assert aes.decrypt(NONCE, TEXT[:-1] + b"\0", ASSOCIATED) is None
    assert aes.decrypt(NONCE, TEXT, ASSOCIATED) == PLAIN


@pytest.mark.parametrize("key", [b"", KEY[:16], KEY + b"\0"])
def test_a_key_of_another_length_is_refused(key):
    with pytest.raises(ValueError, match="expected 32"):
        LoadedOpenSsl(key)


def test_a_nonce_of_another_length_is_refused():
    """The library would read twelve bytes, whatever it is given."""
    with pytest.raises(ValueError, match="expected 12"):
        LoadedOpenSsl(KEY).encrypt(NONCE[:11], PLAIN, ASSOCIATED)


@pytest.mark.parametrize(
    "fails", ["EVP_CIPHER_CTX_new", "EVP_CipherInit_ex", "EVP_CipherUpdate", "EVP_CIPHER_CTX_ctrl"]
)
def test_where_openssl_fails_nothing_is_returned(fails, monkeypatch):
    """Without memory each of its functions may say so."""
    openssl = aes_gcm._functions()
    nothing = None if fails.endswith("new") else 0
    monkeypatch.setattr(openssl, fails, lambda *_: nothing)
    with pytest.raises(OSError, match="OpenSSL could not"):
        LoadedOpenSsl(KEY).encrypt(NONCE, PLAIN, ASSOCIATED)
    with pytest.raises(OSError, match="OpenSSL could not"):
        LoadedOpenSsl(KEY).decrypt(NONCE, TEXT, ASSOCIATED)


def test_a_python_whose_openssl_is_out_of_reach_takes_the_package(monkeypatch):
    def refused(_):
        raise OSError("no such library, as asked")

    aes_gcm._functions.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", refused)
    try:
        aes = aes_256_gcm(KEY)
    finally:
        aes_gcm._functions.cache_clear()
    assert isinstance(aes, OwnOpenSsl)
    assert aes.decrypt(NONCE, TEXT, ASSOCIATED) == PLAIN
