"""Open any encoder for measuring: ours in Keras, an int8 bundle as the door runs it, or a peer.

Each becomes one callable: crops (N, 112, 112, 3) uint8 RGB → embeddings (N, D) float32.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.align import ALIGNMENT
from edge.bundles.bundle import inspect_bundle
from edge.embed import open_embedder
from edge.errors import ConfigError
from edge.eyes import Eyes
from edge.vocabulary import AlignedFace, Box, Detection, FloatArray, OperatingPoint, PixelArray
from train.data.cutting import DOOR_VIEW, View, recut
from train.fitting.model import embed
from train.measuring.peers import DLIB_VIEW, open_dlib, open_onnx

Encode = Callable[[PixelArray], FloatArray]
ENCODER_FILE, METRICS_FILE = "encoder.keras", "metrics.json"
DLIB = "dlib"


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """An encoder, and what is known of it before anything is measured.

    Args:
        encode: pictures (N, S, S, 3) uint8 RGB of its *view* → (N, D) float32.
        identity: equal where embeddings are equal; names them in a cache.
        view: what it sees of a face.
        operating_point: a bundle's threshold, with its evidence.
        eyes: a bundle's detector, where it has one.
        held_out: names of the people whom its training run kept apart; empty where nobody knows. A
            bundle names nobody.
    """

    encode: Encode
    identity: str
    view: View = DOOR_VIEW
    operating_point: OperatingPoint | None = None
    eyes: Eyes | None = None
    held_out: tuple[str, ...] = ()

    def __call__(self, crops: PixelArray) -> FloatArray:
        """Embed pictures of its view, or the door's crops (N, 112, 112, 3), cut anew as needed."""
        if crops.shape[1] != self.view.side_px:
            crops = np.stack([recut(each, self.view) for each in crops])
        return self.encode(crops)


def open_encoder(path: Path) -> Encoder:
    """Return the encoder at *path*: a run, an ``encoder.keras``, a bundle, an ONNX file, or `dlib`.

    Raises:
        ConfigError: if *path* is none of these.
        BundleError: if a bundle does not fit this edge.
    """
    if (path / ENCODER_FILE).is_file():
        return _keras(path / ENCODER_FILE)
    if path.suffix == ".keras" and path.is_file():
        return _keras(path)
    if path.suffix == ".onnx" and path.is_file():
        return Encoder(open_onnx(path), _digest(path))
    if (path / "manifest.json").is_file():
        return _bundle(path)
    if str(path) == DLIB:
        return Encoder(open_dlib(), DLIB, DLIB_VIEW)
    raise ConfigError(
        f"{path} is no encoder; expected a run of `janus train`, an encoder.keras, a bundle of "
        "`janus convert`, an ONNX file, or the word dlib"
    )


def _keras(path: Path) -> Encoder:
    import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as exc:
        raise ConfigError(
            f"{path} is no encoder that Keras can load: {exc}; train it again"
        ) from exc
    return Encoder(
        lambda crops: embed(model, crops), _digest(path), held_out=_held_out(path.parent)
    )


def _held_out(run: Path) -> tuple[str, ...]:
    """Return whom the *run* tested on, or, if nobody, whom it was validated on."""
    path = run / METRICS_FILE
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return tuple(map(str, held.get("held_out") or held.get("validated") or ()))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, AttributeError, TypeError) as exc:
        raise ConfigError(f"{path} is not what `janus train` writes: {exc}; remove it") from exc


def _bundle(directory: Path) -> Encoder:
    """Return the int8 encoder through the edge's own adapter: what the door measures."""
    bundle = inspect_bundle(directory)  # to be measured, not to open doors: whoever signed it
    if bundle.manifest.alignment != ALIGNMENT:
        raise ConfigError(
            f"{directory} expects alignment {bundle.manifest.alignment!r}, this program has "
            f"{ALIGNMENT!r}; measure it with the release that it was made for"
        )
    embedder = open_embedder(bundle.encoder, bundle.model_id)
    # The adapter takes faces; of a crop nothing else is known, and it looks at the pixels only.
    nowhere = Detection(Box(0.0, 0.0, 112.0, 112.0), np.zeros((5, 2), np.float32), 0.0)
    identity = np.eye(2, 3, dtype=np.float32)

    def encode(crops: PixelArray) -> FloatArray:
        faces = (AlignedFace(crop.copy(), identity.copy(), nowhere) for crop in crops)
        return np.stack([embedder.embed(face).vector for face in faces])

    return Encoder(
        encode, bundle.model_id, operating_point=bundle.operating_point, eyes=bundle.eyes
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
