"""The gallery on the disk: what it keeps, what it refuses, and what it must not keep."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import pytest
from stores import fill_gallery

from edge.audit import Audit
from edge.errors import EnrolmentError, GalleryError, GalleryModelMismatchError
from edge.gallery import GalleryStore
from edge.stores.keyfile import KeyFile
from edge.stores.sealing import VECTOR, SubjectKey
from edge.stores.store import Database
from edge.vocabulary import Embedding

MODEL, OTHER = "a" * 64, "b" * 64


def embedding(seed=0, size=32, model_id=MODEL):
    vector = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), model_id)


def raw(path):
    """A connection as any other program has it, without our pragmas."""
    return closing(sqlite3.connect(path, isolation_level=None))


def everything_in(directory):
    """Every byte of every file there, the write-ahead log included."""
    return b"".join(each.read_bytes() for each in sorted(directory.iterdir()))


def sealed_rows(path, subject_id):
    """The subject's key and name tag: what opens or tells of everything else of theirs."""
    with raw(path) as rows:
        return rows.execute(
            "SELECT key, name_tag FROM subject_key WHERE subject_id = ?", (subject_id,)
        ).fetchone()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "gallery.sqlite"


@pytest.fixture
def store(path):
    with GalleryStore(path, MODEL, busy_s=0.2) as opened:
        yield opened


# --- enrolment ------------------------------------------------------------------------------


def test_references_come_back_bit_for_bit(store):
    """Float32 in, the same float32 out, in rows that belong to their subject."""
    ada, eve = [embedding(1), embedding(2)], [embedding(3)]
    ids = {store.enrol("Ada", ada): ada, store.enrol("Eve", eve): eve}
    gallery = store.load()
    assert gallery.model_id == MODEL
    assert gallery.matrix.dtype == np.float32
    for subject_id, enrolled in ids.items():
        rows = [i for i, each in enumerate(gallery.subject_ids) if each == subject_id]
        expected = np.array([each.vector for each in enrolled])
        np.testing.assert_array_equal(gallery.matrix[rows], expected)


@pytest.mark.parametrize("length", [0.9991, 1.0009])
def test_what_could_be_enrolled_can_be_loaded(store, length):
    """One reference at the edge of what counts as unit length must not stop the door."""
    store.enrol("Ada", [Embedding(np.full(32, length / 32**0.5, np.float32), MODEL)])
    assert len(store.load().subject_ids) == 1


def test_references_outlive_the_program(path):
    """What was enrolled is there after closing and opening."""
    with GalleryStore(path, MODEL) as store:
        subject_id = store.enrol("Ada", [embedding()])
    with GalleryStore(path, MODEL) as store:
        assert store.load().subject_ids == (subject_id,)
        assert store.names() == {subject_id: "Ada"}


def test_subject_ids_say_nothing_about_the_person(store):
    """Eight random hexadecimal digits."""
    ids = {store.enrol(f"Person {i}", [embedding(i)]) for i in range(20)}
    assert len(ids) == 20
    assert all(len(each) == 8 and set(each) <= set("0123456789abcdef") for each in ids)


@pytest.mark.parametrize("again", ["ZOË", "  zoë ", "Zoe\u0308"])
def test_enrolling_a_known_name_adds_references_to_that_subject(store, again):
    """Case, outer blanks and the way of writing ë do not make another person."""
    subject_id = store.enrol("Zoë", [embedding(1)])
    assert store.enrol(again, [embedding(2), embedding(3)]) == subject_id
    (person,) = store.people()
    assert (person.name, person.references) == ("Zoë", 3)


def test_a_clash_of_subject_ids_draws_again(store, monkeypatch):
    """Two people never share an id, however unlikely."""
    drawn = iter(["00000001", "00000001", "00000002"])
    monkeypatch.setattr("edge.stores.subjects.secrets.token_hex", lambda _: next(drawn))
    assert store.enrol("Ada", [embedding(1)]) == "00000001"
    assert store.enrol("Eve", [embedding(2)]) == "00000002"


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 101, "a\tb", "a\nb", "a\x00b", "a\u202eb", "\udcff"]
)
def test_a_name_that_cannot_be_read_aloud_is_refused(store, name):
    """Empty, too long, or with what cannot be seen."""
    with pytest.raises(EnrolmentError, match="name"):
        store.enrol(name, [embedding()])
    assert store.people() == ()


@pytest.mark.parametrize(
    "name", ["x" * 100, "Ştefan", "می\u200cخواهم", "李 小龙", "O'Brien; DROP TABLE x"]
)
def test_names_of_the_world_are_kept_as_they_are(store, name):
    """Also the joiners that Persian needs, and what looks like SQL."""
    store.enrol(name, [embedding()])
    assert [person.name for person in store.people()] == [name]


@pytest.mark.parametrize(
    "references",
    [
        [],
        [embedding(1), embedding(2, model_id=OTHER)],
        [embedding(1), embedding(2, size=16)],
        [embedding(1, size=16)],
    ],
    ids=["none", "another model", "two lengths", "another length than the gallery's"],
)
def test_an_unfit_reference_enrols_nothing(store, references):
    """All of a call's references or none."""
    store.enrol("Eve", [embedding(9)])
    with pytest.raises(GalleryError):
        store.enrol("Ada", references)
    assert [person.name for person in store.people()] == ["Eve"]
    assert store.load().matrix.shape == (1, 32)


def test_an_enrolment_that_fails_half_way_enrols_nothing(path, store):
    """The disk may refuse at the third reference: neither subject nor the first two remain."""
    with raw(path) as rows:
        rows.execute("""CREATE TRIGGER refuse BEFORE INSERT ON reference
            WHEN (SELECT count(*) FROM reference) = 2 BEGIN SELECT RAISE(ABORT, 'refused'); END""")
    with pytest.raises(GalleryError, match="refused"):
        store.enrol("Ada", [embedding(i) for i in range(4)])
    assert store.people() == ()
    with raw(path) as rows:
        assert rows.execute("SELECT count(*) FROM reference").fetchone() == (0,)


def test_people_are_listed_by_name_with_their_day(store):
    """Whatever the case; the count is the subject's own."""
    before = datetime.now(UTC).replace(microsecond=0)
    for name, count in (("eve", 1), ("Ada", 3), ("Bob", 2)):
        store.enrol(name, [embedding(i) for i in range(count)])
    people = store.people()
    assert [(each.name, each.references) for each in people] == [("Ada", 3), ("Bob", 2), ("eve", 1)]
    assert all(
        before <= datetime.fromisoformat(each.enrolled_on) <= datetime.now(UTC) for each in people
    )
    assert store.names() == {each.subject_id: each.name for each in people}


# --- forgetting -----------------------------------------------------------------------------


def test_forgetting_removes_the_subject_and_counts_the_references(store):
    """By any spelling of the name; others stay."""
    store.enrol("Ada", [embedding(1), embedding(2)])
    eve = store.enrol("Eve", [embedding(3)])
    assert store.forget("ADA") == 2
    assert store.load().subject_ids == (eve,)
    assert store.names() == {eve: "Eve"}


def test_forgetting_somebody_unknown_names_the_nearest(store):
    """A typing mistake is told from an absent person."""
    store.enrol("Ada Lovelace", [embedding(1)])
    with pytest.raises(GalleryError, match="did you mean 'Ada Lovelace'"):
        store.forget("Ada Lovelase")
    with pytest.raises(GalleryError, match="`janus people`"):
        store.forget("Zebedee")
    with pytest.raises(GalleryError, match="nobody named"):
        store.forget("\udcff")
    assert len(store.people()) == 1


def test_nothing_of_a_person_lies_open_in_the_files(path, store):
    """Neither name nor vectors, enrolled or forgotten."""
    kept = np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    ada = [embedding(1, size=128)]
    store.enrol("Ada Lovelace", ada, crops=[kept], alignment="x/v1", consent="signed on paper")
    open_texts = [b"Ada", b"ada lovelace", b"signed on paper", kept.tobytes()[:16]]
    open_texts += [ada[0].vector.tobytes()[start : start + 16] for start in (0, 256)]
    assert [each for each in open_texts if each in everything_in(path.parent)] == []


def test_a_forgotten_subject_leaves_nothing_that_opens(path, store):
    """Neither key, name tag nor id, in the file or its log, among enough people to split pages."""
    ids = [store.enrol(f"Visitor number {i}", [embedding(1000 + i, size=128)]) for i in range(150)]
    gone = [embedding(i, size=128) for i in range(8)]
    ids.append(store.enrol("Ada Lovelace", gone))
    for i in range(150):
        store.enrol(f"Later visitor {i}", [embedding(2000 + i, size=128)])
    for name, subject_id in (("Ada Lovelace", ids[150]), ("Visitor number 3", ids[3])):
        traces = [subject_id.encode(), *sealed_rows(path, subject_id)]
        assert all(each in everything_in(path.parent) for each in traces), "this finds nothing"
        assert store.marks(store.find(name)) == tuple(traces[1:])
        store.forget(name)
        assert [each for each in traces if each in everything_in(path.parent)] == []
    assert len(store.people()) == 299
    store.load()


def leave_traces(path):
    """Forget everybody as a `forget` does that dies before it has emptied the log."""
    with raw(path) as rows:
        rows.execute("PRAGMA wal_autocheckpoint = 0")
        rows.execute("UPDATE subject_key SET key = zeroblob(60), name_tag = zeroblob(16)")
        rows.execute("DELETE FROM reference")
        rows.execute("DELETE FROM subject")
        rows.execute("UPDATE model SET traces = 1")


def test_a_forgetting_that_was_cut_short_is_finished_at_the_next_opening(path):
    """A power cut between deletion and wiping leaves traces until then, not for ever."""
    with GalleryStore(path, MODEL) as store, raw(path) as reader:
        key, tag = sealed_rows(path, store.enrol("Ada Lovelace", [embedding(1)]))
        reader.execute(
            "SELECT count(*) FROM subject"
        ).fetchone()  # keeps the log from being emptied
        leave_traces(path)
        assert key in everything_in(path.parent)
        assert tag in everything_in(path.parent)
        with GalleryStore(path, model_id=None) as again:
            assert key not in everything_in(path.parent)
            assert tag not in everything_in(path.parent)
            assert again.people() == ()


def test_a_reader_in_the_way_delays_the_wiping_but_not_the_deletion(path, store, caplog):
    """The message says that nobody is let in any more, and the next opening wipes."""
    key, _ = sealed_rows(path, store.enrol("Ada Lovelace", [embedding(1)]))
    with raw(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM subject").fetchall()
        with pytest.raises(GalleryError, match=r"opens no door.*another program holds it"):
            store.forget("Ada Lovelace")
        assert store.load().subject_ids == ()
        with GalleryStore(path, MODEL, busy_s=0.1):
            assert "cannot be wiped yet" in caplog.text
        assert key in everything_in(path.parent)
    with GalleryStore(path, MODEL):
        assert key not in everything_in(path.parent)


# --- noticing changes -----------------------------------------------------------------------


def test_a_running_door_notices_what_another_program_enrols_and_forgets(path, store):
    """`changed` is true exactly until the next `load`."""
    assert store.changed(), "nothing was loaded yet"
    store.load()
    assert not store.changed()
    with GalleryStore(path, MODEL) as other:
        other.enrol("Ada", [embedding(1)])
    assert store.changed()
    assert store.changed(), "asking does not settle it"
    assert len(store.load().subject_ids) == 1
    assert not store.changed()
    with GalleryStore(path, MODEL) as other:
        other.forget("Ada")
    assert store.changed()
    assert store.load().subject_ids == ()
    assert not store.changed()


def test_a_change_while_loading_is_noticed_at_the_next_question(path, store, monkeypatch):
    """Whoever is enrolled or forgotten in that moment must not wait for the change after."""
    decoded = GalleryStore._decoded

    def decode_while_another_enrols(self, *found):
        with GalleryStore(path, MODEL) as other:
            other.enrol("Ada", [embedding(1)])
        return decoded(self, *found)

    monkeypatch.setattr(GalleryStore, "_decoded", decode_while_another_enrols)
    assert store.load().subject_ids == ()
    monkeypatch.undo()
    assert store.changed()
    assert len(store.load().subject_ids) == 1


def test_a_store_notices_its_own_changes(store):
    """SQLite's own counter leaves these out."""
    store.load()
    store.enrol("Ada", [embedding(1)])
    assert store.changed()
    store.load()
    store.forget("Ada")
    assert store.changed()


def test_a_gallery_that_was_moved_away_is_not_used_any_more(path, store):
    """Removing the file must not leave a door that goes on opening from the lost one."""
    store.enrol("Ada", [embedding(1)])
    store.load()
    path.rename(path.with_name("moved"))
    with pytest.raises(GalleryError, match="cannot be reached"):
        store.changed()
    with GalleryStore(path, MODEL), pytest.raises(GalleryError, match="replaced while it was open"):
        store.changed()


# --- binding to a model ---------------------------------------------------------------------


def test_a_gallery_of_another_model_is_refused_and_kept(path, store):
    """Nothing is lost: the earlier bundle still opens it."""
    store.enrol("Ada", [embedding(1)])
    with pytest.raises(GalleryModelMismatchError) as caught:
        GalleryStore(path, OTHER)
    assert (caught.value.gallery_model, caught.value.loaded_model) == (MODEL, OTHER)
    with GalleryStore(path, MODEL) as again:
        assert len(again.people()) == 1


def test_an_empty_gallery_takes_a_new_model_whatever_its_length(path, store):
    """Nobody is enrolled, so nothing can be compared wrongly."""
    store.enrol("Ada", [embedding(1)])
    store.forget("Ada")
    with GalleryStore(path, OTHER) as again:
        again.enrol("Eve", [embedding(2, size=64, model_id=OTHER)])
        assert again.load().matrix.shape == (1, 64)


def test_two_programs_may_bind_a_new_gallery_at_the_same_moment(path, monkeypatch):
    """The later one finds it bound to the same model, and what was enrolled meanwhile."""
    begin = Database.writing
    rivals = iter([MODEL])

    def begin_after_a_rival(self):
        for model_id in rivals:
            with GalleryStore(path, model_id) as rival:
                rival.enrol("Ada", [embedding(1)])
        return begin(self)

    monkeypatch.setattr(Database, "writing", begin_after_a_rival)
    with GalleryStore(path, MODEL) as store:
        assert store.load().matrix.shape == (1, 32)


def test_a_running_door_notices_that_its_gallery_was_bound_anew(path, store):
    """The door that runs the earlier model must not read the new one's references."""
    store.load()
    with GalleryStore(path, OTHER) as other:
        other.enrol("Eve", [embedding(2, model_id=OTHER)])
    assert store.changed()
    with pytest.raises(GalleryModelMismatchError):
        store.load()
    with pytest.raises(GalleryModelMismatchError):
        store.enrol("Ada", [embedding(1)])


def test_people_can_be_managed_without_a_model(path):
    """`janus people` and `janus forget` need no bundle; what is there stays bound."""
    with GalleryStore(path, MODEL) as store:
        store.enrol("Ada", [embedding(1)])
        store.enrol("Eve", [embedding(2)])
    with GalleryStore(path, model_id=None) as store:
        assert store.model_id == MODEL
        assert store.find("ada").references == 1
        assert store.forget("Ada") == 1
        with pytest.raises(GalleryModelMismatchError):
            store.enrol("Bob", [embedding(3, model_id=OTHER)])
    with GalleryStore(path, MODEL) as store:
        assert [person.name for person in store.people()] == ["Eve"]


def test_an_absent_gallery_is_not_made_by_looking(path):
    """Without a model there is nothing to bind it to; a file that was never filled counts too."""
    with pytest.raises(GalleryError, match=r"there is no gallery at .* yet; `janus enrol"):
        GalleryStore(path, model_id=None)
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    with pytest.raises(GalleryError, match="there is no gallery"):
        GalleryStore(path, model_id=None)
    assert path.stat().st_size == 0
    GalleryStore(path, MODEL).close()
    with raw(path) as rows:  # as a power cut between making and binding leaves it
        rows.execute("UPDATE model SET model_id = ''")
    with pytest.raises(GalleryError, match="there is no gallery"):
        GalleryStore(path, model_id=None)
    GalleryStore(path, MODEL).close()


# --- the file -------------------------------------------------------------------------------


def test_only_the_owner_may_read_the_files(path, store):
    """Templates are nobody else's business; the log beside the file included."""
    store.enrol("Ada", [embedding(1)])
    modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    assert modes == {
        "storage.key": 0o600,
        "gallery.sqlite": 0o600,
        "gallery.sqlite-wal": 0o600,
        "gallery.sqlite-shm": 0o600,
    }
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for somebody else")
def test_what_root_enrols_belongs_to_the_owner_of_the_directory(path):
    """`sudo janus enrol` must not lock the service out of its own gallery."""
    path.parent.mkdir()
    os.chown(path.parent, 1234, 1234)
    with GalleryStore(path, MODEL) as store:
        store.enrol("Ada", [embedding(1)])
        assert {(each.stat().st_uid, each.stat().st_gid) for each in path.parent.iterdir()} == {
            (1234, 1234)
        }


def test_a_program_that_writes_delays_enrolment_for_a_bounded_time_only(path, store):
    """Reading goes on meanwhile, and enrolment works afterwards."""
    store.enrol("Ada", [embedding(1)])
    with raw(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        began_s = time.monotonic()
        with pytest.raises(GalleryError, match="another program holds it"):
            store.enrol("Eve", [embedding(2)])
        with pytest.raises(GalleryError, match="another program holds it"):
            store.forget("Ada")
        assert 0.4 <= time.monotonic() - began_s < 3.0
        assert len(store.load().subject_ids) == 1
        with GalleryStore(path, model_id=None, busy_s=0.1) as reader:
            assert len(reader.people()) == 1
    store.enrol("Eve", [embedding(2)])


def test_a_program_that_locks_everybody_out_is_named_when_opening(path):
    """Not even reading is possible then."""
    GalleryStore(path, MODEL).close()
    with raw(path) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(GalleryError, match="another program holds it"):
            GalleryStore(path, MODEL, busy_s=0.1)


def test_a_store_that_may_not_be_written_says_so_and_goes_on_reading(store):
    """As when the file's disk is remounted read-only under a running door."""
    store.enrol("Ada", [embedding(1)])
    store._database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(GalleryError, match="read-only"):
        store.enrol("Eve", [embedding(2)])
    assert [person.name for person in store.people()] == ["Ada"]
    assert len(store.load().subject_ids) == 1


@pytest.mark.parametrize("length", [2, 15, 100, 511, 4096, 100_000])
def test_a_file_of_noise_is_refused_and_left_as_it_is(path, length):
    """Any length from 2 (SQLite takes one byte for none); the message says what to do."""
    path.parent.mkdir()
    noise = np.random.default_rng(length).bytes(length)
    path.write_bytes(noise)
    for model_id in (MODEL, None):
        with pytest.raises(GalleryError, match=r"gallery\.sqlite.*move it away"):
            GalleryStore(path, model_id)
    assert path.read_bytes() == noise


def test_a_truncated_file_is_never_half_a_gallery(path):
    """Every page boundary: an error, or (cut to nothing) an empty gallery; never fewer people."""
    with GalleryStore(path, MODEL) as store:
        for i in range(100):
            store.enrol(f"Person {i}", [embedding(i, size=128)])
    whole = path.read_bytes()
    refused = 0
    for length in range(512, len(whole), 4096):
        path.write_bytes(whole[:length])
        with pytest.raises(GalleryError, match="damaged"), GalleryStore(path, MODEL) as store:
            store.load()
        refused += 1
    assert refused >= 10


def test_a_directory_in_place_of_the_file_is_named(path):
    """As a mistaken path in the configuration makes it."""
    path.mkdir(parents=True)
    with pytest.raises(GalleryError, match="cannot be opened"):
        GalleryStore(path, MODEL)


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    """The parent is a file."""
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(GalleryError, match="cannot be reached"):
        GalleryStore(tmp_path / "state" / "gallery.sqlite", MODEL)


def test_another_program_s_database_is_refused_and_left_as_it_is(path):
    """Not converted, not filled with our tables."""
    path.parent.mkdir()
    with raw(path) as rows:
        rows.execute("CREATE TABLE recipe (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(GalleryError, match="not a Janus gallery"):
        GalleryStore(path, MODEL)
    assert path.read_bytes() == before


def test_the_audit_is_not_taken_for_a_gallery(path):
    """Two swapped lines under [store]."""
    Audit(path).close()
    with pytest.raises(GalleryError, match="not a Janus gallery"):
        GalleryStore(path, MODEL)


def test_a_later_release_s_gallery_is_refused(path):
    """An older program cannot know what the newer one wrote."""
    GalleryStore(path, MODEL).close()
    with raw(path) as rows:
        rows.execute("PRAGMA user_version = 99")
    with pytest.raises(GalleryError, match="has schema 99"):
        GalleryStore(path, MODEL)


DAMAGED = {
    "empty": b"",
    "cut": bytes(155),
    "zero": bytes(156),
    "too long": bytes(12 + 4 * 64 + 16),
    "text": "text",
    "number": 7,
}


@pytest.mark.parametrize("value", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_reference_is_an_error_that_names_its_subject(path, store, value):
    """A door must not compare with noise."""
    store.enrol("Ada", [embedding(1)])
    eve = store.enrol("Eve", [embedding(2), embedding(3)])
    with raw(path) as rows:
        rows.execute("UPDATE reference SET vector = ? WHERE reference_id = 3", (value,))
    with pytest.raises(GalleryError, match=rf"gallery\.sqlite is damaged: .*{eve}.*move it away"):
        store.load()


@pytest.mark.parametrize(
    "vector",
    [np.full(32, np.nan, "<f4"), np.full(32, 1.0, "<f4"), np.zeros(32, "<f4"), np.ones(16, "<f4")],
    ids=["NaN", "too long", "zero", "short"],
)
def test_a_sealed_reference_that_is_no_embedding_is_an_error(path, store, vector):
    """As a defect of an earlier release could have enrolled it."""
    ada = store.enrol("Ada", [embedding(1)])
    (storage_key,) = KeyFile(path.with_name("storage.key")).read()
    key = SubjectKey.unwrapped(sealed_rows(path, ada)[0], ada, storage_key)
    with raw(path) as rows:
        sealed = key.seal_row(vector.tobytes(), VECTOR, MODEL)
        rows.execute("UPDATE reference SET vector = ?", (sealed,))
    with pytest.raises(GalleryError, match=rf"gallery\.sqlite is damaged: .*{ada}.*move it away"):
        store.load()


SWAPS = {
    "two people's references": "UPDATE reference SET vector = "
    "(SELECT vector FROM reference AS other WHERE other.subject_id != reference.subject_id)",
    "a reference of another subject": "UPDATE reference SET subject_id = (SELECT max(subject_id) "
    "FROM subject) WHERE subject_id = (SELECT min(subject_id) FROM subject)",
    "two people's keys": "UPDATE subject_key SET key = "
    "(SELECT key FROM subject_key AS other WHERE other.slot != subject_key.slot)",
    "two people's slots": "UPDATE subject SET slot = 3 - slot",
    "a name in place of a reference": "UPDATE reference SET vector = (SELECT name FROM subject "
    "WHERE subject.subject_id = reference.subject_id)",
    "another model's reference": f"UPDATE model SET model_id = '{OTHER}'",  # noqa: S608
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
def test_rows_that_were_swapped_do_not_open(path, store, swap):
    """Whoever may write the file must not become somebody else by it."""
    store.enrol("Ada", [embedding(1)])
    store.enrol("Eve", [embedding(2)])
    with raw(path) as rows:
        if OTHER in swap:
            rows.execute("UPDATE reference SET model_id = ?", (OTHER,))
        rows.execute(swap)
    model_id = OTHER if OTHER in swap else MODEL
    with (
        pytest.raises(GalleryError, match=r"is damaged: .* does not open"),
        GalleryStore(path, model_id) as again,
    ):
        again.load()


def test_a_reference_without_its_subject_matches_nobody(path, store):
    """Whoever deletes a subject's row by hand means that it opens no door."""
    ada = store.enrol("Ada", [embedding(1)])
    eve = store.enrol("Eve", [embedding(2)])
    with raw(path) as rows:
        rows.execute("DELETE FROM subject WHERE subject_id = ?", (eve,))
    assert store.load().subject_ids == (ada,)


def test_a_gallery_without_its_model_is_damaged(path, store):
    """Nobody can say which model made it, so it is bound to none."""
    store.enrol("Ada", [embedding(1)])
    with raw(path) as rows:
        rows.execute("DELETE FROM model")
    with pytest.raises(GalleryError, match="which model made it"):
        GalleryStore(path, OTHER)
    with pytest.raises(GalleryError, match="which model made it"):
        store.load()


def test_closing_twice_is_harmless(path):
    """As the contract of every stage says."""
    store = GalleryStore(path, MODEL)
    store.close()
    store.close()
    with pytest.raises(GalleryError):
        store.people()


@pytest.mark.timed
def test_ten_thousand_subjects_load_within_a_second(path):
    """Of the processor. The rows are written in one go; opening and `load` are what is timed."""
    fill_gallery(path, MODEL, subjects=10_000, size=128)
    began_s = time.process_time()
    with GalleryStore(path, MODEL) as again:
        assert again.load().matrix.shape == (10_000, 128)
    assert time.process_time() - began_s < 1.0
