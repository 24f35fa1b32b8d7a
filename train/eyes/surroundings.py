"""What YuNet would say of a face that is cut tight, had it seen what is around it.

In crops like those of `faces/` it draws a turned head's landmarks towards those of a head that
looks ahead, by 3 to 4 % of the eye distance (docs/eyes.md); the eyes are to see whole pictures. How
far is learnt from faces of whole photos, looked at in the photo and again cut as the crops are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.align import TEMPLATE
from edge.geometry import similarity
from edge.vocabulary import FloatArray, PixelArray
from train.eyes.material import CROP_SIDE_PX

# `faces/`: the 112 px template with a margin of 16 (docs/data.md).
_MARGIN_PX = 16
LEAST_PAIRS = 100  # fewer faces than ten for each weight of a landmark's place say too little
_RIDGE = 30.0  # of 1, 30, 100 and 300 the best, with 1, on 1,409 faces, each tenth by the others
_UNIT_PX = 4.0


def cut(pixels: PixelArray, landmarks: FloatArray) -> tuple[PixelArray, FloatArray]:
    """Return a face of a photo as a (144, 144, 3) crop, and the (2, 3) move, photo → crop.

    Args:
        pixels: (H, W, 3) uint8 photo.
        landmarks: (5, 2) of the face.
    """
    move = similarity(landmarks, TEMPLATE + np.float32(_MARGIN_PX))
    crop = cv2.warpAffine(pixels, move, (CROP_SIDE_PX, CROP_SIDE_PX))
    return np.asarray(crop, np.uint8), np.asarray(move, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """A linear map: `mean` (10,) px of what was seen in crops, `weights` (11, 10) of the rest."""

    mean: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]

    def seen(self, landmarks: FloatArray) -> FloatArray:
        """Return where (N, 5, 2) *landmarks* seen in crops would be seen in the whole picture."""
        flat = landmarks.reshape(-1, 10).astype(np.float64)
        there = flat + _features(flat, self.mean) @ self.weights
        return np.asarray(there.reshape(landmarks.shape), np.float32)


def fitted(in_crop: FloatArray, in_photo: FloatArray) -> Surroundings | None:
    """Return the map from (N, 5, 2) landmarks to those of the same faces; None if N is too small.

    Ridge regression of the differences (Hoerl and Kennard 1970). Both are in pixels of the crop.
    """
    if len(in_crop) < LEAST_PAIRS:
        return None
    seen, wanted = (each.reshape(-1, 10).astype(np.float64) for each in (in_crop, in_photo))
    mean = seen.mean(axis=0)
    features = _features(seen, mean)
    held_back = _RIDGE * np.eye(features.shape[1])
    held_back[0, 0] = 0  # not what all faces have in common
    square = features.T @ features + held_back
    return Surroundings(mean, np.linalg.solve(square, features.T @ (wanted - seen)))


def _features(seen: npt.NDArray[np.float64], mean: npt.NDArray[np.float64]) -> FloatArray:
    ones = np.ones((len(seen), 1))
    return np.asarray(np.concatenate([ones, (seen - mean) / _UNIT_PX], axis=1))
