"""A reference is judged as a visitor is, but stricter, and whoever is refused is told why."""

from __future__ import annotations

from types import SimpleNamespace

import astronaut
import cv2
import numpy as np
import pytest

from edge.bundles.bundle import inspect_bundle
from edge.config import SHIPPED_BUNDLE, DetectorConfig, QualityConfig
from edge.detect import open_detector
from edge.enrolment import Enroller, conflict, least_alike
from edge.errors import EnrolmentError
from edge.pipeline import examine
from edge.pose import MEAN_FACE
from edge.testing import StubDetector, StubEmbedder
from edge.tflite import installed_runtimes
from edge.vocabulary import Box, Detection, Embedding, Flaw, Frame, Gallery

PICTURE = np.random.default_rng(1).integers(40, 220, (320, 320, 3)).astype(np.uint8)
ADA = np.array([1.0, 0.0], np.float32)
MODEL = "0" * 64


def looking(yaw_deg=0.0, *, eye_px=50.0, roll_deg=0.0, x=160):
    turn, lean = np.radians([yaw_deg, roll_deg])
    across = MEAN_FACE @ (np.cos(turn), 0, -np.sin(turn))
    seen = np.stack([across, MEAN_FACE[:, 1]], axis=1) * eye_px
    rolled = seen @ np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]])
    wide = 1.4 * eye_px
    landmarks = np.add(rolled, (x, 130)).astype(np.float32)
    return Detection(Box(x - wide, 60, x + wide, 60 + 3.6 * eye_px), landmarks, 1.0)


def enroller(*faces):
    return Enroller(StubDetector(faces), StubEmbedder([ADA]), QualityConfig())


def at_the_door(face, pixels):
    """Return what the door makes of the same face, with nobody enrolled."""
    door = SimpleNamespace(limits=QualityConfig(), embedder=StubEmbedder([ADA]))
    nobody = Gallery(MODEL, (), np.zeros((0, 2), np.float32))
    return examine(Frame(pixels, 0.0, 0), face, nobody, door, track=1)


def test_one_who_looks_into_the_camera_is_enrolled():
    reference = enroller(looking(10)).refer(PICTURE)
    assert reference.embedding.vector.size == 2
    assert reference.crop.shape == (112, 112, 3)


def smeared(pixels):
    return cv2.GaussianBlur(pixels, (0, 0), 12)


@pytest.mark.parametrize(
    ("face", "pixels", "flaw"),
    [
        (looking(eye_px=20), PICTURE, Flaw.TOO_SMALL),
        (looking(), PICTURE // 8, Flaw.TOO_DARK),
        (looking(), PICTURE // 12 + 238, Flaw.TOO_BRIGHT),
        (looking(), smeared(PICTURE), Flaw.TOO_BLURRED),
        (looking(45), PICTURE, Flaw.TURNED),
        (looking(roll_deg=50), PICTURE, Flaw.TILTED),
    ],
)
def test_what_the_door_does_not_judge_is_no_reference_for_the_same_reason(face, pixels, flaw):
    assert flaw in at_the_door(face, pixels).flaws
    with pytest.raises(EnrolmentError) as refused:
        enroller(face).refer(pixels)
    assert f"({flaw.value})" in str(refused.value)


def test_a_covered_face_is_no_reference():
    masked = PICTURE.copy()
    masked[150:] = 130
    assert at_the_door(looking(), masked).flaws == (Flaw.COVERED,)
    with pytest.raises(EnrolmentError, match=r"covered \(uncover your face\)"):
        enroller(looking()).refer(masked)


def test_a_turn_that_the_door_allows_is_too_much_for_a_reference():
    aside = looking(28)
    assert at_the_door(aside, PICTURE).flaws == ()
    with pytest.raises(EnrolmentError, match=r"the face is turned \(look at the camera\)"):
        enroller(aside).embed(PICTURE)


def test_every_flaw_is_told_at_once():
    with pytest.raises(EnrolmentError, match=r"too dark \(.*\), turned \("):
        enroller(looking(45)).refer(PICTURE // 8)


def test_a_picture_without_a_face_or_with_two_is_refused():
    with pytest.raises(EnrolmentError, match="no face is found"):
        enroller().refer(PICTURE)
    with pytest.raises(EnrolmentError, match="2 faces are found; take a picture with one person"):
        enroller(looking(), looking(eye_px=40, x=230)).refer(PICTURE)


def test_a_small_face_in_the_background_is_no_rival():
    assert enroller(looking(), looking(eye_px=20, x=280)).refer(PICTURE).embedding.vector.size == 2


@pytest.mark.skipif(not installed_runtimes(), reason="no TFLite runtime is installed")
def test_a_real_portrait_is_a_reference_until_it_is_smeared_or_dark():
    detector = open_detector(DetectorConfig(), eyes=inspect_bundle(SHIPPED_BUNDLE).eyes)
    enrols = Enroller(detector, StubEmbedder([ADA]), QualityConfig())
    portrait = astronaut.picture()
    assert enrols.refer(portrait).crop.std() > 20
    with pytest.raises(EnrolmentError, match="too blurred"):
        enrols.refer(cv2.GaussianBlur(portrait, (0, 0), 4))
    with pytest.raises(EnrolmentError, match="too dark"):
        enrols.refer((portrait * 0.2).astype(np.uint8))


def embedding(*vector):
    unit = np.array(vector, np.float32)
    return Embedding(unit / np.linalg.norm(unit), MODEL)


def enrolled(**people):
    rows = [embedding(*vector).vector for vector in people.values()]
    return Gallery(MODEL, tuple(people), np.stack(rows))


def test_who_matches_somebody_else_is_a_conflict_and_who_matches_himself_is_none():
    gallery = enrolled(ada=(1, 0, 0), eve=(0, 1, 0))
    like_ada = [embedding(0, 0, 1), embedding(0.9, 0, 0.1)]
    assert conflict(like_ada, set(), gallery, 0.6) == "ada"
    assert conflict(like_ada, {"ada"}, gallery, 0.6) is None
    assert conflict([embedding(0, 0, 1)], set(), gallery, 0.6) is None


def test_the_least_alike_pair_tells_that_a_photo_shows_somebody_else():
    photos = [embedding(1, 0), embedding(0.96, 0.28), embedding(0, 1)]
    assert least_alike(photos) == pytest.approx(0.0, abs=1e-6)
    assert least_alike(photos[:2]) == pytest.approx(0.96, abs=1e-5)
    assert least_alike(photos[:1]) == pytest.approx(1.0, abs=1e-5)
