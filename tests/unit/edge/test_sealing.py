"""The storage key and what it seals: nothing opens with another key, or in another place."""

from __future__ import annotations

import os

import numpy as np
import pytest

from edge.errors import GalleryError
from edge.gallery import GalleryStore
from edge.stores.keyfile import CREDENTIAL, KeyFile, key_line, key_place
from edge.stores.rotation import rotate
from edge.stores.sealing import NAME, VECTOR, Cipher, StorageKey, SubjectKey
from edge.stores.snapshots import Snapshots
from edge.stores.traces import database_files, find_traces
from edge.vocabulary import Embedding

MODEL = "a" * 64


def embedding(seed):
    vector = np.random.default_rng(seed).standard_normal(32).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), MODEL)


@pytest.fixture
def path(tmp_path):
    """Ada and Eve are enrolled."""
    path = tmp_path / "gallery.sqlite"
    with GalleryStore(path, MODEL) as store:
        store.enrol("Ada", [embedding(1)], consent="signed on 2026-11-24")
        store.enrol("Eve", [embedding(2)])
    return path


@pytest.fixture
def key_file(path):
    return KeyFile(path.with_name("storage.key"))


# --- sealing --------------------------------------------------------------------------------


def test_what_was_sealed_opens_only_as_what_it_is_and_with_its_key():
    cipher = Cipher(bytes(32))
    sealed = cipher.seal(b"secret", "vector", "ada", "model")
    assert b"secret" not in sealed
    assert cipher.open(sealed, "vector", "ada", "model") == b"secret"
    assert Cipher(b"\1" * 32).open(sealed, "vector", "ada", "model") is None
    for bound in (("vector", "eve", "model"), ("vector", "ada", "other"), ("crop", "ada", "model")):
        assert cipher.open(sealed, *bound) is None
    assert cipher.open(sealed, "vector", "adamodel") is None
    for damaged in (sealed[:-1], sealed[:5], b"", b"\0" + sealed[1:], "text", None, 7):
        assert cipher.open(damaged, "vector", "ada", "model") is None


def test_equal_texts_are_sealed_differently_each_time():
    key = SubjectKey.new("ada")
    assert len({key.seal_row(b"same", VECTOR) for _ in range(100)}) == 100


def test_a_subject_s_key_opens_with_its_storage_key_and_for_its_subject_only():
    mine, other = StorageKey.new(), StorageKey.new()
    wrapped = SubjectKey.new("ada").wrapped(mine)
    row = SubjectKey.unwrapped(wrapped, "ada", mine).seal_row(b"Ada", NAME)
    assert SubjectKey.unwrapped(wrapped, "ada", mine).open_row(row, NAME) == b"Ada"
    assert SubjectKey.unwrapped(wrapped, "eve", mine) is None
    assert SubjectKey.unwrapped(wrapped, "ada", other) is None


def test_name_tags_are_equal_for_equal_names_under_one_key_only():
    mine, other = StorageKey.new(), StorageKey.new()
    assert mine.name_tag("ada") == mine.name_tag("ada") != mine.name_tag("adb")
    assert mine.name_tag("ada") != other.name_tag("ada")


# --- the key file ---------------------------------------------------------------------------


def test_the_first_start_makes_a_key_that_only_its_owner_reads(path, key_file):
    assert key_file.path.stat().st_mode & 0o777 == 0o600
    (key,) = key_file.read()
    assert key.secret.hex() not in path.read_bytes().hex()


def test_another_key_opens_nothing_and_the_message_says_what_to_do(path, key_file):
    right = key_file.path.read_text()
    key_file.path.unlink()
    for model_id in (MODEL, None):
        with pytest.raises(GalleryError, match=r"there is no storage key at .*put it back"):
            GalleryStore(path, model_id)
    assert not key_file.path.exists(), "a new key would open nothing, and hide what is wrong"
    key_file.make()
    with pytest.raises(GalleryError, match=r"gallery\.sqlite: .*put the right key there"):
        GalleryStore(path, MODEL)
    key_file.path.write_text(right)
    with GalleryStore(path, MODEL) as store:
        assert len(store.people()) == 2


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "janus-storage-key-1 short\n", "\0\0\0", "janus-storage-key-2 " + "A" * 44],
)
def test_a_file_that_is_no_key_is_refused(path, key_file, text):
    key_file.path.write_text(text)
    with pytest.raises(GalleryError, match="no storage key, or was damaged"):
        GalleryStore(path, MODEL)


def test_a_key_that_others_may_read_is_refused(path, key_file):
    key_file.path.chmod(0o640)
    with pytest.raises(GalleryError, match="chmod 600"):
        GalleryStore(path, MODEL)


def test_a_key_is_never_made_over_another(path, key_file):
    before = key_file.path.read_bytes()
    with pytest.raises(GalleryError, match="already"):
        key_file.make()
    assert key_file.path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == ["gallery.sqlite", "storage.key"]


def test_the_key_is_where_the_configuration_says(tmp_path):
    key = tmp_path / "stick" / "door.key"
    with GalleryStore(tmp_path / "gallery.sqlite", MODEL, key=key) as store:
        store.enrol("Ada", [embedding(1)])
    assert not (tmp_path / "storage.key").exists()
    with GalleryStore(tmp_path / "gallery.sqlite", MODEL, key=key) as store:
        assert len(store.people()) == 1
    with pytest.raises(GalleryError, match="no storage key"):
        GalleryStore(tmp_path / "gallery.sqlite", MODEL)


def test_a_systemd_credential_is_the_key_if_there_is_one(tmp_path, monkeypatch):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert key_place(tmp_path / "gallery.sqlite", None) == tmp_path / "storage.key"
    (credentials / CREDENTIAL).write_text(key_line(StorageKey.new()) + "\n")
    (credentials / CREDENTIAL).chmod(0o440)
    assert key_place(tmp_path / "gallery.sqlite", None) == credentials / CREDENTIAL
    with GalleryStore(tmp_path / "gallery.sqlite", MODEL) as store:
        store.enrol("Ada", [embedding(1)])
    assert not (tmp_path / "storage.key").exists()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(GalleryError, match="no storage key"):
        GalleryStore(tmp_path / "gallery.sqlite", MODEL)


# --- rotation -------------------------------------------------------------------------------


def test_after_a_rotation_the_old_key_opens_nothing_and_everybody_is_there(path, key_file):
    (old,) = key_file.read()
    with GalleryStore(path, MODEL) as door:
        before = door.load()
        done = rotate(path, None, None)
        assert (done.subjects, done.leftover) == (2, 0)
        assert door.changed()
        np.testing.assert_array_equal(door.load().matrix, before.matrix)
        door.enrol("Bob", [embedding(3)])
        assert [each.name for each in door.people()] == ["Ada", "Bob", "Eve"]
        assert door.find("ada").consent == "signed on 2026-11-24"
    (new,) = key_file.read()
    assert new.key_id == done.key_id != old.key_id
    key_file.write([old])
    with pytest.raises(GalleryError, match=f"sealed with the storage key {new.key_id}"):
        GalleryStore(path, MODEL)


def test_the_keys_as_the_old_storage_key_sealed_them_are_nowhere_any_more(path):
    with GalleryStore(path, MODEL) as store:
        marks = [mark for person in store.people() for mark in store.marks(person)]
        assert find_traces(database_files(path), marks)
    rotate(path, None, None)
    assert find_traces(database_files(path), marks) == ()


def test_a_rotation_that_was_cut_short_opens_and_is_finished_by_the_next(path, key_file):
    """Between the new key's coming and the gallery's turning to it, and before the old one goes."""
    (old,) = key_file.read()
    new = StorageKey.new()
    key_file.write([new, old])
    with GalleryStore(path, MODEL) as store:
        assert len(store.people()) == 2
    assert rotate(path, None, None).key_id == new.key_id
    key_file.write([new, old])
    with GalleryStore(path, MODEL) as store:
        assert len(store.people()) == 2
    assert rotate(path, None, None).key_id == new.key_id
    assert [each.key_id for each in key_file.read()] == [new.key_id]


def test_a_credential_is_rotated_in_two_steps(path, key_file, tmp_path, monkeypatch):
    (old,) = key_file.read()
    new = StorageKey.new()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    credential = tmp_path / CREDENTIAL
    credential.write_text(key_line(old) + "\n")
    with pytest.raises(GalleryError, match=r"`janus keys storage --print`"):
        rotate(path, None, None)
    credential.write_text(key_line(new) + "\n" + key_line(old) + "\n")
    assert rotate(path, None, None).leftover == 1
    credential.write_text(key_line(new) + "\n")
    with GalleryStore(path, MODEL) as store:
        assert len(store.people()) == 2


def test_snapshots_are_rotated_too(path, key_file, tmp_path):
    from datetime import UTC, datetime

    snapshots = Snapshots(tmp_path / "pictures", key_file, most=9, most_days=9, room_bytes=0)
    snapshots.keep(1, None, np.full((48, 64, 3), 90, np.uint8), datetime.now(UTC))
    (kept,) = snapshots.all()
    before = snapshots.open(kept)
    assert rotate(path, None, snapshots).snapshots == 1
    again = Snapshots(
        tmp_path / "pictures", KeyFile(key_file.path), most=9, most_days=9, room_bytes=0
    )
    assert again.open(kept) == before


def test_root_s_key_belongs_to_the_owner_of_the_directory(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can make files for somebody else")
    os.chown(tmp_path, 1234, 1234)
    KeyFile(tmp_path / "storage.key").make()
    assert (tmp_path / "storage.key").stat().st_uid == 1234
