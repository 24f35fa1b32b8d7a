"""What the gate remembers across restarts: PINs, failures, entries; one SQLite file.

No name is in it, no digit, and no time of day: subjects appear by their id, times as seconds of a
run of the machine. Entries are written only where a rule needs them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from math import inf
from pathlib import Path

from edge.access.attempts import Attempts, Limits, Running
from edge.access.pins import Cost, StoredPin
from edge.access.state_layout import LAYOUT
from edge.stores.store import BUSY_S, Database, Store

DOOR = "door"
_VISITORS = 64  # faces in front of a door; older ones have gone
# The longest re-entry time that a policy can ask for; older passages decide nothing.
_FORGOTTEN_S = 86400.0


def visitor_key(visitor: int) -> str:
    """Return under what the failures of a face in front of the door are counted."""
    return f"visitor {visitor}"


def subject_key(subject_id: str) -> str:
    """Return under what the wrong PINs of a subject are counted."""
    return f"subject {subject_id}"


@dataclass(frozen=True, slots=True)
class Failures:
    """One line for an operator: who failed, how often in a row, and how long the pause lasts."""

    who: str
    attempts: Attempts


class AccessStore(Store):
    """The access state on the disk; `close` may be called twice.

    Args:
        path: the SQLite file.
        create: make it if there is none, else refuse.
        busy_s: how long to wait for another program's lock.

    Raises:
        AccessError: if it is absent, damaged, locked or unreadable; the door stays shut.
    """

    def __init__(self, path: Path, *, create: bool = True, busy_s: float = BUSY_S) -> None:
        self._database = Database(path, LAYOUT, create=create, busy_s=busy_s)

    # --- failures ---------------------------------------------------------------------------

    def attempts(self, who: str, now: Running) -> Attempts:
        """Return the failures of *who* as they stand now."""
        with self._database.reading() as rows:
            return _attempts(rows, who, now)

    def failures(self, now: Running) -> tuple[Failures, ...]:
        """Return everybody with failures, the door first, visitors left out."""
        with self._database.reading() as rows:
            found = rows.execute(
                "SELECT who FROM attempt WHERE failures > 0 AND who NOT LIKE 'visitor %' "
                "ORDER BY who != ?, who",
                (DOOR,),
            ).fetchall()
            return tuple(Failures(who, _attempts(rows, who, now)) for (who,) in found)

    def count_failure(self, limits: Iterable[tuple[str, Limits]], now: Running) -> None:
        """Count one failure of each of them that is not in a pause; on the disk on return."""
        with self._database.writing() as rows:
            for who, its_limits in limits:
                before = _attempts(rows, who, now)
                if (after := before.failed(its_limits)) != before:
                    _write_attempts(rows, who, after, now)
            rows.execute(
                "DELETE FROM attempt WHERE who LIKE 'visitor %' AND rowid NOT IN "
                "(SELECT rowid FROM attempt WHERE who LIKE 'visitor %' "
                "ORDER BY rowid DESC LIMIT ?)",
                (_VISITORS,),
            )

    def clear_failures(self, *who: str) -> None:
        """Begin to count anew for each of them; writes nothing where there is nothing."""
        marks = ",".join("?" * len(who))
        with self._database.reading() as rows:
            found = rows.execute(
                f"SELECT 1 FROM attempt WHERE who IN ({marks})",  # noqa: S608 - question marks
                who,
            ).fetchone()
        if found is not None:
            with self._database.writing() as rows:
                rows.execute(
                    f"DELETE FROM attempt WHERE who IN ({marks})",  # noqa: S608 - question marks
                    who,
                )

    def reset(self, subject_id: str | None = None) -> None:
        """Forget the failures of one subject, or all: those of the door and of everybody."""
        if subject_id is not None:
            self.clear_failures(subject_key(subject_id))
            return
        with self._database.writing() as rows:
            rows.execute("DELETE FROM attempt")

    # --- PINs -------------------------------------------------------------------------------

    def pin(self, subject_id: str) -> StoredPin | None:
        """Return what is stored of a subject's PIN, or None."""
        with self._database.reading() as rows:
            row = rows.execute(
                "SELECT salt, digest, duress, memory_kib, passes FROM pin WHERE subject_id = ?",
                (subject_id,),
            ).fetchone()
        return None if row is None else StoredPin(row[0], row[1], row[2], Cost(row[3], row[4]))

    def subjects_with_pin(self) -> dict[str, bool]:
        """Return who has a PIN, and whether a duress PIN too."""
        with self._database.reading() as rows:
            found = rows.execute("SELECT subject_id, duress IS NOT NULL FROM pin").fetchall()
        return {subject_id: bool(duress) for subject_id, duress in found}

    def set_pin(self, subject_id: str, pin: StoredPin) -> None:
        """Store a subject's PIN; it has to be entered before the face alone opens again."""
        with self._database.writing() as rows:
            rows.execute(
                "INSERT OR REPLACE INTO pin VALUES (?, ?, ?, ?, ?, ?, '')",
                (
                    subject_id,
                    pin.salt,
                    pin.digest,
                    pin.duress,
                    pin.cost.memory_kib,
                    pin.cost.passes,
                ),
            )
            rows.execute("DELETE FROM attempt WHERE who = ?", (subject_key(subject_id),))

    def remove_pin(self, subject_id: str) -> bool:
        """Erase a subject's PINs; tell whether there were any."""
        with self._database.writing() as rows:
            removed = rows.execute("DELETE FROM pin WHERE subject_id = ?", (subject_id,)).rowcount
        if removed:
            self._database.vacuum()
        return bool(removed)

    def is_proven(self, subject_id: str, boot_id: str) -> bool:
        """Tell whether the subject entered the PIN in this run of the machine."""
        with self._database.reading() as rows:
            row = rows.execute(
                "SELECT proven_in FROM pin WHERE subject_id = ?", (subject_id,)
            ).fetchone()
        return row is not None and row[0] == boot_id

    def prove(self, subject_id: str, boot_id: str) -> None:
        """Note that the subject entered the right PIN: wrong ones before it are forgiven."""
        with self._database.writing() as rows:
            rows.execute("UPDATE pin SET proven_in = ? WHERE subject_id = ?", (boot_id, subject_id))
            rows.execute("DELETE FROM attempt WHERE who = ?", (subject_key(subject_id),))

    def ask_for_pins(self, subject_id: str | None = None) -> None:
        """Ask one subject, or everybody who has a PIN, for it once more."""
        with self._database.writing() as rows:
            rows.execute(
                "UPDATE pin SET proven_in = '' WHERE ? IS NULL OR subject_id = ?",
                (subject_id, subject_id),
            )

    # --- entries and exits ------------------------------------------------------------------

    def entered(self, subject_id: str, groups: Iterable[str], local_day: date, now: Running) -> int:
        """Note an entry; return its number.

        Args:
            subject_id: who entered.
            groups: those of the subject's groups that others wait for.
            local_day: the day at the site.
            now: on the monotonic clock.
        """
        with self._database.writing() as rows:
            before = rows.execute(
                "SELECT seq FROM passage WHERE subject_id = ?", (subject_id,)
            ).fetchone()
            if before is not None:
                # The exit that let the subject in again is spent: who left is not known.
                rows.execute(
                    "DELETE FROM passage WHERE seq = (SELECT min(seq) FROM passage "
                    "WHERE subject_id IS NULL AND seq > ?)",
                    before,
                )
                rows.execute("DELETE FROM passage WHERE seq = ?", before)
            seq = _add_passage(rows, subject_id, now)
            rows.execute("DELETE FROM first_in WHERE local_day != ?", (local_day.isoformat(),))
            rows.executemany(
                "INSERT INTO first_in VALUES (?, ?, ?)",
                [(group, local_day.isoformat(), seq) for group in groups],
            )
        return seq

    def exited(self, now: Running) -> None:
        """Note that somebody left."""
        with self._database.writing() as rows:
            _add_passage(rows, None, now)

    def take_back(self, seq: int) -> None:
        """Forget the entry of that number."""
        with self._database.writing() as rows:
            rows.execute("DELETE FROM passage WHERE seq = ?", (seq,))
            rows.execute("DELETE FROM first_in WHERE seq = ?", (seq,))

    def inside_s(self, subject_id: str, now: Running) -> float:
        """Return the seconds since the subject entered; infinite if there is no such entry.

        Infinite also if somebody left since then, for it may have been the subject.
        """
        with self._database.reading() as rows:
            row = rows.execute(
                "SELECT seq, age_s, written_s, boot_id FROM passage WHERE subject_id = ?",
                (subject_id,),
            ).fetchone()
            if row is None:
                return inf
            exit_since = rows.execute(
                "SELECT 1 FROM passage WHERE subject_id IS NULL AND seq > ?", (row[0],)
            ).fetchone()
        return inf if exit_since else float(row[1]) + now.since(Running(row[2], row[3]))

    def entered_on(self) -> dict[str, date]:
        """Return the local day on which a member of each group entered last."""
        with self._database.reading() as rows:
            found = rows.execute(
                "SELECT group_name, max(local_day) FROM first_in GROUP BY group_name"
            ).fetchall()
        return {group: date.fromisoformat(day) for group, day in found}

    # --- upkeep -----------------------------------------------------------------------------

    def begin(self, now: Running) -> None:
        """Let timers of an earlier run of the machine go on, and forget faces at the door.

        A new program numbers faces anew.
        """
        with self._database.writing() as rows:
            rows.execute("DELETE FROM attempt WHERE who LIKE 'visitor %'")
            _bring_up_to_date(rows, now)

    def save(self, now: Running) -> None:
        """Write how long each timer still runs, for the case that the power fails after this."""
        with self._database.reading() as rows:
            (running,) = rows.execute(
                "SELECT EXISTS (SELECT 1 FROM attempt WHERE left_s > 0) "
                "OR EXISTS (SELECT 1 FROM passage)"
            ).fetchone()
        if running:
            with self._database.writing() as rows:
                _bring_up_to_date(rows, now)

    def forget(self, subject_id: str) -> None:
        """Erase everything about a subject, without a trace in the file."""
        with self._database.writing() as rows:
            rows.execute("DELETE FROM pin WHERE subject_id = ?", (subject_id,))
            rows.execute("DELETE FROM attempt WHERE who = ?", (subject_key(subject_id),))
            rows.execute("DELETE FROM passage WHERE subject_id = ?", (subject_id,))
        self._database.vacuum()


_OPERATOR = -1.0  # SQLite has no infinity that every reader of the file would understand


def _attempts(rows: sqlite3.Connection, who: str, now: Running) -> Attempts:
    row = rows.execute(
        "SELECT failures, left_s, written_s, boot_id FROM attempt WHERE who = ?", (who,)
    ).fetchone()
    if row is None:
        return Attempts()
    failures, left_s, written_s, boot_id = row
    if left_s == _OPERATOR:
        return Attempts(failures, inf)
    return Attempts(failures, max(0.0, left_s - now.since(Running(written_s, boot_id))))


def _write_attempts(rows: sqlite3.Connection, who: str, attempts: Attempts, now: Running) -> None:
    left_s = _OPERATOR if attempts.left_s == inf else attempts.left_s
    rows.execute(
        "INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?)",
        (who, attempts.failures, left_s, now.at_s, now.boot_id),
    )


def _add_passage(rows: sqlite3.Connection, subject_id: str | None, now: Running) -> int:
    added = rows.execute(
        "INSERT INTO passage (subject_id, age_s, written_s, boot_id) VALUES (?, 0, ?, ?)",
        (subject_id, now.at_s, now.boot_id),
    )
    return int(added.lastrowid or 0)


def _bring_up_to_date(rows: sqlite3.Connection, now: Running) -> None:
    for (who,) in rows.execute("SELECT who FROM attempt WHERE left_s > 0").fetchall():
        _write_attempts(rows, who, _attempts(rows, who, now), now)
    _forget_old_passages(rows, now)


def _forget_old_passages(rows: sqlite3.Connection, now: Running) -> None:
    """Bring every age up to now, and forget what no rule can ask about any more."""
    found = rows.execute("SELECT seq, age_s, written_s, boot_id FROM passage").fetchall()
    for seq, age_s, written_s, boot_id in found:
        age_now_s = age_s + now.since(Running(written_s, boot_id))
        rows.execute(
            "UPDATE passage SET age_s = ?, written_s = ?, boot_id = ? WHERE seq = ?",
            (age_now_s, now.at_s, now.boot_id, seq),
        )
    rows.execute("DELETE FROM passage WHERE age_s > ?", (_FORGOTTEN_S,))
