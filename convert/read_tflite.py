"""TFLite file, float or int8 → steps of `convert.graph`; levels become what they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convert.graph import Step, refuse
from edge.errors import BundleError
from edge.vocabulary import FloatArray

_IDENTIFIER = b"TFL3"  # bytes 4 to 8 of the file
_NONE, _RELU, _RELU6 = 0, 1, 3  # ActivationFunctionType of the format
_SAME = 0  # Padding of the format
_UNCHANGED = frozenset({"QUANTIZE", "DEQUANTIZE", "L2_NORMALIZATION"})
_TYPES = {"FLOAT32": "<f4", "FLOAT16": "<f2", "INT8": "i1", "UINT8": "u1", "INT32": "<i4"}


def read_tflite(path: Path) -> tuple[list[Step], str, str]:
    """Return the steps of the network at *path*, with the names of its input and output.

    L2 normalisation is left out: the edge makes unit length.

    Raises:
        BundleError: if the file is none, or an operator is not one of a face encoder's.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    content = path.read_bytes()
    if content[4:8] != _IDENTIFIER:
        raise BundleError(f"{path} is no TFLite file; give one that a converter wrote")
    return _Reader(schema.ModelT.InitFromPackedBuf(content, 0), schema).read()


class _Reader:
    """Reads one graph."""

    def __init__(self, model: Any, schema: Any) -> None:  # noqa: ANN401 - generated, untyped
        self._model, self._graph = model, model.subgraphs[0]
        self._operators = {value: name for name, value in vars(schema.BuiltinOperator).items()}
        self._kinds = {value: name for name, value in vars(schema.TensorType).items()}
        self._steps: list[Step] = []
        self._constants: dict[int, FloatArray] = {}

    def read(self) -> tuple[list[Step], str, str]:
        inputs, outputs = self._graph.inputs, self._graph.outputs
        if len(self._model.subgraphs) != 1 or len(inputs) != 1 or len(outputs) != 1:
            raise BundleError(
                f"the network has {len(inputs)} inputs and {len(outputs)} outputs in "
                f"{len(self._model.subgraphs)} graphs; an encoder has one of each: export the "
                "part that makes embeddings"
            )
        for node in self._graph.operators:
            code = self._model.operatorCodes[node.opcodeIndex]
            self._node(node, self._operators[max(code.builtinCode, code.deprecatedBuiltinCode)])
        return self._steps, self._name(inputs[0]), self._name(outputs[0])

    def _node(self, node: Any, kind: str) -> None:  # noqa: ANN401
        if kind == "DEQUANTIZE" and self._is_constant(node.inputs[0]):
            self._constants[node.outputs[0]] = self._constant(node.inputs[0])  # a float16 weight
        elif kind in _UNCHANGED:
            self._add("same", node)
        elif kind in _READERS:
            _READERS[kind](self, node, kind)
        else:
            raise refuse(kind, self._name(node.outputs[0]), "is not read")

    def _add(self, kind: str, node: Any, weights: tuple[Any, ...] = (), **settings: Any) -> None:  # noqa: ANN401
        given = [at for at in node.inputs if at >= 0 and not self._is_constant(at)]
        inputs, output = tuple(map(self._name, given)), self._name(node.outputs[0])
        in_float = tuple(np.asarray(each, np.float32) for each in weights)
        activation = getattr(node.builtinOptions, "fusedActivationFunction", _NONE)
        if activation not in {_NONE, _RELU, _RELU6}:
            raise refuse(kind, output, f"has activation {activation}, which is not read")
        inner = output if activation == _NONE else f"{output} before activation"
        self._steps.append(Step(kind, output, inputs, inner, in_float, settings))
        if activation != _NONE:
            most = {"most": 6.0 if activation == _RELU6 else math.inf}
            self._steps.append(Step("clip", f"{output}_relu", (inner,), output, (), most))

    def convolution(self, node: Any, kind: str) -> None:  # noqa: ANN401
        options, kernel = node.builtinOptions, self._constant(node.inputs[1])
        shared = {
            "strides": (options.strideH, options.strideW),
            "dilations": (options.dilationHFactor, options.dilationWFactor),
            "pads": _pads(options),
        }
        if kind == "CONV_2D":
            weights = (kernel.transpose(1, 2, 3, 0), self._bias(node, kernel.shape[0]))
            self._add("conv", node, weights, **shared)
            return
        channels = self._graph.tensors[node.inputs[0]].shape[3]
        arranged = kernel[0].reshape(*kernel.shape[1:3], channels, -1)
        self._add("depthwise", node, (arranged, self._bias(node, kernel.shape[3])), **shared)

    def dense(self, node: Any, kind: str) -> None:  # noqa: ANN401, ARG002
        kernel = self._constant(node.inputs[1])
        self._add("dense", node, (kernel.T, self._bias(node, kernel.shape[0])))

    def prelu(self, node: Any, kind: str) -> None:  # noqa: ANN401, ARG002
        self._add("prelu", node, (self._constant(node.inputs[1]).reshape(-1),))

    def clip(self, node: Any, kind: str) -> None:  # noqa: ANN401
        self._add("clip", node, most=6.0 if kind == "RELU6" else math.inf)

    def pad(self, node: Any, kind: str) -> None:  # noqa: ANN401, ARG002
        pads = self._constant(node.inputs[1]).astype(int).tolist()
        self._add("pad", node, pads=tuple(map(tuple, pads[1:3])))

    def pool(self, node: Any, kind: str) -> None:  # noqa: ANN401
        options = node.builtinOptions
        self._add(
            "pool",
            node,
            how="max" if kind == "MAX_POOL_2D" else "average",
            size=(options.filterHeight, options.filterWidth),
            strides=(options.strideH, options.strideW),
            pads=_pads(options),
        )

    def mean(self, node: Any, kind: str) -> None:  # noqa: ANN401
        axes = self._constant(node.inputs[1]).astype(int).reshape(-1).tolist()
        if sorted(axes) != [1, 2]:
            raise refuse(kind, self._name(node.outputs[0]), f"over axes {axes} is not read")
        self._add("mean", node, keep=bool(node.builtinOptions.keepDims))

    def resize(self, node: Any, kind: str) -> None:  # noqa: ANN401
        if not node.builtinOptions.halfPixelCenters:
            raise refuse(
                kind, self._name(node.outputs[0]), "without half-pixel centres is not read"
            )
        self._add("resize", node, size=tuple(self._graph.tensors[node.outputs[0]].shape[1:3]))

    def arithmetic(self, node: Any, kind: str) -> None:  # noqa: ANN401
        known = [at for at in node.inputs if self._is_constant(at)]
        if not known and kind != "SUB":
            self._add("add" if kind == "ADD" else "multiply", node)
            return
        output = self._name(node.outputs[0])
        if not known or known[0] != node.inputs[1]:
            raise refuse(kind, output, "of these two tensors is not read")
        value, nothing = self._constant(known[0]), np.zeros(1, np.float32)
        if value.size not in {1, value.shape[-1] if value.ndim else 1}:
            raise refuse(kind, output, f"with a constant of {value.shape} is not read")
        value = value.reshape(-1)
        if kind == "MUL":
            self._add("affine", node, (value, nothing))
        else:
            self._add("affine", node, (nothing + 1, value if kind == "ADD" else -value))

    def flatten(self, node: Any, kind: str) -> None:  # noqa: ANN401
        before, after = (self._graph.tensors[at].shape for at in (node.inputs[0], node.outputs[0]))
        if list(before) == list(after):
            self._add("same", node)
        elif len(after) == 2:  # noqa: PLR2004
            self._add("flatten", node)
        else:
            name = self._name(node.outputs[0])
            raise refuse(kind, name, f"to {list(after)} is not read; only flattening is")

    def _bias(self, node: Any, size: int) -> FloatArray:  # noqa: ANN401
        if len(node.inputs) < 3 or node.inputs[2] < 0:  # noqa: PLR2004 - left out
            return np.zeros(size, np.float32)
        return self._constant(node.inputs[2])

    def _name(self, at: int) -> str:
        return str(self._graph.tensors[at].name.decode())

    def _is_constant(self, at: int) -> bool:
        held = self._model.buffers[self._graph.tensors[at].buffer].data
        return at in self._constants or (held is not None and len(held) > 0)

    def _constant(self, at: int) -> FloatArray:
        """Return the float32 values of a tensor that is stored in the file."""
        if at in self._constants:
            return self._constants[at]
        tensor = self._graph.tensors[at]
        held = self._model.buffers[tensor.buffer].data
        kind = self._kinds[tensor.type]
        if held is None or not len(held) or kind not in _TYPES:
            raise refuse(kind, self._name(at), "is computed or of a type that is not read")
        stored = np.asarray(held, np.uint8).tobytes()
        values = np.frombuffer(stored, _TYPES[kind]).reshape(tensor.shape).astype(np.float64)
        found = tensor.quantization
        if kind.startswith("FLOAT") or found is None or found.scale is None:
            return values.astype(np.float32)
        along = [1] * values.ndim
        if len(found.scale) > 1:
            along[found.quantizedDimension] = len(found.scale)
        zero_points, scales = (np.reshape(each, along) for each in (found.zeroPoint, found.scale))
        return np.asarray((values - zero_points) * scales, np.float32)


def _pads(options: Any) -> Any:  # noqa: ANN401
    return "same" if options.padding == _SAME else ((0, 0), (0, 0))


_READERS: dict[str, Callable[[_Reader, Any, str], None]] = {
    "CONV_2D": _Reader.convolution,
    "DEPTHWISE_CONV_2D": _Reader.convolution,
    "FULLY_CONNECTED": _Reader.dense,
    "ADD": _Reader.arithmetic,
    "SUB": _Reader.arithmetic,
    "MUL": _Reader.arithmetic,
    "PRELU": _Reader.prelu,
    "RELU": _Reader.clip,
    "RELU6": _Reader.clip,
    "PAD": _Reader.pad,
    "MAX_POOL_2D": _Reader.pool,
    "AVERAGE_POOL_2D": _Reader.pool,
    "MEAN": _Reader.mean,
    "RESHAPE": _Reader.flatten,
    "SQUEEZE": _Reader.flatten,
    "RESIZE_BILINEAR": _Reader.resize,
}
