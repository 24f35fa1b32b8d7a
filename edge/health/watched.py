"""A live camera that is watched, and opened again when it fails, freezes or goes black.

Obeys the protocol of `edge.camera.Camera`, so that the door's loop knows nothing of it: whoever
asks for the next frame has processed the one before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from edge.errors import CameraError
from edge.health.glimpse import glimpse
from edge.health.watchdog import BLIND, Fault, Watchdog
from edge.vocabulary import Frame

_SLICE_S = 0.5  # of a pause: as often the watchdog hears that the program still works on it
_log = logging.getLogger(__name__)


class Source(Protocol):
    """What is watched: a camera, see `edge.camera.Camera`."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames; raise CameraError."""

    def close(self) -> None:
        """Give the device back."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How a lost camera is sought, in seconds.

    Args:
        give_up_s: after so long without a good picture the program ends, for systemd to restart;
            0: at once.
        first_pause_s: before the first attempt; it doubles with each further one …
        longest_pause_s: … up to this.
        steady_s: so long without a fault, and the camera counts as well again. Until then the time
            to `give_up_s` runs on: a camera that fails every few seconds does not do so for ever.
    """

    give_up_s: float = 60.0
    first_pause_s: float = 0.25
    longest_pause_s: float = 8.0
    steady_s: float = 10.0


class WatchedCamera:
    """A camera whose every frame the watchdog hears of.

    A picture that is identical to the one before is not passed on: it is no new evidence, and a
    frozen picture of somebody who was let in must not let the next one in. A camera that is blind
    stays open between two attempts, for it may only be dark; one that fails is closed.

    Args:
        open_source: opens the device; raises CameraError.
        watchdog: is told of every frame, and says what is wrong with them.
        patience: how long and how often a lost camera is sought.
        live: whether it is a device. A film may end, fail for good, repeat itself and be black.
        on_fault: told once when trouble begins, on the thread that asks for frames.
        on_recovery: told once when it is over.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        watchdog: Watchdog,
        *,
        patience: Patience,
        live: bool = True,
        on_fault: Callable[[Fault], None] = lambda _: None,
        on_recovery: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open, self._watchdog, self._live = open_source, watchdog, live
        self._patience = patience if live else Patience(give_up_s=0)
        self._on_fault, self._on_recovery, self._clock = on_fault, on_recovery, clock
        self._source: Source | None = None
        self._closed = threading.Event()
        self._next_index = 0
        self._began_s: float | None = None  # when the present trouble began
        self._last_fault_s = 0.0
        self._pause_s = patience.first_pause_s
        self._reopen_at_s = 0.0
        self.reopened = 0

    @property
    def troubled(self) -> bool:
        """Whether the camera has failed and is not yet well again."""
        return self._began_s is not None

    def frames(self) -> Iterator[Frame]:
        """Yield frames, over as many openings of the device as it takes.

        ``index`` counts on from one opening to the next.

        Raises:
            CameraError: if the camera is not well again within ``give_up_s``.
        """
        while not self._closed.is_set():
            try:
                self._watchdog.waiting(self._clock())
                self._source = self._source or self._open()
                self._watchdog.waiting(self._clock())
                yield from self._passed_on(self._source)
            except _BlindError:
                self._reopen_at_s = self._clock() + self._next_pause_s()
                self._shut()
            except CameraError as exc:
                self._trouble(Fault.NO_FRAME, exc)
                self._shut()
                self._pause(self._next_pause_s())
            else:
                return
            self.reopened += 1

    def close(self) -> None:
        """Give the device back; may be called twice."""
        self._closed.set()
        if self._source is not None:
            self._source.close()

    def _passed_on(self, source: Source) -> Iterator[Frame]:
        """Yield what *source* gives, counted on and without repetitions.

        Raises:
            _BlindError: if it shows nothing, and it is time to open it again.
        """
        first = self._next_index
        for frame in source.frames():
            now_s = self._clock()
            seen = glimpse(frame.pixels) if self._live else None
            repeats = seen is not None and self._watchdog.repeats(seen)
            self._watchdog.captured(now_s, seen)
            fault = self._watchdog.fault(now_s)
            if fault in BLIND:
                blind = _BlindError(fault)
                self._trouble(fault, blind)
                if now_s >= self._reopen_at_s:
                    raise blind
            elif not repeats:
                self._settle(now_s)
            self._next_index = first + frame.index + 1
            if not repeats:
                yield replace(frame, index=first + frame.index)
            self._watchdog.waiting(self._clock())

    def _trouble(self, fault: Fault, exc: CameraError) -> None:
        """Begin trouble, or go on with it; give up when it lasts too long.

        Raises:
            CameraError: *exc* itself, once patience is at its end.
        """
        now_s, give_up_s = self._clock(), self._patience.give_up_s
        self._last_fault_s = now_s
        if self._began_s is None:
            self._began_s = now_s
            self._on_fault(fault)
            if give_up_s > 0:
                _log.error("%s; opening it again, for %g s at most", exc, give_up_s)
        if now_s - self._began_s >= give_up_s:
            raise CameraError(str(exc)) from exc

    def _settle(self, now_s: float) -> None:
        """Call the trouble over once nothing was wrong for long enough."""
        if self._began_s is not None and now_s - self._last_fault_s > self._patience.steady_s:
            self._began_s, self._pause_s = None, self._patience.first_pause_s
            self._reopen_at_s = 0.0
            _log.info("the camera is well again")
            self._on_recovery()

    def _next_pause_s(self) -> float:
        """Return how long to wait now; twice as long the next time."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, self._patience.longest_pause_s)
        return pause_s

    def _shut(self) -> None:
        self._watchdog.reopening(self._clock())  # first, for a hanging device closes slowly
        if self._source is not None:
            self._source.close()
            self._source = None
        self._watchdog.reopening(self._clock())

    def _pause(self, pause_s: float) -> None:
        """Wait before the next attempt, telling the watchdog all the while."""
        ends_s = self._clock() + pause_s
        while (left_s := ends_s - self._clock()) > 0 and not self._closed.is_set():
            self._closed.wait(min(left_s, _SLICE_S))
            self._watchdog.reopening(self._clock())


class _BlindError(CameraError):
    """The camera answers, but shows nothing."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.value}; look at its lens, the light and the cable")
