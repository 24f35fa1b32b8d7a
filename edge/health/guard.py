"""The thread that feeds systemd's watchdog, and ends a program that no longer makes progress."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from edge.errors import HardwareError
from edge.health.notify import Notifier
from edge.health.watchdog import Fault, Watchdog

INTERVAL_S = 0.25
LAST_WORD_S = 0.5
_log = logging.getLogger(__name__)


class Guard:
    """Asks the watchdog a few times a second; feeds, or ends the program.

    A thread that is stuck in native code cannot be ended, so the program is: at once, by
    ``os._exit``, after the last words. An interpreter that stops altogether stops this thread with
    it, and then systemd's own WatchdogSec ends it.

    Args:
        watchdog: knows whether frames are captured and processed.
        notifier: is fed.
        last_words: what to do before the end, the strike first; each gets `LAST_WORD_S` at most,
            for whatever is stuck may hold a lock that it needs.
        leave: ends the program with an exit code.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        watchdog: Watchdog,
        notifier: Notifier,
        *,
        last_words: Sequence[Callable[[Fault], None]],
        leave: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watchdog, self._notifier = watchdog, notifier
        self._last_words, self._leave, self._clock = tuple(last_words), leave, clock
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; may be called twice, also where it never began."""
        self._closed.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(2 * INTERVAL_S)

    def _run(self) -> None:
        doubts = False
        while not self._closed.wait(INTERVAL_S):
            now_s = self._clock()
            fault = self._watchdog.fault(now_s)
            if fault is None or self._watchdog.feeds(now_s):
                doubts = False
                self._notifier.feed()
            elif doubts:
                self._end(fault)
                return
            else:
                # A machine that slept wakes to a time in which nothing could happen: a second look.
                doubts = True

    def _end(self, fault: Fault) -> None:
        _log.critical("%s: the program ends, and systemd starts it again", fault.value)
        self._notifier.status(fault.value)
        for say in self._last_words:
            speaker = threading.Thread(target=say, args=(fault,), name="last word", daemon=True)
            speaker.start()
            speaker.join(LAST_WORD_S)
        self._leave(HardwareError.exit_code)
