"""What the eyes are to answer: the finder cell by cell, the refiner crop by crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.eyes import OFFSET_UNIT, STRIDES
from edge.geometry import similarity
from edge.refiner import (
    REFINER_CENTRE_PX,
    REFINER_SIDE_PX,
    REFINER_TEMPLATE,
    REFINER_UNIT_PX,
)
from edge.vocabulary import FloatArray, PixelArray
from train.eyes.composites import Composer, Picture
from train.eyes.lighting import light, occlude
from train.eyes.material import Material
from train.eyes.warping import (
    Points,
    carried,
    centred,
    chance,
    log_uniform,
    roll,
    sampled,
    size_of,
    transform,
)

# Face sizes (root of the box's area, input pixels) that each grid answers for; they overlap, so
# that no size falls between two. Up to half as large again outside of them is nobody's fault.
_SIZES_OF_GRID = ((0.0, 44.0), (30.0, 92.0), (66.0, np.inf))
_SPARED = 1.5
_LEAST_FACE_PX = 11.0
# Of the crops with a face: how many show a second one, which the landmarks are not to be drawn to.
_SHARE_BESIDE = 0.2
# Drawn from the turned heads only, which are a fifth of all: they are where the refiner errs most.
_SHARE_TURNED = 0.3
_TEMPLATE: Points = REFINER_TEMPLATE.astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class GridTarget:
    """For one grid of (R, C) cells.

    `face` is 1 where a face is centred; `counts` is 0 where the answer is not judged; `offsets`
    (R, C, 10) are landmarks in the finder's units; `weights` bring their errors to face sizes.
    """

    face: FloatArray
    counts: FloatArray
    offsets: FloatArray
    weights: FloatArray

    def packed(self) -> FloatArray:
        """Return (R * C, 13): face, counts, weight and ten offsets of each cell."""
        parts = (self.face, self.counts, self.weights)
        columns = [each[..., np.newaxis] for each in parts]
        return np.asarray(np.concatenate([*columns, self.offsets], axis=-1).reshape(-1, 13))


def grid_targets(picture: Picture) -> tuple[GridTarget, ...]:
    """Return what the finder is to answer to *picture*, by grid."""
    side_px = picture.grey.shape[0]
    faces = sorted(((size_of(each), each) for each in picture.faces), key=lambda pair: -pair[0])
    targets = []
    for stride, (least, most) in zip(STRIDES, _SIZES_OF_GRID, strict=True):
        cells = (np.arange(side_px // stride) + 0.5) * stride - 0.5
        x, y = np.meshgrid(cells, cells)
        face, weights = np.zeros((2, *x.shape), np.float32)
        counts = np.ones(x.shape, np.float32)
        offsets = np.zeros((*x.shape, 10), np.float32)
        for left, top, right, bottom in picture.ignored:
            counts[(x > left) & (x < right) & (y > top) & (y < bottom)] = 0
        for size, landmarks in faces:  # smaller ones last: they lie in front
            middle = landmarks.mean(axis=0)
            away = np.maximum(np.abs(x - middle[0]), np.abs(y - middle[1]))
            reach = float(np.clip(0.2 * size, 0.62 * stride, 1.5 * stride))
            if size < _LEAST_FACE_PX:
                counts[away < 0.7 * size + stride / 2] = 0
            elif least <= size < most:
                counts[away < reach + 0.6 * stride] = 0
                own = away < reach
                face[own] = counts[own] = 1
                weights[own] = OFFSET_UNIT * stride / size
                centres = np.stack([x[own], y[own]], axis=-1)[:, np.newaxis]
                offsets[own] = ((landmarks - centres) / (OFFSET_UNIT * stride)).reshape(-1, 10)
            elif least / _SPARED <= size < most * _SPARED:
                counts[away < reach] = 0
        targets.append(GridTarget(face, counts, offsets, weights))
    return tuple(targets)


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """(64, 64) uint8 grey, and the (10,) answer in the refiner's units, or None for no face."""

    grey: PixelArray
    landmarks: FloatArray | None


class Cropper:
    """Draws crops as a rough detector would cut them, three in ten without a face.

    Args:
        material: crops, photos and pictures without a face.
        rng: of everything drawn.
        hard: (64, 64) crops without a face that a finder took for faces.
    """

    def __init__(
        self, material: Material, rng: np.random.Generator, hard: Sequence[PixelArray] = ()
    ) -> None:
        self._hard = hard
        self._material = material
        self._rng = rng
        self._composer = Composer(material, rng)

    def crop(self) -> Crop:
        """Return one crop."""
        rng = self._rng
        if chance(rng, 0.3):
            return Crop(light(rng, self._without_face()), None)
        seen, landmarks = self._with_face()
        if chance(rng, 0.15):
            occlude(rng, seen, landmarks)
        answer = (landmarks - REFINER_CENTRE_PX) / REFINER_UNIT_PX
        return Crop(light(rng, seen), answer.reshape(10).astype(np.float32))

    def _with_face(self) -> tuple[FloatArray, Points]:
        rng = self._rng
        mask = None
        photo = self._material.photo(rng)
        sure = np.flatnonzero(photo.scores > 0.7)  # noqa: PLR2004 - as train.eyes.composites
        if len(sure) and chance(rng, 0.27):
            grey, landmarks = photo.grey, photo.landmarks[int(rng.choice(sure))]
        else:
            face = self._material.face(rng, turned=chance(rng, _SHARE_TURNED))
            grey, mask, landmarks = face.grey, face.mask, face.landmarks
        far = chance(rng, 0.25)  # as wrong as Haar's boxes are
        factor = _turn_to_template(landmarks)
        factor *= np.exp(rng.normal(0, 0.22 if far else 0.09))
        factor *= np.exp(1j * np.deg2rad(rng.normal(0, 16 if far else 6)))
        move = _placed(landmarks, factor, rng.normal(0, 6 if far else 2.5, 2))
        seen, placed = self._sampled(grey, mask, move), carried(landmarks, move)
        if chance(rng, _SHARE_BESIDE):
            self._composer.paste_behind(seen, placed)
        if chance(rng, 0.3):  # a small face has fewer pixels than the crop
            side = int(REFINER_SIDE_PX * rng.uniform(0.3, 0.8))
            small = cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA)
            seen = np.asarray(cv2.resize(small, (REFINER_SIDE_PX, REFINER_SIDE_PX)), np.float32)
        return seen, placed

    def _without_face(self) -> FloatArray:
        """Return a background, or a face so far aside, so large, so small or so turned as none."""
        rng = self._rng
        if self._hard and chance(rng, 0.6):
            return self._hard[int(rng.integers(len(self._hard)))].astype(np.float32)
        kind = rng.choice(
            ("background", "photo", "aside", "size", "turned"), p=(0.4, 0.2, 0.2, 0.13, 0.07)
        )
        if kind == "background":
            return self._composer.background(REFINER_SIDE_PX)
        if kind == "photo":
            photo = self._material.photo(rng)
            for _ in range(10):
                factor = log_uniform(rng, 0.15, 2.0) * np.exp(1j * roll(rng))
                at = complex(*(rng.uniform(0, 1, 2) * photo.grey.shape[::-1]))
                move = transform(factor, REFINER_CENTRE_PX * (1 + 1j) - factor * at)
                if not any(_fills(carried(each, move)) for each in photo.landmarks):
                    return self._sampled(photo.grey, None, move)
            return self._composer.background(REFINER_SIDE_PX)
        face = self._material.face(rng)
        factor, aside = _turn_to_template(face.landmarks), np.zeros(2)
        if kind == "aside":
            turn = rng.uniform(0, 2 * np.pi)
            aside = rng.uniform(20, 40) * np.array([np.cos(turn), np.sin(turn)])
            factor *= np.exp(rng.normal(0, 0.3))
        elif kind == "size":
            factor *= log_uniform(rng, *((0.2, 0.42) if chance(rng, 0.5) else (2.4, 5.0)))
        else:
            factor *= np.exp(1j * rng.uniform(np.pi / 2, 1.5 * np.pi))
        return self._sampled(face.grey, face.mask, _placed(face.landmarks, factor, aside))

    def _sampled(self, grey: PixelArray, mask: PixelArray | None, move: Points) -> FloatArray:
        """Return what the refiner sees, with something else where the source picture ended."""
        rng = self._rng
        border = cv2.BORDER_REPLICATE if chance(rng, 0.5) else cv2.BORDER_CONSTANT
        seen = sampled(grey, move, REFINER_SIDE_PX, border=border).astype(np.float32)
        if mask is None:
            return seen
        opaque = sampled(mask, move, REFINER_SIDE_PX, outside=0).astype(np.float32) / 255
        behind = self._composer.background(REFINER_SIDE_PX)
        return np.asarray(behind + opaque * (seen - behind), np.float32)


def _turn_to_template(landmarks: Points) -> complex:
    fitted = similarity(landmarks.astype(np.float32), REFINER_TEMPLATE)
    return complex(fitted[0, 0], fitted[1, 0])


def _placed(landmarks: Points, factor: complex, aside: Points) -> Points:
    """Return the move that brings the face's middle to the template's, and *aside* of it."""
    return centred(landmarks, factor, complex(*(_TEMPLATE.mean(axis=0) + aside)))


def _fills(landmarks: Points) -> bool:
    """Tell whether a crop shows so much of a face that it is one."""
    size = size_of(landmarks) / size_of(_TEMPLATE)
    apart = float(np.hypot(*(landmarks.mean(axis=0) - REFINER_CENTRE_PX)))
    return 0.4 < size < 2.5 and apart < 0.6 * max(size_of(landmarks), REFINER_SIDE_PX / 2)  # noqa: PLR2004
