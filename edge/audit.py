"""What the door decided and why: append-only, each event chained to the one before by SHA-256.

No image, no embedding and no name is in it: subjects appear by their opaque id.

What the chain proves: an event that was altered, inserted or removed between others breaks it.
What it cannot prove on its own: that events at the end were not cut off, or that somebody who
may write the file did not rewrite all hashes from some event on. Both show against a hash that
was noted elsewhere: `janus events --verify` prints the last one, and `janus events --json` shows
whether an event with a noted hash is still there. That the triggers which forbid changes were
taken off and put back leaves no trace of its own.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import AuditError
from edge.stores.store import BUSY_S, Database, Layout, Store
from edge.vocabulary import Decision

DECISION = "decision"
_FIRST_HASH = "0" * 64

_LAYOUT = Layout(
    noun="audit",
    application_id=0x4A616E41,  # "JanA"
    migrations=(
        (
            """CREATE TABLE event (
                seq INTEGER PRIMARY KEY,
                at_utc TEXT NOT NULL,
                kind TEXT NOT NULL,
                facts TEXT NOT NULL,
                hash TEXT NOT NULL)""",
            "CREATE INDEX event_at ON event (at_utc)",
            """CREATE TRIGGER event_is_not_altered BEFORE UPDATE ON event
                BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
            """CREATE TRIGGER event_is_not_removed BEFORE DELETE ON event
                BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
            # Also stops INSERT OR REPLACE, which removes rows without the trigger above.
            """CREATE TRIGGER event_comes_last BEFORE INSERT ON event
                WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM event)
                BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END""",
        ),
    ),
    error=AuditError,
    if_absent="`janus run` and `janus enrol` begin it",
    if_damaged="keep it as evidence: move it away, and a new one begins",
)
_COLUMNS = "SELECT seq, at_utc, kind, facts, hash FROM event "
_AFTER = _COLUMNS + "WHERE seq > ? ORDER BY seq DESC LIMIT ?"
# `+seq` keeps SQLite from reading the whole log backwards instead of using the index on at_utc.
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
        self._database = Database(path, _LAYOUT, create=create, busy_s=busy_s)
        self._clock = clock

    def record(self, decision: Decision) -> None:
        """Append the numbers behind *decision*; they are on the disk when this returns.

        Raises:
            AuditError: if they are not; the door must then stay shut.
        """
        facts = {
            "outcome": decision.outcome.value,
            "reason": decision.reason.name.lower(),
            "subject_id": decision.subject_id,
            "score": decision.score,
            "threshold": decision.threshold,
            "frames": decision.frames,
            "model_id": decision.model_id,
            "flaws": [flaw.name.lower() for flaw in decision.flaws],
        }
        self._append(DECISION, facts)

    def note(self, kind: str, **facts: Fact) -> None:
        """Append an event of the service: start, stop, enrol, forget, error.

        Args:
            kind: anything but "decision", which `record` writes.
            facts: numbers and ids; no name, no image, no embedding.

        Raises:
            AuditError: if it is not on the disk.
        """
        if kind == DECISION:
            raise AuditError("a decision is recorded by `record`, not noted")
        self._append(kind, facts)

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

    def verify(self) -> BrokenLink | None:
        """Return the first event that breaks the chain, or None if every link holds.

        Raises:
            AuditError: if the log cannot be read.
        """
        expected_seq, previous_hash = 1, _FIRST_HASH
        with self._database.reading() as rows:
            for seq, at_utc, kind, facts, digest in rows.execute(_COLUMNS + "ORDER BY seq"):
                if seq != expected_seq:
                    return BrokenLink(expected_seq, f"is missing; the next one is {seq}")
                if _link(previous_hash, seq, at_utc, kind, facts) != digest:
                    return BrokenLink(seq, "was altered, or one before it was replaced")
                expected_seq, previous_hash = seq + 1, digest
        return None

    def _append(self, kind: str, facts: Mapping[str, object]) -> None:
        try:
            text = _FACTS.encode(facts)
        except (TypeError, ValueError) as exc:
            raise AuditError(f"{kind}: a fact cannot be written down: {exc}") from exc
        with self._database.writing() as rows:
            seq, previous_hash = _last(rows)
            at_utc = _stamp(self._clock())
            rows.execute(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
                (seq + 1, at_utc, kind, text, _link(previous_hash, seq + 1, at_utc, kind, text)),
            )

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


def _stamp(moment: datetime) -> str:
    """Return UTC in ISO 8601 with microseconds always, so that text sorts as time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _link(previous_hash: str, seq: int, at_utc: str, kind: str, facts: str) -> str:
    """Return the hash that binds one event, facts as their stored text, to those before it."""
    event = _EVENT.encode([seq, at_utc, kind, facts])
    return hashlib.sha256((previous_hash + event).encode()).hexdigest()
