"""ONNX file → steps of `convert.graph`: the operators that face encoders are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convert.graph import Step, refuse
from edge.errors import BundleError, ConfigError
from edge.vocabulary import FloatArray

_UNCHANGED = frozenset({"Identity", "Dropout", "Cast"})


def read_onnx(path: Path) -> tuple[list[Step], str, str]:
    """Return the steps of the network at *path*, channels last, with its input's and output's name.

    Raises:
        BundleError: if the file is none, or an operator is not one of a face encoder's.
        ConfigError: if the package onnx is not installed.
    """
    try:
        import onnx  # noqa: PLC0415 - an extra of its own
        from google.protobuf.message import DecodeError  # noqa: PLC0415 - comes with it
    except ImportError as exc:
        raise ConfigError(
            "--from-onnx needs the package onnx; run: pip install 'janus-door[onnx]'"
        ) from exc
    try:
        model = onnx.load(str(path))
    except (OSError, ValueError, DecodeError) as exc:
        raise BundleError(f"{path} is no ONNX file ({exc}); export the network again") from exc
    return _Reader(model.graph, onnx).read()


class _Reader:
    """Reads one graph; constants are folded as they come."""

    def __init__(self, graph: Any, onnx: Any) -> None:  # noqa: ANN401 - generated, untyped
        self._graph, self._onnx = graph, onnx
        self._constants = {
            each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer
        }
        self._steps: list[Step] = []

    def read(self) -> tuple[list[Step], str, str]:
        inputs = [each.name for each in self._graph.input if each.name not in self._constants]
        outputs = [each.name for each in self._graph.output]
        if len(inputs) != 1 or len(outputs) != 1:
            raise BundleError(
                f"the network has {len(inputs)} inputs and {len(outputs)} outputs; an encoder has "
                "one of each: export the part that makes embeddings"
            )
        for node in self._graph.node:
            self._node(node)
        return self._steps, inputs[0], outputs[0]

    def _node(self, node: Any) -> None:  # noqa: ANN401
        settings = {
            each.name: self._onnx.helper.get_attribute_value(each) for each in node.attribute
        }
        if node.op_type == "Constant":
            self._constants[node.output[0]] = self._onnx.numpy_helper.to_array(settings["value"])
        elif node.op_type in _UNCHANGED:
            self._add("same", node)
        elif node.op_type in _READERS:
            _READERS[node.op_type](self, node, settings)
        else:
            raise refuse(node.op_type, node.name, "is not read")

    def _add(self, kind: str, node: Any, weights: tuple[Any, ...] = (), **settings: Any) -> None:  # noqa: ANN401
        inputs = tuple(each for each in node.input if each and each not in self._constants)
        in_float = tuple(np.asarray(each, np.float32) for each in weights)
        name = node.name or node.output[0]
        self._steps.append(Step(kind, name, inputs, node.output[0], in_float, settings))

    def _constant(self, node: Any, at: int) -> FloatArray:  # noqa: ANN401
        name = node.input[at]
        if name not in self._constants:
            raise refuse(node.op_type, node.name, f"takes {name}, which is computed, as a weight")
        return np.asarray(self._constants[name])

    def convolution(self, node: Any, settings: dict[str, Any]) -> None:  # noqa: ANN401
        kernel = self._constant(node, 1)  # (O, I / groups, H, W)
        outputs, inputs, groups = kernel.shape[0], kernel.shape[1], settings.get("group", 1)
        bias = self._constant(node, 2) if len(node.input) > 2 else np.zeros(outputs)  # noqa: PLR2004
        if settings.get("auto_pad", b"NOTSET") not in {b"NOTSET", b"VALID"}:
            raise refuse("Conv", node.name, "pads by itself, which is not read")
        shared = {
            "strides": tuple(settings.get("strides", (1, 1))),
            "dilations": tuple(settings.get("dilations", (1, 1))),
            "pads": _pads(settings),
        }
        if groups == 1:
            self._add("conv", node, (kernel.transpose(2, 3, 1, 0), bias), **shared)
        elif inputs == 1:
            each = outputs // groups
            arranged = kernel[:, 0].transpose(1, 2, 0).reshape(*kernel.shape[2:], groups, each)
            self._add("depthwise", node, (arranged, bias), **shared)
        else:
            raise refuse("Conv", node.name, f"has {groups} groups, which int8 kernels lack")

    def dense(self, node: Any, settings: dict[str, Any]) -> None:  # noqa: ANN401
        kernel = self._constant(node, 1)
        if (
            settings.get("transA")
            or settings.get("alpha", 1.0) != 1
            or settings.get("beta", 1) != 1
        ):
            raise refuse("Gemm", node.name, "has transA, alpha or beta, which are not read")
        kernel = kernel.T if settings.get("transB") else kernel
        bias = self._constant(node, 2) if len(node.input) > 2 else np.zeros(kernel.shape[1])  # noqa: PLR2004
        self._add("dense", node, (kernel, bias.reshape(-1)))

    def normalization(self, node: Any, settings: dict[str, Any]) -> None:  # noqa: ANN401
        gain, offset, mean, variance = (self._constant(node, at) for at in range(1, 5))
        gain = gain / np.sqrt(variance + settings.get("epsilon", 1e-5))
        self._add("affine", node, (gain, offset - mean * gain))

    def prelu(self, node: Any, settings: dict[str, Any]) -> None:  # noqa: ANN401
        if node.op_type == "PRelu":
            slope = self._constant(node, 1).reshape(-1)
        else:
            slope = np.array([settings.get("alpha", 0.01)], np.float32)
        self._add("prelu", node, (slope,))

    def mean(self, node: Any, settings: dict[str, Any]) -> None:  # noqa: ANN401, ARG002
        self._add("mean", node, keep=True)

    def pool(self, node: Any, settings: dict[str, Any]) -> None:  # noqa: ANN401
        how = "max" if node.op_type == "MaxPool" else "average"
        size, strides = settings["kernel_shape"], settings.get("strides", (1, 1))
        self._add("pool", node, how=how, size=size, strides=strides, pads=_pads(settings))

    def arithmetic(self, node: Any, settings: dict[str, Any]) -> None:  # noqa: ANN401, ARG002
        kind = node.op_type
        known = [at for at in (0, 1) if node.input[at] in self._constants]
        if not known:
            if kind not in {"Add", "Mul"}:
                raise refuse(kind, node.name, "of two computed tensors is not read")
            self._add("add" if kind == "Add" else "multiply", node)
            return
        value = _of_channels(node, self._constant(node, known[0]))
        nothing = np.zeros(1, np.float32)
        if known[0] == 0 and kind in {"Sub", "Div"}:
            raise refuse(kind, node.name, "of a constant and a tensor is not read")
        if kind in {"Add", "Sub"}:
            self._add("affine", node, (nothing + 1, value if kind == "Add" else -value))
        else:
            self._add("affine", node, (value if kind == "Mul" else 1 / value, nothing))

    def clip(self, node: Any, settings: dict[str, Any]) -> None:  # noqa: ANN401
        least, most = settings.get("min", -math.inf), settings.get("max", math.inf)
        if node.op_type == "Relu":
            least = 0.0
        if len(node.input) > 1 and node.input[1]:
            least = float(self._constant(node, 1))
        if len(node.input) > 2 and node.input[2]:  # noqa: PLR2004
            most = float(self._constant(node, 2))
        if least != 0:
            raise refuse("Clip", node.name, f"starts at {least:g}; only 0 is read")
        self._add("clip", node, most=most)

    def flatten(self, node: Any, settings: dict[str, Any]) -> None:  # noqa: ANN401
        shape = self._constant(node, 1).tolist() if node.op_type == "Reshape" else [0, -1]
        if len(shape) != 2 or settings.get("axis", 1) != 1:  # noqa: PLR2004
            raise refuse(node.op_type, node.name, f"to {shape} is not read; only flattening is")
        self._add("flatten", node, first=True)


def _of_channels(node: Any, value: FloatArray) -> FloatArray:  # noqa: ANN401
    """Return (C,) or (1,) of a constant that is the same everywhere but in channels."""
    axis = value.ndim - 3 if value.ndim > 2 else value.ndim - 1  # noqa: PLR2004 - (…, C, H, W)
    if value.size > 1 and value.shape[axis] != value.size:
        raise refuse(node.op_type, node.name, f"with a constant of {value.shape} is not read")
    return value.reshape(-1).astype(np.float32)


def _pads(settings: dict[str, Any]) -> tuple[tuple[int, int], tuple[int, int]]:
    top, left, bottom, right = settings.get("pads", (0, 0, 0, 0))
    return (top, bottom), (left, right)


_READERS: dict[str, Callable[[_Reader, Any, dict[str, Any]], None]] = {
    "Conv": _Reader.convolution,
    "Gemm": _Reader.dense,
    "MatMul": _Reader.dense,
    "BatchNormalization": _Reader.normalization,
    "Add": _Reader.arithmetic,
    "Sub": _Reader.arithmetic,
    "Mul": _Reader.arithmetic,
    "Div": _Reader.arithmetic,
    "PRelu": _Reader.prelu,
    "LeakyRelu": _Reader.prelu,
    "Relu": _Reader.clip,
    "Clip": _Reader.clip,
    "Flatten": _Reader.flatten,
    "Reshape": _Reader.flatten,
    "GlobalAveragePool": _Reader.mean,
    "MaxPool": _Reader.pool,
    "AveragePool": _Reader.pool,
}
