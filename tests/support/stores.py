"""Fill stores with very many rows, faster than enrolment and the door would."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from edge.audit import Audit
from edge.gallery import GalleryStore
from edge.stores.keyfile import KeyFile, key_place
from edge.stores.sealing import NAME, VECTOR, SubjectKey
from edge.vocabulary import Decision, Embedding, Outcome, Reason


def fill_gallery(path: Path, model_id: str, *, subjects: int, size: int) -> None:
    """Make a gallery of so many subjects, "Person 0" and on, a random reference each."""
    vectors = np.random.default_rng(1).standard_normal((subjects, size)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with GalleryStore(path, model_id) as gallery:
        gallery.enrol("Person 0", [Embedding(vectors[0], model_id)])
    by = KeyFile(key_place(path, None)).newest()
    keys = [SubjectKey.new(f"{i:08x}") for i in range(1, subjects)]
    people = list(enumerate(keys, 1))
    on = "2026-11-22T00:00:00+00:00"
    with closing(sqlite3.connect(path, isolation_level=None)) as rows:
        rows.execute("BEGIN")
        rows.executemany(
            "INSERT INTO subject_key VALUES (?, ?, ?, ?)",
            [(i + 1, f"{i:08x}", by.name_tag(f"person {i}"), key.wrapped(by)) for i, key in people],
        )
        rows.executemany(
            "INSERT INTO subject VALUES (?, ?, ?, NULL, ?)",
            [
                (f"{i:08x}", i + 1, key.seal_row(f"Person {i}".encode(), NAME), on)
                for i, key in people
            ],
        )
        rows.executemany(
            "INSERT INTO reference (subject_id, vector, enrolled_on, model_id) VALUES (?, ?, ?, ?)",
            [
                (f"{i:08x}", key.seal_row(vectors[i].tobytes(), VECTOR, model_id), on, model_id)
                for i, key in people
            ],
        )
        rows.execute("COMMIT")


def fill_audit(path: Path, *, events: int, days: int = 100) -> None:
    """Make an audit of so many decisions, evenly over the days before 24 November 2026."""
    end = datetime(2026, 11, 24, tzinfo=UTC)
    times = iter([end - timedelta(days=days) * (1 - i / events) for i in range(events)])
    ratios = tuple(float(each) for each in range(10))
    with Audit(path, clock=lambda: next(times)) as audit:
        # Nobody needs these after a power cut.
        audit._database._connection.execute("PRAGMA synchronous = OFF")
        for i in range(events):
            audit.record(
                Decision(
                    Outcome.DENY,
                    Reason.NO_MATCH,
                    float(i),
                    f"{i % 1000:08x}",
                    0.25,
                    0.5,
                    10,
                    "a" * 64,
                    evidence=9.0,
                    ratios=ratios,
                    scores=ratios,
                )
            )
