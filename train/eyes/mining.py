"""What the finder takes for faces and are none: the refiner's hardest lessons."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from edge.eyes import STRIDES, faces_of
from edge.geometry import similarity, warp
from edge.refiner import REFINER_SIDE_PX, REFINER_TEMPLATE
from edge.vocabulary import PixelArray
from train.eyes.material import Material
from train.eyes.warping import Points, log_uniform, size_of

_LEAST_SCORE = 0.15
_MOST_OF_PICTURE = 10
_LOOKS_AT_FACELESS = 12
_FACELESS_SIDE_PX = 500
# The finder's input is padded to a multiple: one shape, so that what compiles compiles once.
_INPUT_SIDE_PX = 512


def mine(finder: Any, material: Material, rng: np.random.Generator) -> tuple[PixelArray, ...]:  # noqa: ANN401 - keras is untyped
    """Return (64, 64) crops of *material* that *finder* takes for faces.

    Args:
        finder: the float network, (1, H, W, 1) → outputs of `train.eyes.model.build_finder`.
        material: its whole photos and pictures without a face.
        rng: sizes and parts of the latter, and how far each crop is moved.
    """
    looked = [(each.grey, list(each.landmarks)) for each in material.photos]
    looked += [
        (_part(rng, each), []) for each in material.faceless for _ in range(_LOOKS_AT_FACELESS)
    ]
    crops = []
    for grey, known in tqdm(looked, desc="false faces", unit="picture"):
        found = faces_of(_answers(finder, grey), _LEAST_SCORE)
        for landmarks, _ in found[:_MOST_OF_PICTURE]:
            if any(_is_near(landmarks.astype(np.float64), each) for each in known):
                continue
            to_crop = similarity(landmarks, REFINER_TEMPLATE).astype(np.float64)
            crops += [
                warp(grey, each, REFINER_SIDE_PX) for each in (to_crop, _nudged(rng, to_crop))
            ]
    return tuple(crops)


def _answers(finder: Any, grey: PixelArray) -> list[tuple[int, Any, Any]]:  # noqa: ANN401
    down, across = (-side % _INPUT_SIDE_PX for side in grey.shape)
    padded = cv2.copyMakeBorder(grey, 0, down, 0, across, cv2.BORDER_CONSTANT, value=(127,))
    outputs = finder(padded[np.newaxis, :, :, np.newaxis].astype(np.float32))
    return [
        (stride, np.asarray(outputs[2 * at])[0, ..., 0], np.asarray(outputs[2 * at + 1])[0])
        for at, stride in enumerate(STRIDES)
    ]


def _part(rng: np.random.Generator, photo: PixelArray) -> PixelArray:
    """Return a part of a photo at a drawn size."""
    scale = max(log_uniform(rng, 0.3, 1.2), REFINER_SIDE_PX / min(photo.shape))
    reduced = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (int(rng.integers(max(1, side - _FACELESS_SIDE_PX))) for side in reduced.shape)
    part = reduced[top : top + _FACELESS_SIDE_PX, left : left + _FACELESS_SIDE_PX]
    return np.ascontiguousarray(part, dtype=np.uint8)


def _is_near(landmarks: Points, face: Points) -> bool:
    """Tell whether the refiner might still be right to find *face* from these *landmarks*."""
    apart = float(np.hypot(*(landmarks.mean(axis=0) - face.mean(axis=0))))
    return apart < 0.4 * max(size_of(face), 0.8 * size_of(landmarks))


def _nudged(rng: np.random.Generator, to_crop: Points) -> Points:
    """Return *to_crop* turned, scaled and moved a little about the crop's centre."""
    factor = np.exp(rng.normal(0, 0.12) + 1j * rng.normal(0, 0.12))
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    centre = np.full(2, REFINER_SIDE_PX / 2)
    nudged = turn @ to_crop
    nudged[:, 2] += centre - turn @ centre + rng.normal(0, 3, 2)
    return np.asarray(nudged)
