"""The one real portrait that ships with a package, and where her landmarks lie."""

from __future__ import annotations

import numpy as np
import pytest

# YuNet at 640 px, in pixels: right eye, left eye, nose tip, right and left mouth corner.
LANDMARKS = np.array([[205, 97], [247, 103], [222, 127], [201, 141], [239, 146]], np.float32)


def picture():
    """Return scikit-image's astronaut, in the public domain: (512, 512, 3) uint8 RGB, one face."""
    data = pytest.importorskip("skimage.data", reason="the demo extra brings the portrait")
    return data.astronaut()


def frame(left, top=0, *, side_px=512):
    """Return a (480, 640, 3) frame in which her picture is reduced, and starts at (left, top)."""
    import cv2

    seen = cv2.resize(picture(), (side_px, side_px), interpolation=cv2.INTER_AREA)
    moved = np.float32([[1, 0, left], [0, 1, top]])
    return cv2.warpAffine(seen, moved, (640, 480), borderValue=(110, 110, 110))


def error(landmarks, wanted):
    """Return the mean error of (5, 2) *landmarks* in eye distances of the *wanted* ones."""
    eyes = np.linalg.norm(wanted[1] - wanted[0])
    return float(np.linalg.norm(landmarks - wanted, axis=1).mean() / eyes)
