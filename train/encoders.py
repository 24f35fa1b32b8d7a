"""Open any encoder for measuring: ours in Keras, an int8 bundle as the door runs it, a peer's ONNX.

Each becomes one function: crops (N, 112, 112, 3) uint8 RGB → embeddings (N, D) float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge.align import ALIGNMENT
from edge.bundle import read_bundle
from edge.embed import open_embedder
from edge.errors import ConfigError
from edge.vocabulary import AlignedFace, Box, Detection, FloatArray, PixelArray
from train.model import embed

Encode = Callable[[PixelArray], FloatArray]
ENCODER_FILE = "encoder.keras"


def open_encoder(path: Path) -> Encode:
    """Return the encoder at *path*: a run, an ``encoder.keras``, a bundle, or an ONNX file.

    Raises:
        ConfigError: if *path* is none of these.
        BundleError: if a bundle does not fit this edge.
    """
    if (path / ENCODER_FILE).is_file():
        return _keras(path / ENCODER_FILE)
    if path.suffix == ".keras" and path.is_file():
        return _keras(path)
    if path.suffix == ".onnx" and path.is_file():
        return _onnx(path)
    if (path / "manifest.json").is_file():
        return _bundle(path)
    raise ConfigError(
        f"{path} is no encoder; expected a run of `janus train`, an encoder.keras, a bundle of "
        "`janus convert`, or an ONNX file"
    )


def _keras(path: Path) -> Encode:
    import keras

    model = keras.models.load_model(path, compile=False)
    return lambda crops: embed(model, crops)


def _bundle(directory: Path) -> Encode:
    """Return the int8 encoder through the edge's own adapter: what the door measures."""
    bundle = read_bundle(directory, alignment=ALIGNMENT)
    embedder = open_embedder(bundle.encoder, bundle.model_id)
    # The adapter takes faces; of a crop nothing else is known, and it looks at the pixels only.
    nowhere = Detection(Box(0.0, 0.0, 112.0, 112.0), np.zeros((5, 2), np.float32), 0.0)
    identity = np.eye(2, 3, dtype=np.float32)

    def encode(crops: PixelArray) -> FloatArray:
        faces = (AlignedFace(crop.copy(), identity.copy(), nowhere) for crop in crops)
        return np.stack([embedder.embed(face).vector for face in faces])

    return encode


def _onnx(path: Path) -> Encode:
    """Return a peer by its usual convention: RGB, (x - 127.5) / 128, channels first."""
    try:
        network = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as exc:
        raise ConfigError(f"{path} is no network that OpenCV can read: {exc}") from exc

    def encode(crops: PixelArray) -> FloatArray:
        rows = []
        for crop in crops:
            network.setInput(cv2.dnn.blobFromImage(crop, 1 / 128, (112, 112), (127.5,) * 3))
            rows.append(network.forward().reshape(-1).copy())
        embeddings: FloatArray = np.stack(rows).astype(np.float32)
        return embeddings

    return encode
