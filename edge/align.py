"""Bring a face to the template: the one implementation that training, conversion and door share."""

from __future__ import annotations

import numpy as np

from edge import geometry
from edge.vocabulary import CROP_SIZE_PX, AlignedFace, Detection, FloatArray, PixelArray

# In every manifest; changes if any pixel does. "area": a face of at least twice the template's size
# is first reduced by a whole factor with block means, because bilinear sampling alone would alias.
ALIGNMENT = "similarity-5pt/112x112/area-linear/black/v1"

# Where the landmarks come to lie in the crop, in pixels: the usual 112x112 ArcFace template.
TEMPLATE: FloatArray = np.array(
    [
        [38.2946, 51.6963],  # right eye
        [73.5318, 51.5014],  # left eye
        [56.0252, 71.7366],  # nose tip
        [41.5493, 92.3655],  # right mouth corner
        [70.7299, 92.2041],  # left mouth corner
    ],
    dtype=np.float32,
)
TEMPLATE.setflags(write=False)


def similarity(landmarks: FloatArray) -> FloatArray:
    """Return the similarity transform that brings *landmarks* closest to `TEMPLATE`.

    Args:
        landmarks: (5, 2) picture pixels, in the order of `TEMPLATE`.
    Returns: (2, 3) float32, picture point (x, y, 1) → crop point.

    Raises:
        ValueError: if the landmarks coincide or resemble no face, so that no scale fits them.
    """
    return geometry.similarity(landmarks, TEMPLATE)


def align(pixels: PixelArray, detection: Detection) -> AlignedFace:
    """Cut the face of *detection* out of *pixels*, upright and at the template's place and size.

    Args:
        pixels: (H, W, 3) uint8 RGB; what lies outside of it is black in the crop.
        detection: a face in *pixels*.

    Raises:
        ValueError: if the landmarks fit no face (see `similarity`).
    """
    to_crop = similarity(detection.landmarks)
    return AlignedFace(
        geometry.warp(pixels, to_crop.astype(np.float64), CROP_SIZE_PX), to_crop, detection
    )
