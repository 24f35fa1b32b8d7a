"""Masks, sunglasses and hands drawn over a face, as far as its landmarks tell where they lie."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.align import TEMPLATE
from edge.geometry import moved, similarity
from edge.vocabulary import FloatArray, PixelArray

KINDS = ("mask", "sunglasses", "hand")
_Rng = np.random.Generator
# All outlines are in pixels of the 112 px template, and are carried to the picture from there.
_MASK = [
    (27, 66),
    (40, 70),
    (56, 66),
    (72, 70),
    (85, 66),
    (84, 92),
    (72, 110),
    (56, 116),
    (40, 110),
    (28, 92),
]


def cover(kind: str, pixels: PixelArray, landmarks: FloatArray, rng: _Rng) -> PixelArray:
    """Return *pixels* (H, W, 3) RGB with one of `KINDS` over the face of (5, 2) *landmarks*."""
    from_template = cv2.invertAffineTransform(similarity(landmarks, TEMPLATE)).astype(np.float32)
    outlines = {"mask": _mask, "sunglasses": _glasses, "hand": _hand}[kind](rng)
    opaque = np.zeros(pixels.shape[:2], np.float32)
    for outline in outlines:
        points = moved(np.asarray(outline, np.float32), from_template)
        one = np.zeros(pixels.shape[:2], np.uint8)
        cv2.fillPoly(one, [np.rint(points * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
        opaque = np.maximum(opaque, one / np.float32(255))
    colour = _colour(kind, pixels, landmarks, rng)
    shade = rng.normal(0, 1, (6, 6)).astype(np.float32)
    folds = cv2.resize(shade, pixels.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    layer = colour + rng.uniform(2, 8) * folds[..., None] + rng.normal(0, 2, pixels.shape)
    mixed = pixels * (1 - opaque[..., None]) + layer * opaque[..., None]
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _colour(
    kind: str, pixels: PixelArray, landmarks: FloatArray, rng: _Rng
) -> npt.NDArray[np.float64]:
    if kind == "mask":
        white, blue, black = (225, 225, 225), (150, 190, 215), (40, 40, 45)
        colour = np.array([white, blue, black][int(rng.integers(3))], float)
    elif kind == "sunglasses":
        colour = np.full(3, rng.uniform(8, 45))
    else:  # of the face itself: about the nose
        x, y = np.rint(landmarks[2]).astype(int)
        reach = max(2, round(0.1 * float(np.linalg.norm(landmarks[1] - landmarks[0]))))
        part = pixels[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        colour = part.reshape(-1, 3).mean(axis=0) * rng.uniform(0.8, 1.1)
    grey = (pixels == pixels[..., :1]).all()
    return np.full(3, colour.mean()) if grey else colour


def _mask(rng: _Rng) -> list[npt.NDArray[np.float64]]:
    return [np.array(_MASK) + rng.normal(0, 1.2, 2)]


def _glasses(rng: _Rng) -> list[npt.NDArray[np.float64]]:
    wide, tall = rng.uniform(13, 17), rng.uniform(8, 12)
    eyes = [TEMPLATE[side] + (0, rng.uniform(0, 2)) for side in (0, 1)]
    bridge = [(48, 48), (64, 48), (64, 51), (48, 51)]
    return [*(_oval(eye, wide, tall) for eye in eyes), np.array(bridge, float)]


def _hand(rng: _Rng) -> list[npt.NDArray[np.float64]]:
    middle = TEMPLATE[3:].mean(axis=0) + rng.normal(0, 3, 2)
    return [_oval(middle, rng.uniform(20, 30), rng.uniform(14, 20))]


def _oval(middle: npt.NDArray[np.float64], wide: float, tall: float) -> npt.NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.asarray(middle + np.stack([wide * np.cos(turn), tall * np.sin(turn)], axis=1), float)
