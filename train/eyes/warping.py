"""Geometry of made-up pictures: where faces go, how large they are, and what meets what."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.eyes import PADDING_GREY, box_of
from edge.vocabulary import PixelArray

Points = npt.NDArray[np.float64]
Edges = tuple[float, float, float, float]  # left, top, right, bottom


def chance(rng: np.random.Generator, share: float) -> bool:
    """Return true in *share* of the calls."""
    return bool(rng.random() < share)


def log_uniform(rng: np.random.Generator, least: float, most: float) -> float:
    """Draw a size of which each octave is as likely as the next."""
    return float(np.exp(rng.uniform(np.log(least), np.log(most))))


def roll(rng: np.random.Generator) -> float:
    """Draw a head's roll in radians: mostly near upright, up to 50 degrees."""
    return float(np.deg2rad(rng.normal(0, 9) if chance(rng, 0.7) else rng.uniform(-50, 50)))


def transform(factor: complex, shift: complex) -> Points:
    """Return the (2, 3) similarity z → factor * z + shift."""
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )


def centred(landmarks: Points, factor: complex, to: complex) -> Points:
    """Return the (2, 3) similarity by *factor* that brings the middle of *landmarks* *to*."""
    return transform(factor, to - factor * complex(*landmarks.mean(axis=0)))


def carried(points: Points, move: Points) -> Points:
    """Return (N, 2) *points* under *move*."""
    return np.asarray(points @ move[:, :2].T + move[:, 2])


def sampled(
    grey: PixelArray,
    move: Points,
    side_px: int,
    *,
    border: int = cv2.BORDER_CONSTANT,
    outside: int = PADDING_GREY,
) -> PixelArray:
    """Return the (side_px, side_px) square that *grey* becomes under *move*.

    Where it shrinks, it is first reduced by area means, because bilinear sampling would alias.
    """
    scale = float(np.hypot(move[0, 0], move[1, 0]))
    if scale < 0.67:  # noqa: PLR2004 - below, a source pixel in three would not count
        height, width = grey.shape
        scale = max(scale, 2 / min(height, width))
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
        by = np.array([size[0] / width, size[1] / height])
        move = move.copy()
        # Pixel centres: x before = (x after + 1/2) / by - 1/2.
        move[:, 2] += move[:, :2] @ (0.5 / by - 0.5)
        move[:, :2] /= by
    return np.asarray(
        cv2.warpAffine(
            grey,
            move,
            (side_px, side_px),
            flags=cv2.INTER_LINEAR,
            borderMode=border,
            borderValue=(outside,),
        ),
        np.uint8,
    )


def edges(landmarks: Points) -> Edges:
    """Return the box of a face."""
    box = box_of(landmarks.astype(np.float32))
    return box.left, box.top, box.right, box.bottom


def size_of(landmarks: Points) -> float:
    """Return the square root of the area of a face's box, in pixels."""
    left, top, right, bottom = edges(landmarks)
    return float(np.sqrt(max(right - left, 1.0) * max(bottom - top, 1.0)))


def share_inside(landmarks: Points, side_px: int) -> float:
    """Return the share of a face's box that lies in the picture."""
    left, top, right, bottom = edges(landmarks)
    wide = max(0.0, min(right, side_px) - max(left, 0.0))
    tall = max(0.0, min(bottom, side_px) - max(top, 0.0))
    return wide * tall / (max(right - left, 1.0) * max(bottom - top, 1.0))


def is_free(landmarks: Points, others: list[Points]) -> bool:
    """Tell whether a face would keep clear of the *others*."""
    middle, size = landmarks.mean(axis=0), size_of(landmarks)
    return all(
        np.hypot(*(middle - each.mean(axis=0))) > 0.56 * (size + size_of(each)) for each in others
    )


def meets(one: Edges, other: Edges) -> bool:
    """Tell whether two boxes overlap."""
    return one[0] < other[2] and one[2] > other[0] and one[1] < other[3] and one[3] > other[1]
