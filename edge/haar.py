"""Find faces by OpenCV's Haar cascades: no weights of anybody's, and dearer than a network.

The cost is bounded: the picture is reduced until the smallest face that a door needs is 28 pixels
wide, and in the frames of a camera most searches are where faces were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import cv2.data
import numpy as np
import numpy.typing as npt

from edge.errors import ConfigError
from edge.faces import MOST_FACES, largest_first
from edge.vocabulary import Box, Detection, FloatArray, PixelArray

# The width to which the smallest face is reduced for the search. Of 354 faces in `scenes`,
# 28 px finds 327, 24 px 322 at 0.8 times the cost, 32 px 328 at 1.15 times.
_SEARCH_WIDTH_PX = 28
_MOST_SEARCHED_PX = 1_000_000  # bounds the search of a large photo; its smallest faces are lost
# The picture's edge is repeated outwards by this share of its shorter side: AT&T's heads fill the
# picture, and 8 in 100 of them are not found without it.
_MARGIN = 0.15
_SCALE_STEP = 1.1
_NEIGHBOURS = 3

# The mean face about the centre of a Haar box, in widths of the box: the YuNet landmarks of 360
# faces in photos of the training part of `scenes`, made symmetric. Right eye, left eye.
_MEAN_EYES: FloatArray = np.array([[-0.186, -0.117], [0.186, -0.117]], np.float32)
# The same people's nose tip and mouth corners, from the middle between the eyes, in eye distances
# (along the eyes, across them).
_MEAN_REST: FloatArray = np.array([[0.0, 0.617], [-0.442, 1.041], [0.442, 1.041]], np.float32)

# Each eye's cascade searches this much about the mean eye (half width, half height), in widths of
# the box, in a face brought to _EYE_FACE_PX. 96 px: 72 px finds one eye in five fewer.
_EYE_FACE_PX = 96
_EYE_SEARCH = (0.25, 0.22)
_EYE_WIDTH = (0.18, 0.42)
_EYE_SCALE_STEP = 1.05
# What the eye cascades find, less this, is least wrong on those faces; then it counts by the share
# that least squares gave there: the mean face is right about the rest.
_EYE_OFFSETS: FloatArray = np.array([[-0.006, -0.035], [0.006, -0.035]], np.float32)
_GAIN_OF_BOTH: FloatArray = np.array([0.55, 0.77], np.float32)
_GAIN_OF_ONE: FloatArray = np.array([0.24, 0.25], np.float32)

# About a face that was found: half the side of the square that is searched for it in the next
# frame, and the sizes that it may have there, in widths of its box. At 15 frames a second a head
# that passes half a metre away moves by less.
_REACH = 1.1
_GROWTH = (0.75, 1.35)
# Every so manieth frame is searched whole: whoever else comes is seen a third of a second later.
_WHOLE_EVERY = 5


@dataclass(frozen=True, slots=True)
class _Area:
    """A part of the reduced picture, where it lies there, and the widths to search; 0: any."""

    pixels: PixelArray
    left: int
    top: int
    smallest: int
    largest: int = 0


class HaarDetector:
    """OpenCV's frontal face cascade, with eyes by its eye cascades; the mean face for the rest.

    Args:
        smallest_face_px: narrowest face that is searched, in pixels.

    Raises:
        ConfigError: if this OpenCV comes without its cascades.
    """

    def __init__(self, smallest_face_px: int) -> None:
        self._smallest_face_px = smallest_face_px
        self._faces = _cascade("haarcascade_frontalface_alt2.xml")
        # The "2splits" pair, not haarcascade_eye: half the time and a smaller error (5.9 against
        # 6.7 % of the eye distance on 250 LFW pictures); haarcascade_eye_tree_eyeglasses: 6.5 %.
        self._eyes = (
            _cascade("haarcascade_righteye_2splits.xml"),
            _cascade("haarcascade_lefteye_2splits.xml"),
        )

    def detect(self, pixels: PixelArray) -> tuple[Detection, ...]:
        """Return the faces in (H, W, 3) uint8 RGB *pixels*, largest first, at most 8."""
        return self.search(pixels)

    def search(
        self, pixels: PixelArray, near: Sequence[Box] | None = None
    ) -> tuple[Detection, ...]:
        """Return the faces of *pixels*, as `detect`.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            near: boxes in *pixels*: only faces about them and of about their size are searched.
                None: all.
        """
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        return largest_first(
            [
                Detection(box, self._landmarks(grey, box), score)
                for box, score in self._boxes(grey, near)
            ]
        )

    def _boxes(self, grey: PixelArray, near: Sequence[Box] | None) -> list[tuple[Box, float]]:
        """Return boxes, and as scores how many search windows agree on each."""
        height, width = grey.shape
        scale = min(
            _SEARCH_WIDTH_PX / self._smallest_face_px, (_MOST_SEARCHED_PX / (height * width)) ** 0.5
        )
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        reduced = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        margin = round(_MARGIN * min(size))
        padded = np.asarray(
            cv2.copyMakeBorder(reduced, margin, margin, margin, margin, cv2.BORDER_REPLICATE),
            np.uint8,
        )
        smallest = max(_SEARCH_WIDTH_PX, round(self._smallest_face_px * scale))
        by = np.array(size) / (width, height)
        areas = [_Area(padded, 0, 0, smallest)]
        if near is not None:
            areas = [_about(padded, each, by, margin, smallest) for each in near]
        boxes = []
        for area in areas:
            found, neighbours = self._faces.detectMultiScale2(
                area.pixels,
                scaleFactor=_SCALE_STEP,
                minNeighbors=_NEIGHBOURS,
                minSize=(area.smallest, area.smallest),
                maxSize=(area.largest, area.largest),
            )
            for (left, top, side, tall), count in zip(found, neighbours, strict=True):
                corners = np.array([[left, top], [left + side, top + tall]], np.float64)
                corners = (corners + np.array([area.left - margin, area.top - margin])) / by
                boxes.append((Box(*corners.ravel().tolist()), float(count)))
        # Only what can come back is worth the search for its eyes.
        return sorted(boxes, key=lambda each: -each[0].width)[:MOST_FACES]

    def _landmarks(self, grey: PixelArray, box: Box) -> FloatArray:
        """Return five landmarks: the mean face, moved to the eyes as far as they are found."""
        moves = self._eye_moves(grey, box)
        seen = np.isfinite(moves).all(axis=1)
        if seen.all():
            eyes = _MEAN_EYES + moves * _GAIN_OF_BOTH
        elif seen.any():
            eyes = _MEAN_EYES + moves[seen][0] * _GAIN_OF_ONE
        else:
            eyes = _MEAN_EYES
        along = eyes[1] - eyes[0]
        across = np.array([-along[1], along[0]])
        rest = eyes.mean(axis=0) + _MEAN_REST @ np.stack([along, across])
        centre = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
        return np.asarray(np.concatenate([eyes, rest]) * box.width + centre, np.float32)

    def _eye_moves(self, grey: PixelArray, box: Box) -> npt.NDArray[np.float64]:
        """Return (2, 2) box widths from `_MEAN_EYES` to the eyes that are seen; NaN if unseen."""
        height, width = grey.shape
        left, top = max(0, round(box.left)), max(0, round(box.top))
        part = grey[top : min(height, round(box.bottom)), left : min(width, round(box.right))]
        moves = np.full((2, 2), np.nan)
        scale = _EYE_FACE_PX / box.width
        size = (round(part.shape[1] * scale), round(part.shape[0] * scale))
        if min(size) < 1:
            return moves
        face = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        middle = (
            np.array([(box.left + box.right) / 2 - left, (box.top + box.bottom) / 2 - top]) * scale
        )
        reach = np.array(_EYE_SEARCH) * _EYE_FACE_PX
        smallest, largest = (round(width * _EYE_FACE_PX) for width in _EYE_WIDTH)
        for side, cascade in enumerate(self._eyes):
            at = middle + _MEAN_EYES[side] * _EYE_FACE_PX
            low = np.clip(np.rint(at - reach), 0, size).astype(int)
            high = np.clip(np.rint(at + reach), 0, size).astype(int)
            if (high - low).min() < smallest:
                continue
            found = np.asarray(
                cascade.detectMultiScale(
                    face[low[1] : high[1], low[0] : high[0]],
                    scaleFactor=_EYE_SCALE_STEP,
                    minNeighbors=0,
                    minSize=(smallest, smallest),
                    maxSize=(largest, largest),
                )
            )
            if len(found):
                # The median of every hit: steadier than the one best group of hits.
                seen = low + np.median(found[:, :2] + found[:, 2:] / 2, axis=0)
                moves[side] = (seen - at) / _EYE_FACE_PX - _EYE_OFFSETS[side]
        return moves


class FollowingHaar:
    """`HaarDetector` for the frames of one camera: it looks where faces were.

    The whole frame is searched every fifth time, while nobody is known, and whenever a face is not
    found again.

    Args:
        haar: searches.
    """

    def __init__(self, haar: HaarDetector) -> None:
        self._haar = haar
        self._known: tuple[Box, ...] = ()
        self._shape: tuple[int, ...] = ()
        self._since_whole = 0

    def detect(self, pixels: PixelArray) -> tuple[Detection, ...]:
        """Return the faces in the next frame, (H, W, 3) uint8 RGB, largest first, at most 8."""
        found: tuple[Detection, ...] = ()
        self._since_whole += 1
        near = self._since_whole < _WHOLE_EVERY and pixels.shape == self._shape
        if near and self._known:
            found = self._haar.search(pixels, self._known)
        if not self._known or len(found) < len(self._known):
            found, self._since_whole = self._haar.search(pixels), 0
        self._known, self._shape = tuple(each.box for each in found), pixels.shape
        return found


def _about(
    padded: PixelArray, box: Box, by: npt.NDArray[np.float64], margin: int, smallest: int
) -> _Area:
    """Return the part of the reduced, *padded* picture about a *box* of the picture.

    Args:
        padded: the reduced picture with its margin.
        box: in pixels of the picture.
        by: how the picture was reduced, across and down.
        margin: about the reduced picture, in its pixels.
        smallest: narrowest face that is searched, in those pixels.
    """
    width = box.width * by[0]
    middle = np.array([box.left + box.right, box.top + box.bottom]) / 2 * by + margin
    edge = padded.shape[1::-1]
    left, top = np.clip(np.rint(middle - _REACH * width), 0, edge).astype(int).tolist()
    right, bottom = np.clip(np.rint(middle + _REACH * width), 0, edge).astype(int).tolist()
    least, most = (round(width * each) for each in _GROWTH)
    return _Area(padded[top:bottom, left:right], left, top, max(smallest, least), max(1, most))


def _cascade(name: str) -> cv2.CascadeClassifier:
    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / name))
    if cascade.empty():
        raise ConfigError(
            f"this OpenCV ({cv2.__version__}) comes without {name}; install "
            "opencv-python-headless below version 5"
        )
    return cascade
