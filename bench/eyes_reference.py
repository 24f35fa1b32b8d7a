"""Reference landmarks: the mean of eighteen looks of YuNet, because one look is not sure.

YuNet's landmarks on the same face move when the picture is mirrored, turned or resized, and one
look is 5.5 % of the eye distance from the mean of fifty. Three sizes, each turned by -12, 0 and
12 degrees, each plain and mirrored, are averaged; a face counts if half of them see it. The mean of
six upright looks, which this replaces, added noise of its own: on 300 LFW pictures the shipped eyes
were 5.18 % from it, 4.90 % from these eighteen, 4.84 % from fifty (two mirrors, five turns, five
sizes). What the halves of the looks differ by is told with each face; habits that all looks share
are in no such figure.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.geometry import moved
from edge.vocabulary import FloatArray, PixelArray

_SCORE = 0.6
_OVERLAP = 0.3
_CANDIDATES = 200
_TURNS_DEG = (-12.0, 0.0, 12.0)
_SCALES = (0.75, 1.0, 1.5)
_LOOKS = tuple(itertools.product((False, True), _TURNS_DEG, _SCALES))
_MIRRORED = [1, 0, 2, 4, 3]


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceFace:
    """A face that half of the looks see.

    Args:
        landmarks: (5, 2) in pixels, the mean of the looks.
        noise: half of what the plain and the mirrored looks' means differ by, in eye distances: the
            error of the mean of both, were the two halves wrong independently. NaN if only one half
            sees the face.
    """

    landmarks: FloatArray
    noise: float


class Reference:
    """YuNet from its ONNX file, looking eighteen times.

    Args:
        model: the ONNX file.
        cache: a file in which the faces of a picture are remembered, by the picture's pixels, so
            that another run need not look again; written by `remember`. None: nothing is kept.
    """

    def __init__(self, model: Path, cache: Path | None = None) -> None:
        self._network = cv2.FaceDetectorYN.create(
            str(model), "", (320, 320), _SCORE, _OVERLAP, _CANDIDATES
        )
        self._cache = cache
        # Other looks make other faces: what they were is part of each key.
        self._salt = hashlib.sha256(model.read_bytes() + repr((_LOOKS, _SCORE)).encode()).digest()
        self._known: dict[str, FloatArray] = {}
        if cache is not None and cache.is_file():
            with np.load(cache) as held:
                self._known = {name: held[name] for name in held.files}

    def faces(self, pixels: PixelArray) -> list[ReferenceFace]:
        """Return the faces in (H, W, 3) uint8 RGB *pixels* that half of the looks see."""
        content = np.ascontiguousarray(pixels)
        key = hashlib.sha256(self._salt + repr(pixels.shape).encode() + content.data).hexdigest()
        if key not in self._known:
            found = [np.append(face.landmarks, face.noise) for face in self._seen(pixels)]
            self._known[key] = np.array(found, np.float32).reshape(-1, 11)
        return [
            ReferenceFace(row[:10].reshape(5, 2).copy(), float(row[10])) for row in self._known[key]
        ]

    def remember(self) -> None:
        """Write what was seen to the cache, whole or not at all."""
        if self._cache is not None:
            partial = self._cache.with_suffix(".part.npz")
            np.savez(partial, **self._known)
            partial.replace(self._cache)

    def look(
        self, pixels: PixelArray, *, scale: float = 1.0, turn_deg: float = 0.0, mirror: bool = False
    ) -> list[FloatArray]:
        """Return (5, 2) landmarks of the faces of one look, in pixels of *pixels*."""
        height, width = pixels.shape[:2]
        seen = np.ascontiguousarray(pixels[:, ::-1]) if mirror else pixels
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1.0)
        if turn_deg:
            seen = cv2.warpAffine(seen, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        size = (max(32, round(width * scale)), max(32, round(height * scale)))
        if size != (width, height):
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            seen = cv2.resize(seen, size, interpolation=how)
        self._network.setInputSize(size)
        _, rows = self._network.detect(cv2.cvtColor(seen, cv2.COLOR_RGB2BGR))
        back = cv2.invertAffineTransform(turn).astype(np.float32)
        by = np.array(size) / (width, height)
        found = []
        for row in [] if rows is None else rows:
            # Pixel centres: x of the picture is (x of the look + 1/2) / by - 1/2.
            placed = ((row[4:14].reshape(5, 2) + 0.5) / by - 0.5).astype(np.float32)
            placed = moved(placed, back)
            if mirror:
                placed = (placed * (-1, 1) + (width - 1, 0))[_MIRRORED]
            found.append(np.asarray(placed, np.float32))
        return found

    def _seen(self, pixels: PixelArray) -> list[ReferenceFace]:
        groups: list[dict[bool, list[FloatArray]]] = []
        for mirror, turn_deg, scale in _LOOKS:
            for face in self.look(pixels, scale=scale, turn_deg=turn_deg, mirror=mirror):
                same = [group for group in groups if is_same(face, _mean(group))]
                if not same:
                    same = [defaultdict(list)]
                    groups += same
                same[0][mirror].append(face)
        return [
            ReferenceFace(_mean(group), _noise(group))
            for group in groups
            if sum(map(len, group.values())) >= len(_LOOKS) / 2
        ]


def _mean(group: dict[bool, list[FloatArray]]) -> FloatArray:
    """Return the mean of the looks of one face."""
    return np.asarray(np.mean([each for half in group.values() for each in half], axis=0))


def _noise(group: dict[bool, list[FloatArray]]) -> float:
    """Return half of what the plain and the mirrored looks differ by, in eye distances."""
    if len(group) < 2:
        return float("nan")
    plain, mirrored = (np.mean(group[half], axis=0) for half in (False, True))
    return error_of(plain, mirrored) / 2


def is_same(found: FloatArray, reference: FloatArray) -> bool:
    """Tell whether two sets of landmarks are one face: near, and of like size."""
    unit = size_of(reference)
    apart = float(np.linalg.norm(found.mean(axis=0) - reference.mean(axis=0)))
    return apart < 0.6 * unit and 0.5 < size_of(found) / unit < 2.0


def size_of(landmarks: FloatArray) -> float:
    """Return the larger of eye distance and eyes to mouth, in pixels."""
    down = landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0)
    return float(max(np.hypot(*(landmarks[1] - landmarks[0])), np.hypot(*down)))


def error_of(found: FloatArray, reference: FloatArray) -> float:
    """Return the mean landmark error in eye distances of *reference*."""
    eyes = np.linalg.norm(reference[1] - reference[0])
    return float(np.linalg.norm(found - reference, axis=1).mean() / eyes)
