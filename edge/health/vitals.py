"""What the door counts of itself while it runs: frames, times, decisions; numbers, no people."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from edge.vocabulary import Decision, Outcome

_KEPT = 256  # newest times of each stage: some seconds, at any frame rate
_RATE_OVER_S = 5.0


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage took lately, in milliseconds."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class LastDecision:
    """The newest decision that was more than waiting, and its age."""

    age_s: float
    outcome: str
    reason: str
    score: float | None
    threshold: float


@dataclass(frozen=True, slots=True)
class Counts:
    """A consistent reading of the vitals."""

    uptime_s: float = 0.0
    frames: int = 0
    rate_hz: float = 0.0
    stages: Mapping[str, StageTime] = field(default_factory=lambda: MappingProxyType({}))
    decisions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    last_decision: LastDecision | None = None


class Vitals:
    """Counts; one thread tells, others may read. Bounded in memory however long the door runs.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._changing = clock, threading.Lock()
        self._began_s = clock()
        self._frames = 0
        self._recent: deque[float] = deque(maxlen=_KEPT)
        self._took: dict[str, deque[float]] = {}
        self._decisions: Counter[str] = Counter()
        self._last: tuple[float, Decision] | None = None

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Measure how long the block takes, also where it raises."""
        began_s = self._clock()
        try:
            yield
        finally:
            self.took(stage, self._clock() - began_s)

    def took(self, stage: str, took_s: float) -> None:
        """Note how long *stage* took, in seconds."""
        with self._changing:
            self._took.setdefault(stage, deque(maxlen=_KEPT)).append(took_s)

    def processed(self, decision: Decision) -> None:
        """Count one frame, and what the door made of it."""
        now_s = self._clock()
        with self._changing:
            self._frames += 1
            self._recent.append(now_s)
            if decision.outcome is not Outcome.WAIT:
                self._decisions[decision.outcome.value] += 1
                self._last = (now_s, decision)

    def counts(self) -> Counts:
        """Return what was counted until now."""
        with self._changing:
            now_s = self._clock()
            return Counts(
                uptime_s=now_s - self._began_s,
                frames=self._frames,
                rate_hz=_rate_hz(self._recent, now_s),
                stages={name: _stage_time(took) for name, took in self._took.items()},
                decisions=dict(self._decisions),
                last_decision=None if self._last is None else _last(*self._last, now_s),
            )


def _rate_hz(at_s: deque[float], now_s: float) -> float:
    """Return the frames a second of the last seconds, or of as many as are remembered."""
    recent = sum(1 for each in at_s if now_s - each <= _RATE_OVER_S)
    if recent == 0:
        return 0.0
    full = recent == at_s.maxlen
    over_s = now_s - at_s[0] if full or recent == len(at_s) else _RATE_OVER_S
    return recent / over_s if over_s > 0 else 0.0


def _stage_time(took_s: deque[float]) -> StageTime:
    p50, p95 = np.percentile(np.asarray(took_s), (50, 95)) * 1000
    return StageTime(round(float(p50), 2), round(float(p95), 2))


def _last(at_s: float, decision: Decision, now_s: float) -> LastDecision:
    return LastDecision(
        age_s=round(now_s - at_s, 1),
        outcome=decision.outcome.value,
        reason=decision.reason.value,
        score=decision.score,
        threshold=decision.threshold,
    )
