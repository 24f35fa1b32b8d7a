"""The stand-ins behave as the real parts do, refuse what they refuse, and forget nothing."""

from __future__ import annotations

import inspect
import threading

import numpy as np
import pytest

from edge.camera import BACKENDS, Camera
from edge.config import RelayConfig
from edge.detect import Detector
from edge.embed import Embedder
from edge.errors import CameraError, RelayError
from edge.gpio import PIN_DRIVERS
from edge.relay import HARD_CAP_S, Relay, open_relay
from edge.testing import RecordingRelay, ReplayCamera, StubDetector, StubEmbedder
from edge.vocabulary import AlignedFace, Box, Detection, Frame


class Clock:
    """A time that the test sets."""

    now_s = 0.0

    def __call__(self):
        return self.now_s


def picture(value):
    return np.full((6, 8, 3), value, np.uint8)


def detection():
    return Detection(Box(0, 0, 4, 4), np.zeros((5, 2), np.float32), score=1.0)


def face():
    return AlignedFace(
        np.zeros((112, 112, 3), np.uint8), np.eye(2, 3, dtype=np.float32), detection()
    )


def test_replay_camera_gives_pictures_in_order_at_its_frame_rate():
    camera = ReplayCamera([picture(1), picture(2)], frame_rate_hz=4.0)
    frames = list(camera.frames())
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [1, 2]
    assert [(frame.index, frame.captured_at_s) for frame in frames] == [(0, 0.0), (1, 0.25)]


def test_replay_camera_gives_frames_as_they_are_and_again():
    frame = Frame(picture(1), captured_at_s=7.5, index=3)
    camera = ReplayCamera([frame])
    assert list(camera.frames()) == [frame]
    assert list(camera.frames()) == [frame]


def test_replay_camera_leaves_the_callers_picture_writable():
    own = picture(1)
    camera = ReplayCamera([own])
    own[:] = 9
    (frame,) = camera.frames()
    assert int(frame.pixels.max()) == 1
    assert not frame.pixels.flags.writeable


@pytest.mark.parametrize("given", [0, 1, 2])
def test_replay_camera_fails_after_as_many_frames_as_asked(given):
    frames = ReplayCamera([picture(1), picture(2)], fails_after=given).frames()
    for _ in range(given):
        next(frames)
    with pytest.raises(CameraError, match=f"after {given} frames"):
        next(frames)


def test_replay_camera_hangs_until_it_is_closed():
    camera = ReplayCamera([picture(1), picture(2)], hangs_after=1)
    seen = []
    consumer = threading.Thread(target=lambda: seen.extend(camera.frames()), daemon=True)
    consumer.start()
    consumer.join(0.1)
    assert consumer.is_alive()
    camera.close()
    consumer.join(5)
    assert not consumer.is_alive()
    assert len(seen) == 1


def test_replay_camera_that_is_closed_ends_and_may_be_closed_again():
    camera = ReplayCamera([picture(1), picture(2)])
    frames = camera.frames()
    next(frames)
    camera.close()
    camera.close()
    assert camera.closed
    assert list(frames) == []


def test_recording_relay_remembers_what_happened_and_when():
    clock = Clock()
    relay = RecordingRelay(clock)
    relay.release(3.0)
    clock.now_s = 1.0
    relay.lock()
    clock.now_s = 2.0
    relay.release(0.5)
    relay.close()
    relay.close()
    assert relay.releases == [3.0, 0.5]
    assert relay.events == [(0.0, "release"), (1.0, "lock"), (2.0, "release"), (2.0, "close")]


def test_a_recorded_pulse_ends_by_the_clock_and_never_after_the_hard_cap():
    clock = Clock()
    relay = RecordingRelay(clock)
    relay.release(3.0)
    clock.now_s = 2.9
    assert relay.released
    clock.now_s = 3.0
    assert not relay.released
    for at_s in range(3, 13):
        clock.now_s = float(at_s)
        relay.release(3.0)
    clock.now_s = 3.0 + HARD_CAP_S - 0.1
    assert relay.released
    clock.now_s = 3.0 + HARD_CAP_S
    assert not relay.released


def test_recording_relay_can_be_told_to_fail():
    relay = RecordingRelay(fails=True)
    with pytest.raises(RelayError, match="as asked"):
        relay.release(1.0)
    assert relay.releases == []
    assert not relay.released


@pytest.fixture(params=["recording", "mock GPIO"])
def any_relay(request):
    kind = request.param
    relay = RecordingRelay() if kind == "recording" else open_relay(RelayConfig(pin_factory="mock"))
    yield relay
    relay.close()


@pytest.mark.parametrize("duration_s", [0.0, -1.0, HARD_CAP_S + 0.001, float("nan")])
def test_recorded_and_real_relays_refuse_the_same_durations(any_relay, duration_s):
    with pytest.raises(RelayError, match="cannot be released for"):
        any_relay.release(duration_s)
    assert not any_relay.released


def test_recorded_and_real_relays_are_locked_by_lock_and_close(any_relay):
    assert isinstance(any_relay, Relay)
    any_relay.release(5.0)
    assert any_relay.released
    any_relay.lock()
    assert not any_relay.released
    any_relay.release(5.0)
    any_relay.close()
    assert not any_relay.released
    any_relay.lock()
    with pytest.raises(RelayError, match="the relay is closed"):
        any_relay.release(1.0)
    assert not any_relay.released


def test_stub_detector_finds_the_given_faces_or_fails():
    given = detection()
    assert StubDetector([given]).detect(picture(0)) == (given,)
    assert StubDetector([]).detect(picture(0)) == ()
    with pytest.raises(CameraError, match="broken"):
        StubDetector([given], fails_with=CameraError("broken")).detect(picture(0))


def test_stub_embedder_gives_its_vectors_in_turn_at_unit_length_or_fails():
    embedder = StubEmbedder([np.array([3.0, 4.0]), np.array([0.0, -2.0])], model_id="ab")
    given = [embedder.embed(face()) for _ in range(3)]
    expected = np.array([[0.6, 0.8], [0.0, -1.0], [0.0, -1.0]], np.float32)
    np.testing.assert_array_equal(np.stack([each.vector for each in given]), expected)
    assert [each.model_id for each in given] == ["ab"] * 3
    assert given[0].vector.dtype == np.float32
    with pytest.raises(CameraError, match="broken"):
        StubEmbedder([np.ones(2)], fails_with=CameraError("broken")).embed(face())


@pytest.mark.parametrize(
    ("stub", "method"), [(StubDetector, Detector.detect), (StubEmbedder, Embedder.embed)]
)
def test_stubs_have_the_signatures_of_their_protocols(stub, method):
    """Annotations are compared as written."""
    assert inspect.signature(getattr(stub, method.__name__)) == inspect.signature(method)


def test_a_replay_camera_is_a_camera():
    assert isinstance(ReplayCamera([]), Camera)


def test_no_configuration_leads_to_a_stand_in():
    built = [*BACKENDS.values(), *PIN_DRIVERS.values()]
    assert {each.__module__ for each in built} == {"edge.camera", "edge.gpio"}
