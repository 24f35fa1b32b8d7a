"""Encoders of others, to measure beside ours in one run; never shipped, never needed by the door.

Each keeps its own convention (size, order of planes, scaling); the score is the house's: cosine.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge.errors import ConfigError
from edge.vocabulary import FloatArray, PixelArray
from train.data.cutting import View

_DLIB_FILE = "dlib_face_recognition_resnet_model_v1.dat"
_DLIB_SIDE_PX = 150
# Right eye, left eye (means of the six points around each), nose tip (point 30) and mouth corners
# (48 and 54) of dlib's mean face, `get_face_chip_details` in dlib/image_transforms/interpolation.h.
_DLIB_MEAN_FACE = np.array(
    [
        [0.225492, 0.215990],
        [0.754761, 0.215990],
        [0.490127, 0.515625],
        [0.254149, 0.780233],
        [0.726104, 0.780233],
    ]
)
_DLIB_PADDING = 0.25  # of the mean face's width on each side, as its network was trained
DLIB_VIEW = View(
    ((_DLIB_MEAN_FACE + _DLIB_PADDING) / (1 + 2 * _DLIB_PADDING) * _DLIB_SIDE_PX).astype(
        np.float32
    ),
    _DLIB_SIDE_PX,
)
"""dlib's chip of 150x150 pixels: 1.5 times as fine as the door's crop, and 8 rows more of chin."""


def open_onnx(path: Path) -> Callable[[PixelArray], FloatArray]:
    """Return a peer by its usual convention: RGB, (x - 127.5) / 128, channels first.

    Raises:
        ConfigError: if OpenCV cannot read it, or it does not take 112x112 crops.
    """
    try:
        network = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as exc:
        raise ConfigError(f"{path} is no network that OpenCV can read: {exc}") from exc

    def encode(crops: PixelArray) -> FloatArray:
        rows = []
        for crop in crops:
            network.setInput(cv2.dnn.blobFromImage(crop, 1 / 128, (112, 112), (127.5,) * 3))
            try:
                rows.append(network.forward().reshape(-1).copy())
            except cv2.error as exc:
                raise ConfigError(
                    f"{path} does not take a crop (1, 3, 112, 112): {exc.err}; a peer is a face "
                    "encoder for 112x112 crops"
                ) from exc
        embeddings: FloatArray = np.stack(rows).astype(np.float32)
        return embeddings

    return encode


def open_dlib() -> Callable[[PixelArray], FloatArray]:
    """Return dlib's ResNet: chips (N, 150, 150, 3) uint8 RGB → (N, 128) float32.

    dlib's program finds 68 points with a predictor of its own and fits 51 of them to its mean face.
    Here the chip comes from the five landmarks of the detector in front, fitted to the same mean
    face (`DLIB_VIEW`), and is sampled as the door's crop is, so that only the encoders differ. dlib
    compares by Euclidean distance; the house's score is the cosine. Its vectors are about equally
    long, so that both put pairs into nearly the same order; `docs/evaluate.md` has the figures.

    Raises:
        ConfigError: if dlib or its model is not installed.
    """
    # The model's package itself is not imported: that needs a setuptools below 80.
    spec = importlib.util.find_spec("face_recognition_models")
    if importlib.util.find_spec("dlib") is None or spec is None or spec.origin is None:
        raise ConfigError(
            "dlib's encoder needs dlib-bin and face_recognition_models, which are not installed; "
            "run: pip install 'janus-door[peers]'"
        )
    import dlib  # noqa: PLC0415 - an optional extra

    model = dlib.face_recognition_model_v1(str(Path(spec.origin).parent / "models" / _DLIB_FILE))

    def encode(chips: PixelArray) -> FloatArray:
        found = [model.compute_face_descriptor(np.ascontiguousarray(each)) for each in chips]
        return np.array(found, np.float32)

    return encode
