"""What may spoil a face at a door, done to crops of any view: grey, far away, dim, covered.

Each is deterministic, so that every encoder of a table sees the same.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edge.align import TEMPLATE
from edge.geometry import similarity
from edge.vocabulary import FloatArray, PixelArray
from train.data.cutting import View

Condition = Callable[[PixelArray, View], PixelArray]
_BOX_TO_EYES = 2.2  # a detector's box is so many times wider than the eyes are apart
_FAR_PX = 32
# Corners in the template of `edge.align`: a surgical mask from the nose's bridge to below the chin,
# and the rim of sunglasses.
_MASK = [(26, 66), (56, 60), (86, 66), (84, 92), (70, 112), (42, 112), (28, 92)]
_GLASSES = [
    (22, 44),
    (90, 44),
    (88, 58),
    (76, 63),
    (63, 60),
    (56, 53),
    (49, 60),
    (36, 63),
    (24, 58),
]


def plain(crop: PixelArray, _view: View) -> PixelArray:
    """Return the crop as it is."""
    return crop


def grey(crop: PixelArray, _view: View) -> PixelArray:
    """Return the crop without its colour, as an infrared camera gives it."""
    return np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def far(crop: PixelArray, view: View) -> PixelArray:
    """Return the crop of a face that is 32 pixels wide in its picture."""
    eyes_px = float(np.linalg.norm(view.template[1] - view.template[0]))
    side = round(view.side_px * _FAR_PX / (_BOX_TO_EYES * eyes_px))
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (view.side_px, view.side_px)), np.uint8)


def dim(crop: PixelArray, _view: View) -> PixelArray:
    """Return a quarter of the light, with the noise of a sensor (2 levels) that goes with it."""
    noise = np.random.default_rng(0).normal(0, 2, crop.shape)
    return np.clip(np.rint(crop / 4 + noise), 0, 255).astype(np.uint8)


def masked(crop: PixelArray, view: View) -> PixelArray:
    """Return the face behind a light blue mask."""
    return _covered(crop, view, _MASK, (150, 180, 200))


def sunglasses(crop: PixelArray, view: View) -> PixelArray:
    """Return the face behind dark glasses."""
    return _covered(crop, view, _GLASSES, (25, 25, 28))


CONDITIONS: dict[str, Condition] = {
    "plain": plain,
    "grey": grey,
    "32 px": far,
    "1/4 light": dim,
    "mask": masked,
    "sunglasses": sunglasses,
}


def _covered(
    crop: PixelArray, view: View, corners: list[tuple[int, int]], colour: tuple[int, int, int]
) -> PixelArray:
    place: FloatArray = similarity(TEMPLATE, view.template)
    points = np.array(corners, np.float32) @ place[:, :2].T + place[:, 2]
    covered = crop.copy()
    cv2.fillPoly(covered, [np.rint(points).astype(np.int32)], colour, cv2.LINE_AA)
    return covered
