"""The thread that reads a live device: what hangs in it is bounded."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest

from edge import live
from edge.errors import CameraError
from edge.live import LiveCamera, left_behind


class Hangs:
    """A device whose driver does not return until it is let go."""

    advice = "look at the test"

    def __init__(self, until):
        self._until = until

    def open(self):
        self._until.wait()

    def read(self):
        return np.zeros((8, 8, 3), np.uint8)

    def close(self):
        pass


def wait_for_capture_threads():
    for thread in threading.enumerate():
        if thread.name == "camera":
            thread.join(5)


def test_capture_threads_that_hang_are_counted_and_no_more_are_begun_than_a_few(monkeypatch):
    wait_for_capture_threads()  # those of tests before may be about to end
    monkeypatch.setattr(live, "_MOST_LEFT_BEHIND", left_behind() + 2)
    let_go = threading.Event()
    before = left_behind()
    for _ in range(2):
        with pytest.raises(CameraError, match="did not open"):
            LiveCamera(Hangs(let_go), timeout_s=0.05)
    assert left_behind() == before + 2
    with pytest.raises(CameraError, match=r"capture threads hang .* start the door again"):
        LiveCamera(Hangs(let_go), timeout_s=0.05)
    let_go.set()
    wait_for_capture_threads()
    with closing(LiveCamera(Hangs(let_go), timeout_s=5.0)) as camera:
        assert next(camera.frames()).pixels.shape == (8, 8, 3)
