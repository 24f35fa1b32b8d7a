"""Encoders that others trained: read from ONNX or TFLite, and made what the edge feeds and expects.

A preset says how a family of encoders wants its pixels. Both presets take RGB crops of 112x112 on
the template that `edge.align` uses, ArcFace's, so geometry and colour stay as they are; the range
of values becomes the first layer of the network.

The network is rebuilt in Keras, because the converter of int8 files starts there. What was rebuilt
is compared with the file itself before anything else happens.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from convert.encoder import check_tensors, embed_float, quiet_tensorflow
from convert.graph import build
from convert.quantize import silenced
from convert.read_onnx import read_onnx
from convert.read_tflite import read_tflite
from edge.errors import BundleError
from edge.vocabulary import CROP_SIZE_PX, FloatArray, PixelArray
from train.measuring.metrics import unit_rows

_COMPARED = 8
# The same arithmetic in another order; where the file is int8, its own rounding comes on top.
_LEAST_COSINE = 0.999
_LEAST_COSINE_OF_INT8 = 0.95


@dataclass(frozen=True, slots=True)
class Preset:
    """How a family of encoders takes its pixels: as ``scale * pixel + offset``, RGB, 112x112."""

    name: str
    scale: float
    offset: float


PRESETS = {
    # (pixel - 127.5) / 128, as its training did.
    "mobilefacenet": Preset("mobilefacenet", 1 / 128, -127.5 / 128),
    # OpenCV's SFace (Zhong and others 2021) subtracts and divides within the network.
    "sface": Preset("sface", 1.0, 0.0),
}


@dataclass(frozen=True, slots=True)
class ForeignEncoder:
    """A file that the user brings; ``preset`` says how it wants its pixels."""

    file: Path
    preset: Preset

    @property
    def name(self) -> str:
        """The preset's name."""
        return self.preset.name

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says about where the encoder comes from."""
        return {
            "recipe": f"foreign/{self.preset.name}",
            "source_file": self.file.name,
            "source_sha256": hashlib.sha256(self.file.read_bytes()).hexdigest(),
        }


def find_foreign(file: Path, preset: str) -> ForeignEncoder:
    """Return the encoder in *file*.

    Raises:
        BundleError: if there is no such file.
    """
    if not file.is_file():
        raise BundleError(f"there is no {file}; give the .onnx or .tflite file of an encoder")
    return ForeignEncoder(file, PRESETS[preset])


def load_foreign(origin: ForeignEncoder, crops: PixelArray) -> Any:  # noqa: ANN401 - keras is untyped
    """Return the Keras network of *origin*: pixels 0 … 255, (None, 112, 112, 3) → (None, D).

    Args:
        origin: the file and its preset.
        crops: (N, 112, 112, 3) uint8 RGB; with a few of them the network is held to the file.

    Raises:
        BundleError: if the file cannot be read, or what was read computes something else.
        ConfigError: if the package onnx is needed and not installed.
    """
    quiet_tensorflow()
    file, preset = origin.file, origin.preset
    in_onnx = file.suffix == ".onnx"
    steps, source, result = (read_onnx if in_onnx else read_tflite)(file)
    model = build(steps, source, result, CROP_SIZE_PX, scale=preset.scale, offset=preset.offset)
    check_tensors(model, file)
    some = crops[:_COMPARED]
    values = some.astype(np.float32) * np.float32(preset.scale) + np.float32(preset.offset)
    wanted, least = _by_opencv(file, values) if in_onnx else _by_tflite(file, values)
    cosines = np.sum(unit_rows(wanted) * embed_float(model, some), axis=1)
    if not cosines.min() >= least:
        raise BundleError(
            f"{file} was read wrongly: what was made of it agrees with the file to a cosine of "
            f"{cosines.min():.4f} only, where {least:g} is expected; convert it to a float .tflite "
            "by another converter, and give that to --from-tflite"
        )
    return model


def _by_opencv(file: Path, values: FloatArray) -> tuple[FloatArray, float]:
    """Return what OpenCV computes from an ONNX file, and how near the rebuilt network must be."""
    try:
        network = cv2.dnn.readNetFromONNX(str(file))
        rows = []
        for each in values:
            network.setInput(each.transpose(2, 0, 1)[np.newaxis])
            rows.append(network.forward().reshape(-1).copy())
    except cv2.error as exc:
        raise BundleError(f"{file} cannot be checked by OpenCV: {exc}; export it again") from exc
    return np.stack(rows).astype(np.float32), _LEAST_COSINE


def _by_tflite(file: Path, values: FloatArray) -> tuple[FloatArray, float]:
    """Return what ai-edge-litert computes from a TFLite file, and how near to it is near enough."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        with silenced():
            interpreter = Interpreter(model_content=file.read_bytes())
            interpreter.allocate_tensors()
        rows = [_called(interpreter, each) for each in values]
    except (RuntimeError, ValueError) as exc:
        raise BundleError(f"ai-edge-litert refuses {file}: {exc}; convert it again") from exc
    in_int8 = interpreter.get_output_details()[0]["quantization"][0] > 0
    return np.stack(rows), _LEAST_COSINE_OF_INT8 if in_int8 else _LEAST_COSINE


def _called(interpreter: Any, values: FloatArray) -> FloatArray:  # noqa: ANN401 - untyped
    (given,), (asked,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = given["quantization"]
    if scale > 0:
        limits = np.iinfo(given["dtype"])
        values = np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max)
    interpreter.set_tensor(given["index"], values[np.newaxis].astype(given["dtype"]))
    interpreter.invoke()
    found = interpreter.get_tensor(asked["index"]).reshape(-1).astype(np.float32)
    scale, zero_point = asked["quantization"]
    return np.asarray((found - zero_point) * scale if scale > 0 else found, np.float32)
