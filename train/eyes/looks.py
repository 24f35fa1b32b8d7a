"""YuNet's landmarks as the mean of several looks, because one look is not sure.

On the same face they move when the picture is mirrored, turned, resized or shifted (docs/eyes.md).
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge.eyes import PADDING_GREY
from edge.geometry import moved
from edge.vocabulary import FloatArray, PixelArray

SCORE = 0.6
_OVERLAP = 0.3
_CANDIDATES = 200
_TURN_DEG = 12.0  # at most, to either side
_SCALES = (0.7, 1.5)  # least and most
_CELL_PX = 32  # of YuNet's coarsest grid: where in its cell a face lies moves its landmarks
# Multiples of odd numbers modulo 16 take each sixteenth of each range once, and pairs of ranges
# evenly too: a lattice rule (N. M. Korobov, 1959).
_STEPS = np.array([1, 3, 5, 7])
# What lies around the picture: streaks of its edge would draw landmarks further than one grey does.
_AROUND = (PADDING_GREY,) * 3
_PAIRS, _TAUGHT_BY = 16, 3  # looks plain, and as many mirrored: in all; at what is learnt from
_MIRRORED = [1, 0, 2, 4, 3]
# Of the way from eyes to mouth; a frontal face's eyes are as far apart, about.
_TURNED = 0.9


class Look(NamedTuple):
    """Mirrored, then turned, scaled, and shifted by so many pixels of what YuNet sees."""

    mirrored: bool
    turn_deg: float
    scale: float
    right_px: float
    down_px: float


def _look(mirrored: bool, at: int) -> Look:
    """Return the look at a point of the lattice."""
    turn, scale, right, down = (at * _STEPS % _PAIRS + 0.5) / _PAIRS
    least, most = _SCALES
    return Look(
        mirrored,
        round(float(_TURN_DEG * (2 * turn - 1)), 3),
        round(float(least * (most / least) ** scale), 4),
        round(float(_CELL_PX * right), 2),
        round(float(_CELL_PX * down), 2),
    )


LOOKS = tuple(_look(mirrored, at) for mirrored in (False, True) for at in range(_PAIRS))


def fingerprint(model: Path) -> str:
    """Return what landmarks depend on besides the picture: kept ones of another are of no use.

    Raises:
        OSError: if the ONNX file *model* cannot be read.
    """
    return hashlib.sha256(model.read_bytes() + repr((LOOKS, SCORE, _AROUND)).encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """A face that at least half of the looks see.

    Args:
        landmarks: (5, 2) in pixels, the mean of the looks.
        noise: half of what the plain and the mirrored looks' means differ by, in eye distances: the
            error of the mean of both, were the two halves wrong independently. NaN if only one half
            sees the face.
    """

    landmarks: FloatArray
    noise: float


class Looker:
    """YuNet from its ONNX file, looking as often as it is asked to.

    Args:
        model: the ONNX file.
    """

    def __init__(self, model: Path) -> None:
        self._network = cv2.FaceDetectorYN.create(
            str(model), "", (320, 320), SCORE, _OVERLAP, _CANDIDATES
        )

    def faces(self, pixels: PixelArray, looks: Sequence[Look] = LOOKS) -> list[SeenFace]:
        """Return the faces in (H, W, 3) uint8 RGB *pixels* that at least half of *looks* see."""
        groups: list[dict[bool, list[FloatArray]]] = []
        for look in looks:
            for face in self.look(pixels, look):
                same = [group for group in groups if is_same(face, _mean(group))]
                if not same:
                    same = [defaultdict(list)]
                    groups += same
                same[0][look.mirrored].append(face)
        return [
            SeenFace(_mean(group), _noise(group))
            for group in groups
            if sum(map(len, group.values())) >= len(looks) / 2
        ]

    def look(self, pixels: PixelArray, look: Look) -> list[FloatArray]:
        """Return (5, 2) landmarks of the faces of one look, in pixels of *pixels*."""
        height, width = pixels.shape[:2]
        seen = np.ascontiguousarray(pixels[:, ::-1]) if look.mirrored else pixels
        middle = ((width - 1) / 2, (height - 1) / 2)
        move = np.asarray(cv2.getRotationMatrix2D(middle, look.turn_deg, 1.0), np.float64)
        move[:, 2] += np.array([look.right_px, look.down_px]) / look.scale
        room = math.ceil(_CELL_PX / look.scale)  # nothing is shifted out of the picture
        whole = (width + room, height + room)
        seen = cv2.warpAffine(seen, move, whole, borderValue=_AROUND)
        size = (round(whole[0] * look.scale), round(whole[1] * look.scale))
        how = cv2.INTER_AREA if look.scale < 1 else cv2.INTER_LINEAR
        seen = cv2.resize(seen, size, interpolation=how)
        self._network.setInputSize(size)
        _, rows = self._network.detect(cv2.cvtColor(seen, cv2.COLOR_RGB2BGR))
        back = cv2.invertAffineTransform(move).astype(np.float32)
        by = np.array(size) / whole
        found = []
        for row in [] if rows is None else rows:
            # Pixel centres: x of the picture is (x of the look + 1/2) / by - 1/2.
            placed = ((row[4:14].reshape(5, 2) + 0.5) / by - 0.5).astype(np.float32)
            placed = moved(placed, back)
            if look.mirrored:
                placed = (placed * (-1, 1) + (width - 1, 0))[_MIRRORED]
            found.append(np.asarray(placed, np.float32))
        return found


def some_looks(rng: np.random.Generator) -> tuple[Look, ...]:
    """Return six of `LOOKS`, three plain and three mirrored, of which no two else are alike."""
    drawn = rng.permutation(_PAIRS)[: 2 * _TAUGHT_BY]
    return tuple(LOOKS[at] for at in (*drawn[:_TAUGHT_BY], *(drawn[_TAUGHT_BY:] + _PAIRS)))


def is_same(found: FloatArray, reference: FloatArray) -> bool:
    """Tell whether two sets of landmarks are one face: near, and of like size."""
    unit = size_of(reference)
    apart = float(np.linalg.norm(found.mean(axis=0) - reference.mean(axis=0)))
    return apart < 0.6 * unit and 0.5 < size_of(found) / unit < 2.0  # noqa: PLR2004


def size_of(landmarks: FloatArray) -> float:
    """Return the larger of eye distance and eyes to mouth, in pixels."""
    down = landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0)
    return float(max(np.hypot(*(landmarks[1] - landmarks[0])), np.hypot(*down)))


def are_turned(landmarks: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell for (…, 5, 2) landmarks whose heads are turned away: their eyes are near each other."""
    eyes = np.linalg.norm(landmarks[..., 1, :] - landmarks[..., 0, :], axis=-1)
    down = landmarks[..., 3:, :].mean(axis=-2) - landmarks[..., :2, :].mean(axis=-2)
    return np.asarray(eyes < _TURNED * np.linalg.norm(down, axis=-1))


def error_of(found: FloatArray, reference: FloatArray) -> float:
    """Return the mean landmark error in eye distances of *reference*."""
    eyes = np.linalg.norm(reference[1] - reference[0])
    return float(np.linalg.norm(found - reference, axis=1).mean() / eyes)


def _mean(group: dict[bool, list[FloatArray]]) -> FloatArray:
    """Return the mean of the looks of one face."""
    return np.asarray(np.mean([each for half in group.values() for each in half], axis=0))


def _noise(group: dict[bool, list[FloatArray]]) -> float:
    """Return half of what the plain and the mirrored looks differ by, in eye distances."""
    if len(group) < 2:  # noqa: PLR2004 - halves
        return float("nan")
    plain, mirrored = (np.mean(group[half], axis=0) for half in (False, True))
    return error_of(plain, mirrored) / 2
