"""A camera that fails, freezes or goes black is opened again; the door sees no stale picture."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import CameraError
from edge.health.watchdog import Fault, Limits, Watchdog
from edge.health.watched import Patience, WatchedCamera
from edge.vocabulary import Frame


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def noise(seed):
    return np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)


FROZEN = noise(0)
BLACK, FAILS = "black", "fails"


class ScriptedCamera:
    """Gives one picture each tenth of a second, as its script says."""

    def __init__(self, clock, script):
        self._clock, self._script = clock, script
        self.closed = False

    def frames(self):
        for index, each in enumerate(self._script):
            self._clock.now_s += 0.1
            if each is FAILS:
                raise CameraError("the cable was pulled")
            if each is BLACK:
                pixels = np.random.default_rng(index).integers(0, 3, (48, 64, 3), np.uint8)
            else:
                pixels = each
            yield Frame(pixels.copy(), self._clock.now_s, index)

    def close(self):
        self.closed = True


class Site:
    """A watched camera whose openings are scripted, and what was told of it."""

    def __init__(self, *openings, limits=None, patience=None):
        self.clock, self.faults, self.recoveries = Clock(), [], 0
        self.watchdog = Watchdog(limits or Limits())
        self._openings, self.opened = list(openings), []
        self.camera = WatchedCamera(
            self._open,
            self.watchdog,
            patience=patience or Patience(first_pause_s=0.0, longest_pause_s=0.0),
            on_fault=lambda fault: self.faults.append((fault, self.clock())),
            on_recovery=self._recovered,
            clock=self.clock,
        )

    def _open(self):
        script = self._openings.pop(0)
        if script is None:
            self.clock.now_s += 3.0
            raise CameraError("there is no camera")
        self.opened.append(ScriptedCamera(self.clock, script))
        return self.opened[-1]

    def _recovered(self):
        self.recoveries += 1

    def run(self):
        return list(self.camera.frames())


def good(count, first=1):
    return [noise(first + index) for index in range(count)]


def test_a_good_camera_passes_through_untouched():
    site = Site(good(30))
    frames = site.run()
    assert [frame.index for frame in frames] == list(range(30))
    assert all(np.array_equal(frame.pixels, noise(1 + frame.index)) for frame in frames)
    assert site.faults == []
    assert site.camera.reopened == 0


def test_a_failed_camera_is_closed_opened_again_and_counts_on():
    site = Site([*good(5), FAILS], None, good(5, first=50))
    frames = site.run()
    assert len(frames) == 10
    assert [frame.index for frame in frames] == list(range(10))
    assert [fault for fault, _ in site.faults] == [Fault.NO_FRAME]
    assert site.opened[0].closed
    assert site.camera.reopened == 2


def test_a_camera_that_is_absent_at_first_is_waited_for():
    site = Site(None, None, good(3))
    assert len(site.run()) == 3


@pytest.mark.parametrize(("picture", "fault"), [(FROZEN, Fault.FROZEN), (BLACK, Fault.BLACK)])
def test_a_blind_camera_is_noticed_within_five_seconds_and_opened_again(picture, fault):
    site = Site([*good(5), *[picture] * 100], good(5, first=900))
    began_s = site.clock() + 0.5
    site.run()
    assert [each for each, _ in site.faults] == [fault]
    assert site.faults[0][1] - began_s <= 5.0
    assert site.camera.reopened == 1


def test_a_repeated_picture_never_reaches_the_door():
    """A frozen face of somebody who was let in must not let the next one in."""
    site = Site([FROZEN] * 20, limits=Limits(frozen_s=0))
    assert len(site.run()) == 1


def test_a_frozen_camera_stays_open_between_two_attempts_and_serves_at_once_when_it_wakes():
    """It may only be dark: the second attempt waits, the camera does not."""
    patience = Patience(give_up_s=600, first_pause_s=60.0, longest_pause_s=60.0)
    site = Site([*[BLACK] * 40], [*[BLACK] * 100, *good(5)], patience=patience)
    frames = site.run()
    assert len(site.opened) == 2
    assert [frame.pixels.max() > 200 for frame in frames[-5:]] == [True] * 5
    assert site.camera.reopened == 1


def test_it_gives_up_in_the_end_with_the_error_of_the_camera():
    site = Site(*[None] * 100, patience=Patience(give_up_s=20, first_pause_s=0.0))
    with pytest.raises(CameraError, match="there is no camera"):
        site.run()
    assert 20 <= site.clock() - 100.0 <= 24
    assert len(site.faults) == 1  # and one note, however many attempts


def test_patience_of_zero_gives_up_at_once():
    site = Site(None, patience=Patience(give_up_s=0))
    with pytest.raises(CameraError, match="there is no camera"):
        site.run()


def test_a_camera_that_fails_every_few_seconds_does_not_do_so_for_ever():
    openings = [[*good(30, first=100 * each), FAILS] for each in range(1, 12)]
    site = Site(*openings, patience=Patience(give_up_s=20, first_pause_s=0.0, longest_pause_s=0.0))
    with pytest.raises(CameraError, match="cable"):
        site.run()
    assert site.camera.troubled


def test_a_camera_that_stays_well_is_forgiven():
    openings = [[*good(150, first=1000 * each), FAILS] for each in range(1, 5)]
    site = Site(
        *openings,
        good(150),
        patience=Patience(give_up_s=20, first_pause_s=0.0, longest_pause_s=0.0),
    )
    site.run()
    assert len(site.faults) == 4
    assert site.recoveries == 4
    assert not site.camera.troubled


def test_the_watchdog_is_fed_while_a_camera_is_sought_and_not_while_a_frame_hangs():
    site = Site(good(5))
    frames = site.camera.frames()
    next(frames)
    assert site.watchdog.feeds(site.clock() + 2.9)
    assert not site.watchdog.feeds(site.clock() + 3.1)
    next(frames)
    assert site.watchdog.feeds(site.clock())
    site.camera.close()


def test_closing_ends_the_wait_for_a_camera():
    site = Site(None, None, patience=Patience(first_pause_s=3600.0))
    site.clock = None  # the real time: a pause of an hour must end at once
    camera = WatchedCamera(
        lambda: (_ for _ in ()).throw(CameraError("there is no camera")),
        Watchdog(Limits()),
        patience=Patience(first_pause_s=3600.0, longest_pause_s=3600.0),
        on_fault=lambda _: camera.close(),
    )
    assert list(camera.frames()) == []
