"""A foreign network as plain steps, channels last, and the Keras network that they make.

The readers of ONNX and TFLite files both write these steps, so what a step means is said once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.errors import BundleError
from edge.vocabulary import FloatArray

_FOUR = 4  # axes of maps: batch, row, column, channel


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One layer: what it is, its name in the file, the tensors that it reads, the one it writes.

    Kinds, with *weights* and *settings*:
        conv: kernel (H, W, I, O), bias (O,); strides, dilations, pads.
        depthwise: kernel (H, W, C, M), bias (C·M,); strides, dilations, pads.
        dense: kernel (I, O), bias (O,).
        affine: gain and offset, each (C,) or (1,).
        prelu: slope (C,) or (1,).
        clip: most (6.0, or infinity); below is 0.
        add, multiply: of two tensors.
        pad: pads.
        pool: how ("max" or "average"), size, strides, pads.
        mean: over the places; keep whether their axes stay.
        flatten: first whether channels come first in the order of features.
        resize: size.
        same: changes nothing that counts.

    *pads* is ((top, bottom), (left, right)), or "same" as TensorFlow means it.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    weights: tuple[FloatArray, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def refuse(operator: str, name: str, why: str) -> BundleError:
    """Return the error for an operator that cannot be read."""
    return BundleError(
        f"operator {operator} of {name or 'a layer without a name'} {why}; take it out of the "
        "network before it is exported, or make a .tflite file by another converter for "
        "--from-tflite"
    )


def build(
    steps: Sequence[Step], source: str, result: str, size_px: int, *, scale: float, offset: float
) -> Any:  # noqa: ANN401 - keras is untyped
    """Return the Keras network of *steps*: pixels 0 … 255, (None, S, S, 3), → (None, D).

    Args:
        steps: in the order in which they compute.
        source: the name of the tensor that takes ``scale * pixel + offset``.
        result: the name of the tensor that is the embedding.
        size_px: S.
        scale: see *source*.
        offset: see *source*.

    Raises:
        BundleError: if a step reads what none before it wrote, or shapes do not fit.
    """
    import keras

    crops = keras.Input((size_px, size_px, 3), name="crop")
    scaled = (scale, offset) != (1.0, 0.0)
    tensors = {source: keras.layers.Rescaling(scale, offset)(crops) if scaled else crops}
    used: set[str] = set()
    for each in steps:
        try:
            inputs = [tensors[name] for name in each.inputs]
            tensors[each.output] = _BUILDERS[each.kind](each, inputs, _unique(each.name, used))
        except KeyError as exc:
            raise refuse(each.kind, each.name, f"reads {exc}, which nothing writes") from exc
        except ValueError as exc:
            raise refuse(each.kind, each.name, f"does not fit: {str(exc).splitlines()[0]}") from exc
    features = tensors[result]
    if len(features.shape) == _FOUR:
        features = keras.layers.Flatten(name=_unique("features", used))(features)
    return keras.Model(crops, features, name="foreign")


def _unique(name: str, used: set[str]) -> str:
    """Return *name* as Keras takes it, and as no layer has it yet."""
    plain = re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("_.") or "layer"
    found, at = plain, 1
    while found in used:
        found, at = f"{plain}_{at}", at + 1
    used.add(found)
    return found


def _with_weights(layer: Any, tensor: Any, *weights: FloatArray) -> Any:  # noqa: ANN401
    called = layer(tensor)
    layer.set_weights(list(weights))
    return called


def _padded(step: Step, tensor: Any, size: Sequence[int]) -> tuple[Any, str]:  # noqa: ANN401
    """Return the tensor with its explicit pads, and what is left for the layer to pad."""
    import keras

    pads = step.settings.get("pads", ((0, 0), (0, 0)))
    if pads == "same":
        return tensor, "same"
    if not np.any(pads):
        return tensor, "valid"
    strides = step.settings.get("strides", (1, 1))
    dilations = step.settings.get("dilations", (1, 1))
    reach = [(each - 1) * by for each, by in zip(size, dilations, strict=True)]
    if tuple(strides) == (1, 1) and all(
        tuple(pad) == (each // 2, each // 2) and each % 2 == 0
        for pad, each in zip(pads, reach, strict=True)
    ):
        return tensor, "same"  # one operator fewer
    return keras.layers.ZeroPadding2D(pads)(tensor), "valid"


def _convolution(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    kernel, bias = step.weights
    tensor, padding = _padded(step, inputs[0], kernel.shape[:2])
    keywords = {
        "kernel_size": kernel.shape[:2],
        "strides": step.settings.get("strides", (1, 1)),
        "dilation_rate": step.settings.get("dilations", (1, 1)),
        "padding": padding,
        "name": name,
    }
    if step.kind == "depthwise":
        layer = keras.layers.DepthwiseConv2D(depth_multiplier=kernel.shape[3], **keywords)
    else:
        layer = keras.layers.Conv2D(kernel.shape[3], **keywords)
    return _with_weights(layer, tensor, kernel, bias)


def _dense(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    kernel, bias = step.weights
    flat = keras.layers.Flatten()(inputs[0]) if len(inputs[0].shape) > 2 else inputs[0]  # noqa: PLR2004
    return _with_weights(keras.layers.Dense(kernel.shape[1], name=name), flat, kernel, bias)


def _affine(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    gain, offset = step.weights
    if gain.size == 1 and offset.size == 1:
        return keras.layers.Rescaling(float(gain[0]), float(offset[0]), name=name)(inputs[0])
    channels = inputs[0].shape[-1]
    layer = keras.layers.BatchNormalization(epsilon=1e-3, name=name)
    one = np.ones(channels, np.float32)
    weights = (gain * one, offset * one, 0 * one, one - np.float32(1e-3))
    return _with_weights(layer, inputs[0], *weights)


def _prelu(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    shape = inputs[0].shape[1:]
    shared = list(range(1, len(shape)))
    slope = np.broadcast_to(step.weights[0], shape[-1:]).reshape((1,) * len(shared) + shape[-1:])
    return _with_weights(keras.layers.PReLU(shared_axes=shared, name=name), inputs[0], slope)


def _clip(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    most = step.settings["most"]
    return keras.layers.ReLU(most if np.isfinite(most) else None, name=name)(inputs[0])


def _merge(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    kinds = {"add": keras.layers.Add, "multiply": keras.layers.Multiply}
    return kinds[step.kind](name=name)(inputs)


def _pad(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    return keras.layers.ZeroPadding2D(step.settings["pads"], name=name)(inputs[0])


def _pool(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    settings = step.settings
    pads = settings.get("pads", ((0, 0), (0, 0)))
    if pads != "same" and np.any(pads):
        raise ValueError("pools with explicit padding are not read")
    padding = "same" if pads == "same" else "valid"
    kinds = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}
    layer = kinds[settings["how"]](settings["size"], settings["strides"], padding, name=name)
    return layer(inputs[0])


def _mean(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    keep = step.settings.get("keep", True)
    return keras.layers.GlobalAveragePooling2D(keepdims=keep, name=name)(inputs[0])


def _flatten(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    (tensor,) = inputs
    if len(tensor.shape) == 2:  # noqa: PLR2004 - flat already
        return tensor
    places = int(np.prod(tensor.shape[1:-1]))
    if step.settings.get("first") and places > 1:
        tensor = keras.layers.Permute((3, 1, 2))(tensor)
    return keras.layers.Flatten(name=name)(tensor)


def _resize(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    import keras

    height, width = step.settings["size"]
    return keras.layers.Resizing(height, width, name=name)(inputs[0])


def _same(step: Step, inputs: Sequence[Any], name: str) -> Any:  # noqa: ANN401, ARG001
    return inputs[0]


_BUILDERS: dict[str, Callable[[Step, Sequence[Any], str], Any]] = {
    "conv": _convolution,
    "depthwise": _convolution,
    "dense": _dense,
    "affine": _affine,
    "prelu": _prelu,
    "clip": _clip,
    "add": _merge,
    "multiply": _merge,
    "pad": _pad,
    "pool": _pool,
    "mean": _mean,
    "flatten": _flatten,
    "resize": _resize,
    "same": _same,
}
