"""What may befall a face between the door and the encoder, on uint8 pixels, from a generator.

The student sees a disturbed crop and must answer what the teacher said of the clean one. This is
apart from `train.data.augment`: its Keras layers cost more than a small network's step on a CPU.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.vocabulary import CROP_SIZE_PX, FloatArray, PixelArray

MARGIN_PX = 16
WIDE_SIZE_PX = CROP_SIZE_PX + 2 * MARGIN_PX
_DARK = 10  # grey level; WebP leaves a few levels of noise in black corners
_NOISE = np.random.default_rng(7).standard_normal(1 << 20).astype(np.float32)


def disturb(
    rng: np.random.Generator,
    wide: PixelArray,
    size_px: int = CROP_SIZE_PX,
    *,
    strength: float = 1.0,
) -> PixelArray:
    """Return one disturbed crop (S, S, 3) of *wide* (144, 144, 3), both uint8 RGB.

    Args:
        rng: decides everything.
        wide: a crop with its margin of 16 px.
        size_px: S of the result.
        strength: 1.0 as for the last steps; less turns, moves, hides and lights less.
    """
    chance = rng.random(8)
    if chance[0] < 0.15:  # noqa: PLR2004 - these shares are the recipe
        wide = without_black_corners(rng, wide)
    face = moved(rng, wide, strength)
    if chance[1] < 0.2:  # noqa: PLR2004
        face = coarsened(rng, face)
    if chance[2] < 0.15 * strength:
        face = hidden(rng, face)
    grey = chance[3] < 0.2  # noqa: PLR2004
    if grey:
        face = np.repeat(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    if chance[4] < 0.8:  # noqa: PLR2004
        face = relit(rng, face, strength, dark=chance[5] < 0.1, tinted=not grey)  # noqa: PLR2004
    if chance[6] < 0.2:  # noqa: PLR2004
        face = _levels(face + _noise(rng, face.shape) * rng.uniform(1, 12))
    if chance[7] < 0.12:  # noqa: PLR2004
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))]
        face = cv2.imdecode(cv2.imencode(".jpg", face, quality)[1], cv2.IMREAD_COLOR)  # type: ignore[assignment]
    if size_px == CROP_SIZE_PX:
        return face
    return cv2.resize(face, (size_px, size_px), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def moved(rng: np.random.Generator, wide: PixelArray, strength: float) -> PixelArray:
    """Return 112x112 of *wide*, mirrored half the time, and turned, scaled and shifted.

    By 8°, 8 % and 4 px at most: eyes from a cascade are no better. Three in ten nearly stay.
    """
    turn, scale = math.radians(rng.uniform(-8, 8) * strength), rng.uniform(-0.08, 0.08) * strength
    shift_px = rng.uniform(-4, 4, 2) * strength
    if rng.random() < 0.3:  # noqa: PLR2004
        turn, scale, shift_px = turn / 5, scale / 5, shift_px / 4
    side = -1.0 if rng.random() < 0.5 else 1.0  # noqa: PLR2004
    cosine, sine = math.cos(turn) * (1 + scale), math.sin(turn) * (1 + scale)
    turned = np.array([[cosine * side, -sine], [sine * side, cosine]])
    centre = (CROP_SIZE_PX - 1) / 2
    origin = MARGIN_PX + centre + shift_px - turned @ np.array([centre, centre])
    return cv2.warpAffine(  # type: ignore[return-value]
        wide,
        np.column_stack([turned, origin]),
        (CROP_SIZE_PX, CROP_SIZE_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def coarsened(rng: np.random.Generator, face: PixelArray) -> PixelArray:
    """Return *face* seen from afar (32 px or more), out of focus, or in motion."""
    kind = rng.random()
    if kind < 0.5:  # noqa: PLR2004
        side = int(CROP_SIZE_PX * math.exp(rng.uniform(math.log(0.28), 0)))
        small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (CROP_SIZE_PX, CROP_SIZE_PX))  # type: ignore[return-value]
    if kind < 0.85:  # noqa: PLR2004
        return cv2.GaussianBlur(face, (0, 0), rng.uniform(0.4, 2.0))  # type: ignore[return-value]
    length = int(rng.integers(3, 8))
    shape = (1, length) if rng.random() < 0.5 else (length, 1)  # noqa: PLR2004
    return cv2.blur(face, shape)  # type: ignore[return-value]


def hidden(rng: np.random.Generator, face: PixelArray) -> PixelArray:
    """Return *face* behind a plain or noisy rectangle of 12 to 47 px a side."""
    height, width = rng.integers(12, 48, 2)
    top, left = rng.integers(0, CROP_SIZE_PX - height), rng.integers(0, CROP_SIZE_PX - width)
    spread = 0 if rng.random() < 0.5 else 40  # noqa: PLR2004
    covered = face.copy()
    covered[top : top + height, left : left + width] = _levels(
        rng.integers(0, 256, 3) + spread * _noise(rng, (height, width, 3))
    )
    return covered


def relit(
    rng: np.random.Generator, face: PixelArray, strength: float, *, dark: bool, tinted: bool
) -> PixelArray:
    """Return *face* with other gamma, contrast and brightness; *dark*: 0.2 to 0.7 of its light."""
    light = (np.arange(256) / 255) ** math.exp(rng.uniform(-0.5, 0.5) * strength)
    contrast = 1 + rng.uniform(-0.35, 0.35) * strength
    light = (light - 0.5) * contrast + 0.5 + rng.uniform(-0.13, 0.13) * strength
    if dark:
        light = light * rng.uniform(0.2, 0.7)
    tint = rng.uniform(0.93, 1.07, 3) if tinted else np.ones(3)
    curve = _levels(light[None, :, None] * tint * 255)
    return cv2.LUT(face, curve)  # type: ignore[return-value]


def without_black_corners(rng: np.random.Generator, wide: PixelArray) -> PixelArray:
    """Return *wide* with black that touches its edge replaced by a noisy colour.

    A picture ends there; its outline must not tell people apart.
    """
    _, labels = cv2.connectedComponents(
        (wide.max(axis=2) <= _DARK).astype(np.uint8), connectivity=4
    )
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    outside = np.isin(labels, touching[touching > 0]).astype(np.uint8)
    if not outside.any():
        return wide
    where = cv2.dilate(outside, np.ones((3, 3), np.uint8)).astype(bool)
    filled = wide.copy()
    speckle = _noise(rng, (int(where.sum()), 3)) * rng.uniform(0, 40)
    filled[where] = _levels(rng.integers(0, 256, 3) + speckle)
    return filled


def _noise(rng: np.random.Generator, shape: tuple[Any, ...]) -> FloatArray:
    """Return a piece of one long noise: drawing it anew would cost more than all the rest."""
    count = math.prod(int(each) for each in shape)
    start = int(rng.integers(0, _NOISE.size - count))
    return _NOISE[start : start + count].reshape(shape)


def _levels(light: npt.NDArray[Any]) -> PixelArray:
    return np.clip(light, 0, 255).astype(np.uint8)
