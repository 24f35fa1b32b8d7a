"""Every kind of standstill is a fault within five seconds, and progress is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.health.glimpse import Glimpse, glimpse
from edge.health.watchdog import Fault, Limits, Watchdog

LIMITS = Limits()
DETECTED_S = 5.0
BRIGHT = 200


def run(watchdog, pictures, *, from_s=0.0, every_s=0.1):
    """Capture and process *pictures* in turn; return the time after the last."""
    at_s = from_s
    for seen in pictures:
        watchdog.waiting(at_s)
        at_s += every_s
        watchdog.captured(at_s, seen)
    watchdog.waiting(at_s)
    return at_s


def changing(count, light=BRIGHT):
    return [Glimpse(digest=index, light=light) for index in range(count)]


def test_a_door_that_captures_and_processes_is_fed():
    watchdog = Watchdog(LIMITS)
    at_s = run(watchdog, changing(100))
    assert watchdog.fault(at_s) is None
    assert watchdog.feeds(at_s)


def test_a_door_that_has_not_begun_is_not_at_fault():
    assert Watchdog(LIMITS).fault(1e6) is None


@pytest.mark.parametrize(
    ("fault", "fed"),
    [
        (Fault.NO_FRAME, False),
        (Fault.STALLED, False),
        (Fault.FROZEN, True),
        (Fault.BLACK, True),
    ],
)
def test_each_fault_is_detected_within_five_seconds_and_not_before_its_limit(fault, fed):
    watchdog = Watchdog(LIMITS)
    began_s = run(watchdog, changing(20))
    detected_s = None
    for step in range(1, 100):
        at_s = began_s + step * 0.1
        if fault is Fault.STALLED and step == 1:
            watchdog.captured(at_s, Glimpse(99, BRIGHT))  # and never processed
        elif fault is Fault.FROZEN:
            run(watchdog, [Glimpse(99, BRIGHT)], from_s=at_s - 0.1)
        elif fault is Fault.BLACK:
            run(watchdog, [Glimpse(1000 + step, 0)], from_s=at_s - 0.1)
        if watchdog.fault(at_s) is not None:
            detected_s = at_s - began_s
            break
    assert watchdog.fault(at_s) is fault
    assert 2.9 < detected_s <= DETECTED_S
    assert watchdog.feeds(at_s) is fed


def test_a_stall_is_worse_than_a_frozen_picture():
    watchdog = Watchdog(LIMITS)
    at_s = run(watchdog, [Glimpse(1, BRIGHT)] * 40)
    watchdog.captured(at_s, Glimpse(1, BRIGHT))
    assert watchdog.fault(at_s + 4) is Fault.STALLED
    assert not watchdog.feeds(at_s + 4)


def test_one_other_picture_ends_frozen_and_one_bright_picture_ends_black():
    watchdog = Watchdog(LIMITS)
    at_s = run(watchdog, [Glimpse(1, 0)] * 40)
    assert watchdog.fault(at_s) is Fault.FROZEN
    at_s = run(watchdog, [Glimpse(2, 0)], from_s=at_s)
    assert watchdog.fault(at_s) is Fault.BLACK
    at_s = run(watchdog, [Glimpse(3, BRIGHT)], from_s=at_s)
    assert watchdog.fault(at_s) is None


def test_limits_of_zero_allow_any_picture():
    watchdog = Watchdog(Limits(frozen_s=0, black_s=0))
    at_s = run(watchdog, [Glimpse(1, 0)] * 600)
    assert watchdog.fault(at_s) is None


def test_a_film_may_be_black_and_repeat_itself():
    watchdog = Watchdog(LIMITS)
    at_s = run(watchdog, [None] * 600)
    assert watchdog.fault(at_s) is None


def test_reopening_forgets_what_was_seen_but_must_come_to_an_end():
    watchdog = Watchdog(LIMITS)
    at_s = run(watchdog, [Glimpse(1, 0)] * 40)
    watchdog.reopening(at_s)
    assert watchdog.fault(at_s) is None
    assert not watchdog.repeats(Glimpse(1, 0))
    assert watchdog.fault(at_s + LIMITS.capture_s + 0.1) is Fault.NO_FRAME


@given(gaps=st.lists(st.integers(0, 40), max_size=30))
def test_it_is_fed_exactly_while_no_frame_is_overdue(gaps):
    """Whatever the rhythm, in half seconds: fed until the limit passes, and not after."""
    watchdog = Watchdog(LIMITS)
    at_s = 0.0
    watchdog.waiting(at_s)
    for index, gap_s in enumerate(gap / 2 for gap in gaps):
        assert watchdog.feeds(at_s + gap_s) is (gap_s <= LIMITS.capture_s)
        at_s += gap_s
        watchdog.captured(at_s, Glimpse(index, BRIGHT))
        assert watchdog.feeds(at_s + gap_s) is (gap_s <= LIMITS.process_s)
        watchdog.waiting(at_s)


def test_a_glimpse_sees_one_changed_block_anywhere():
    pixels = np.full((480, 640, 3), 90, np.uint8)
    before = glimpse(pixels)
    for top, left in ((0, 0), (472, 632), (240, 316)):
        changed = pixels.copy()
        changed[top : top + 8, left : left + 8] += 1
        assert glimpse(changed).digest != before.digest
    assert glimpse(pixels.copy()) == before


@pytest.mark.parametrize(
    ("picture", "black"),
    [("covered", True), ("hot pixel", True), ("night", False), ("lamp", False)],
)
def test_black_is_a_picture_in_which_nothing_shines(picture, black):
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 6, (480, 640, 3), np.uint8)
    if picture == "hot pixel":
        pixels[100:104, 200:204] = 255
    elif picture == "night":
        pixels = rng.integers(0, 40, (480, 640, 3), np.uint8)
    elif picture == "lamp":
        pixels[200:264, 300:364] = 180
    assert (glimpse(pixels).light < LIMITS.black_light) is black


def test_a_thread_that_hears_no_contacts_any_more_is_a_fault_that_ends_the_program():
    dog = Watchdog(Limits(hear_s=3.0))
    dog.hears(0.0)
    dog.captured(2.9, Glimpse(1, 200))
    assert dog.fault(3.0) is None
    assert dog.fault(3.1) is Fault.DEAF
    assert not dog.feeds(3.1)
    dog.hears(3.2)
    assert dog.fault(3.3) is None


def test_before_anybody_hears_nobody_is_deaf():
    assert Watchdog(Limits()).fault(100.0) is None


def test_a_few_pictures_that_come_in_turn_are_a_frozen_camera_too():
    """A driver that hangs may hand out its few buffers again and again."""
    dog, at_s = Watchdog(LIMITS), 0.0
    while dog.fault(at_s) is None:
        assert at_s < DETECTED_S
        seen = Glimpse(round(at_s * 10) % 4, BRIGHT)
        assert dog.repeats(seen) == (at_s >= 0.4)
        dog.captured(at_s, seen)
        dog.waiting(at_s)
        at_s = round(at_s + 0.1, 3)
    assert dog.fault(at_s) is Fault.FROZEN
