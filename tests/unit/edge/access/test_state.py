"""What the gate remembers, across restarts and kills."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date
from math import inf
from pathlib import Path

import pytest

from edge.access.attempts import Attempts, Limits, Running
from edge.access.pins import Cost, Match, make_pin, match, with_duress
from edge.access.state import DOOR, AccessStore, subject_key, visitor_key
from edge.errors import AccessError

ROOT = Path(__file__).parents[4]
CHEAP = Cost(memory_kib=8, passes=1)
LIMITS = Limits()
TODAY = date(2026, 11, 24)


def at(seconds, boot="one"):
    return Running(seconds, boot)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "access.sqlite"


@pytest.fixture
def store(path):
    with AccessStore(path) as opened:
        yield opened


def fail(store, times, *, now, who=DOOR):
    for _ in range(times):
        store.count_failure([(who, LIMITS)], now)


def test_failures_are_counted_for_each_on_their_own(store):
    store.count_failure([(DOOR, LIMITS), (visitor_key(3), LIMITS)], at(0))
    store.count_failure([(DOOR, LIMITS), (subject_key("a1"), LIMITS)], at(1))
    assert store.attempts(DOOR, at(1)).failures == 2
    assert store.attempts(visitor_key(3), at(1)).failures == 1
    assert store.attempts(subject_key("a1"), at(1)).failures == 1
    assert [each.who for each in store.failures(at(1))] == [DOOR, "subject a1"]


def test_a_pause_runs_out_on_the_monotonic_clock(store):
    fail(store, 5, now=at(100))
    assert store.attempts(DOOR, at(100)) == Attempts(5, 30.0)
    assert store.attempts(DOOR, at(129)) == Attempts(5, 1.0)
    assert store.attempts(DOOR, at(130)) == Attempts(5, 0.0)


def test_a_program_that_starts_again_knows_exactly_what_is_left(store, path):
    fail(store, 5, now=at(100))
    with AccessStore(path) as later:
        assert later.attempts(DOOR, at(110)).left_s == 20.0


def test_after_a_power_cut_the_pause_goes_on_with_what_was_written_last(store):
    fail(store, 5, now=at(100))
    assert store.attempts(DOOR, at(5, "two")).left_s == 30.0
    store.save(at(112))
    assert store.attempts(DOOR, at(5, "two")).left_s == 18.0
    store.begin(at(5, "two"))
    assert store.attempts(DOOR, at(15, "two")).left_s == 8.0


def test_fifty_failures_stay_through_every_restart_until_the_reset(store):
    for i in range(50):
        fail(store, 1, now=at(1000.0 * i))
    assert store.attempts(DOOR, at(1e9)) == Attempts(50, inf)
    assert store.attempts(DOOR, at(0, "two")) == Attempts(50, inf)
    store.save(at(7, "two"))
    assert store.attempts(DOOR, at(7, "three")) == Attempts(50, inf)
    store.reset()
    assert store.attempts(DOOR, at(7, "three")) == Attempts()


def test_the_reset_of_one_subject_leaves_the_others(store):
    fail(store, 5, now=at(0), who=subject_key("a1"))
    fail(store, 5, now=at(0), who=subject_key("b2"))
    store.reset("a1")
    assert [each.who for each in store.failures(at(0))] == ["subject b2"]


def test_visitors_are_few_and_end_with_the_program(store):
    for i in range(100):
        store.count_failure([(visitor_key(i), LIMITS)], at(0))
    counted = [i for i in range(100) if store.attempts(visitor_key(i), at(0)).failures]
    assert counted == list(range(36, 100))
    store.begin(at(0))
    assert store.attempts(visitor_key(99), at(0)) == Attempts()


def test_a_pin_is_stored_replaced_proven_and_removed(store, path):
    assert store.pin("a1") is None
    store.set_pin("a1", with_duress(make_pin("8305", cost=CHEAP), "4917"))
    stored = store.pin("a1")
    assert stored is not None
    assert [match(stored, each) for each in ("8305", "4917", "1234")] == [
        Match.PIN,
        Match.DURESS,
        Match.NONE,
    ]
    assert store.subjects_with_pin() == {"a1": True}
    assert not store.is_proven("a1", "one")
    store.prove("a1", "one")
    assert store.is_proven("a1", "one")
    assert not store.is_proven("a1", "two")
    store.set_pin("a1", make_pin("7316", cost=CHEAP))
    assert not store.is_proven("a1", "one")
    assert store.remove_pin("a1")
    assert not store.remove_pin("a1")
    assert stored.digest not in path.read_bytes()
    assert stored.salt not in path.with_name("access.sqlite-wal").read_bytes()


def test_digits_are_nowhere_in_the_file(store, path):
    store.set_pin("a1", make_pin("8305274916", cost=CHEAP))
    whole = path.read_bytes() + path.with_name("access.sqlite-wal").read_bytes()
    assert b"8305274916" not in whole
    assert (path.stat().st_mode & 0o777) == 0o600


def test_the_right_pin_forgives_the_wrong_ones_of_its_subject_only(store):
    store.set_pin("a1", make_pin("8305", cost=CHEAP))
    fail(store, 3, now=at(0), who=subject_key("a1"))
    fail(store, 3, now=at(0))
    store.prove("a1", "one")
    assert store.attempts(subject_key("a1"), at(0)).failures == 0
    assert store.attempts(DOOR, at(0)).failures == 3


def test_pins_can_be_asked_for_again_of_one_or_of_all(store):
    for each in ("a1", "b2"):
        store.set_pin(each, make_pin("8305", cost=CHEAP))
        store.prove(each, "one")
    store.ask_for_pins("a1")
    assert [store.is_proven(each, "one") for each in ("a1", "b2")] == [False, True]
    store.ask_for_pins()
    assert [store.is_proven(each, "one") for each in ("a1", "b2")] == [False, False]


def test_who_entered_is_inside_until_somebody_leaves(store):
    assert store.inside_s("a1", at(0)) == inf
    store.entered("a1", [], TODAY, at(0))
    assert store.inside_s("a1", at(60)) == 60.0
    store.exited(at(70))
    assert store.inside_s("a1", at(80)) == inf


def test_one_exit_lets_one_subject_in_again(store):
    """Who left is not known; that it was one person is."""
    store.entered("a1", [], TODAY, at(0))
    store.entered("b2", [], TODAY, at(1))
    store.exited(at(2))
    store.entered("a1", [], TODAY, at(3))
    assert store.inside_s("a1", at(4)) == 1.0
    assert store.inside_s("b2", at(4)) == 3.0


def test_an_exit_before_an_entry_says_nothing_about_it(store):
    store.exited(at(0))
    store.entered("a1", [], TODAY, at(1))
    assert store.inside_s("a1", at(2)) == 1.0


def test_an_entry_ages_by_the_monotonic_clock_across_runs(store):
    store.entered("a1", [], TODAY, at(100))
    store.save(at(160))
    assert store.inside_s("a1", at(5, "two")) == 60.0
    store.save(at(5, "two"))
    assert store.inside_s("a1", at(15, "two")) == 70.0


def test_passages_of_yesterday_are_forgotten(store, path):
    store.entered("a1", [], TODAY, at(0))
    store.exited(at(10))
    store.save(at(90000))
    with closing(sqlite3.connect(path)) as rows:
        assert rows.execute("SELECT count(*) FROM passage").fetchone() == (0,)


def test_an_entry_can_be_taken_back(store):
    seq = store.entered("a1", ["staff"], TODAY, at(0))
    assert store.entered_on() == {"staff": TODAY}
    store.take_back(seq)
    assert store.entered_on() == {}
    assert store.inside_s("a1", at(1)) == inf


def test_taking_back_the_second_entry_of_a_day_leaves_the_first(store):
    store.entered("a1", ["staff"], TODAY, at(0))
    seq = store.entered("a1", ["staff"], TODAY, at(100))
    store.take_back(seq)
    assert store.entered_on() == {"staff": TODAY}


def test_who_is_forgotten_leaves_nothing(store, path):
    pin = make_pin("8305", cost=CHEAP)
    store.set_pin("subject-a1", pin)
    fail(store, 2, now=at(0), who=subject_key("subject-a1"))
    store.entered("subject-a1", ["staff"], TODAY, at(0))
    store.forget("subject-a1")
    whole = path.read_bytes() + path.with_name("access.sqlite-wal").read_bytes()
    assert b"subject-a1" not in whole
    assert pin.digest not in whole


def test_two_programs_count_together(store, path):
    """`janus access reset` beside a door that runs; no count of either is lost."""
    with AccessStore(path) as other:
        for _ in range(2):
            fail(store, 1, now=at(0))
            fail(other, 1, now=at(0))
        assert store.attempts(DOOR, at(0)).failures == 4
        other.reset()
        assert store.attempts(DOOR, at(0)).failures == 0


def test_a_file_that_is_not_ours_is_left_alone(tmp_path):
    foreign = tmp_path / "foreign.sqlite"
    with closing(sqlite3.connect(foreign)) as rows:
        rows.execute("CREATE TABLE theirs (x)")
    with pytest.raises(AccessError, match="not a Janus access state"):
        AccessStore(foreign)
    with pytest.raises(AccessError, match="there is no access state"):
        AccessStore(tmp_path / "absent.sqlite", create=False)


# Dies after so many statements within its writes, wherever in a transaction that is.
DYING_CHILD = """
import os, sys
from datetime import date
from pathlib import Path
from edge.access.attempts import Limits, Running
from edge.access.pins import Cost, make_pin
from edge.access.state import DOOR, AccessStore, subject_key

path, statements = Path(sys.argv[1]), int(sys.argv[2])
store = AccessStore(path)
left = [statements]

def dying(statement):
    left[0] -= 1
    if left[0] < 0:
        os._exit(9)

store._database._connection.set_trace_callback(dying)
now = Running(10.0, "one")
for number in range(20):
    store.count_failure([(DOOR, Limits()), (subject_key("a1"), Limits())], now)
    print("failed", flush=True)
    store.entered("a1", ["staff"], date(2026, 11, 24), now)
    print("entered", flush=True)
    store.clear_failures(DOOR, subject_key("a1"))
    print("cleared", flush=True)
"""


@pytest.mark.parametrize("statements", [2, 4, 5, 9, 13, 17, 30, 55])
def test_death_in_mid_write_leaves_the_last_whole_state(path, statements):
    """os._exit runs nothing: no rollback, no close, no checkpoint."""
    done = subprocess.run(
        [sys.executable, "-c", DYING_CHILD, str(path), str(statements)],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr
    said = done.stdout.split()
    with closing(sqlite3.connect(path)) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with AccessStore(path) as store:
        door = store.attempts(DOOR, at(10)).failures
        subject = store.attempts(subject_key("a1"), at(10)).failures
        assert door == subject  # both were counted, or neither
        if said and said[-1] != "cleared":
            assert door in ({1} if said[-1] == "failed" else {0, 1})
        entered = store.inside_s("a1", at(10)) == 0.0
        assert entered == ("staff" in store.entered_on())
        assert entered or "entered" not in said
