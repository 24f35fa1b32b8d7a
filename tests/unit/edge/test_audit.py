"""The log on the disk: what it records, that it only grows, and that tampering shows."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest

from edge.audit import Audit, BrokenLink
from edge.errors import AuditError
from edge.explanation import decision_of
from edge.stores.audit_layout import AUDIT_LAYOUT
from edge.vocabulary import Decision, Flaw, Outcome, Reason

MODEL = "a" * 64
COPY = "INSERT INTO event SELECT {}, at_utc, kind, facts, hash FROM event WHERE seq = {}"
CLOSE_UP = "DELETE FROM event WHERE seq = 4; UPDATE event SET seq = seq - 1 WHERE seq > 4"
SWAP = """UPDATE event SET seq = -4 WHERE seq = 4; UPDATE event SET seq = 4 WHERE seq = 5;
    UPDATE event SET seq = 5 WHERE seq = -4"""
NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def decision(outcome=Outcome.GRANT, reason=Reason.MATCH, score=0.8125, **changes):
    fields = {
        "captured_at_s": 12.5,
        "subject_id": "0a1b2c3d",
        "threshold": 0.4375,
        "frames": 3,
        "model_id": MODEL,
        **changes,
    }
    return Decision(outcome=outcome, reason=reason, score=score, **fields)


class Clock:
    """Tells the times that it was given, one after the other; the last one again and again."""

    def __init__(self, *times):
        self._times = list(times)

    def __call__(self):
        return self._times.pop(0) if len(self._times) > 1 else self._times[0]


def raw(path, *, lawless=False):
    """A connection as any other program has it; lawless: with the triggers taken off."""
    connection = sqlite3.connect(path, isolation_level=None)
    if lawless:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
    return closing(connection)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.sqlite"


@pytest.fixture
def audit(path):
    with Audit(path, clock=Clock(NOON), busy_s=0.2) as opened:
        yield opened


def test_a_decision_is_recorded_with_the_numbers_behind_it(audit):
    """All of them and nothing else: a name, an image or an embedding has no place here."""
    made = decision(
        flaws=(Flaw.TOO_DARK, Flaw.TOO_BLURRED),
        evidence=12.75,
        evidence_needed=12.5,
        scores=(0.5, 0.8125),
        ratios=(5.25, 7.5),
    )
    assert audit.record(made) == 1
    (event,) = audit.events()
    assert (event.seq, event.kind) == (1, "decision")
    assert event.at_utc == "2026-11-22T12:00:00.000000+00:00"
    assert (
        event.facts.items()
        >= {
            "outcome": "grant",
            "reason": "match",
            "subject_id": "0a1b2c3d",
            "score": 0.8125,
            "threshold": 0.4375,
            "frames": 3,
            "model_id": MODEL,
            "captured_at_s": 12.5,
            "evidence": 12.75,
        }.items()
    )
    assert event.facts["flaws"] == ["too_dark", "too_blurred"]
    assert event.facts["ratios"] == [5.25, 7.5]
    assert set(event.facts) == {each.name for each in fields(Decision)}
    assert decision_of(event) == made, "a decision can be replayed from what is stored"


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_recorded_also_without_a_score(audit, reason):
    """Nobody compared, nobody named."""
    audit.record(decision(Outcome.DENY, reason, score=None, subject_id=None))
    (event,) = audit.events()
    assert event.facts["reason"] == reason.name.lower()
    assert event.facts["score"] is event.facts["subject_id"] is None


def test_a_service_event_keeps_its_facts(audit):
    """Texts, numbers, truths and nothing come back as what they were, odd texts included."""
    facts = {"who": "ü \udcff \n", "count": 3, "share": 0.1, "fine": True, "none": None}
    audit.note("start", **facts)
    (event,) = audit.events()
    assert (event.kind, event.facts) == ("start", facts)
    assert audit.verify() is None


def test_a_note_cannot_pass_for_a_decision(audit):
    """Whoever reads the log counts on it."""
    with pytest.raises(AuditError, match="not noted"):
        audit.note("decision", outcome="grant")
    assert audit.events() == ()


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_not_recorded(audit, score):
    """The door stays shut, for there is no record."""
    with pytest.raises(AuditError, match="cannot be written down"):
        audit.record(decision(score=score))
    assert audit.events() == ()


def test_an_event_is_on_the_disk_when_the_call_returns(path, audit):
    """Another connection sees it at once."""
    audit.note("start")
    with raw(path) as other:
        assert other.execute("SELECT kind FROM event").fetchall() == [("start",)]
        assert audit._database._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_log_that_grows_takes_no_more_memory(path):
    """SQLite would remember 2 MB of each file that it has open."""
    program = """
import sys
from pathlib import Path
from edge.audit import Audit

def resident_kb():
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0])

audit = Audit(Path(sys.argv[1]))
audit._database._connection.execute("PRAGMA synchronous = OFF")
for number in range(2500):
    audit.note("error", text="x" * 500)
    if number == 500:
        before_kb = resident_kb()
print(resident_kb() - before_kb)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 500


def test_time_is_written_in_utc_with_microseconds(path):
    """Whatever zone the clock is in, so that text sorts as time."""
    east = timezone(timedelta(hours=5, minutes=45))
    with Audit(path, clock=Clock(datetime(2026, 11, 22, 1, 0, 0, 7, tzinfo=east))) as audit:
        audit.note("start")
        assert audit.events()[0].at_utc == "2026-11-21T19:15:00.000007+00:00"


def test_the_clock_of_a_door_tells_the_present(path):
    """The default is the machine's own."""
    with Audit(path) as audit:
        audit.note("start")
        written = datetime.fromisoformat(audit.events()[0].at_utc)
    assert timedelta() <= datetime.now(UTC) - written < timedelta(minutes=1)


def test_events_can_be_asked_for_by_time_number_and_count(path):
    """Always oldest first; the count takes the newest; a clock that jumps back loses nothing."""
    times = [NOON + timedelta(hours=hour) for hour in (0, 1, 2, -5, 3)]
    with Audit(path, clock=Clock(*times)) as audit:
        for number in range(1, 6):
            audit.note("error", number=number)

        def numbers(**asked):
            return [event.seq for event in audit.events(**asked)]

        assert numbers() == [1, 2, 3, 4, 5]
        assert numbers(limit=2) == [4, 5]
        assert numbers(limit=9) == [1, 2, 3, 4, 5]
        assert numbers(after_seq=3) == [4, 5]
        assert numbers(since_utc=NOON + timedelta(hours=1)) == [2, 3, 5]
        assert numbers(since_utc=NOON + timedelta(hours=1), limit=1) == [5]
        assert numbers(since_utc=NOON + timedelta(hours=1), after_seq=2) == [3, 5]
        assert numbers(since_utc=NOON + timedelta(days=1)) == []


def test_two_programs_write_one_chain(path):
    """The door decides while somebody enrols."""
    with Audit(path) as door, Audit(path) as enrolment:
        for _ in range(5):
            door.record(decision())
            enrolment.note("enrol", subject_id="0a1b2c3d")
        assert [event.seq for event in door.events()] == list(range(1, 11))
        assert door.verify() is None
    with Audit(path) as again:
        again.note("start")
        assert again.verify() is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET facts = '{}' WHERE seq = 2",
        "UPDATE event SET hash = '' WHERE seq = 2",
        "DELETE FROM event WHERE seq = 2",
        "DELETE FROM event",
        "INSERT OR REPLACE INTO event SELECT 2, at_utc, kind, '{}', hash FROM event WHERE seq = 2",
        "REPLACE INTO event SELECT 2, at_utc, kind, '{}', hash FROM event WHERE seq = 2",
        "INSERT INTO event VALUES (9, 'x', 'x', 'x', 'x')",
        "INSERT INTO event VALUES (0, 'x', 'x', 'x', 'x')",
        "INSERT INTO event VALUES (-1, 'x', 'x', 'x', 'x')",
        "INSERT INTO event (at_utc, kind, facts, hash) SELECT at_utc, kind, facts, hash FROM event",
    ],
)
def test_the_file_refuses_changes_from_any_program(path, audit, statement):
    """Append-only is in the file, not only in this program."""
    for _ in range(3):
        audit.record(decision())
    before = audit.events()
    with raw(path) as other, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute(statement)
    assert audit.events() == before
    assert audit.verify() is None


def test_an_untouched_chain_verifies(audit):
    """Also when it is empty."""
    assert audit.verify() is None
    for i in range(20):
        audit.record(decision(frames=i))
        audit.note("error", number=i)
    assert audit.verify() is None


@pytest.mark.parametrize(
    ("statement", "broken_seq", "what"),
    [
        ("UPDATE event SET facts = replace(facts, 'deny', 'grant') WHERE seq = 4", 4, "altered"),
        ("UPDATE event SET facts = facts || ' ' WHERE seq = 4", 4, "altered"),
        ("UPDATE event SET facts = CAST(facts AS BLOB) WHERE seq = 4", 4, "altered"),
        ("UPDATE event SET facts = CAST(x'7bff7d' AS TEXT) WHERE seq = 4", 4, "altered"),
        ("UPDATE event SET facts = 17 WHERE seq = 1", 1, "altered"),
        ("UPDATE event SET at_utc = replace(at_utc, '12:', '13:') WHERE seq = 4", 4, "altered"),
        ("UPDATE event SET kind = 'error' WHERE seq = 7", 7, "altered"),
        ("UPDATE event SET hash = upper(hash) WHERE seq = 4", 4, "altered"),
        ("DELETE FROM event WHERE seq = 4", 4, "missing"),
        ("DELETE FROM event WHERE seq IN (4, 5, 6)", 4, "missing"),
        ("DELETE FROM event WHERE seq = 1", 1, "missing"),
        (CLOSE_UP, 4, "altered"),
        (COPY.format(0, 1), 0, "comes before"),
        (COPY.format(9, 8), 9, "altered"),
        (COPY.format(11, 8), 9, "missing"),
        (SWAP, 4, "altered"),
    ],
)
def test_tampering_is_found_and_its_place_is_named(path, audit, statement, broken_seq, what):
    """By somebody who may write the file and took the triggers off."""
    for i in range(8):
        audit.record(decision(Outcome.DENY, Reason.NO_MATCH, frames=i))
    with raw(path, lawless=True) as other:
        other.executescript(statement)
    broken = audit.verify()
    assert isinstance(broken, BrokenLink)
    assert broken.seq == broken_seq
    assert what in str(broken)
    assert f"event {broken_seq} " in str(broken)


def test_a_link_that_was_made_to_fit_again_breaks_at_the_next(path, audit):
    """Whoever computes the altered event's own hash anew does not fit the one after."""
    for i in range(4):
        audit.note("error", number=i)
    with Audit(path.with_name("forged"), clock=Clock(NOON)) as forged:
        for i in (0, 99):
            forged.note("error", number=i)
        facts, digest = forged.events()[1].facts, forged.events()[1].hash
    assert facts == {"number": 99}
    with raw(path, lawless=True) as other:
        other.execute(
            """UPDATE event SET facts = '{"number":99}', hash = ? WHERE seq = 2""", (digest,)
        )
    assert audit.verify().seq == 3


def test_a_cut_off_end_shows_only_against_a_hash_that_was_noted_elsewhere(path, audit):
    """This is the limit that the module's docstring states."""
    for i in range(5):
        audit.note("error", number=i)
    noted = audit.events()[-1].hash
    with raw(path, lawless=True) as other:
        other.execute("DELETE FROM event WHERE seq > 3")
    assert audit.verify() is None
    assert noted not in {event.hash for event in audit.events()}


@pytest.mark.parametrize("facts", ["no JSON", "[1]", b"\xff"])
def test_an_unreadable_event_is_named_when_it_is_shown(path, audit, facts):
    """Events before and after it are still there for `verify`."""
    audit.note("start")
    audit.note("error")
    with raw(path, lawless=True) as other:
        other.execute("UPDATE event SET facts = ? WHERE seq = 1", (facts,))
    with pytest.raises(AuditError, match=r"event 1 .*keep it as evidence"):
        audit.events()
    assert audit.verify() == BrokenLink(1, "was altered, or one before it was replaced")


# --- retention ------------------------------------------------------------------------------


def old_log(path, events=3000, *, days=100):
    """So many notes, evenly over the days before noon; the log's clock stands at noon then."""
    step = timedelta(days=days) / events
    times = [NOON - timedelta(days=days) + step * i for i in range(events)]
    audit = Audit(path, clock=Clock(*times, NOON))
    audit._database._connection.execute("PRAGMA synchronous = OFF")
    for number in range(1, events + 1):
        audit.note("error", number=number)
    return audit


def test_retention_by_age_removes_what_is_older_and_the_chain_still_verifies(path):
    with old_log(path) as audit:
        assert audit.retain(since_utc=NOON - timedelta(days=25)) == 2250
        left = audit.events()
        assert [event.facts["number"] for event in left if event.kind == "error"] == list(
            range(2251, 3001)
        )
        assert audit.verify() is None
        assert audit.retain(since_utc=NOON - timedelta(days=25)) == 0
        audit.note("start")
        assert audit.verify() is None
        assert audit.retain(since_utc=NOON + timedelta(days=1)) == 753, "all but the newest"
        assert audit.verify() is None
        assert [event.kind for event in audit.events()] == ["start", "retention"]


def test_retention_by_size_makes_room_that_is_used_again(path):
    with old_log(path) as audit:
        audit._database.empty_log()
        full = path.stat().st_size
        removed = audit.retain(most_bytes=full // 2)
        assert 1000 <= removed <= 2000
        assert audit.verify() is None
        assert audit.events()[0].seq == removed + 1
        for number in range(removed - 100):
            audit.note("error", number=number)
        audit._database.empty_log()
        assert path.stat().st_size <= full + 3 * 4096
        assert audit.retain(most_bytes=1) > 0
        assert audit.verify() is None


def test_an_event_from_a_clock_that_was_ahead_keeps_its_successors(path):
    """No order but that of the numbers is certain."""
    times = [NOON + timedelta(days=day) for day in (-9, 300, -7, 0)]
    with Audit(path, clock=Clock(*times)) as audit:
        for _ in range(4):
            audit.note("start")
        assert audit.retain(since_utc=NOON - timedelta(days=1)) == 1
        assert [event.seq for event in audit.events()] == [2, 3, 4, 5]
        assert audit.verify() is None


def test_what_was_removed_leaves_no_bytes(path):
    with old_log(path, 500) as audit:
        audit.note("error", text="what must go, once it is old")
        audit.note("stop")
        audit.retain(since_utc=NOON + timedelta(days=1))
        kept = b"".join(each.read_bytes() for each in path.parent.glob("audit*"))
        assert b"what must go" not in kept


@pytest.mark.parametrize(
    ("statement", "broken_seq", "what"),
    [
        ("DELETE FROM event WHERE seq <= 153", 151, "is missing; the next one is 154"),
        ("DELETE FROM event WHERE kind = 'retention'", 1, "is missing; the next one is 151"),
        (
            "UPDATE event SET facts = replace(facts, '150', '160') WHERE kind = 'retention'",
            151,
            "comes before",
        ),
        (
            "UPDATE event SET facts = replace(facts, 'last_hash\":\"', 'last_hash\":\"0') "
            "WHERE kind = 'retention'",
            151,
            "altered",
        ),
        ("UPDATE event SET facts = '{' WHERE kind = 'retention'", 1, "is missing"),
        (COPY.format(150, 151), 150, "comes before"),
    ],
)
def test_retention_hides_no_tampering(path, statement, broken_seq, what):
    """Events that were removed without it, an altered retention, and one that came back."""
    with old_log(path, 300) as audit:
        audit.retain(since_utc=NOON - timedelta(days=50))
        assert audit.verify() is None
        with raw(path, lawless=True) as other:
            other.execute(statement)
        broken = audit.verify()
        assert (broken.seq, what in str(broken)) == (broken_seq, True), broken


def test_the_file_still_refuses_to_lose_what_no_retention_covers(path):
    with old_log(path, 100) as audit:
        audit.retain(since_utc=NOON - timedelta(days=50))
        with raw(path) as other:
            for statement in ("DELETE FROM event WHERE seq = 51", "DELETE FROM event"):
                with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                    other.execute(statement)
        with pytest.raises(AuditError, match="not noted"):
            audit.note("retention", removed_through=99)


def test_a_log_of_the_first_schema_goes_on(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as rows:
        for statement in AUDIT_LAYOUT.migrations[0]:
            rows.execute(statement)
        rows.execute(f"PRAGMA application_id = {AUDIT_LAYOUT.application_id}")
        rows.execute("PRAGMA user_version = 1")
    with Audit(path) as audit:
        for _ in range(3):
            audit.note("start")
        assert audit.retain(since_utc=datetime.now(UTC) + timedelta(days=1)) == 2
        assert audit.verify() is None


def test_one_event_is_found_by_its_number_and_all_of_a_subject_by_the_id(audit):
    audit.note("start")
    audit.record(decision())
    audit.record(decision(subject_id="ffffffff"))
    audit.note("forget", subject_id="0a1b2c3d")
    assert [event.seq for event in audit.event_and_next(3, 9)] == [3, 4]
    assert [event.seq for event in audit.event_and_next(2, 1)] == [2, 3]
    assert audit.event_and_next(3, 0)[0].facts["subject_id"] == "ffffffff"
    assert audit.first_seq() == 1
    assert [event.seq for event in audit.events_of("0a1b2c3d")] == [2, 4]
    with pytest.raises(AuditError, match=r"no event 9; it holds 1 to 4"):
        audit.event_and_next(9, 3)


def test_a_locked_log_is_an_error_within_a_bounded_time(path, audit):
    """The door stays shut; the log goes on afterwards."""
    audit.note("start")
    with raw(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        began_s = time.monotonic()
        with pytest.raises(AuditError, match="another program holds it"):
            audit.record(decision())
        assert 0.15 <= time.monotonic() - began_s < 2.0
    audit.record(decision())
    assert [event.kind for event in audit.events()] == ["start", "decision"]
    assert audit.verify() is None


def test_a_log_that_was_removed_takes_no_more_records(path, audit):
    """Nobody would ever read them."""
    audit.note("start")
    path.unlink()
    with pytest.raises(AuditError, match="cannot be reached"):
        audit.record(decision())


def test_a_reader_does_not_begin_a_log(path):
    """`janus events` with a mistaken path must not say that nothing ever happened."""
    with pytest.raises(AuditError, match="there is no audit at"):
        Audit(path, create=False)
    assert not path.exists()


def test_noise_in_place_of_the_log_is_refused_and_kept(path):
    """It may be evidence."""
    path.write_bytes(b"noise" * 1000)
    with pytest.raises(AuditError, match="keep it as evidence"):
        Audit(path)
    assert path.read_bytes() == b"noise" * 1000


def test_only_the_owner_may_read_the_log(path, audit):
    """Who came when is personal."""
    audit.note("start")
    assert {each.stat().st_mode & 0o777 for each in path.parent.glob("audit*")} == {0o600}


def test_the_newest_event_of_some_kinds_is_found_among_others(audit):
    assert audit.newest_of(("start", "stop")) is None
    for kind in ("start", "stop", "start", "enrol"):
        audit.note(kind)
    audit.record(decision())
    assert audit.newest_of(("start", "stop")).seq == 3
    assert audit.newest_of(("stop",)).seq == 2
    assert audit.newest_of(("watchdog",)) is None
