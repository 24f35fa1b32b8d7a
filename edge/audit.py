"""What the door decided and why: append-only, each event chained to the one before by SHA-256.

No image, no embedding and no name is in it: subjects appear by their opaque id.

What the chain proves: an event that was altered, inserted or removed between others breaks it.
What it cannot prove on its own: that events at the end were not cut off, or that somebody who
may write the file did not rewrite all hashes from some event on. Both show against a hash that
was noted elsewhere: `janus events verify` prints the last one, and `janus events --json` shows
whether an event with a noted hash is still there. That the triggers which forbid changes were
taken off and put back leaves no trace of its own.

The oldest events may be removed, by `retain` only: an event of kind "retention" is appended first,
which carries the hash of the last one that goes. So what is left hangs on the chain as before.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from edge.errors import AuditError
from edge.stores.audit_layout import AUDIT_LAYOUT, LAST_HASH, REMOVED_THROUGH, RETENTION
from edge.stores.store import BUSY_S, Database, Store
from edge.vocabulary import Decision

DECISION = "decision"
_FIRST_HASH = "0" * 64
# Events that are removed at a time: the door's own records wait for no longer than that takes.
_SLICE = 1000

_COLUMNS = "SELECT seq, at_utc, kind, facts, hash FROM event "
_AFTER = _COLUMNS + "WHERE seq > ? ORDER BY seq DESC LIMIT ?"
# `+seq` keeps SQLite from reading the whole log backwards instead of using the index on at_utc.
_OF_SUBJECT = _COLUMNS + "WHERE facts LIKE ? ORDER BY seq"
_OF_KIND = _COLUMNS + "WHERE kind = ? ORDER BY seq"
_SINCE = _COLUMNS + "WHERE at_utc >= ? AND +seq > ? ORDER BY +seq DESC LIMIT ?"

# One encoder each: json.dumps with options would build one for every event. Facts are written as
# the one canonical text, without NaN; a tampered column may hold bytes, which have no JSON: their
# repr makes the check fail rather than stop.
_FACTS = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_EVENT = json.JSONEncoder(default=repr)

Fact = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Event:
    """One entry: its number from 1, UTC time in ISO 8601, kind, facts, and link in the chain."""

    seq: int
    at_utc: str
    kind: str
    facts: Mapping[str, object]
    hash: str


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first event that does not follow from those before it, and how."""

    seq: int
    what: str

    def __str__(self) -> str:
        """Return a sentence without its full stop."""
        return f"event {self.seq} {self.what}"


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


class Audit(Store):
    """The log on the disk; `close` may be called twice.

    Args:
        path: the SQLite file, made if absent.
        clock: tells the time of an event; with a time zone.
        create: False refuses to make the file, for those who only read.
        busy_s: how long to wait for another program's lock.

    Raises:
        AuditError: if it cannot be opened; the door then stays shut.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime] = utc_now,
        create: bool = True,
        busy_s: float = BUSY_S,
    ) -> None:
        self._database = Database(path, AUDIT_LAYOUT, create=create, busy_s=busy_s)
        self._clock = clock
        self.decision_seq = 0  # the number that `record` returned last

    def record(self, decision: Decision) -> int:
        """Append every number behind *decision*; they are on the disk when this returns.

        Returns: the event's number.

        Raises:
            AuditError: if they are not; the door must then stay shut.
        """
        facts = {each.name: _plain(getattr(decision, each.name)) for each in fields(decision)}
        self.decision_seq = self._append(DECISION, facts)
        return self.decision_seq

    def note(self, kind: str, **facts: Fact) -> int:
        """Append an event of the service: start, stop, enrol, forget, error.

        Args:
            kind: anything but "decision", which `record` writes, and "retention".
            facts: numbers and ids; no name, no image, no embedding.

        Returns: the event's number.

        Raises:
            AuditError: if it is not on the disk.
        """
        if kind in {DECISION, RETENTION}:
            raise AuditError(f"a {kind} is recorded by a method of its own, not noted")
        return self._append(kind, facts)

    def events(
        self, *, since_utc: datetime | None = None, after_seq: int = 0, limit: int | None = None
    ) -> tuple[Event, ...]:
        """Return events, oldest first.

        Args:
            since_utc: only those at or after this time (with a time zone).
            after_seq: only those after this number.
            limit: only the last so many of them.

        Raises:
            AuditError: if the log cannot be read, or an event in it is no longer readable.
        """
        last = -1 if limit is None else limit
        with self._database.reading() as rows:
            found = (
                rows.execute(_AFTER, (after_seq, last))
                if since_utc is None
                else rows.execute(_SINCE, (_stamp(since_utc), after_seq, last))
            ).fetchall()
        return tuple(self._event(*row) for row in reversed(found))

    def event_and_next(self, seq: int, count: int) -> tuple[Event, ...]:
        """Return one event and at most *count* of those after it.

        Raises:
            AuditError: if there is none of that number, or one is not readable.
        """
        with self._database.reading() as rows:
            found = rows.execute(
                _COLUMNS + "WHERE seq BETWEEN ? AND ? ORDER BY seq", (seq, seq + count)
            ).fetchall()
            # One query for both would read the whole table.
            (first,) = rows.execute("SELECT min(seq) FROM event").fetchone()
            (last,) = rows.execute("SELECT max(seq) FROM event").fetchone()
        if not found or found[0][0] != seq:
            held = "it is empty" if first is None else f"it holds {first} to {last}"
            raise AuditError(f"{self._database.path} has no event {seq}; {held}")
        return tuple(self._event(*row) for row in found)

    def first_seq(self) -> int:
        """Return the number of the oldest event that is kept, 0 if there is none."""
        with self._database.reading() as rows:
            (first,) = rows.execute("SELECT coalesce(min(seq), 0) FROM event").fetchone()
        return int(first)

    def events_of(self, subject_id: str) -> tuple[Event, ...]:
        """Return every event that names this subject, oldest first.

        Raises:
            AuditError: if the log cannot be read, or an event in it is no longer readable.
        """
        wanted = f'%"subject_id":{json.dumps(subject_id)}%'
        with self._database.reading() as rows:
            found = rows.execute(_OF_SUBJECT, (wanted,)).fetchall()
        return tuple(self._event(*row) for row in found)

    def events_of_kind(self, kind: str) -> tuple[Event, ...]:
        """Return every event of one kind, oldest first.

        Raises:
            AuditError: if the log cannot be read, or an event in it is no longer readable.
        """
        with self._database.reading() as rows:
            found = rows.execute(_OF_KIND, (kind,)).fetchall()
        return tuple(self._event(*row) for row in found)

    def newest_of(self, kinds: Collection[str]) -> Event | None:
        """Return the newest event of any of these kinds, None if there is none.

        Raises:
            AuditError: if the log cannot be read, or that event is no longer readable.
        """
        places = ", ".join("?" * len(kinds))
        wanted = f"{_COLUMNS}WHERE kind IN ({places}) ORDER BY seq DESC LIMIT 1"
        with self._database.reading() as rows:
            found = rows.execute(wanted, tuple(kinds)).fetchone()
        return None if found is None else self._event(*found)

    def verify(self) -> BrokenLink | None:
        """Return the first event that breaks the chain, or None if every link holds.

        Raises:
            AuditError: if the log cannot be read.
        """
        with self._database.reading() as rows:
            expected_seq, previous_hash = _beginning(rows)
            for seq, at_utc, kind, facts, digest in rows.execute(_COLUMNS + "ORDER BY seq"):
                if seq < expected_seq:
                    return BrokenLink(seq, "comes before the first that was kept")
                if seq != expected_seq:
                    return BrokenLink(expected_seq, f"is missing; the next one is {seq}")
                if _link(previous_hash, seq, at_utc, kind, facts) != digest:
                    return BrokenLink(seq, "was altered, or one before it was replaced")
                expected_seq, previous_hash = seq + 1, digest
        return None

    def retain(self, *, since_utc: datetime | None = None, most_bytes: int = 0) -> int:
        """Remove the oldest events: those before *since_utc*, and those above *most_bytes*.

        Each thousand of them is one transaction, which first appends what keeps the chain whole.
        An event whose time is later than that of its successors, because the clock was wrong, is
        kept, and those after it too.

        Args:
            since_utc: what is older goes; None: age does not count.
            most_bytes: what the events may take of the disk; 0: any amount.

        Returns: how many were removed.

        Raises:
            AuditError: if the log cannot be written; what was removed until then stays so.
        """
        with self._database.reading() as rows:
            newest, _ = _last(rows)
        removed = 0
        while count := self._remove(since_utc, most_bytes, before_seq=newest):
            removed += count
        if removed:
            self._database.empty_log()
        return removed

    def _remove(self, since_utc: datetime | None, most_bytes: int, *, before_seq: int) -> int:
        """Remove one slice of the oldest events that may go, and return how many they were."""
        with self._database.writing() as rows:
            (first,) = rows.execute("SELECT min(seq) FROM event").fetchone()
            if first is None:
                return 0
            through = first - 1
            if since_utc is not None:
                (kept,) = rows.execute(
                    "SELECT min(seq) FROM event WHERE at_utc >= ?", (_stamp(since_utc),)
                ).fetchone()
                through = (before_seq if kept is None else kept) - 1
            if most_bytes and _used_bytes(rows) > most_bytes:
                through = max(through, first + _SLICE - 1)
            through = min(through, first + _SLICE - 1, before_seq - 1)
            if through < first:
                return 0
            (digest,) = rows.execute("SELECT hash FROM event WHERE seq = ?", (through,)).fetchone()
            facts = {REMOVED_THROUGH: through, LAST_HASH: digest, "events": through - first + 1}
            self._insert(rows, RETENTION, _FACTS.encode(facts))
            rows.execute("DELETE FROM event WHERE seq <= ?", (through,))
        return int(through - first + 1)

    def _append(self, kind: str, facts: Mapping[str, object]) -> int:
        try:
            text = _FACTS.encode(facts)
        except (TypeError, ValueError) as exc:
            raise AuditError(f"{kind}: a fact cannot be written down: {exc}") from exc
        with self._database.writing() as rows:
            return self._insert(rows, kind, text)

    def _insert(self, rows: sqlite3.Connection, kind: str, text: str) -> int:
        seq, previous_hash = _last(rows)
        at_utc = _stamp(self._clock())
        rows.execute(
            "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
            (seq + 1, at_utc, kind, text, _link(previous_hash, seq + 1, at_utc, kind, text)),
        )
        return seq + 1

    def _event(self, seq: int, at_utc: str, kind: str, facts: str, digest: str) -> Event:
        try:
            read = json.loads(facts)
        except (TypeError, ValueError) as exc:
            raise self._database.damaged(f"the facts of event {seq} are no JSON ({exc})") from exc
        if not isinstance(read, dict):
            raise self._database.damaged(f"the facts of event {seq} are no table")
        return Event(seq, at_utc, kind, read, digest)


def _last(rows: sqlite3.Connection) -> tuple[int, str]:
    """Return number and hash of the newest event, or what stands before the first."""
    row = rows.execute("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, _FIRST_HASH) if row is None else (row[0], row[1])


def _beginning(rows: sqlite3.Connection) -> tuple[int, str]:
    """Return the number of the first event that must be there, and the hash before it."""
    row = rows.execute(
        "SELECT facts FROM event WHERE kind = ? ORDER BY seq DESC LIMIT 1", (RETENTION,)
    ).fetchone()
    try:
        facts = json.loads(row[0])
        return int(facts[REMOVED_THROUGH]) + 1, str(facts[LAST_HASH])
    except (TypeError, ValueError, KeyError):
        return 1, _FIRST_HASH  # none, or tampered with: then the chain breaks at the first event


def _used_bytes(rows: sqlite3.Connection) -> int:
    """Return how much of the file holds something: what is free is used again before it grows."""
    (pages,) = rows.execute("PRAGMA page_count").fetchone()
    (free,) = rows.execute("PRAGMA freelist_count").fetchone()
    (size,) = rows.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)


def _plain(value: object) -> object:
    """Return a value of a decision as JSON has it: an enumeration by its name in small letters."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _stamp(moment: datetime) -> str:
    """Return UTC in ISO 8601 with microseconds always, so that text sorts as time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _link(previous_hash: str, seq: int, at_utc: str, kind: str, facts: str) -> str:
    """Return the hash that binds one event, facts as their stored text, to those before it."""
    event = _EVENT.encode([seq, at_utc, kind, facts])
    return hashlib.sha256((previous_hash + event).encode()).hexdigest()
