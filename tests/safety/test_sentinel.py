"""kill -9 during a pulse, a process that hangs, a sentinel that dies: the strike is locked.

The lines of the stand-in lgpio are files that outlive a process, as a Pi's pins may.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from itertools import groupby
from pathlib import Path

import pytest

from edge.config import RelayConfig
from edge.errors import RelayError
from edge.relay import HARD_CAP_S
from edge.sentinel import LATE_S, Sentinel

FAKES = Path(__file__).parents[1] / "support" / "fake_lgpio"
ROOT = Path(__file__).parents[2]
LOCKED = ("0", "z")
# A door with nothing but its relay and its sentinel: one pulse, then as the test says.
DOOR = """
    import os, signal, sys, time
    from contextlib import closing
    from edge import relay as relay_module, sentinel as sentinel_module
    from edge.config import RelayConfig
    from edge.relay import open_relay
    from edge.sentinel import Sentinel
    config = RelayConfig(pin_factory="lgpio", active_high={high})
    with closing(Sentinel(config)) as sentinel, closing(
        open_relay(config, guard=sentinel)
    ) as relay:
        sentinel.wait_until_ready()
        print(sentinel._process.pid, flush=True)
        relay.release(10.0)
        print("released", flush=True)
        {then}
"""


class Line:
    """Line 17 of the stand-in board, looked at from outside."""

    def __init__(self, folder):
        self.folder = folder

    @property
    def level(self):
        return (self.folder / "level-17").read_text()

    def history(self):
        """Return (seconds, process, level) of every change."""
        rows = (self.folder / "history-17").read_text().split("\n")[:-1]
        return [(float(at), int(who), level) for at, who, level in map(str.split, rows)]

    def levels_by(self, process):
        """Return the levels that a process drove in turn."""
        return [
            level for level, _ in groupby(each[2] for each in self.history() if each[1] == process)
        ]


@pytest.fixture
def line(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LGPIO", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(FAKES), str(ROOT))))
    monkeypatch.setenv("LG_WD", str(tmp_path))
    return Line(tmp_path)


def start(then="time.sleep(60)", *, high=True):
    """Start a door, and return it with its sentinel's process once its strike is released."""
    program = textwrap.dedent(DOOR).format(then=then, high=high)
    door = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    sentinel = door.stdout.readline()
    assert sentinel, door.stderr.read()
    assert door.stdout.readline() == "released\n"
    return door, int(sentinel)


def wait_until(holds, timeout_s):
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.005)


def end(door):
    door.kill()
    door.wait()
    door.stdout.close()
    door.stderr.close()


@pytest.mark.parametrize("high", [True, False])
def test_a_door_that_is_killed_during_a_pulse_is_locked_by_its_sentinel(line, high):
    door, sentinel = start(high=high)
    released, locked = ("1", "0") if high else ("0", "1")
    assert line.level == released
    door.kill()
    # gpiozero takes a pin as an input; then it is driven to the locked level, and given back.
    taken = ["z", locked, "z"]
    wait_until(lambda: line.levels_by(sentinel) == taken, timeout_s=15)
    end(door)


@pytest.mark.slow
def test_a_door_that_is_stopped_in_the_middle_of_a_pulse_is_killed_and_locked(line):
    """SIGSTOP: nothing of the door runs, its relay's timer neither."""
    began_s = time.monotonic()
    door, sentinel = start()
    os.kill(door.pid, signal.SIGSTOP)
    wait_until(lambda: line.level in LOCKED, timeout_s=HARD_CAP_S + 20)
    assert time.monotonic() - began_s >= HARD_CAP_S
    assert door.wait(10) == -signal.SIGKILL
    wait_until(lambda: line.levels_by(sentinel) == ["z", "0", "z"], timeout_s=15)
    end(door)


def test_a_door_that_ends_as_it_should_needs_no_sentinel(line):
    door, sentinel = start(then="pass")
    said = door.communicate(timeout=30)[1]
    assert (door.returncode, said) == (0, "")
    assert line.level == "z"
    assert sentinel not in {who for _, who, _ in line.history()}


def test_signals_that_tell_every_process_to_stop_leave_the_sentinel_on_its_post(line):
    """systemd tells all of a service's processes to end; the strike may still be released then."""
    door, sentinel = start()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(sentinel, number)
    time.sleep(0.2)
    door.kill()
    wait_until(lambda: line.level in LOCKED, timeout_s=15)
    end(door)


def test_without_its_sentinel_a_door_releases_no_more(line):
    then = """
        relay.lock()
        os.kill(sentinel._process.pid, signal.SIGKILL)
        sentinel._process.wait()
        try:
            relay.release(1.0)
        except Exception as exc:
            print(type(exc).__name__, exc, flush=True)
    """
    door, _ = start(then=textwrap.indent(textwrap.dedent(then), "    ").strip())
    said, errors = door.communicate(timeout=30)
    assert "RelayError the sentinel has died" in said, errors
    assert [level for *_, level in line.history()].count("1") == 1
    assert line.level == "z"


def test_a_sentinel_hears_pulse_after_pulse_and_kills_nobody(tmp_path):
    sentinel = Sentinel(RelayConfig(pin_factory="mock"))
    sentinel.wait_until_ready()
    for _ in range(50):
        sentinel.released()
        sentinel.released()
        sentinel.locked()
        sentinel.locked()
    sentinel.close()
    sentinel.close()
    assert sentinel._process.returncode == 0
    with pytest.raises(RelayError, match="has died"):
        sentinel.released()


def test_a_sentinel_that_cannot_start_keeps_the_door_shut(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RelayError, match="cannot be started"):
        Sentinel(RelayConfig(pin_factory="mock"))


def test_a_sentinel_that_dies_at_once_keeps_the_door_shut(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    sentinel = Sentinel(RelayConfig(pin_factory="mock"))
    with pytest.raises(RelayError, match="does not start"):
        sentinel.wait_until_ready()
    sentinel.close()


def test_the_sentinel_allows_no_more_than_a_tenth_of_a_second():
    assert LATE_S <= 0.1
