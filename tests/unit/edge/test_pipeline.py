"""Evidence adds up for a visitor: the pipeline follows faces and tells `decide` whose they are."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np
import pytest
from policies import policy

from edge.audit import Audit
from edge.config import QualityConfig
from edge.door import Timing
from edge.doorkeeper import Doorkeeper
from edge.gallery import GalleryStore
from edge.pipeline import Door, watch
from edge.pose import MEAN_FACE
from edge.testing import RecordingRelay, ReplayCamera, StubEmbedder
from edge.vocabulary import Box, Detection, Embedding, Outcome, Reason

MODEL = "0" * 64
ADA = np.array([1.0, 0.0], np.float32)
# Noise all over: sharp, lit, and neither masked nor behind sunglasses wherever the face is.
PICTURE = np.random.default_rng(1).integers(40, 220, (240, 640, 3)).astype(np.uint8)
POLICY = policy(model_id=MODEL, least_frames=3)


def face(x, eye_px=40.0):
    landmarks = (MEAN_FACE[:, :2] * eye_px + (x, 80)).astype(np.float32)
    return Detection(Box(x - eye_px, 40, x + eye_px, 40 + 2.5 * eye_px), landmarks, 1.0)


class Plan:
    """A detector that finds in each frame what the test says."""

    def __init__(self, *frames):
        self._frames = iter(frames)

    def detect(self, pixels):
        return tuple(next(self._frames))


@pytest.fixture
def played(tmp_path):
    """Return a function that shows frames of faces, all of whom are taken for Ada."""

    def play(*frames, policy=POLICY):
        steps = []
        with ExitStack() as stack:
            gallery = stack.enter_context(closing(GalleryStore(tmp_path / "g.sqlite", MODEL)))
            audit = stack.enter_context(closing(Audit(tmp_path / "a.sqlite")))
            gallery.enrol("Ada", [Embedding(ADA.copy(), MODEL)])
            door = Door(
                camera=ReplayCamera([PICTURE] * len(frames)),
                detector=Plan(*frames),
                embedder=StubEmbedder([ADA]),
                gallery=gallery,
                limits=QualityConfig(),
                policy=policy,
                keeper=Doorkeeper(RecordingRelay(), audit, Timing(release_s=3.0, cap_s=10.0)),
            )
            watch(door, on_step=steps.append)
        return steps

    return play


def test_three_frames_of_one_face_open_the_door(played):
    steps = played([face(200)], [face(205)], [face(210)])
    assert steps[-1].decision.outcome is Outcome.GRANT


def test_three_frames_of_two_people_do_not(played):
    """Both are taken for Ada, and still neither has three frames of his own."""
    steps = played([face(200)], [face(200)], [face(450)], [face(450)])
    assert [step.decision.outcome for step in steps] == [Outcome.WAIT] * 4
    assert [step.observation.faces[0].track for step in steps] == [1, 1, 2, 2]


def test_one_who_is_only_overtaken_by_another_is_followed_meanwhile(played):
    """The one behind is not judged, but does not become a stranger either."""
    far, near = face(200, 30.0), face(450, 40.0)
    steps = played([far], [far], [near, far], [far])
    assert [step.observation.faces[0].track for step in steps] == [1, 1, 2, 1]
    assert steps[-1].decision.frames == 1


def test_the_order_in_which_a_detector_finds_faces_does_not_matter(played):
    pair = [face(200), face(450)]
    steps = played(pair, pair[::-1], pair)
    assert [step.observation.faces[0].track for step in steps] == [1, 2, 1]


def test_an_observation_says_how_many_were_searched_and_how_many_are_near(played):
    """A face too small to be judged is in nobody's company."""
    steps = played([face(200)], [face(450, 40.0), face(200, 38.0)], [face(450), face(200, 8.0)])
    seen = [step.observation for step in steps]
    assert [each.references for each in seen] == [1, 1, 1]
    assert [each.in_view for each in seen] == [1, 2, 1]


def test_a_site_may_let_in_nobody_while_two_are_near(played):
    pair = [face(450), face(200, 38.0)]
    steps = played(pair, pair, pair, pair, policy=replace(POLICY, alone_only=True))
    assert {step.decision.reason for step in steps} == {Reason.SEVERAL_FACES}
