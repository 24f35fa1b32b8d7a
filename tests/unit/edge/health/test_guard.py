"""The guard feeds while there is progress, and ends a program without any, the strike first."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from edge.errors import HardwareError
from edge.health.glimpse import Glimpse
from edge.health.guard import Guard
from edge.health.watchdog import Fault, Limits, Watchdog


class CountingNotifier:
    """Counts feeds; an event tells of the first."""

    def __init__(self):
        self.fed = threading.Event()
        self.said = []

    def feed(self):
        self.fed.set()

    def status(self, sentence):
        self.said.append(sentence)


def test_it_feeds_while_frames_are_processed():
    notifier, watchdog = CountingNotifier(), Watchdog(Limits())
    watchdog.waiting(0.0)
    guard = Guard(watchdog, notifier, last_words=(), leave=pytest.fail, clock=lambda: 1.0)
    guard.start()
    assert notifier.fed.wait(5)
    guard.close()
    guard.close()


def test_a_stall_ends_the_program_after_the_last_words_even_if_one_of_them_hangs():
    notifier, watchdog, said, left = CountingNotifier(), Watchdog(Limits()), [], []
    ended, never = threading.Event(), threading.Event()
    watchdog.captured(0.0, Glimpse(1, 200))

    def leave(code):
        left.append(code)
        ended.set()

    guard = Guard(
        watchdog,
        notifier,
        last_words=(lambda _: never.wait(), said.append),
        leave=leave,
        clock=lambda: 4.0,
    )
    guard.start()
    assert ended.wait(5)
    never.set()
    guard.close()
    assert not notifier.fed.is_set()
    assert said == [Fault.STALLED]
    assert left == [HardwareError.exit_code]
    assert notifier.said == [Fault.STALLED.value]


def test_a_machine_that_slept_has_time_to_go_on():
    """A suspended machine, a stopped process: no stage is to blame for the time that is missing."""
    notifier, watchdog = CountingNotifier(), Watchdog(Limits())
    watchdog.captured(0.0, Glimpse(1, 200))

    def clock():
        """Wake after a minute; then the frame is processed at once."""
        if looks:
            watchdog.waiting(60.0)
        looks.append(60.0 + len(looks) / 4)
        return looks[-1]

    looks: list[float] = []
    guard = Guard(watchdog, notifier, last_words=(), leave=pytest.fail, clock=clock)
    guard.start()
    assert notifier.fed.wait(5)
    guard.close()
    assert len(looks) > 1
    assert notifier.said == []


def test_a_program_whose_main_thread_hangs_is_really_ended():
    """The real exit: nothing of Python is left to run, and the code makes systemd restart."""
    program = """
import threading, time
from edge.health.glimpse import Glimpse
from edge.health.guard import Guard
from edge.health.notify import Notifier
from edge.health.watchdog import Limits, Watchdog
watchdog = Watchdog(Limits(process_s=0.1))
say = lambda fault: print("locked:", fault.name, flush=True)
Guard(watchdog, Notifier(None), last_words=[say]).start()
watchdog.captured(time.monotonic(), Glimpse(1, 200))
threading.Event().wait(60)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == HardwareError.exit_code
    assert done.stdout == "locked: STALLED\n"
