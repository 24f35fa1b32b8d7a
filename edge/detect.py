"""Find faces and five landmarks in a picture: by our own eyes, OpenCV's Haar cascades, or YuNet.

Our own eyes (edge/eyes.py) are the default; docs/eyes.md compares the three.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edge.config import DetectorConfig
from edge.errors import BundleError, ConfigError
from edge.eyes import Eyes, EyesDetector
from edge.faces import MOST_FACES, largest_first
from edge.haar import FollowingHaar, HaarDetector
from edge.refiner import Refiner
from edge.tflite import open_network
from edge.vocabulary import Box, Detection, FloatArray, PixelArray

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
        return largest_first([each for each in found if each.box.width >= self._smallest_face_px])


def open_detector(
    config: DetectorConfig,
    *,
    runtime: str = "auto",
    eyes: Eyes | None = None,
    frames: bool = False,
) -> Detector:
    """Return the detector that *config* names.

    Args:
        config: the table [detector].
        runtime: what runs the eyes' networks; auto, or a key of `edge.tflite.RUNTIMES`.
        eyes: those of the bundle; None if it has none.
        frames: the pictures will be frames of one camera, in their order: `haar` may then look
            where faces were.

    Raises:
        ConfigError: if the back-end is unknown, or its model or runtime is missing or wrong.
        BundleError: if the bundle has no eyes and [detector] asks for them, or they do not fit.
    """
    if config.backend == "janus":
        return _open_eyes(config, runtime, eyes)
    if config.backend == "haar":
        haar = HaarDetector(config.smallest_face_px)
        return FollowingHaar(haar) if frames else haar
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
        Refiner(open_network(eyes.refiner, "refiner", runtime=runtime)),
        smallest_face_px=config.smallest_face_px,
        score=eyes.score,
        most_faces=MOST_FACES,
    )


def _detection(row: cv2.typing.MatLike, scale: FloatArray) -> Detection:
    """Read one row of YuNet: box (left, top, width, height), five landmarks, score.

    Its landmarks come in our order. What is not finite becomes zero, and `is_a_face` refuses it.
    """
    left, top, width, height = (row[:4].reshape(2, 2) * scale).ravel().tolist()
    landmarks = np.nan_to_num(row[4:14].reshape(5, 2) * scale, nan=0.0, posinf=0.0, neginf=0.0)
    return Detection(
        Box(left, top, left + width, top + height), landmarks.astype(np.float32), float(row[14])
    )
