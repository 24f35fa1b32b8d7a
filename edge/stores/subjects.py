"""Who is enrolled: the subjects of a gallery, their keys, and what is sealed with those."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge.errors import GalleryError
from edge.nearest import nearest_word
from edge.stores.keyfile import KeyFile
from edge.stores.naming import folded, spelling
from edge.stores.sealing import CONSENT, NAME, NO_KEY, NO_NAME, StorageKey, SubjectKey
from edge.stores.store import Database

_PEOPLE = (
    "SELECT subject.subject_id, key, name, consent, count(reference_id), subject.enrolled_on "
    "FROM subject JOIN subject_key USING (slot) "
    "LEFT JOIN reference ON reference.subject_id = subject.subject_id "
    "AND reference.model_id = (SELECT model_id FROM model) "
)
_EVERYBODY = _PEOPLE + "GROUP BY subject.subject_id"
_ONE = _PEOPLE + "WHERE subject.subject_id = ? GROUP BY subject.subject_id"


@dataclass(frozen=True, slots=True)
class Person:
    """One enrolled subject; ``enrolled_on`` is the ISO 8601 UTC time of the first enrolment.

    ``references`` counts those of the model in use: with none, the person must be enrolled again.
    ``consent`` is what was recorded of it last, ``consent_on`` when; empty if nothing was.
    """

    name: str
    subject_id: str
    references: int
    enrolled_on: str
    consent: str = ""
    consent_on: str = ""


class Subjects:
    """The subjects in *database*, whose keys are sealed by one of *keys*.

    Every method takes the connection of a transaction that the caller has begun, and raises
    GalleryError if the storage key is not there or a row is damaged.
    """

    def __init__(self, database: Database, keys: KeyFile) -> None:
        self._database, self._keys = database, keys

    def storage_key(self, rows: sqlite3.Connection) -> StorageKey:
        """Return the key that this gallery is sealed with at this moment."""
        found = rows.execute("SELECT key_id FROM model").fetchone()
        if found is None:
            raise self._database.damaged("it does not say which model made it")
        try:
            return self._keys.key(found[0])
        except GalleryError as exc:
            raise self._database.failed(exc) from exc

    def unwrapped(self, sealed: object, subject_id: str, by: StorageKey) -> SubjectKey:
        """Return the key of one subject."""
        key = SubjectKey.unwrapped(sealed, subject_id, by)
        if key is None:
            raise self._database.damaged(f"the key of subject {subject_id} does not open")
        return key

    def everybody(self, rows: sqlite3.Connection) -> tuple[Person, ...]:
        """Return everybody who is enrolled, by name."""
        by = self.storage_key(rows)
        people = [self._person(row, by) for row in rows.execute(_EVERYBODY)]
        return tuple(sorted(people, key=lambda person: folded(person.name)))

    def names(self, rows: sqlite3.Connection) -> dict[str, str]:
        """Return the name of each subject id."""
        return dict(self._names(rows))

    def find(self, rows: sqlite3.Connection, name: str) -> Person:
        """Return the subject of that name; if there is none, the error names the nearest."""
        by = self.storage_key(rows)
        subject_id = self._known(rows, name, by)
        if subject_id is not None:
            return self._person(rows.execute(_ONE, (subject_id,)).fetchone(), by)
        known = {folded(each): each for _, each in self._names(rows)}
        nearest = nearest_word(folded(name), known)
        hint = f"did you mean {known[nearest]!r}?" if nearest else "`janus people` lists them"
        raise GalleryError(f"nobody named {name!r} is enrolled; {hint}")

    def add(
        self, rows: sqlite3.Connection, name: str, *, now: str, consent: str
    ) -> tuple[str, SubjectKey]:
        """Return id and key of the subject of that name, who is added if nobody has it."""
        by = self.storage_key(rows)
        subject_id = self._known(rows, name, by)
        if subject_id is not None:
            key = self.key_of(rows, subject_id, by)
        else:
            subject_id = _unused_id(rows)
            key = SubjectKey.new(subject_id)
            slot = rows.execute(
                "INSERT INTO subject_key (subject_id, name_tag, key) VALUES (?, ?, ?)",
                (subject_id, by.name_tag(folded(name)), key.wrapped(by)),
            ).lastrowid
            rows.execute(
                "INSERT INTO subject VALUES (?, ?, ?, NULL, ?)",
                (subject_id, slot, key.seal_row(spelling(name).encode(), NAME), now),
            )
        if consent:
            recorded = json.dumps({"text": consent, "on": now}).encode()
            rows.execute(
                "UPDATE subject SET consent = ? WHERE subject_id = ?",
                (key.seal_row(recorded, CONSENT), subject_id),
            )
        return subject_id, key

    def key_of(self, rows: sqlite3.Connection, subject_id: str, by: StorageKey) -> SubjectKey:
        """Return the key of one enrolled subject."""
        found = rows.execute(
            "SELECT key FROM subject JOIN subject_key USING (slot) WHERE subject.subject_id = ?",
            (subject_id,),
        ).fetchone()
        return self.unwrapped(found and found[0], subject_id, by)

    def erase(self, rows: sqlite3.Connection, subject_id: str) -> None:
        """Overwrite the subject's key in place, and remove every row of the subject."""
        rows.execute(
            "UPDATE subject_key SET subject_id = ?, name_tag = ?, key = ? "
            "WHERE slot = (SELECT slot FROM subject WHERE subject_id = ?)",
            ("0" * len(subject_id), NO_NAME, NO_KEY, subject_id),
        )
        rows.execute("DELETE FROM subject WHERE subject_id = ?", (subject_id,))

    def marks(self, rows: sqlite3.Connection, subject_id: str) -> tuple[bytes, ...]:
        """Return the bytes that must be nowhere once the subject is forgotten."""
        return tuple(
            rows.execute(
                "SELECT key, name_tag FROM subject JOIN subject_key USING (slot) "
                "WHERE subject.subject_id = ?",
                (subject_id,),
            ).fetchone()
            or ()
        )

    def _known(self, rows: sqlite3.Connection, name: str, by: StorageKey) -> str | None:
        """Return the id of that name's subject: a scan of 10,000 short rows takes a millisecond.

        An index would keep tags of forgotten names in pages that SQLite has split.
        """
        found = rows.execute(
            "SELECT subject.subject_id FROM subject_key JOIN subject USING (slot) "
            "WHERE name_tag = ?",
            (by.name_tag(folded(name)),),
        ).fetchone()
        return None if found is None else str(found[0])

    def _names(self, rows: sqlite3.Connection) -> Iterator[tuple[str, str]]:
        by = self.storage_key(rows)
        for subject_id, sealed, name in rows.execute(
            "SELECT subject.subject_id, key, name FROM subject JOIN subject_key USING (slot)"
        ):
            key = self.unwrapped(sealed, subject_id, by)
            yield subject_id, self._text(key, name, NAME, subject_id)

    def _person(self, row: tuple[Any, ...], by: StorageKey) -> Person:
        subject_id, sealed, name, consent, references, enrolled_on = row
        key = self.unwrapped(sealed, subject_id, by)
        recorded = json.loads(self._text(key, consent, CONSENT, subject_id)) if consent else {}
        return Person(
            name=self._text(key, name, NAME, subject_id),
            subject_id=subject_id,
            references=references,
            enrolled_on=enrolled_on,
            consent=recorded.get("text", ""),
            consent_on=recorded.get("on", ""),
        )

    def _text(self, key: SubjectKey, sealed: object, kind: str, subject_id: str) -> str:
        plain = key.open_row(sealed, kind)
        if plain is None:
            raise self._database.damaged(f"the {kind} of subject {subject_id} does not open")
        return plain.decode()


def _unused_id(rows: sqlite3.Connection) -> str:
    """Return a fresh subject id; among 10,000 people the odds of a clash are one in a hundred."""
    while True:
        subject_id = secrets.token_hex(4)
        if not rows.execute("SELECT 1 FROM subject WHERE subject_id = ?", (subject_id,)).fetchone():
            return subject_id
