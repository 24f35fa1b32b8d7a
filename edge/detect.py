"""Find faces and five landmarks in a picture: by our own eyes, OpenCV's Haar cascades, or YuNet."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import cv2.data
import numpy as np
import numpy.typing as npt

from edge.config import DetectorConfig
from edge.errors import BundleError, ConfigError
from edge.eyes import Eyes, EyesDetector, is_a_face
from edge.tflite import open_network
from edge.vocabulary import Box, Detection, FloatArray, PixelArray

_MOST_FACES = 8  # more people than can stand before a door; bounds the work a frame

# Haar: the width to which the smallest face is reduced for the search. Of 354 faces in `scenes`,
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

# YuNet: the side of the square that it sees; at 320 px its landmarks move by 6 to 8 % of the eye
# distance. A small picture is not enlarged more than twofold.
_YUNET_SIDE_PX = 640
_YUNET_MOST_ENLARGEMENT = 2.0
_YUNET_OVERLAP = 0.3
_YUNET_CANDIDATES = 200


class Detector(Protocol):
    """Finds faces."""

    def detect(self, pixels: PixelArray) -> tuple[Detection, ...]:
        """Return the faces in (H, W, 3) uint8 RGB *pixels*, largest first, at most 8.

        Their landmarks are a face's: apart, and not mirrored, so that `edge.align` can use them.
        """


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
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        return _largest_first(
            [Detection(box, self._landmarks(grey, box), score) for box, score in self._boxes(grey)]
        )

    def _boxes(self, grey: PixelArray) -> list[tuple[Box, float]]:
        """Return boxes, and as scores how many search windows agree on each."""
        height, width = grey.shape
        scale = min(
            _SEARCH_WIDTH_PX / self._smallest_face_px, (_MOST_SEARCHED_PX / (height * width)) ** 0.5
        )
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        reduced = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        margin = round(_MARGIN * min(size))
        padded = cv2.copyMakeBorder(reduced, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
        smallest = max(_SEARCH_WIDTH_PX, round(self._smallest_face_px * scale))
        found, neighbours = self._faces.detectMultiScale2(
            padded,
            scaleFactor=_SCALE_STEP,
            minNeighbors=_NEIGHBOURS,
            minSize=(smallest, smallest),
        )
        across, down = width / size[0], height / size[1]
        boxes = [
            (
                Box(
                    (left - margin) * across,
                    (top - margin) * down,
                    (left - margin + side) * across,
                    (top - margin + tall) * down,
                ),
                float(count),
            )
            for (left, top, side, tall), count in zip(found, neighbours, strict=True)
        ]
        # Only what can come back is worth the search for its eyes.
        return sorted(boxes, key=lambda each: -each[0].width)[:_MOST_FACES]

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


class YunetDetector:
    """YuNet (Wu et al., 2023) in OpenCV, from its ONNX file; the landmarks are its own.

    Args:
        model: the ONNX file; OpenCV runs that for 320 px at 640 px as well.
        smallest_face_px: narrowest face box that counts, in pixels.
        score: lowest score that counts, 0 to 1.

    Raises:
        ConfigError: if the file is missing or no YuNet.
    """

    def __init__(self, model: Path, smallest_face_px: int, score: float) -> None:
        self._smallest_face_px = smallest_face_px
        if not model.is_file():
            raise ConfigError(
                f"[detector] model = {str(model)!r} does not exist; name YuNet's ONNX file, "
                'or set backend = "haar"'
            )
        side = _YUNET_SIDE_PX
        try:
            self._network = cv2.FaceDetectorYN.create(
                str(model), "", (side, side), score, _YUNET_OVERLAP, _YUNET_CANDIDATES
            )
            # Another network loads, and fails only here.
            self._network.detect(np.zeros((side, side, 3), np.uint8))
        except cv2.error as exc:
            raise ConfigError(
                f"[detector] model = {str(model)!r} is no YuNet network that OpenCV can run "
                f"({exc.err}); get the file anew"
            ) from exc

    def detect(self, pixels: PixelArray) -> tuple[Detection, ...]:
        """Return the faces in (H, W, 3) uint8 RGB *pixels*, largest first, at most 8."""
        height, width = pixels.shape[:2]
        scale = min(_YUNET_MOST_ENLARGEMENT, _YUNET_SIDE_PX / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        # A square with black beyond the picture, whatever its shape: in very flat input the network
        # sees faces that are not there.
        square = np.zeros((_YUNET_SIDE_PX, _YUNET_SIDE_PX, 3), np.uint8)
        square[: size[1], : size[0]] = cv2.resize(pixels, size, interpolation=interpolation)
        _, rows = self._network.detect(cv2.cvtColor(square, cv2.COLOR_RGB2BGR))
        back = np.array([width / size[0], height / size[1]], np.float32)
        found = [] if rows is None else [_detection(row, back) for row in rows]
        return _largest_first([each for each in found if each.box.width >= self._smallest_face_px])


def open_detector(
    config: DetectorConfig, *, runtime: str = "auto", eyes: Eyes | None = None
) -> Detector:
    """Return the detector that *config* names.

    Args:
        config: the table [detector].
        runtime: what runs the eyes' networks; auto, or a key of `edge.tflite.RUNTIMES`.
        eyes: those of the bundle; None if it has none.

    Raises:
        ConfigError: if the back-end is unknown, or its model or runtime is missing or wrong.
        BundleError: if the bundle has no eyes and [detector] asks for them, or they do not fit.
    """
    if config.backend == "janus":
        return _open_eyes(config, runtime, eyes)
    if config.backend == "haar":
        return HaarDetector(config.smallest_face_px)
    if config.backend != "yunet":
        raise ConfigError(f"[detector] backend = {config.backend!r}; expected janus, haar or yunet")
    if config.model is None:
        raise ConfigError(
            '[detector] backend = "yunet" needs model = "…", the path of its ONNX file'
        )
    return YunetDetector(config.model, config.smallest_face_px, config.score)


def _open_eyes(config: DetectorConfig, runtime: str, eyes: Eyes | None) -> EyesDetector:
    if eyes is None:
        raise BundleError(
            '[detector] backend = "janus" takes the eyes of the bundle, and this bundle has none; '
            'choose backend = "haar", or install a bundle with finder.tflite and refiner.tflite'
        )
    return EyesDetector(
        open_network(eyes.finder, "finder", runtime=runtime),
        open_network(eyes.refiner, "refiner", runtime=runtime),
        smallest_face_px=config.smallest_face_px,
        score=eyes.score,
        most_faces=_MOST_FACES,
    )


def _cascade(name: str) -> cv2.CascadeClassifier:
    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / name))
    if cascade.empty():
        raise ConfigError(
            f"this OpenCV ({cv2.__version__}) comes without {name}; install "
            "opencv-python-headless below version 5"
        )
    return cascade


def _detection(row: cv2.typing.MatLike, scale: FloatArray) -> Detection:
    """Read one row of YuNet: box (left, top, width, height), five landmarks, score.

    Its landmarks come in our order. What is not finite becomes zero, and `is_a_face` refuses it.
    """
    left, top, width, height = (row[:4].reshape(2, 2) * scale).ravel().tolist()
    landmarks = np.nan_to_num(row[4:14].reshape(5, 2) * scale, nan=0.0, posinf=0.0, neginf=0.0)
    return Detection(
        Box(left, top, left + width, top + height), landmarks.astype(np.float32), float(row[14])
    )


def _largest_first(found: list[Detection]) -> tuple[Detection, ...]:
    """Return the face-like ones, largest first, each once, at most `_MOST_FACES`."""
    kept: list[Detection] = []
    # Ties by place, so that the order does not hang on OpenCV's threads.
    for each in sorted(found, key=lambda face: (-face.box.width, face.box.left, face.box.top)):
        if is_a_face(each.landmarks) and not any(_inside(each.box, face.box) for face in kept):
            kept.append(each)
    return tuple(kept[:_MOST_FACES])


def _inside(small: Box, large: Box) -> bool:
    """Tell whether the centre of one box lies in the middle half of a larger one."""
    across = (small.left + small.right - large.left - large.right) / 2
    down = (small.top + small.bottom - large.top - large.bottom) / 2
    return abs(across) < large.width / 4 and abs(down) < large.height / 4
