"""Times of the stores with 10,000 people and 100,000 audit events, against what is promised.

    python bench/stores.py [--people 10000] [--events 100000] [--place DIR]

Search, enrolment, forgetting and start-up on a gallery with one reference a person, 128 numbers
each; queries of the audit. Medians and worst of 20 (start-up: of 5), one thread; the processor's
time beside them is for machines that are shared. Exit code 1 if a median is above its bound. DIR is
where the files lie: what `fsync` takes there counts.
"""

# ruff: noqa: E402 - numpy reads the number of threads when it is imported
from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from stores import fill_audit, fill_gallery

from edge.audit import Audit
from edge.gallery import GalleryStore
from edge.match import rank
from edge.vocabulary import Embedding

MODEL, SIZE = "a" * 64, 128


def timed(name: str, bound_ms: float, act: Callable[[int], object], times: int = 20) -> bool:
    """Print median and worst time of *act*, and tell whether the median is within its bound."""
    took_ms, worked_ms = [], []
    for number in range(times):
        began_s, idle_s = time.perf_counter(), time.process_time()
        act(number)
        took_ms.append((time.perf_counter() - began_s) * 1000)
        worked_ms.append((time.process_time() - idle_s) * 1000)
    median = statistics.median(took_ms)
    print(
        f"{name:34} median {median:8.2f} ms  worst {max(took_ms):8.2f}  "
        f"processor {statistics.median(worked_ms):8.2f}  bound {bound_ms:g}",
        flush=True,
    )
    return median <= bound_ms


def embedding(seed: int) -> Embedding:
    """Return a random reference."""
    vector = np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), MODEL)


def main() -> int:
    """Fill the stores, time them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--place", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.place) as folder:
        gallery, audit = Path(folder) / "gallery.sqlite", Path(folder) / "audit.sqlite"
        fill_gallery(gallery, MODEL, subjects=arguments.people, size=SIZE)
        kept = _gallery_times(gallery, arguments.people)
        fill_audit(audit, events=arguments.events)
        kept &= _audit_times(audit, arguments.events)
    return 0 if kept else 1


def _gallery_times(path: Path, people: int) -> bool:
    def start(_: int) -> None:
        with GalleryStore(path, MODEL) as store:
            store.load()

    kept = timed(f"start-up, {people} references", 1000, start, times=5)
    with GalleryStore(path, MODEL) as store:
        loaded = store.load()
        probe = embedding(1)
        kept &= timed("search, one thread", 2, lambda _: rank(probe, loaded))
        kept &= timed("enrol", 50, lambda number: store.enrol(f"Ada {number}", [embedding(number)]))
        kept &= timed("forget", 50, lambda number: store.forget(f"Person {number * 97 + 5}"))
        timed("list everybody (no bound)", 1e9, lambda _: store.people(), times=3)
    return kept


def _audit_times(path: Path, events: int) -> bool:
    with Audit(path) as audit:
        newest = datetime.fromisoformat(audit.events(limit=1)[0].at_utc)
        day = newest - timedelta(days=1)
        kept = timed(f"last 50 of {events} events", 50, lambda _: audit.events(limit=50))
        count = len(audit.events(since_utc=day))
        kept &= timed(f"{count} events of one day", 50, lambda _: audit.events(since_utc=day))
        kept &= timed(
            "one event and 20 after it", 50, lambda _: audit.event_and_next(events // 2, 20)
        )
        timed("verify the whole chain (no bound)", 1e9, lambda _: audit.verify(), times=3)
        old = datetime.fromisoformat(audit.event_and_next(events // 10, 0)[0].at_utc)
        timed(
            f"let go of {events // 10} events (no bound)",
            1e9,
            lambda _: audit.retain(since_utc=old.astimezone(UTC)),
            times=1,
        )
    return kept


if __name__ == "__main__":
    raise SystemExit(main())
