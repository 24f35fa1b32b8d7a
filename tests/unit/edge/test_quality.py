"""Which aligned faces are fit to be judged."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.align import align
from edge.bundles.bundle import inspect_bundle
from edge.config import SHIPPED_BUNDLE, DetectorConfig, QualityConfig
from edge.detect import open_detector
from edge.pose import MEAN_FACE
from edge.quality import flaws, for_enrolment
from edge.vocabulary import AlignedFace, Box, Detection, Flaw

LIMITS = QualityConfig()
FINE = np.random.default_rng(1).integers(90, 170, (56, 56, 3), dtype=np.uint8)
SHARP = cv2.resize(FINE, (112, 112), interpolation=cv2.INTER_NEAREST)


def face(pixels=SHARP, *, eye_distance_px=60.0, yaw_deg=0.0, pitch_deg=0.0, roll_deg=0.0):
    y, p, r = np.radians([yaw_deg, pitch_deg, roll_deg])
    aside = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    up = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    lean = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    turned = MEAN_FACE @ (lean @ aside @ up).T
    landmarks = (turned[:, :2] * eye_distance_px + 100).astype(np.float32)
    return AlignedFace(
        np.ascontiguousarray(pixels, np.uint8),
        np.zeros((2, 3), np.float32),
        Detection(Box(0, 0, 1, 1), landmarks, 1.0),
    )


def test_a_sharp_lit_near_face_has_no_flaw():
    assert flaws(face(), LIMITS) == ()


def test_a_face_is_too_small_below_the_least_eye_distance():
    assert flaws(face(eye_distance_px=LIMITS.eye_distance_px - 1), LIMITS) == (Flaw.TOO_SMALL,)
    assert flaws(face(eye_distance_px=LIMITS.eye_distance_px + 1), LIMITS) == ()


def test_a_dark_face_is_too_dark_and_not_also_too_blurred():
    """Half the light halves all contrast; the visitor must not be told to hold still."""
    assert flaws(face(SHARP * 0.2), LIMITS) == (Flaw.TOO_DARK,)


def test_a_bright_face_is_too_bright():
    assert Flaw.TOO_BRIGHT in flaws(face(np.full_like(SHARP, 250)), LIMITS)


def test_luminance_weighs_the_channels_as_the_eye_does():
    """Rec. 601: green counts 0.587, blue 0.114; their plain mean would be equal."""
    green, blue = np.zeros_like(SHARP), np.zeros_like(SHARP)
    green[..., 1] = blue[..., 2] = 150
    assert Flaw.TOO_DARK not in flaws(face(green), LIMITS)
    assert Flaw.TOO_DARK in flaws(face(blue), LIMITS)


def test_a_smeared_face_is_too_blurred():
    assert flaws(face(cv2.GaussianBlur(SHARP, (0, 0), 5)), LIMITS) == (Flaw.TOO_BLURRED,)


def test_noise_does_not_pass_for_sharpness():
    smeared = cv2.GaussianBlur(SHARP, (0, 0), 5).astype(float)
    noisy = smeared + np.random.default_rng(2).normal(0, 3, smeared.shape)
    assert flaws(face(noisy.clip(0, 255)), LIMITS) == (Flaw.TOO_BLURRED,)


def test_what_surrounds_the_face_does_not_count():
    """A face at the picture's edge has black beyond it, which is neither dark nor sharp skin."""
    edged = SHARP.copy()
    edged[:, :20] = 0
    edged[104:] = 0
    assert flaws(face(edged), LIMITS) == ()
    smeared = cv2.GaussianBlur(SHARP, (0, 0), 5)
    smeared[:, :20] = 0
    assert flaws(face(smeared), LIMITS) == (Flaw.TOO_BLURRED,)


def test_every_flaw_is_told_in_a_fixed_order():
    assert flaws(face(np.zeros_like(SHARP), eye_distance_px=5), LIMITS) == (
        Flaw.TOO_SMALL,
        Flaw.TOO_DARK,
        Flaw.TOO_BLURRED,
    )


@pytest.mark.parametrize(
    ("turn", "flaw"),
    [("yaw_deg", Flaw.TURNED), ("pitch_deg", Flaw.TURNED), ("roll_deg", Flaw.TILTED)],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_face_that_looks_elsewhere_is_told_so(turn, flaw, sign):
    limit = getattr(LIMITS, turn)
    assert flaws(face(**{turn: sign * (limit - 1)}), LIMITS) == ()
    assert flaws(face(**{turn: sign * (limit + 1)}), LIMITS) == (flaw,)
    assert flaws(face(**{turn: sign * (limit + 1)}), replace(LIMITS, **{turn: 180.0})) == ()


def test_landmarks_without_a_pose_are_of_nobody_who_looks_here():
    squeezed = face()
    squeezed.detection.landmarks.setflags(write=True)
    squeezed.detection.landmarks[:, 1] = 50
    assert flaws(squeezed, LIMITS) == (Flaw.TURNED,)
    assert flaws(squeezed, replace(LIMITS, yaw_deg=180.0, pitch_deg=180.0)) == ()


@pytest.mark.parametrize("turn", ["yaw_deg", "pitch_deg"])
def test_a_reference_looks_straighter_into_the_camera_than_a_visitor(turn):
    stricter = for_enrolment(LIMITS)
    between = (getattr(LIMITS, turn) + getattr(LIMITS, f"enrol_{turn}")) / 2
    assert flaws(face(**{turn: between}), LIMITS) == ()
    assert flaws(face(**{turn: between}), stricter) == (Flaw.TURNED,)
    assert for_enrolment(replace(LIMITS, **{turn: 1.0})) == replace(stricter, **{turn: 1.0})


def test_dark_eyes_on_a_lit_face_are_covered():
    behind_glasses = SHARP.copy()
    behind_glasses[40:62, 22:90] //= 4
    assert flaws(face(behind_glasses), LIMITS) == (Flaw.COVERED,)
    assert flaws(face(behind_glasses), replace(LIMITS, eye_light=0.0)) == ()


def test_one_eye_in_the_shadow_is_not_covered():
    """Light from a window: eye and cheek of one side are dark together."""
    half_lit = SHARP.copy()
    half_lit[:, :56] //= 3
    assert flaws(face(half_lit), LIMITS) == ()


def test_a_face_without_lips_is_covered():
    masked = SHARP.copy()
    masked[70:] = 150
    assert flaws(face(masked), LIMITS) == (Flaw.COVERED,)
    assert flaws(face(masked), replace(LIMITS, mouth_edges=0.0)) == ()


def test_only_a_face_that_is_well_seen_is_told_to_uncover():
    """In a blur no lips are seen either, and the visitor would look for a mask."""
    smeared = cv2.GaussianBlur(SHARP, (0, 0), 5)
    no_blur_check = replace(LIMITS, sharpness=0.0)
    assert flaws(face(smeared), no_blur_check) == (Flaw.COVERED,)
    assert flaws(face(smeared), LIMITS) == (Flaw.TOO_BLURRED,)
    assert flaws(face(smeared, yaw_deg=40), no_blur_check) == (Flaw.TURNED,)


def test_dark_skin_with_its_gloss_is_not_too_dark():
    """A tenth of the picture's light on the mean, but highlights as on any skin."""
    skin = (SHARP * 0.18).astype(np.uint8)
    gloss = skin.copy()
    gloss[50:58, 50:62] = 120
    assert Flaw.TOO_DARK in flaws(face(skin), LIMITS)
    assert Flaw.TOO_DARK not in flaws(face(gloss), LIMITS)


@pytest.mark.parametrize("limit", ["eye_distance_px", "darkest", "sharpness"])
def test_a_limit_of_zero_switches_a_check_off(limit):
    off = QualityConfig(**{limit: 0.0})
    flaw = {"eye_distance_px": Flaw.TOO_SMALL, "darkest": Flaw.TOO_DARK}.get(
        limit, Flaw.TOO_BLURRED
    )
    assert flaw not in flaws(face(np.zeros_like(SHARP), eye_distance_px=0.1), off)


@pytest.mark.parametrize(
    ("pattern", "smallest_face_px"),
    [("att-faces/s*/1.pgm", 48), ("frll/0[0-2]?/neutral_front.jpg", 80)],
)
@pytest.mark.parametrize("backend", ["janus", "haar"])
def test_ordinary_portraits_have_no_flaw(shared_data, pattern, smallest_face_px, backend):
    config = DetectorConfig(backend=backend, smallest_face_px=smallest_face_px)
    detector = open_detector(config, eyes=inspect_bundle(SHIPPED_BUNDLE).eyes)
    paths = sorted(shared_data.glob(pattern))[:20]
    assert len(paths) >= 10
    for path in paths:
        pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        found = detector.detect(pixels)
        assert found, path
        assert flaws(align(pixels, found[0]), LIMITS) == (), path
