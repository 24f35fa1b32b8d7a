"""A day of the door in virtual time: visitors, strangers, a failing camera, a clock that jumps."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from policies import policy

from edge.audit import Audit
from edge.config import QualityConfig
from edge.door import Timing
from edge.doorkeeper import Doorkeeper
from edge.errors import CameraError
from edge.gallery import GalleryStore
from edge.health.watchdog import Fault, Limits, Watchdog
from edge.health.watched import Patience, WatchedCamera
from edge.pipeline import Door, watch
from edge.service import WAITS_A_MINUTE, Reporter
from edge.testing import RecordingRelay, StubEmbedder
from edge.vocabulary import Box, Detection, Embedding, Frame

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DAY_S = 86_400.0
MODEL = "0" * 64
ADA = np.array([1.0, 0.0, 0.0, 0.0], np.float32)
EVE = np.array([0.0, 1.0, 0.0, 0.0], np.float32)
LANDMARKS = np.array([[60, 60], [100, 60], [80, 82], [64, 104], [96, 104]], np.float32)
FACE = Detection(Box(30, 30, 130, 130), LANDMARKS, 1.0)
PICTURES = np.random.default_rng(0).integers(40, 220, (8, 160, 160, 3)).astype(np.uint8)
VISIT_S, TROUBLE_S = 3.0, 5.0
MINUTE_S, HOUR_S = 60.0, 3600.0
RELEASE_S = 3.0


def within(at_s, every_s, from_s, for_s):
    """Tell whether *at_s* is in what happens every so often, from so late on, for so long."""
    return from_s <= at_s % every_s < from_s + for_s


class Day:
    """What is before the camera, and how the camera is, at each second of the day."""

    def __init__(self):
        self.now_s, self.count, self.opened = 0.0, 0, 0

    def clock(self):
        return self.now_s

    def calendar(self):
        """Return the time of day: set back an hour at six, and forward by three at eighteen."""
        wrong_h = (self.now_s >= 6 * HOUR_S) * -1 + (self.now_s >= 18 * HOUR_S) * 3
        begins = datetime(2026, 3, 29, tzinfo=UTC)
        return begins + timedelta(seconds=self.now_s, hours=wrong_h)

    def who(self):
        """Return who stands there: Ada every ten minutes, Eve in between, mostly nobody."""
        if within(self.now_s, 10 * MINUTE_S, 60.0, VISIT_S):
            return ADA
        return EVE if within(self.now_s, 10 * MINUTE_S, 360.0, VISIT_S) else None

    def frozen(self):
        return within(self.now_s, HOUR_S, 12 * MINUTE_S, TROUBLE_S)

    def black(self):
        return within(self.now_s, 2 * HOUR_S, 22 * MINUTE_S, TROUBLE_S)

    def gone(self):
        return within(self.now_s, 3 * HOUR_S, 32 * MINUTE_S, TROUBLE_S)

    def troubled(self):
        return self.frozen() or self.black() or self.gone()


class Device:
    """The camera of that day: ten frames a second while something happens, else one."""

    def __init__(self, day):
        day.opened += 1
        self._day = day

    def frames(self):
        index = -1
        while self._day.now_s < DAY_S:
            index += 1
            quick = self._day.who() is not None or self._day.troubled()
            self._day.now_s = round(self._day.now_s + (0.1 if quick else 1.0), 1)
            if self._day.gone():
                raise CameraError("the cable was pulled")
            if not self._day.frozen():
                self._day.count += 1
            pixels = PICTURES[self._day.count % 8].copy()
            pixels[0, 0, :] = (self._day.count & 255, self._day.count >> 8 & 255, 100)
            if self._day.black():
                pixels //= 100
            yield Frame(pixels, self._day.now_s, index)

    def close(self):
        pass


class Finds:
    """Finds a face where somebody stands."""

    def __init__(self, day):
        self._day = day

    def detect(self, pixels):
        return () if self._day.who() is None else (FACE,)


class Knows:
    """Embeds whoever stands there."""

    model_id = MODEL

    def __init__(self, day):
        self._day = day

    def embed(self, face):
        return StubEmbedder([self._day.who()]).embed(face)


def test_a_day_lets_in_who_is_enrolled_each_time_and_nobody_else_whatever_the_camera_does(
    tmp_path, caplog
):
    day = Day()
    watchdog, faults = Watchdog(Limits()), []

    def opened():
        if day.gone():
            day.now_s += 1.0
            watchdog.waiting(day.now_s)
            raise CameraError("there is no camera")
        return Device(day)

    caplog.set_level("INFO")
    with (
        closing(GalleryStore(tmp_path / "gallery.sqlite", MODEL)) as gallery,
        closing(Audit(tmp_path / "audit.sqlite", clock=day.calendar)) as audit,
    ):
        gallery.enrol("Ada", [Embedding(ADA.copy(), MODEL)])
        relay = RecordingRelay(day.clock)
        keeper = Doorkeeper(
            relay,
            audit,
            Timing(release_s=RELEASE_S, cap_s=10.0),
            clock=day.clock,
            calendar=day.calendar,
        )
        camera = WatchedCamera(
            opened,
            watchdog,
            patience=Patience(first_pause_s=0.0, longest_pause_s=0.0),
            on_fault=lambda fault: (faults.append(fault), audit.note("camera", fault=fault.name)),
            clock=day.clock,
        )
        report, frames = Reporter(waits_a_minute=WAITS_A_MINUTE), 0

        def on_step(step):
            nonlocal frames
            frames += 1
            report(step)
            assert watchdog.feeds(day.now_s)
            assert not (relay.released and day.frozen())

        watch(
            Door(
                camera=camera,
                detector=Finds(day),
                embedder=Knows(day),
                gallery=gallery,
                limits=QualityConfig(),
                policy=policy(model_id=MODEL),
                keeper=keeper,
            ),
            on_step,
        )
        events = audit.events()
        assert audit.verify() is None
    visits = int(DAY_S / (10 * MINUTE_S))
    assert frames > DAY_S * 0.9
    assert relay.releases == [RELEASE_S] * visits
    assert not relay.released
    kinds = [event.kind for event in events]
    assert kinds.count("release") == visits
    said = [event.facts for event in events if event.kind == "decision"]
    assert [each["outcome"] for each in said].count("grant") == visits
    assert all(each["subject_id"] is not None for each in said if each["outcome"] == "grant")
    assert faults.count(Fault.FROZEN) == 24
    assert faults.count(Fault.BLACK) == 12
    assert faults.count(Fault.NO_FRAME) == 8
    # Some lines a visit: the log of a day takes no more room than some pictures do.
    assert len(caplog.records) < 20 * 2 * visits
    assert sum(len(each.getMessage()) for each in caplog.records) < 1_000_000
