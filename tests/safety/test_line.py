"""For each stage: let it raise or stall, then look at the relay. Locked, and nothing released."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest
from policies import policy

from edge.audit import Audit
from edge.config import QualityConfig
from edge.door import Timing
from edge.doorkeeper import Doorkeeper
from edge.errors import AuditError, BundleError, CameraError, DoorError, GalleryError, RelayError
from edge.gallery import GalleryStore
from edge.pipeline import Door, watch
from edge.testing import RecordingRelay, ReplayCamera, StubDetector, StubEmbedder
from edge.vocabulary import Box, Detection, Embedding, Outcome

MODEL = "0" * 64
ADA = np.array([1.0, 0.0, 0.0, 0.0], np.float32)
EVE = np.array([0.0, 1.0, 0.0, 0.0], np.float32)
LANDMARKS = np.array([[60, 60], [100, 60], [80, 82], [64, 104], [96, 104]], np.float32)
FACE = Detection(Box(30, 30, 130, 130), LANDMARKS, 1.0)
PICTURES = [
    np.random.default_rng(i).integers(40, 220, (160, 160, 3)).astype(np.uint8) for i in range(8)
]
POLICY = policy(model_id=MODEL)


@pytest.fixture
def door(tmp_path):
    """Return a builder of doors at which Ada stands, enrolled; parts can be exchanged."""
    with (
        closing(GalleryStore(tmp_path / "gallery.sqlite", MODEL)) as gallery,
        closing(Audit(tmp_path / "audit.sqlite")) as audit,
    ):
        gallery.enrol("Ada", [Embedding(ADA.copy(), MODEL)])

        def build(relay=None, audit=audit, **parts):
            timing = Timing(release_s=3.0, cap_s=10.0)
            return Door(
                **{
                    "camera": ReplayCamera(PICTURES),
                    "detector": StubDetector([FACE]),
                    "embedder": StubEmbedder([ADA]),
                    "gallery": gallery,
                    "limits": QualityConfig(),
                    "policy": POLICY,
                    "keeper": Doorkeeper(relay or RecordingRelay(), audit, timing),
                }
                | parts
            )

        yield build


def events(door):
    return [event for _, event in door.keeper.relay.events]


def test_a_door_with_nothing_wrong_opens_once_and_ends_locked(door):
    whole = door()
    watch(whole)
    assert whole.keeper.relay.releases == [3.0]
    assert events(whole) == ["release", "lock"]


def test_a_stranger_does_not_open_it(door):
    shut = door(embedder=StubEmbedder([EVE]))
    watch(shut)
    assert (shut.keeper.relay.releases, events(shut)) == ([], ["lock"])


class Failing:
    """Stands before a real part and raises from one of its methods."""

    def __init__(self, part, method, error):
        self._part, self._method, self._error = part, method, error

    def __getattr__(self, name):
        if name != self._method:
            return getattr(self._part, name)

        def fail(*args, **kwargs):
            raise self._error

        return fail


FAULTS = {
    "camera": lambda door: {"camera": ReplayCamera(PICTURES, fails_after=2)},
    "detector": lambda door: {"detector": StubDetector([], fails_with=BundleError("broken"))},
    "embedder": lambda door: {"embedder": StubEmbedder([ADA], fails_with=BundleError("broken"))},
    "gallery": lambda door: {"gallery": Failing(door.gallery, "changed", GalleryError("gone"))},
    "gallery at start": lambda door: {"gallery": Failing(door.gallery, "load", GalleryError("x"))},
    "audit": lambda door: {"audit": Failing(door.keeper.audit, "record", AuditError("disk full"))},
    "relay": lambda door: {"relay": RecordingRelay(fails=True)},
    "defect": lambda door: {"detector": StubDetector([], fails_with=ZeroDivisionError("defect"))},
    "memory": lambda door: {"embedder": StubEmbedder([ADA], fails_with=MemoryError())},
    "interrupt": lambda door: {"embedder": StubEmbedder([ADA], fails_with=KeyboardInterrupt())},
    "exit": lambda door: {"embedder": StubEmbedder([ADA], fails_with=SystemExit(0))},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_raises_nothing_is_released_and_the_relay_ends_locked(door, fault):
    broken = door(**FAULTS[fault](door()))
    with pytest.raises((DoorError, ZeroDivisionError, MemoryError, KeyboardInterrupt, SystemExit)):
        watch(broken)
    assert broken.keeper.relay.releases == []
    assert not broken.keeper.relay.released
    assert events(broken)[-1] == "lock"


def test_observer_that_fails_after_a_grant_locks_the_strike_early(door):
    def observe(step):
        if step.decision.outcome is Outcome.GRANT:
            raise BrokenPipeError

    broken = door()
    with pytest.raises(BrokenPipeError):
        watch(broken, on_step=observe)
    assert events(broken) == ["release", "lock"]
    assert not broken.keeper.relay.released


def test_grant_is_in_the_audit_before_the_strike_is_released(door):
    whole = door()
    order = []

    class Noting(RecordingRelay):
        def release(self, duration_s):
            order.append([each.kind for each in whole.keeper.audit.events()])
            super().release(duration_s)

    watch(door(audit=whole.keeper.audit, relay=Noting()))
    assert order == [["decision", "release"]]


def test_a_camera_that_hangs_opens_nothing_and_ends_when_it_is_closed(door):
    camera = ReplayCamera(PICTURES, hangs_after=2)
    stalled = door(camera=camera)
    seen = []

    def rescue():
        seen.append((list(stalled.keeper.relay.releases), stalled.keeper.relay.released))
        camera.close()

    timer = threading.Timer(0.5, rescue)
    timer.start()
    watch(stalled)
    timer.join()
    assert seen == [([], False)]
    assert events(stalled) == ["lock"]


def test_forgetting_a_person_while_the_door_runs_takes_effect_at_the_next_frame(door, tmp_path):
    running = door(camera=ReplayCamera(PICTURES * 2))
    decisions = []

    def observe(step):
        decisions.append(step.decision)
        if len(decisions) == 1:
            with closing(GalleryStore(tmp_path / "gallery.sqlite", MODEL)) as other:
                other.forget("Ada")

    watch(running, on_step=observe)
    assert running.keeper.relay.releases == []
    assert decisions[-1].score is None


@pytest.mark.parametrize("kind", [CameraError, RelayError])
def test_hardware_errors_share_the_code_that_makes_the_service_restart(kind):
    assert kind.exit_code == 5


def test_evidence_that_asks_for_a_second_factor_opens_nothing_where_there_is_none(door):
    """Without a gate nobody asks for the PIN: the face alone must not do."""
    weak = policy(model_id=MODEL, correlation=1.0, false_accept_with_pin=0.05)
    shut, decisions = door(policy=weak), []
    watch(shut, on_step=lambda step: decisions.append(step.decision))
    assert [each.needs_second_factor for each in decisions].count(True) == 1
    assert (shut.keeper.relay.releases, events(shut)) == ([], ["lock"])
    kinds = [each.kind for each in shut.keeper.audit.events()]
    assert kinds == ["decision", "not admitted"]
