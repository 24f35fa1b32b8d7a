"""A reference is held to stricter limits than a visitor, and whoever is refused is told why."""

from __future__ import annotations

import numpy as np
import pytest

from edge.align import align
from edge.config import QualityConfig
from edge.enrolment import Enroller
from edge.errors import EnrolmentError
from edge.pose import MEAN_FACE
from edge.quality import flaws
from edge.testing import StubDetector, StubEmbedder
from edge.vocabulary import Box, Detection

PICTURE = np.random.default_rng(1).integers(40, 220, (320, 320, 3)).astype(np.uint8)


def looking(yaw_deg):
    turn = np.radians(yaw_deg)
    across = MEAN_FACE @ (np.cos(turn), 0, -np.sin(turn))
    landmarks = np.stack([across, MEAN_FACE[:, 1]], axis=1) * 50 + (160, 130)
    return Detection(Box(90, 60, 230, 240), landmarks.astype(np.float32), 1.0)


def enroller(face):
    return Enroller(StubDetector([face]), StubEmbedder([np.array([1.0, 0.0])]), QualityConfig())


def test_one_who_looks_into_the_camera_is_enrolled():
    assert enroller(looking(10)).embed(PICTURE).vector.size == 2


def test_a_turn_that_the_door_allows_is_too_much_for_a_reference():
    aside = looking(28)
    assert flaws(align(PICTURE, aside), QualityConfig()) == ()
    with pytest.raises(EnrolmentError, match=r"the face is turned \(look at the camera\)"):
        enroller(aside).embed(PICTURE)
