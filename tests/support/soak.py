"""The real service for very many frames: what it holds after the first of them, and at the end."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from faults import Fault, Site, draw, enrolled_store

from edge.errors import DoorError
from edge.health.status import ask

SAMPLES = 20
FRAME_S = 0.002  # less than the door needs; without any pause the device would take its processor
_STALLED_S = 60.0
# It is not the disk that is tried: where others write to it, an `fsync` may take longer than
# [health] stall_s, and the door is ended.
_MEMORY = "/dev/shm"  # noqa: S108 - a folder of its own is made in it
IN_MEMORY = _MEMORY if os.access(_MEMORY, os.W_OK) else None


@dataclass(frozen=True)
class Held:
    """What the door's process holds after so many frames."""

    frames: int
    resident_mb: float
    private_mb: float
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Soak:
    """A soak's beginning and end, and what the door did meanwhile."""

    early: Held
    late: Held
    took_s: float
    releases: int
    audited: int
    log_lines: int


def soak(early: int, late: int, progress: Callable[[Held], None] = lambda _: None) -> Soak:
    """Let the door process *late* small frames, as fast as it can, with a visit in each 400.

    Args:
        early: frames after which it is held against the end.
        late: frames at the end.
        progress: told now and then.
    """
    tables = {"decision": "false_accept_per_visit = 0.05\nvisit_gap_s = 0.1"}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=IN_MEMORY)))
        store = stack.enter_context(enrolled_store())
        os.environ["FAULTY_FRAME_S"] = str(FRAME_S)
        stack.callback(os.environ.pop, "FAULTY_FRAME_S")
        draw(store.parent / "pictures.npy", small=True)
        site = Site(folder, Fault("none", lambda _: None, tables=tables), store)
        site.fill()
        with site.managed() as manager:
            manager.wait_for("ready", timeout_s=120)
            site.say("scene", "visits")
            began_s = time.monotonic()
            try:
                first = held_after(site, early, progress)
                last = held_after(site, late, progress)
            except DoorError as exc:
                log = site.log.read_text(encoding="utf-8", errors="replace")
                told = [f"{exc}", *map(str, manager.happened()[-9:]), log[-5000:]]
                raise AssertionError("\n".join(told)) from exc
            took_s = time.monotonic() - began_s
            assert [each.what for each in manager.happened()].count("start") == 1
        kinds = [event.kind for event in site.events()]
        return Soak(
            early=first,
            late=last,
            took_s=took_s,
            releases=len(site.releases()),
            audited=kinds.count("release"),
            log_lines=len(site.log.read_text().splitlines()),
        )


def held_after(site: Site, frames: int, progress: Callable[[Held], None]) -> Held:
    """Wait for so many frames; return the medians of a few readings from then on."""
    seen, moved_s = -1, time.monotonic()
    while (now := processed(site)) < frames:
        assert time.monotonic() - moved_s < _STALLED_S, f"it stands still at {now} frames"
        if now != seen:
            seen, moved_s = now, time.monotonic()
        progress(held(site, now))
        time.sleep(1.0)
    readings = []
    for _ in range(SAMPLES):
        readings.append(held(site, now))
        time.sleep(0.1)
    middle = statistics.median
    return Held(
        now,
        middle(each.resident_mb for each in readings),
        middle(each.private_mb for each in readings),
        round(middle(each.descriptors for each in readings)),
        round(middle(each.threads for each in readings)),
    )


def processed(site: Site) -> int:
    """Return how many frames the door says it processed."""
    return int(ask(site.folder / "status.sock")["counts"]["frames"])


def held(site: Site, frames: int) -> Held:
    """Return what the door's process holds now."""
    process = Path(f"/proc/{site.manager.pid}")
    says = dict(
        line.split(":", 1)
        for line in (process / "status").read_text(encoding="ascii").splitlines()
        if ":" in line
    )

    def megabytes(name: str) -> float:
        return int(says[name].split()[0]) * 1024 / 1e6

    return Held(
        frames,
        megabytes("VmRSS"),
        megabytes("RssAnon"),
        sum(1 for _ in (process / "fd").iterdir()),
        int(says["Threads"]),
    )
