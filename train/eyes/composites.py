"""Pictures to learn the eyes from: photos moved and lit anew, and faces pasted where none were."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.eyes import PADDING_GREY
from edge.geometry import similarity
from edge.vocabulary import FloatArray, PixelArray
from train.eyes.lighting import light, occlude
from train.eyes.material import CROP_SIDE_PX, Face, Material
from train.eyes.warping import (
    Edges,
    Points,
    carried,
    centred,
    chance,
    edges,
    is_free,
    log_uniform,
    meets,
    roll,
    sampled,
    share_inside,
    size_of,
    transform,
)

# YuNet's weaker faces are as often right as wrong: neither learnt nor punished.
_SURE_SCORE = 0.7
# Of a face's box: above the first it is a face to find, below the second none is there.
_MOSTLY_IN, _MOSTLY_OUT = 0.6, 0.1
_HALF = 0.5
_KINDS, _KIND_SHARES = ("photo", "pasted", "faceless"), (0.62, 0.26, 0.12)
_BACKGROUNDS, _BACKGROUND_SHARES = ("noise", "plain", "photo"), (0.12, 0.08, 0.8)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """(S, S) uint8 grey, the landmarks of its faces, and boxes where nothing is to be learnt."""

    grey: PixelArray
    faces: tuple[Points, ...]
    ignored: tuple[Edges, ...]


class Composer:
    """Draws pictures from *material*; equal generators give equal pictures."""

    def __init__(self, material: Material, rng: np.random.Generator) -> None:
        self._material = material
        self._rng = rng

    def picture(self, side_px: int, smallest_px: float, largest_px: float) -> Picture:
        """Return a picture of *side_px* with faces between the two sizes (root of box area)."""
        rng = self._rng
        kind = rng.choice(_KINDS, p=_KIND_SHARES)
        faces: list[Points] = []
        ignored: list[Edges] = []
        sizes = (smallest_px, largest_px)
        if kind == "photo":
            seen = self._photo(side_px, sizes, faces, ignored)
            pasted = int(chance(rng, 0.25))
        else:
            seen = self.background(side_px)
            pasted = int(rng.integers(1, 5)) if kind == "pasted" else 0
        if chance(rng, 0.5):
            self._paste_textures(seen, sizes, faces)
        for _ in range(pasted):
            self._paste_anywhere(seen, sizes, faces, ignored)
        if faces and chance(rng, 0.12):
            occlude(rng, seen, faces[int(rng.integers(len(faces)))])
        return Picture(light(rng, seen), tuple(faces), tuple(ignored))

    def background(self, side_px: int) -> FloatArray:
        """Return a square without a face: noise, one grey, or a part of a photo."""
        rng = self._rng
        kind = rng.choice(_BACKGROUNDS, p=_BACKGROUND_SHARES)
        if kind == "noise":
            cells = max(side_px // 2 ** int(rng.integers(1, 6)), 2)
            noise = rng.integers(0, 256, (cells, cells)).astype(np.float32)
            how = cv2.INTER_CUBIC if chance(rng, 0.7) else cv2.INTER_NEAREST
            enlarged = cv2.resize(noise, (side_px, side_px), interpolation=how)
            return np.asarray(enlarged * rng.uniform(0.1, 1), np.float32)
        if kind == "plain":
            return np.full((side_px, side_px), rng.uniform(0, 255), np.float32)
        photo = self._faceless()
        height, width = photo.shape
        scale = max(log_uniform(rng, 0.25, 2.0), 0.6 * side_px / max(height, width))
        turn = rng.uniform(-0.5, 0.5)
        turn += int(rng.integers(4)) * np.pi / 2 if chance(rng, 0.3) else 0
        at = complex(rng.uniform(0, width), rng.uniform(0, height))
        factor = scale * np.exp(1j * turn)
        move = transform(factor, (side_px - 1) / 2 * (1 + 1j) - factor * at)
        return sampled(photo, move, side_px, border=cv2.BORDER_REFLECT_101).astype(np.float32)

    def _photo(
        self,
        side_px: int,
        sizes: tuple[float, float],
        faces: list[Points],
        ignored: list[Edges],
    ) -> FloatArray:
        """Return a photo moved so that one of its faces has a drawn size; add its faces."""
        rng = self._rng
        photo = self._material.photo(rng)
        middle = complex(photo.grey.shape[1] / 2, photo.grey.shape[0] / 2)
        factor, at, to = complex(rng.uniform(0.3, 1.5)), middle, side_px / 2 * (1 + 1j)
        if len(photo.landmarks):
            chosen = photo.landmarks[int(rng.integers(len(photo.landmarks)))]
            size = size_of(chosen)
            factor = min(log_uniform(rng, *sizes) / size, 4.0) * np.exp(1j * roll(rng))
            at = complex(*chosen.mean(axis=0)) + size * rng.normal(0, 0.15) * (1 + 1j)
            if chance(rng, 0.2):  # somewhere else in the photo
                at = complex(rng.uniform(0, middle.real * 2), rng.uniform(0, middle.imag * 2))
            to = complex(*rng.uniform(0.12 * side_px, 0.88 * side_px, 2))
        move = transform(factor, to - factor * at)
        border = cv2.BORDER_REPLICATE if chance(rng, 0.35) else cv2.BORDER_CONSTANT
        grey = PADDING_GREY if chance(rng, 0.7) else int(rng.integers(256))
        seen = sampled(photo.grey, move, side_px, border=border, outside=grey).astype(np.float32)
        for landmarks, score in zip(photo.landmarks, photo.scores, strict=True):
            points = carried(landmarks, move)
            inside = share_inside(points, side_px)
            if inside < _MOSTLY_OUT:
                continue
            sure = score > _SURE_SCORE
            if sure and inside > _HALF and chance(rng, 0.4):
                points = self._swap(seen, points)
                inside = share_inside(points, side_px)
            if sure and inside > _MOSTLY_IN:
                faces.append(points)
            else:
                ignored.append(edges(points))
        return seen

    def _swap(self, seen: FloatArray, landmarks: Points) -> Points:
        """Paste another face over the one with *landmarks*; return the new one's landmarks."""
        rng = self._rng
        face = self._material.face(rng)
        fitted = similarity(face.landmarks.astype(np.float32), landmarks.astype(np.float32))
        factor = complex(fitted[0, 0], fitted[1, 0])
        factor *= np.exp(rng.normal(0, 0.08) + 1j * rng.normal(0, 0.1))
        move = centred(face.landmarks, factor, complex(*landmarks.mean(axis=0)))
        paste(rng, seen, face, move)
        return carried(face.landmarks, move)

    def _paste_anywhere(
        self,
        seen: FloatArray,
        sizes: tuple[float, float],
        faces: list[Points],
        ignored: list[Edges],
    ) -> None:
        """Paste a face where no other is, if such a place is found in four tries."""
        rng = self._rng
        side_px = seen.shape[0]
        face = self._material.face(rng)
        size = log_uniform(rng, *sizes)
        factor = size / size_of(face.landmarks) * np.exp(1j * roll(rng))
        for _ in range(4):
            margin = 0.4 * min(size, side_px) if chance(rng, 0.9) else 0.0
            to = complex(*rng.uniform(margin, side_px - margin, 2))
            move = centred(face.landmarks, factor, to)
            points = carried(face.landmarks, move)
            if is_free(points, faces) and not any(meets(edges(points), box) for box in ignored):
                paste(rng, seen, face, move)
                if share_inside(points, side_px) > _MOSTLY_IN:
                    faces.append(points)
                else:
                    ignored.append(edges(points))
                return

    def paste_behind(self, seen: FloatArray, face: Points) -> None:
        """Paste another face beside *face*, and behind it where they meet."""
        rng = self._rng
        before = seen.copy()
        own_size = size_of(face)
        size = own_size * log_uniform(rng, 0.6, 1.5)
        apart = rng.uniform(0.75, 1.4) * (size + own_size) / 2
        to = complex(*face.mean(axis=0)) + apart * np.exp(1j * rng.uniform(0, 2 * np.pi))
        other = self._material.face(rng)
        factor = size / size_of(other.landmarks) * np.exp(1j * roll(rng))
        paste(rng, seen, other, centred(other.landmarks, factor, to))
        head = np.zeros(seen.shape, np.float32)
        middle, half = face.mean(axis=0), own_size * rng.uniform(0.55, 0.75)
        cv2.circle(head, np.rint(middle).astype(int).tolist(), round(half), (1.0,), -1)
        soft = cv2.GaussianBlur(head, (0, 0), 1.0)
        seen += soft * (before - seen)

    def _paste_textures(
        self, seen: FloatArray, sizes: tuple[float, float], faces: list[Points]
    ) -> None:
        """Paste what is no face by a face's mask, so that seams do not give faces away."""
        rng = self._rng
        side_px = seen.shape[0]
        for _ in range(int(rng.integers(3))):
            photo = self._faceless()
            left = int(rng.integers(max(1, photo.shape[1] - CROP_SIDE_PX)))
            top = int(rng.integers(max(1, photo.shape[0] - CROP_SIDE_PX)))
            part = photo[top : top + CROP_SIDE_PX, left : left + CROP_SIDE_PX]
            texture = np.asarray(cv2.resize(part, (CROP_SIDE_PX, CROP_SIDE_PX)), np.uint8)
            shape = self._material.face(rng)
            factor = log_uniform(rng, *sizes) / size_of(shape.landmarks) * np.exp(1j * roll(rng))
            to = complex(*rng.uniform(0, side_px, 2))
            move = centred(shape.landmarks, factor, to)
            if is_free(carried(shape.landmarks, move), faces):
                paste(rng, seen, Face(texture, shape.mask, shape.landmarks), move)

    def _faceless(self) -> PixelArray:
        return self._material.faceless[int(self._rng.integers(len(self._material.faceless)))]


def paste(rng: np.random.Generator, seen: FloatArray, face: Face, move: Points) -> None:
    """Lay *face* under *move* into *seen*, with an edge that is soft as often as not."""
    mask = face.mask.copy()
    mask[[0, -1]] = mask[:, [0, -1]] = 0  # the crop's own edge is eroded too
    across = 2 * int(rng.integers(1, 4)) + 1
    mask = np.asarray(cv2.erode(mask, np.ones((across, across), np.uint8)), np.uint8)
    if chance(rng, 0.35):
        oval = np.zeros_like(mask)
        axes = (int(rng.integers(44, 72)), int(rng.integers(58, 74)))
        cv2.ellipse(oval, (72 + int(rng.integers(-4, 5)), 74), axes, 0, 0, 360, (255,), -1)
        mask = np.minimum(mask, oval)
    if chance(rng, 0.7):
        width = int(rng.integers(3, 14))
        mask = np.asarray(cv2.blur(mask, (width, width)), np.uint8)
    side_px = seen.shape[0]
    opaque = sampled(mask, move, side_px, outside=0).astype(np.float32) / 255
    laid = sampled(face.grey, move, side_px, border=cv2.BORDER_REPLICATE).astype(np.float32)
    inner = opaque > _HALF
    if chance(rng, 0.4) and inner.any():  # lit like what it covers
        mean = laid[inner].mean()
        laid = (laid - mean) * rng.uniform(0.6, 1.2) + 0.4 * mean + 0.6 * seen[inner].mean()
    seen += opaque * (laid - seen)
