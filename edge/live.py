"""The newest frame of a live device, however slow its consumer and however stuck its driver."""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from edge.errors import CameraError
from edge.vocabulary import Frame, PixelArray

_CLOSE_S = 1.0
# A thread that hangs in a driver cannot be ended; so many of them, and only a new process helps.
_MOST_LEFT_BEHIND = 8
_THREAD = "camera"
_log = logging.getLogger(__name__)


class Driver(Protocol):
    """A live device. One thread makes all calls, in this order; each may block for long."""

    advice: str

    def open(self) -> None:
        """Make the device ready, or raise CameraError."""

    def read(self) -> PixelArray:
        """Return the next frame, (H, W, 3) uint8 RGB, as an owned copy, or raise CameraError."""

    def close(self) -> None:
        """Give the device back, also after a failed `open`."""


def left_behind() -> int:
    """Return how many capture threads of this process live, those that hang included."""
    return sum(each.name == _THREAD for each in threading.enumerate())


class LiveCamera:
    """A camera that keeps the newest frame only, read by a thread of its own.

    A slow consumer skips frames and never sees a stale one; a driver that hangs, in whatever
    call, is a CameraError within *timeout_s*. ``captured_at_s`` is monotonic time at the frame's
    arrival, ``index`` counts what the device gave: gaps are frames that were skipped.

    Args:
        driver: the device; the capture thread's own from now on.
        timeout_s: longest wait for the device to open, and then for each frame.

    Raises:
        CameraError: if the device does not open in time.
    """

    def __init__(self, driver: Driver, *, timeout_s: float) -> None:
        self._driver, self._timeout_s = driver, timeout_s
        self._changed = threading.Condition()
        self._opened = self._closed = False
        self._newest: Frame | None = None
        self._failure: CameraError | None = None
        # A daemon, because nothing can make a driver return that hangs in the kernel.
        self._thread = threading.Thread(target=self._capture, name=_THREAD, daemon=True)
        if left_behind() >= _MOST_LEFT_BEHIND:
            raise CameraError(
                f"{left_behind()} capture threads hang in the camera's driver and cannot be ended; "
                f"start the door again, and {driver.advice}"
            )
        self._thread.start()
        atexit.register(self.close)
        try:
            self._wait_for(lambda: self._opened, "did not open")
        except CameraError:
            self._closed = True
            atexit.unregister(self.close)
            raise

    def frames(self) -> Iterator[Frame]:
        """Yield the newest frame each time, waiting for one that was not yielded before.

        Raises:
            CameraError: if the device stops, or gives no frame within ``timeout_s``.
        """
        while True:
            with self._changed:
                self._wait_for(self._has_fresh_frame, "gave no frame")
                frame, self._newest = self._newest, None
            if self._closed or frame is None:
                return
            yield frame

    def close(self) -> None:
        """End the capture thread; a driver that hangs is left behind after a second."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        atexit.unregister(self.close)
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            _log.warning("the camera's driver hangs and is left behind; %s", self._driver.advice)

    def _has_fresh_frame(self) -> bool:
        """Tell whether a frame waits; one that aged while the device hung is dropped."""
        if self._newest and time.monotonic() - self._newest.captured_at_s > self._timeout_s:
            self._newest = None
        return self._newest is not None

    def _wait_for(self, holds: Callable[[], bool], failing: str) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._failure or holds(), self._timeout_s
            )
            if self._closed or holds():
                return
            raise self._failure or CameraError(
                f"the camera {failing} within {self._timeout_s:g} s; {self._driver.advice}"
            )

    def _capture(self) -> None:
        failure = None
        try:
            self._driver.open()
            self._tell(opened=True)
            for index in itertools.count():
                if self._closed:
                    break
                pixels = self._driver.read()
                self._tell(newest=Frame(pixels, time.monotonic(), index))
        except CameraError as exc:
            failure = exc
        except Exception as exc:  # noqa: BLE001 - a driver's own errors are many
            _log.debug("the camera's driver raised", exc_info=True)
            failure = CameraError(f"the camera's driver raised {exc!r}; {self._driver.advice}")
        finally:
            self._driver.close()
        # Told last: who hears of it may exit, and a daemon thread that is still in a driver's C++
        # while Python exits aborts the program.
        if failure:
            self._tell(failure=failure)

    def _tell(
        self,
        *,
        opened: bool = False,
        newest: Frame | None = None,
        failure: CameraError | None = None,
    ) -> None:
        with self._changed:
            self._opened |= opened
            self._newest = newest
            self._failure = failure
            self._changed.notify_all()
