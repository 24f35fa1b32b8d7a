"""Which layer lost it: int8 against float32 after every operator, where parity fails.

A cosine over a whole tensor hides the usual cause, one channel so loud that the others share a few
levels. So every channel counts alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.operators import read_network
from edge.vocabulary import FloatArray, PixelArray

_SILENT = 1e-12
# A share of a channel's energy. Sound networks lose below 0.01 in all layers together.
_STANDS_OUT = 0.1
_NAMED = 3  # layers
_EVEN = "BatchNormalization and ReLU6 around it, or weight decay, even that out."
_LONGER = "Networks that are hardly trained do that: train longer."
_ANOTHER = (
    "It cannot be trained again here: take an encoder with batch normalisation and ReLU6 all "
    "through, or one that was fitted with int8 in mind."
)


@dataclass(frozen=True, slots=True)
class LayerError:
    """What int8 costs up to and including one layer.

    ``lost`` is the energy of the error over that of the signal, averaged over channels, each at
    most 1; ``loudness`` the loudest channel's range over the median channel's.
    """

    layer: str
    lost: float
    loudness: float


def layer_errors(in_float: bytes, in_int8: bytes, crops: PixelArray) -> tuple[LayerError, ...]:
    """Compare two .tflite files of one network, in the order in which it computes.

    Args:
        in_float: float32 .tflite bytes.
        in_int8: full-int8 .tflite bytes.
        crops: (N, 112, 112, 3) uint8 RGB; a few suffice.
    """
    wanted, found = every_output(in_float, crops), every_output(in_int8, crops)
    return tuple(
        _layer_error(layer, wanted[name], found[name])
        for name, layer in _computed(in_int8).items()
        if name in wanted
    )


def where_lost(errors: Sequence[LayerError], *, ours: bool = True) -> str:
    """Name the layers that cost most, and say what to try.

    A layer's error counts as far as no later layer wins it back: sums over many channels do that.

    Args:
        errors: of `layer_errors`.
        ours: whether the network can be trained again.
    """
    if not errors:
        return "No layer can be compared with float."
    lost = np.array([each.lost for each in errors])
    kept = np.minimum.accumulate(lost[::-1])[::-1]
    costs = np.diff(kept, prepend=0.0)
    order = np.argsort(-costs, kind="stable")[:_NAMED]
    total = max(float(kept[-1]), _SILENT)
    shares = ", ".join(
        f"{errors[at].layer} {costs[at] / total:.0%}" for at in order if costs[at] > 0
    )
    ending = (
        f"In the end a feature has lost {lost[-1]:.1%} of its energy; of that cost {shares or '-'}."
    )
    worst = errors[int(order[0])]
    if costs.max() < _STANDS_OUT:
        cause = f"No layer stands out; small errors add up. {ending}"
        return f"{cause} {_LONGER if ours else _ANOTHER}"
    return (
        f"Layer {worst.layer} costs most: there a channel loses {worst.lost:.0%} of its energy on "
        f"average, the loudest being {worst.loudness:,.3g} times as loud as the median one. "
        f"{ending} {_EVEN if ours else _ANOTHER}"
    )


def _computed(encoder: bytes) -> dict[str, str]:
    """Return what operators write, in order, with the layers that they come from."""
    return {each.outputs[0].name: each.layer for each in read_network(encoder).operators}


def every_output(encoder: bytes, crops: PixelArray) -> dict[str, FloatArray]:
    """Return what each operator gives: tensor name → (N, …, C) float32."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # XNNPACK fuses operators and keeps no tensor between them.
    interpreter = Interpreter(
        model_content=encoder,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    pixels = interpreter.get_input_details()[0]
    in_float = crops.astype(np.float32)
    # int8 has scale 1 and zero point -128 at the input, which `check_network` saw to.
    given = in_float if pixels["dtype"] is np.float32 else (in_float - 128).astype(np.int8)
    details = {each["name"]: each for each in interpreter.get_tensor_details()}
    names = _computed(encoder)
    outputs: dict[str, list[FloatArray]] = {name: [] for name in names}
    for crop in given:
        interpreter.set_tensor(pixels["index"], crop[np.newaxis])
        interpreter.invoke()
        for name in names:
            outputs[name].append(_values(interpreter, details[name]))
    return {name: np.concatenate(rows) for name, rows in outputs.items()}


def _values(interpreter: Any, details: dict[str, Any]) -> FloatArray:  # noqa: ANN401 - untyped
    stored = np.asarray(interpreter.get_tensor(details["index"]), dtype=np.float32)
    if details["dtype"] is np.float32:
        return stored
    scale, zero_point = details["quantization"]
    return np.asarray((stored - zero_point) * np.float32(scale), dtype=np.float32)


def _layer_error(layer: str, wanted: FloatArray, found: FloatArray) -> LayerError:
    signal, error = _energy(wanted), _energy(wanted - found)
    sounding = signal > _SILENT
    lost = np.minimum(error[sounding] / signal[sounding], 1.0)
    ranges = np.abs(wanted).reshape(-1, wanted.shape[-1]).max(axis=0)
    return LayerError(
        layer,
        lost=float(lost.mean()) if lost.size else 0.0,
        loudness=float(ranges.max() / max(float(np.median(ranges)), _SILENT)),
    )


def _energy(values: FloatArray) -> npt.NDArray[np.float64]:
    """Return the mean square of each channel, (C,)."""
    squares = values.reshape(-1, values.shape[-1]).astype(np.float64) ** 2
    return np.asarray(squares.mean(axis=0))
