"""The float encoder that training wrote: load it, check its tensors, embed crops with it."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edge.errors import BundleError
from edge.vocabulary import CROP_SIZE_PX, FloatArray, PixelArray

ENCODER_FILE = "encoder.keras"
# Importing these registers the layers that an encoder of ours may hold.
_CUSTOM_LAYERS = ("train.fitting.model", "train.data.augment")
_BATCH = 32


def quiet_tensorflow() -> None:
    """Keep TensorFlow's start-up notes off the terminal; call it before the first import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # One float result on every machine; oneDNN reorders sums by the CPU's features.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def load_encoder(path: Path) -> Any:  # noqa: ANN401 - a keras.Model, and keras is untyped
    """Load a Keras encoder: (None, 112, 112, 3) float pixels, 0 to 255, RGB → (None, D).

    Args:
        path: an encoder.keras, or the directory of a training run that holds one.

    Raises:
        BundleError: if there is none, Keras refuses it, or its tensors are others.
    """
    file = path / ENCODER_FILE if path.is_dir() else path
    if not file.is_file():
        raise BundleError(
            f"there is no {file}; give the directory of a run made by `janus train`, or an "
            "encoder.keras"
        )
    quiet_tensorflow()
    import keras

    for module in _CUSTOM_LAYERS:
        if importlib.util.find_spec(module):
            importlib.import_module(module)
    try:
        model = keras.models.load_model(file, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as exc:
        first_line = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise BundleError(
            f"{file} is no Keras encoder that can be loaded: {first_line}; train it again, and "
            "register custom layers in train.fitting.model"
        ) from exc
    check_tensors(model, file)
    return model


def check_tensors(model: Any, file: Path) -> None:  # noqa: ANN401 - keras is untyped
    """Refuse a model that does not map one crop to one embedding.

    Raises:
        BundleError: naming the shapes found and wanted.
    """
    wanted = (None, CROP_SIZE_PX, CROP_SIZE_PX, 3)
    found_in, found_out = model.input_shape, model.output_shape
    if found_in != wanted or not isinstance(found_out, tuple) or len(found_out) != 2:  # noqa: PLR2004
        raise BundleError(
            f"{file} maps {found_in} to {found_out}; an encoder maps {wanted}, pixels from 0 to "
            "255, to (None, D): put scaling into the network and leave losses out of it"
        )


def embed_float(model: Any, crops: PixelArray) -> FloatArray:  # noqa: ANN401 - keras is untyped
    """Return the float encoder's embeddings, (N, D) float32, unit rows.

    Args:
        model: from `load_encoder`.
        crops: (N, 112, 112, 3) uint8 RGB.

    Raises:
        BundleError: if an embedding is zero or not finite.
    """
    starts = range(0, len(crops), _BATCH)  # None: no bar where standard error is no terminal
    features = np.concatenate(
        [
            # Not left out: a part that was called with training=True would stay in training.
            np.asarray(model(crops[at : at + _BATCH].astype(np.float32), training=False))
            for at in tqdm(starts, "float encoder", leave=False, disable=None)
        ]
    )
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise BundleError(
            "the float encoder gives embeddings that are zero or not finite; its training failed: "
            "train it again"
        )
    return np.asarray(features / norms, dtype=np.float32)
