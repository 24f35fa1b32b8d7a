"""Pure: does the door make progress? No clock and no thread: whoever tells and asks gives the time.

The service manager is fed only while frames are captured *and* processed. A frozen or black picture
is progress of nothing: the camera is to be opened again, and for so long the relay stays locked.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from edge.health.glimpse import Glimpse


class Fault(enum.Enum):
    """Why the door is not being watched; the value is a sentence for the log and the audit."""

    NO_FRAME = "the camera gives no frame"
    STALLED = "a frame is not being processed to its end"
    FROZEN = "the camera gives the same pictures again and again"
    BLACK = "the camera gives a black picture"
    DEAF = "nobody hears contacts, buttons and operators any more"


# A driver that hangs may hand out its few buffers in turn, again and again.
_REMEMBERED = 8

# The camera answers, but shows nothing: opening it again may help, and the program is not stuck.
BLIND = frozenset({Fault.FROZEN, Fault.BLACK})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each kind of standstill may last, in seconds, and what counts as black.

    Args:
        capture_s: from one captured frame to the next, or to the end of a reopening.
        process_s: from a frame's capture until it is processed.
        frozen_s: of pictures that were seen a moment ago already; 0: for ever.
        black_s: of black pictures; 0: for ever.
        hear_s: from one round of the thread that hears contacts and buttons to the next.
        black_light: a picture is black whose `Glimpse.light` is below this, 0 to 255.
    """

    capture_s: float = 4.0
    process_s: float = 3.0
    frozen_s: float = 3.0
    black_s: float = 3.0
    hear_s: float = 3.0
    black_light: int = 12


@dataclass(frozen=True, slots=True)
class _Progress:
    """What was told last; every time is in monotonic seconds."""

    waiting_since_s: float | None = None  # for a frame; None before the door begins
    processing_since_s: float | None = None
    seen_at_s: float = 0.0
    digests: tuple[int, ...] = ()  # of the newest pictures that differ
    same_since_s: float = 0.0
    black_since_s: float | None = None


class Watchdog:
    """Is told of frames, and answers whether to feed.

    One thread tells of frames and another may ask: what is known is one frozen value, replaced at
    once. A third tells that it hears.

    Args:
        limits: the longest standstills.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known = _Progress()
        self._heard_s: float | None = None

    @property
    def limits(self) -> Limits:
        """The longest standstills."""
        return self._limits

    def hears(self, at_s: float) -> None:
        """Contacts, buttons and operators are heard; to be told again within ``hear_s``."""
        self._heard_s = at_s

    def waiting(self, at_s: float) -> None:
        """The door begins, or goes on, to wait for a frame; the one before is processed."""
        self._known = replace(self._known, waiting_since_s=at_s, processing_since_s=None)

    def captured(self, at_s: float, seen: Glimpse | None) -> None:
        """A frame arrived, and its processing begins.

        Args:
            at_s: time in monotonic seconds.
            seen: what the picture shows; None where pictures may repeat or be black (a film).
        """
        known = replace(self._known, waiting_since_s=at_s, processing_since_s=at_s)
        if seen is not None:
            known = replace(known, seen_at_s=at_s)
            if seen.digest not in known.digests:
                digests = (seen.digest, *known.digests[: _REMEMBERED - 1])
                known = replace(known, digests=digests, same_since_s=at_s)
            if seen.light >= self._limits.black_light:
                known = replace(known, black_since_s=None)
            elif known.black_since_s is None:
                known = replace(known, black_since_s=at_s)
        self._known = known

    def reopening(self, at_s: float) -> None:
        """The camera is being opened again: what was seen through it no longer counts."""
        self._known = _Progress(waiting_since_s=at_s)

    def repeats(self, seen: Glimpse) -> bool:
        """Tell whether *seen* was given a moment ago already: it brings no new evidence."""
        return seen.digest in self._known.digests

    def fault(self, at_s: float) -> Fault | None:
        """Return what is wrong at *at_s*, the worst first; None if nothing is.

        Before the door begins to wait for its first frame nothing is: the time to start is the
        service manager's to bound.
        """
        known, limits = self._known, self._limits
        if known.processing_since_s is not None:
            if at_s - known.processing_since_s > limits.process_s:
                return Fault.STALLED
        elif known.waiting_since_s is not None and at_s - known.waiting_since_s > limits.capture_s:
            return Fault.NO_FRAME
        heard_s = self._heard_s
        if heard_s is not None and at_s - heard_s > limits.hear_s:
            return Fault.DEAF
        # By the newest picture, not by now: a camera that gives none is not frozen.
        seen_at_s, black_since_s = known.seen_at_s, known.black_since_s
        if _exceeds(seen_at_s - known.same_since_s, limits.frozen_s):
            return Fault.FROZEN
        if black_since_s is not None and _exceeds(seen_at_s - black_since_s, limits.black_s):
            return Fault.BLACK
        return None

    def feeds(self, at_s: float) -> bool:
        """Tell whether the service manager is to be fed at *at_s*.

        A blind camera is a fault, but one that the program works on: see `BLIND`.
        """
        fault = self.fault(at_s)
        return fault is None or fault in BLIND


def _exceeds(lasted_s: float, limit_s: float) -> bool:
    return 0 < limit_s < lasted_s
