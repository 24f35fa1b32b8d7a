"""Aligned face → embedding, by an int8 TFLite network in either of the two runtimes."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edge.errors import BundleError, ConfigError
from edge.vocabulary import CROP_SIZE_PX, AlignedFace, Embedding, FloatArray, Int8Array

# Name in the configuration → module, in the order in which `auto` prefers them: ai-edge-litert is
# maintained, and runs int8 through XNNPACK where tflite-runtime 2.14 does not (x86-64).
RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
_INSTALL = {
    "ai-edge-litert": "pip install ai-edge-litert",
    "tflite-runtime": "pip install 'janus-door[tflite-runtime]' (Python 3.11 only)",
}
_TFLITE_IDENTIFIER = b"TFL3"  # bytes 4 to 8 of the file: FlatBuffers' file identifier
_INPUT_SHAPE = (1, CROP_SIZE_PX, CROP_SIZE_PX, 3)


class Embedder(Protocol):
    """Makes embeddings that are comparable within `model_id`."""

    @property
    def model_id(self) -> str:
        """The sha256 that names encoder and alignment."""

    def embed(self, face: AlignedFace) -> Embedding:
        """Return the features of one face: (D,) float32, unit length."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """A tensor's affine map: value = scale * (level - zero_point)."""

    scale: float
    zero_point: int


def quantize(values: FloatArray, quantization: Quantization) -> Int8Array:
    """Return the nearest levels: round(value / scale) + zero_point, saturated to [-128, 127]."""
    levels = np.rint(values / np.float32(quantization.scale)) + quantization.zero_point
    return np.asarray(np.clip(levels, -128, 127), dtype=np.int8)


def dequantize(levels: Int8Array, quantization: Quantization) -> FloatArray:
    """Return the values that int8 *levels* stand for, as float32."""
    # Widened first: level - zero_point reaches 255, which int8 cannot hold.
    widened = levels.astype(np.int32) - quantization.zero_point
    return np.asarray(widened * np.float32(quantization.scale), dtype=np.float32)


class TfliteEmbedder:
    """An int8 network in one interpreter, allocated once; not for two threads at a time.

    Args:
        interpreter: allocated, of either runtime.
        model_id: names encoder and alignment.

    Raises:
        BundleError: if its tensors are not one int8 (1, 112, 112, 3) and one int8 (1, D).
    """

    def __init__(self, interpreter: Any, model_id: str) -> None:  # noqa: ANN401 - two runtimes, untyped
        self._interpreter = interpreter
        self._model_id = model_id
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise BundleError(
                f"the encoder has {len(inputs)} inputs and {len(outputs)} outputs; expected one of "
                "each: convert the model again"
            )
        shape_in, shape_out = tuple(inputs[0]["shape"]), tuple(outputs[0]["shape"])
        if shape_in != _INPUT_SHAPE or len(shape_out) != 2 or shape_out[0] != 1 or shape_out[1] < 1:  # noqa: PLR2004
            raise BundleError(
                f"the encoder maps {shape_in} to {shape_out}; expected {_INPUT_SHAPE} to (1, D): "
                "convert the model again"
            )
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._output_quantization = _quantization(outputs[0], "output")
        # Pixels have 256 values, so quantising a crop is one look-up.
        every_pixel = np.arange(256, dtype=np.float32)
        self._level_of_pixel = quantize(every_pixel, _quantization(inputs[0], "input"))

    @property
    def model_id(self) -> str:
        """The sha256 that names encoder and alignment."""
        return self._model_id

    def embed(self, face: AlignedFace) -> Embedding:
        """Return the features of one face: (D,) float32, unit length.

        Raises:
            BundleError: if the network fails, or gives zero for every feature.
        """
        try:
            self._interpreter.set_tensor(self._input, self._level_of_pixel[face.pixels][np.newaxis])
            self._interpreter.invoke()
            levels = self._interpreter.get_tensor(self._output)[0]  # a copy, not the tensor itself
        except (RuntimeError, ValueError) as exc:
            raise BundleError(
                f"the encoder failed on a face: {exc}; convert the model again"
            ) from exc
        features = dequantize(levels, self._output_quantization)
        norm = np.linalg.norm(features)
        if norm == 0:
            raise BundleError(
                "the encoder gives zero for every feature of a face, so it has no direction to "
                "compare; the network has collapsed: train and convert it again"
            )
        return Embedding((features / norm).astype(np.float32), self._model_id)


def installed_runtimes() -> tuple[str, ...]:
    """Return the names of the installed runtimes, best first."""
    return tuple(
        name for name, module in RUNTIMES.items() if importlib.util.find_spec(module.split(".")[0])
    )


def open_embedder(
    encoder: bytes, model_id: str, *, runtime: str = "auto", threads: int = 2
) -> Embedder:
    """Load *encoder* into an interpreter.

    Args:
        encoder: the bytes of a full-int8 .tflite file. The caller has verified their hash:
            tflite-runtime 2.14 trusts what it loads, and damaged bytes can end the program there.
        model_id: names encoder and alignment.
        runtime: a key of `RUNTIMES`, or auto for the first that is installed.
        threads: of the interpreter, at least 1.

    Raises:
        ConfigError: if the runtime is unknown, not installed, or does not start.
        BundleError: if the bytes are no such network.
    """
    name = _choose_runtime(runtime)
    if encoder[4:8] != _TFLITE_IDENTIFIER:
        raise BundleError("the encoder is no TFLite file; convert the model again")
    try:
        interpreter_class = importlib.import_module(RUNTIMES[name]).Interpreter
        interpreter = interpreter_class(model_content=encoder, num_threads=threads)
        interpreter.allocate_tensors()
        return TfliteEmbedder(interpreter, model_id)
    except (ImportError, SystemError) as exc:
        # SystemError: so tflite-runtime 2.14, built for numpy 1, ends beside numpy 2.
        raise ConfigError(
            f"[encoder] runtime = {name!r} is installed but does not start ({exc}); "
            f"run: {_INSTALL[name]}, or choose another runtime"
        ) from exc
    except (RuntimeError, ValueError) as exc:
        raise BundleError(f"{name} refuses the encoder: {exc}; convert the model again") from exc


def _choose_runtime(wanted: str) -> str:
    installed = installed_runtimes()
    if wanted == "auto":
        if not installed:
            raise ConfigError(f"no TFLite runtime is installed; run: {_INSTALL['ai-edge-litert']}")
        return installed[0]
    if wanted not in RUNTIMES:
        raise ConfigError(f"[encoder] runtime = {wanted!r}; expected auto, {', '.join(RUNTIMES)}")
    if wanted not in installed:
        raise ConfigError(
            f"[encoder] runtime = {wanted!r} is not installed; run: {_INSTALL[wanted]}"
        )
    return wanted


def _quantization(details: dict[str, Any], which: str) -> Quantization:
    """Return the tensor's one scale and zero point.

    Raises:
        BundleError: if it is not int8 with one finite scale above zero.
    """
    scales = details["quantization_parameters"]["scales"]
    zero_points = details["quantization_parameters"]["zero_points"]
    if (
        details["dtype"] is not np.int8
        or len(scales) != 1
        or len(zero_points) != 1
        or not 0 < scales[0] < np.inf
        or not -128 <= zero_points[0] <= 127  # noqa: PLR2004
    ):
        raise BundleError(
            f"the encoder's {which} is {np.dtype(details['dtype'])} with scales {list(scales)} and "
            f"zero points {list(zero_points)}; expected int8 with one of each: "
            "convert the model again"
        )
    return Quantization(float(scales[0]), int(zero_points[0]))
