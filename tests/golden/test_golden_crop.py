"""A synthetic picture and its crop, pixel by pixel: fails if alignment changes under its name.

After a wanted change: give `edge.align.ALIGNMENT` another name, and run this file as a program.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.align import ALIGNMENT, TEMPLATE, align
from edge.vocabulary import Box, Detection

HERE = Path(__file__).parent
# One face smaller than the template, one turned, one so large that it is reduced first.
CASES = {"small": (0.6, 5.0), "turned": (1.3, -17.0), "large": (3.4, 8.0)}


def picture():
    """Draw discs, bars and a ramp: (500, 600, 3) uint8, no photograph of anyone."""
    y, x = np.mgrid[0:500, 0:600]
    red = (x * 255) // 599
    green = ((x // 13 + y // 17) % 2) * 180 + 40
    blue = ((x - 300) ** 2 + (y - 250) ** 2) // 700 % 256
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def crop(name):
    """Align the picture's middle by landmarks of the case's scale and angle."""
    scale, degrees = CASES[name]
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = (TEMPLATE - 55.5) @ turn.T * scale + (310, 240)
    detection = Detection(Box(0, 0, 1, 1), landmarks.astype(np.float32), 1.0)
    return align(picture(), detection).pixels


def test_the_geometry_has_the_name_that_the_golden_crops_were_made_with():
    assert ALIGNMENT == "similarity-5pt/112x112/area-linear/black/v1"


@pytest.mark.parametrize("name", CASES)
def test_the_crop_is_the_golden_one(name):
    golden = cv2.imread(str(HERE / f"crop_{name}.png"))[..., ::-1]
    # One grey level for processors that round otherwise.
    assert np.abs(crop(name).astype(int) - golden.astype(int)).max() <= 1


if __name__ == "__main__":
    for each in CASES:
        cv2.imwrite(str(HERE / f"crop_{each}.png"), crop(each)[..., ::-1])
