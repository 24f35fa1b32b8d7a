"""Janus's own eyes: one int8 network finds faces in a picture, a second places five landmarks.

The finder sees the whole picture in grey, never enlarged, and says for every cell of three grids
whether a face is centred there and where its landmarks lie. The refiner sees each face upright and
at one size, and places the landmarks again; because it sees it so, turning and scaling the picture
moves them along. Boxes are derived from landmarks, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.errors import BundleError
from edge.faces import box_of as box_of  # noqa: PLC0414 - train/eyes asks for it here
from edge.faces import is_a_face, overlap
from edge.refiner import Refiner
from edge.tflite import Network, Output, dequantize
from edge.vocabulary import Box, Detection, FloatArray, PixelArray

# How the networks are asked and answer; in every manifest, and changes if any pixel or unit does.
GEOMETRY = "grey-letterbox/strides-8-16-32/refiner-64-half-template/v1"

STRIDES = (8, 16, 32)  # of the finder's grids, in pixels of its input
# Landmarks are told from the cell's centre, in units of so many strides.
OFFSET_UNIT = 4.0
# What lies around the picture in the finder's input.
PADDING_GREY = 127
_MOST_CANDIDATES = 200  # cells that reach suppression


@dataclass(frozen=True, slots=True)
class Eyes:
    """The two networks as .tflite bytes, verified by whoever read them, and their lowest score."""

    finder: bytes
    refiner: bytes
    score: float


@dataclass(frozen=True, slots=True)
class Grid:
    """One of the finder's grids: its stride and the two outputs on it."""

    stride: int
    score: Output
    landmarks: Output


class EyesDetector:
    """The finder and the refiner, one after the other.

    Args:
        finder: (1, H, W, 1) grey → for each stride a score (1, H/s, W/s, 1) and landmarks
            (1, H/s, W/s, 10).
        refiner: places the landmarks of each face anew.
        smallest_face_px: narrowest face box that counts, in pixels of the picture.
        score: lowest score that counts, 0 to 1.
        most_faces: returned, at least 1.

    Raises:
        BundleError: if the finder has other tensors.
    """

    def __init__(
        self,
        finder: Network,
        refiner: Refiner,
        *,
        smallest_face_px: float,
        score: float,
        most_faces: int = 8,
    ) -> None:
        self._finder, self._refiner = finder, refiner
        self._smallest_face_px, self._score, self._most_faces = smallest_face_px, score, most_faces
        self._height, self._width, self._grids = _finder_tensors(finder)

    def detect(self, pixels: PixelArray) -> tuple[Detection, ...]:
        """Return the faces in (H, W, 3) uint8 RGB *pixels*, largest first.

        Raises:
            BundleError: if a network fails.
        """
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        found: list[Detection] = []
        for landmarks, score in self._find(grey):
            face = self._face(grey, landmarks, score)
            if face is not None and not any(overlap(face.box, other.box) for other in found):
                found.append(face)
        largest_first = sorted(found, key=lambda face: (-face.box.width, face.box.left))
        return tuple(largest_first[: self._most_faces])

    def _find(self, grey: PixelArray) -> list[tuple[FloatArray, float]]:
        """Return landmarks in picture pixels and score of the faces of one look, best first."""
        scale = min(1.0, self._width / grey.shape[1], self._height / grey.shape[0])
        width, height = (max(1, round(side * scale)) for side in (grey.shape[1], grey.shape[0]))
        seen = np.full((1, self._height, self._width, 1), PADDING_GREY, np.uint8)
        seen[0, :height, :width, 0] = cv2.resize(
            grey, (width, height), interpolation=cv2.INTER_AREA
        )
        self._finder.run(seen)
        answers = [
            (
                grid.stride,
                dequantize(self._finder.levels(grid.score), grid.score.quantization)[0, ..., 0],
                dequantize(self._finder.levels(grid.landmarks), grid.landmarks.quantization)[0],
            )
            for grid in self._grids
        ]
        # What both scores come to is no more than the refiner's best, which is 1, lets through.
        found = faces_of(answers, self._score**1.5)
        # Pixel centres: x of the picture is (x of the input + 1/2) / scale - 1/2.
        back = np.array([grey.shape[1] / width, grey.shape[0] / height])
        in_picture = [(((at + 0.5) * back - 0.5).astype(np.float32), score) for at, score in found]
        # Twice as many as are wanted: the refiner refuses some.
        return in_picture[: 2 * self._most_faces]

    def _face(self, grey: PixelArray, landmarks: FloatArray, score: float) -> Detection | None:
        """Return what the refiner makes of a face that was found, or None if it does not count."""
        refined = self._refiner.refine(grey, landmarks)
        if refined is None:
            return None
        landmarks, verdict = refined
        box, both = box_of(landmarks), joint_score(score, verdict)
        if both < self._score or box.width < self._smallest_face_px:
            return None
        return Detection(box, landmarks, both)


def joint_score(finder: float, refiner: float) -> float:
    """Return what the two networks' scores, each 0 to 1, come to: a geometric mean.

    The finder's weighs twice. It sees the surroundings; the refiner sees only what was brought to
    look like a face, and a motorcycle's wheel can (0.58 and 0.96 in the demo's garage).
    """
    return float(np.cbrt(finder**2 * refiner))


def faces_of(
    answers: Sequence[tuple[int, FloatArray, FloatArray]], least: float
) -> list[tuple[FloatArray, float]]:
    """Return landmarks in pixels of the finder's input and score of each face, best first.

    Args:
        answers: for each grid its stride, (R, C) logits and (R, C, 10) offsets.
        least: lowest score that counts, 0 to 1.
    """
    scores, points = [], []
    for stride, logits, offsets in answers:
        rows, columns = np.nonzero(logits >= _logit(least))
        centres = (np.stack([columns, rows], axis=-1) + 0.5) * stride - 0.5
        away = offsets[rows, columns].reshape(-1, 5, 2) * (OFFSET_UNIT * stride)
        scores.append(_sigmoid(logits[rows, columns]))
        points.append((centres[:, np.newaxis] + away).astype(np.float32))
    score, landmarks = np.concatenate(scores), np.concatenate(points)
    kept: list[tuple[FloatArray, float]] = []
    boxes: list[Box] = []
    for at in np.argsort(-score, kind="stable")[:_MOST_CANDIDATES]:
        if not is_a_face(landmarks[at]):
            continue
        box = box_of(landmarks[at])
        if not any(overlap(box, other) for other in boxes):
            kept.append((landmarks[at], float(score[at])))
            boxes.append(box)
    return kept


def _finder_tensors(finder: Network) -> tuple[int, int, tuple[Grid, ...]]:
    """Return input height and width, and the grids, by the shapes of the tensors."""
    shape = finder.input_shape
    by_shape = {each.shape: each for each in finder.outputs}
    coarsest = STRIDES[-1]
    if (
        len(shape) != 4  # noqa: PLR2004
        or shape[0] != 1
        or shape[3] != 1
        or shape[1] % coarsest
        or shape[2] % coarsest
    ):
        raise BundleError(
            f"the finder sees {shape}; expected (1, H, W, 1) in multiples of {coarsest}: "
            "convert the model again"
        )
    grids = []
    for stride in STRIDES:
        rows, columns = shape[1] // stride, shape[2] // stride
        score = by_shape.get((1, rows, columns, 1))
        landmarks = by_shape.get((1, rows, columns, 10))
        if score is None or landmarks is None:
            raise BundleError(
                f"the finder offers {sorted(by_shape)}; expected a score and ten landmark values "
                f"for each of {rows} x {columns} cells: convert the model again"
            )
        grids.append(Grid(stride, score, landmarks))
    return shape[1], shape[2], tuple(grids)


def _sigmoid(logits: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)), dtype=np.float32)


def _logit(score: float) -> float:
    """Return the logit of *score*; minus infinity at 0."""
    if score <= 0:
        return -np.inf
    return float(np.log(score / (1 - score))) if score < 1 else np.inf
