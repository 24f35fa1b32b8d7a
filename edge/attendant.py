"""Threads that hear what happens while no frame comes: contacts, buttons, digits, and the clock.

A device's callback puts what happened, with its time, into the attendant's queue and returns. The
attendant alone acts on it, so that a camera that hangs or a slow network keeps nobody inside. Where
an attendant ends by an error, the door is shut: nobody would hear the exit button any more.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Self

from edge.errors import DoorError, ShutError

_JOIN_S = 2.0
_log = logging.getLogger(__name__)


class Attendant:
    """One thread that does one thing after the other; `close` may be called twice.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, idle: Callable[[], float], *, on_failure: Callable[[], None]) -> Self:
        """Begin, with what was put in already.

        Args:
            idle: called before each wait; returns for how long to wait at most, in seconds.
            on_failure: called if the thread ends by an error.
        """
        self._thread = threading.Thread(
            target=self._run, args=(idle, on_failure), name=self._name, daemon=True
        )
        self._thread.start()
        return self

    def put(self, act: Callable[[], object]) -> None:
        """Have *act* done as soon as possible; returns at once."""
        self._work.put(act)

    def close(self) -> None:
        """Do what was put in already, and end."""
        self._work.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _run(self, idle: Callable[[], float], on_failure: Callable[[], None]) -> None:
        done = False
        try:
            while not done:
                wait_s = idle()
                try:
                    act = self._work.get(timeout=max(0.0, wait_s))
                except queue.Empty:
                    continue
                if act is None:
                    done = True
                else:
                    act()
        except ShutError as exc:
            _log.info("%s: %s", self._name, exc)  # nothing new, and so at every end of the door
        except DoorError as exc:
            _log.critical("%s: %s", self._name, exc)
        finally:
            if not done:
                on_failure()
