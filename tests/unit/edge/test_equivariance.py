"""Turning, scaling and shifting a picture moves the landmarks with it: the shipped eyes.

`bench/eyes.py` measures the same on sixty pictures.
"""

from __future__ import annotations

import astronaut
import cv2
import numpy as np
import pytest

from edge.bundles.bundle import inspect_bundle
from edge.config import SHIPPED_BUNDLE, DetectorConfig
from edge.detect import open_detector
from edge.geometry import moved
from edge.tflite import installed_runtimes

pytestmark = pytest.mark.skipif(not installed_runtimes(), reason="no TFLite runtime is installed")


@pytest.fixture(scope="module")
def detector():
    return open_detector(
        DetectorConfig(smallest_face_px=24), eyes=inspect_bundle(SHIPPED_BUNDLE).eyes
    )


def residual(detector, roll_deg, scale, shift_px):
    """Return how far the landmarks stay from moving with the picture, in eye distances."""
    portrait = astronaut.picture()
    (before,) = detector.detect(portrait)
    centre = tuple(np.array(portrait.shape[1::-1]) / 2)
    transform = cv2.getRotationMatrix2D(centre, roll_deg, scale)
    side = int(scale * 512 * 2**0.5)
    transform[:, 2] += (side - 512) / 2 + np.array(shift_px)
    seen = cv2.warpAffine(portrait, transform, (side, side), flags=cv2.INTER_AREA)
    (after,) = detector.detect(seen)
    return astronaut.error(after.landmarks, moved(before.landmarks, transform.astype(np.float32)))


@pytest.mark.parametrize(
    ("roll_deg", "scale"),
    [(0, 0.5), (0, 2.0), (10, 1.0), (-20, 1.0), (20, 1.0), (20, 0.5), (-20, 2.0), (7, 0.8)],
)
def test_landmarks_move_with_the_picture(detector, roll_deg, scale):
    shifts = [(3.3, -5.7), (-20.5, 11.2)]
    residuals = [residual(detector, roll_deg, scale, shift) for shift in shifts]
    assert np.mean(residuals) <= 0.03, residuals


def test_a_picture_that_is_not_moved_has_no_residual(detector):
    assert residual(detector, 0, 1.0, (0, 0)) < 0.03
    (first,), (again,) = detector.detect(astronaut.picture()), detector.detect(astronaut.picture())
    np.testing.assert_array_equal(first.landmarks, again.landmarks)
