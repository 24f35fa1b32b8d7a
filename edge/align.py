"""Bring a face to the template: the one implementation that training, conversion and door share."""

from __future__ import annotations

import cv2
import numpy as np

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

# Smallest scale that is a transform at all: the template's 35 px eye distance from 35,000 px.
_LEAST_SCALE = 1e-3


def similarity(landmarks: FloatArray) -> FloatArray:
    """Return the similarity transform that brings *landmarks* closest to `TEMPLATE`.

    The least-squares solution of Umeyama (IEEE TPAMI 13(4), 1991) without reflection. In the plane
    it needs no SVD: with points as complex numbers about their means, template ≈ a * landmark, and
    a = sum(conj(landmark) * template) / sum(abs(landmark) ** 2) holds scale and rotation.

    Args:
        landmarks: (5, 2) picture pixels, in the order of `TEMPLATE`.
    Returns: (2, 3) float32, picture point (x, y, 1) → crop point.

    Raises:
        ValueError: if the landmarks coincide or resemble no face, so that no scale fits them.
    """
    seen = landmarks.astype(np.float64) @ (1.0, 1j)
    wanted = TEMPLATE.astype(np.float64) @ (1.0, 1j)
    centred = seen - seen.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    turn = complex(np.sum(np.conj(centred) * (wanted - wanted.mean())) / spread) if spread else 0j
    if not abs(turn) >= _LEAST_SCALE:
        raise ValueError(
            f"landmarks {landmarks.tolist()} fit no face: they coincide or lie too far apart; "
            "a detector must not offer them"
        )
    shift = complex(wanted.mean() - turn * seen.mean())
    return np.array(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], dtype=np.float32
    )


def align(pixels: PixelArray, detection: Detection) -> AlignedFace:
    """Cut the face of *detection* out of *pixels*, upright and at the template's place and size.

    Args:
        pixels: (H, W, 3) uint8 RGB; what lies outside of it is black in the crop.
        detection: a face in *pixels*.

    Raises:
        ValueError: if the landmarks fit no face (see `similarity`).
    """
    to_crop = similarity(detection.landmarks)
    return AlignedFace(_warp(pixels, to_crop.astype(np.float64)), to_crop, detection)


def _warp(
    pixels: PixelArray, to_crop: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> PixelArray:
    """Sample the crop from the part of *pixels* that it shows, so that the cost is bounded."""
    factor = max(1, int(1.0 / np.hypot(to_crop[0, 0], to_crop[1, 0])))
    from_crop = cv2.invertAffineTransform(to_crop)
    far = CROP_SIZE_PX - 1
    corners = np.array([[0, 0, 1], [far, 0, 1], [0, far, 1], [far, far, 1]]) @ from_crop.T
    # One reduced pixel more on each side, for the neighbours that interpolation reads.
    limits = (pixels.shape[1], pixels.shape[0])
    low = np.clip(np.floor(corners.min(axis=0)) - factor, 0, limits).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + factor + 1, 0, limits).astype(int)
    size = (high - low) // factor
    if (size < 1).any():
        return np.zeros((CROP_SIZE_PX, CROP_SIZE_PX, 3), np.uint8)
    part: cv2.typing.MatLike = pixels[
        low[1] : low[1] + size[1] * factor, low[0] : low[0] + size[0] * factor
    ]
    if factor > 1:
        part = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    # The centre of reduced pixel i is source pixel low + factor * i + (factor - 1) / 2.
    from_part = to_crop.copy()
    from_part[:, 2] += to_crop[:, :2] @ (low + (factor - 1) / 2)
    from_part[:, :2] *= factor
    crop = cv2.warpAffine(
        part,
        from_part,
        (CROP_SIZE_PX, CROP_SIZE_PX),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0),
    )
    return crop.astype(np.uint8, copy=False)
