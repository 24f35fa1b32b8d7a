"""Keys are made once and kept by their owner; a signature is one form of bytes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from bundles import KEY, OTHER_KEY
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from edge.bundles.signing import (
    PRIVATE_KEY_FILE,
    PUBLIC_KEY_FILE,
    Trust,
    fingerprint_of,
    make_keys,
    parse_signature,
    read_private_key,
    read_public_key,
    read_trust,
    sign,
)
from edge.errors import BundleError, ConfigError

HERE = Path("bundle")
MANIFEST = b'{"schema": 2}\n'


def test_new_keys_fit_each_other_and_only_the_owner_reads_the_private_one(tmp_path):
    fingerprint = make_keys(tmp_path / "keys")
    private, public = tmp_path / "keys" / PRIVATE_KEY_FILE, tmp_path / "keys" / PUBLIC_KEY_FILE
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert sorted(each.name for each in private.parent.iterdir()) == [private.name, public.name]
    trust = read_trust([public], allow_unsigned=False, pinned=frozenset())
    signature = sign(MANIFEST, read_private_key(private))
    assert trust.check(MANIFEST, signature, HERE) == fingerprint
    assert fingerprint == fingerprint_of(read_public_key(public))


@pytest.mark.parametrize("there", [PRIVATE_KEY_FILE, PUBLIC_KEY_FILE])
def test_keys_are_never_overwritten(tmp_path, there):
    (tmp_path / there).write_text("somebody's")
    with pytest.raises(ConfigError, match=f"{there} is there already"):
        make_keys(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "somebody's"


def test_a_private_key_that_others_can_read_signs_nothing(tmp_path):
    make_keys(tmp_path)
    (tmp_path / PRIVATE_KEY_FILE).chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_private_key(tmp_path / PRIVATE_KEY_FILE)


@pytest.mark.parametrize("read", [read_private_key, read_public_key])
def test_what_is_no_key_is_a_configuration_error(tmp_path, read):
    path = tmp_path / "key"
    with pytest.raises(ConfigError, match="there is no key at"):
        read(path)
    path.touch(mode=0o600)
    for content in (b"", b"not a key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="that can be read"):
            read(path)


def test_keys_of_another_kind_are_refused(tmp_path):
    other = rsa.generate_private_key(65537, 2048)
    private, public = tmp_path / "private", tmp_path / "public"
    private.touch(mode=0o600)
    private.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    for read, path in ((read_private_key, private), (read_public_key, public)):
        with pytest.raises(ConfigError, match="no Ed25519 key"):
            read(path)


def test_a_key_under_a_passphrase_is_refused_aloud(tmp_path):
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
    )
    with pytest.raises(ConfigError, match="no private key that can be read"):
        read_private_key(path)


def test_equal_inputs_give_equal_signatures():
    assert sign(MANIFEST, KEY) == sign(MANIFEST, KEY) != sign(MANIFEST, OTHER_KEY)


def test_the_fingerprint_chooses_the_key_and_cannot_be_exchanged():
    """A good signature under the name of another trusted key is no good."""
    keys = {fingerprint_of(each.public_key()): each.public_key() for each in (KEY, OTHER_KEY)}
    signature = sign(MANIFEST, KEY)
    own, other = (fingerprint_of(each.public_key()).encode() for each in (KEY, OTHER_KEY))
    Trust(keys).check(MANIFEST, signature, HERE)
    with pytest.raises(BundleError, match="does not fit"):
        Trust(keys).check(MANIFEST, signature.replace(own, other), HERE)


@pytest.mark.parametrize("written", [b"", b"\x00" * 64, sign(MANIFEST, KEY) + b" "])
def test_what_is_no_signature_is_refused(written):
    with pytest.raises(BundleError, match=r"manifest\.sig is no signature"):
        parse_signature(written, HERE / "manifest.sig")


def test_nobody_is_trusted_by_default():
    with pytest.raises(BundleError, match="trusted: none"):
        Trust().check(MANIFEST, sign(MANIFEST, KEY), HERE)
    with pytest.raises(BundleError, match="nobody vouches"):
        Trust().check(MANIFEST, None, HERE)
