"""A full-int8 TFLite network in either of the two runtimes: loaded once, checked, fed levels."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import BundleError, ConfigError
from edge.vocabulary import FloatArray, Int8Array, PixelArray

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
_STDERR = 2
_TFLITE_IDENTIFIER = b"TFL3"  # bytes 4 to 8 of the file: FlatBuffers' file identifier


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


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor: where it is, its shape, and what its levels stand for."""

    index: int
    shape: tuple[int, ...]
    quantization: Quantization


class Network:
    """An int8 network with one input of pixels, allocated once; not for two threads at a time.

    Args:
        interpreter: allocated, of either runtime.
        name: for messages, such as "encoder".

    Raises:
        BundleError: if a tensor is not int8 with one scale, or there are several inputs.
    """

    def __init__(self, interpreter: Any, name: str) -> None:  # noqa: ANN401 - two runtimes, untyped
        self._interpreter = interpreter
        self._name = name
        inputs = interpreter.get_input_details()
        if len(inputs) != 1:
            raise BundleError(
                f"the {name} has {len(inputs)} inputs; expected one: convert the model again"
            )
        self._input = inputs[0]["index"]
        self.input_shape: tuple[int, ...] = tuple(int(each) for each in inputs[0]["shape"])
        # Pixels have 256 values, so quantising a picture is one look-up; by `bytes`: numpy would
        # make an index of eight bytes for each pixel.
        every_pixel = np.arange(256, dtype=np.float32)
        levels = quantize(every_pixel, _quantization(inputs[0], f"{name}'s input"))
        self._level_of_pixel = levels.tobytes()
        self.outputs: tuple[Output, ...] = tuple(
            Output(
                each["index"],
                tuple(int(size) for size in each["shape"]),
                _quantization(each, f"{name}'s output"),
            )
            for each in interpreter.get_output_details()
        )

    def run(self, pixels: PixelArray) -> None:
        """Run the network on *pixels*, uint8 of the input's shape.

        Raises:
            BundleError: if the runtime fails.
        """
        try:
            levels = np.frombuffer(pixels.tobytes().translate(self._level_of_pixel), np.int8)
            self._interpreter.set_tensor(self._input, levels.reshape(pixels.shape))
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as exc:
            raise BundleError(
                f"the {self._name} failed on a picture: {exc}; convert the model again"
            ) from exc

    @property
    def runtime_module(self) -> str:
        """The module that runs the network."""
        return type(self._interpreter).__module__

    def levels(self, output: Output) -> Int8Array:
        """Return a copy of *output* as the last run left it."""
        return np.asarray(self._interpreter.get_tensor(output.index), dtype=np.int8)


def open_network(content: bytes, name: str, *, runtime: str = "auto", threads: int = 1) -> Network:
    """Load the bytes of a full-int8 .tflite file into an interpreter.

    Args:
        content: the file. The caller has verified its hash: tflite-runtime 2.14 trusts what it
            loads, and damaged bytes can end the program there.
        name: for messages, such as "encoder".
        runtime: a key of `RUNTIMES`, or auto for the first that is installed.
        threads: of the interpreter, at least 1.

    Raises:
        ConfigError: if the runtime is unknown, not installed, or does not start.
        BundleError: if the bytes are no such network.
    """
    chosen = choose_runtime(runtime)
    if content[4:8] != _TFLITE_IDENTIFIER:
        raise BundleError(f"the {name} is no TFLite file; convert the model again")
    try:
        interpreter_class = importlib.import_module(RUNTIMES[chosen]).Interpreter
        with _quiet_stderr():
            interpreter = interpreter_class(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
        return Network(interpreter, name)
    except (ImportError, SystemError) as exc:
        # SystemError: so tflite-runtime 2.14, built for numpy 1, ends beside numpy 2.
        raise ConfigError(
            f"[encoder] runtime = {chosen!r} is installed but does not start ({exc}); "
            f"run: {_INSTALL[chosen]}, or choose another runtime"
        ) from exc
    except (RuntimeError, ValueError) as exc:
        raise BundleError(f"{chosen} refuses the {name}: {exc}; convert the model again") from exc


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silence file descriptor 2: the runtimes greet there from C++, and have no switch for it."""
    try:
        saved = os.dup(_STDERR)
    except OSError:  # a service may have none
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), _STDERR)
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)


def installed_runtimes() -> tuple[str, ...]:
    """Return the names of the installed runtimes, best first."""
    return tuple(
        name for name, module in RUNTIMES.items() if importlib.util.find_spec(module.split(".")[0])
    )


def choose_runtime(wanted: str) -> str:
    """Return the runtime that *wanted*, a name or auto, stands for here.

    Raises:
        ConfigError: if it is unknown or not installed.
    """
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
            f"the {which} is {np.dtype(details['dtype'])} with scales {list(scales)} and "
            f"zero points {list(zero_points)}; expected int8 with one of each: "
            "convert the model again"
        )
    return Quantization(float(scales[0]), int(zero_points[0]))
