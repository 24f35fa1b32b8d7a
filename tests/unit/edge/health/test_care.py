"""All of health around one door: ready, told of, asked, and closed."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.camera import Camera
from edge.config import CameraConfig, DoorConfig
from edge.detect import Detector
from edge.embed import Embedder
from edge.errors import CameraError
from edge.health.care import Care
from edge.health.notify import Notifier
from edge.health.status import ask
from edge.testing import ReplayCamera, StubDetector, StubEmbedder
from edge.vocabulary import Decision, Outcome, Reason

WAITS = Decision(Outcome.WAIT, Reason.MATCH, 1.0, None, None, 0.6, 0, "m" * 64)


def pictures(count, seed=0):
    return list(np.random.default_rng(seed).integers(0, 255, (count, 48, 64, 3), np.uint8))


@pytest.fixture
def config(tmp_path):
    return replace(
        DoorConfig(),
        camera=CameraConfig(backend="opencv", source="0"),
        store=replace(DoorConfig().store, audit=tmp_path / "audit.sqlite"),
        health=replace(DoorConfig().health, socket=tmp_path / "status.sock"),
    )


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(2)
        yield listening


class Around:
    """What a service gives to `Care.around`, and what it was told."""

    def __init__(self):
        self.noted = []

    def given(self):
        return {
            "last_words": (),
            "note": self.noted.append,
            "state": lambda: "locked",
            "parts": {"bundle": {"name": "shipped"}},
        }


def run(care):
    for frame in care.camera.frames():
        care.processed(frame, WAITS)


def test_the_service_is_ready_after_its_first_frame_and_says_when_it_stops(config, manager):
    care = Care(
        config,
        lambda: ReplayCamera(pictures(5)),
        notifier=Notifier(manager.getsockname()),
    )
    with care.around(**Around().given()):
        run(care)
    told = []
    while not told or told[-1] != b"STOPPING=1":
        told.append(manager.recv(200))
    assert told.count(b"READY=1") == 1
    assert told.index(b"READY=1") < told.index(b"STOPPING=1")


def test_the_status_tells_of_frames_stages_and_parts(config):
    care = Care(config, lambda: ReplayCamera(pictures(5)))
    detector = care.detector(StubDetector(()))
    embedder = care.embedder(StubEmbedder([np.ones(4, np.float32)], model_id="m" * 64))
    with care.around(**Around().given()):
        for frame in care.camera.frames():
            detector.detect(frame.pixels)
            care.processed(frame, WAITS)
        embedder.embed(None)
        status = ask(config.health.socket)
    assert status["state"] == "locked"
    assert status["counts"]["frames"] == 5
    assert set(status["counts"]["stages"]) == {"detect", "embed", "frame"}
    assert status["camera"] == {"fault": None, "troubled": False, "reopened": 0}
    assert status["parts"]["bundle"]["name"] == "shipped"
    assert not config.health.socket.exists()


def test_what_is_watched_and_timed_still_obeys_the_protocols(config):
    care = Care(config, lambda: ReplayCamera(pictures(1)))
    stub = StubEmbedder([np.ones(4, np.float32)], model_id="f" * 64)
    camera: Camera = care.camera
    detector: Detector = care.detector(StubDetector(()))
    embedder: Embedder = care.embedder(stub)
    assert isinstance(camera, Camera)
    assert detector.detect(pictures(1)[0]) == ()
    assert embedder.model_id == "f" * 64


def test_a_failing_camera_is_noted_once_and_opened_again(config):
    cameras = [ReplayCamera(pictures(3), fails_after=2), ReplayCamera(pictures(3, seed=1))]
    care, told = Care(config, lambda: cameras.pop(0)), Around()
    with care.around(**told.given()):
        run(care)
        status = ask(config.health.socket)
    assert told.noted == ["no_frame"]
    assert status["camera"]["reopened"] == 1
    assert status["camera"]["troubled"]
    assert status["counts"]["frames"] == 5


def test_a_film_may_repeat_itself_and_fails_for_good(config, tmp_path):
    film = replace(config, camera=CameraConfig(backend="folder", source=str(tmp_path)))
    care = Care(film, lambda: ReplayCamera([pictures(1)[0]] * 30, fails_after=30))
    with care.around(**Around().given()), pytest.raises(CameraError):
        run(care)
    assert care.camera.reopened == 0
    assert care._vitals.counts().frames == 30


def test_a_door_goes_on_where_nobody_can_ask_how_it_is(config, caplog):
    deaf = replace(config, health=replace(config.health, socket=Path("/proc/none/status.sock")))
    care = Care(deaf, lambda: ReplayCamera(pictures(2)))
    with care.around(**Around().given()):
        run(care)
    assert "the door goes on without" in caplog.text


def test_metrics_are_offered_where_the_configuration_asks(config):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    measured = replace(config, health=replace(config.health, metrics_port=port))
    care = Care(measured, lambda: ReplayCamera(pictures(2)))
    with care.around(**Around().given()):
        run(care)
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as asking:
            asking.request("GET", "/metrics")
            assert b"janus_frames_total 2" in asking.getresponse().read()
