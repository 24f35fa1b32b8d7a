"""Similarity transforms of pictures and points: what alignment and the eyes' crops share."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.vocabulary import FloatArray, PixelArray

# Smallest scale that is a transform at all: the template's 35 px eye distance from 35,000 px.
_LEAST_SCALE = 1e-3


def similarity(seen: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return the similarity transform that brings the points *seen* closest to *wanted*.

    The least-squares solution of Umeyama (IEEE TPAMI 13(4), 1991) without reflection. In the plane
    it needs no SVD: with points as complex numbers about their means, wanted ≈ a * seen, and
    a = sum(conj(seen) * wanted) / sum(abs(seen) ** 2) holds scale and rotation.

    Args:
        seen: (N, 2) pixels of one picture.
        wanted: (N, 2) pixels of another, in the same order.
    Returns: (2, 3) float32, point (x, y, 1) of the picture of *seen* → point of that of *wanted*.

    Raises:
        ValueError: if the points coincide or do not resemble each other, so that no scale fits.
    """
    source = seen.astype(np.float64) @ (1.0, 1j)
    target = wanted.astype(np.float64) @ (1.0, 1j)
    centred = source - source.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    turn = complex(np.sum(np.conj(centred) * (target - target.mean())) / spread) if spread else 0j
    if not abs(turn) >= _LEAST_SCALE:
        raise ValueError(
            f"landmarks {seen.tolist()} fit no face: they coincide or lie too far apart; "
            "a detector must not offer them"
        )
    shift = complex(target.mean() - turn * source.mean())
    return np.array(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], dtype=np.float32
    )


def moved(points: FloatArray, transform: FloatArray) -> FloatArray:
    """Return (N, 2) *points* under the (2, 3) *transform*, as float32."""
    return np.asarray(points @ transform[:, :2].T + transform[:, 2], dtype=np.float32)


def warp(pixels: PixelArray, transform: npt.NDArray[np.float64], side_px: int) -> PixelArray:
    """Sample a square crop from the part of *pixels* that it shows, so that the cost is bounded.

    Args:
        pixels: (H, W) or (H, W, 3) uint8; what lies outside of it is black in the crop.
        transform: (2, 3) similarity, picture point → crop point.
        side_px: of the crop.

    Where the crop is at most half as large as what it shows, that is first reduced by a whole
    factor with block means, because bilinear sampling alone would alias.
    """
    factor = max(1, int(1.0 / np.hypot(transform[0, 0], transform[1, 0])))
    from_crop = cv2.invertAffineTransform(transform)
    far = side_px - 1
    corners = np.array([[0, 0, 1], [far, 0, 1], [0, far, 1], [far, far, 1]]) @ from_crop.T
    # One reduced pixel more on each side, for the neighbours that interpolation reads.
    limits = (pixels.shape[1], pixels.shape[0])
    low = np.clip(np.floor(corners.min(axis=0)) - factor, 0, limits).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + factor + 1, 0, limits).astype(int)
    size = (high - low) // factor
    if (size < 1).any():
        return np.zeros((side_px, side_px, *pixels.shape[2:]), np.uint8)
    part: cv2.typing.MatLike = pixels[
        low[1] : low[1] + size[1] * factor, low[0] : low[0] + size[0] * factor
    ]
    if factor > 1:
        part = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    # The centre of reduced pixel i is source pixel low + factor * i + (factor - 1) / 2.
    from_part = transform.copy()
    from_part[:, 2] += transform[:, :2] @ (low + (factor - 1) / 2)
    from_part[:, :2] *= factor
    crop = cv2.warpAffine(
        part,
        from_part,
        (side_px, side_px),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0),
    )
    return crop.astype(np.uint8, copy=False)
