"""What is inside a .tflite file: its operators, with the layer that each came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.errors import BundleError

_WHOLE_RANGE_SCALE = 1.0
_LOWEST_LEVEL = -128
_SCALE_TOLERANCE = 1e-5
# Integer arithmetic on shapes and indices is not arithmetic on features.
_INTEGER_TYPES = frozenset({"INT8", "INT32", "INT64", "BOOL", "INT16"})
_OF_THE_FORMAT = ("StatefulPartitionedCall", "tfl.")
# Their weights (second input) are quantised a channel at a time.
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: element type, shape, and its scales and zero points (empty if not quantised)."""

    name: str
    kind: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: its builtin name and version, what it reads and writes, and its layer.

    The layer is the scope in the Keras network that it was made from.
    """

    name: str
    version: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    layer: str

    @property
    def kind(self) -> str:
        """The element type that it computes in: the first that is no integer, else its output's."""
        kinds = [each.kind for each in (*self.inputs, *self.outputs)]
        return next((each for each in kinds if each not in _INTEGER_TYPES), kinds[-1])


@dataclass(frozen=True, slots=True)
class Network:
    """Inputs, outputs and operators of the one graph in a file."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]


def layer_of(tensor_name: str) -> str:
    """Return the scope below the encoder's own: encoder_1/net_1/dense_1/MatMul → dense_1/MatMul."""
    # Fused operators join their names with ";": the last one is the layer that holds the weights.
    last = tensor_name.rpartition(";")[2].partition("@")[0]
    parts = last.split("/")
    return "/".join(parts[2:]) if len(parts) > 2 else last  # noqa: PLR2004


def read_network(encoder: bytes) -> Network:
    """Parse the .tflite bytes *encoder*; needs TensorFlow for the file format's schema."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(encoder, 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    kinds = {value: name for name, value in vars(schema.TensorType).items()}
    graph = model.subgraphs[0]
    tensors = [_tensor(each, kinds) for each in graph.tensors]

    def chosen(indices: Sequence[int]) -> tuple[Tensor, ...]:
        return tuple(tensors[at] for at in indices if at >= 0)  # -1: an optional input left out

    operators: list[Operator] = []
    layers: dict[str, str] = {}
    for each in graph.operators:
        code = model.operatorCodes[each.opcodeIndex]
        # Codes above 126 did not fit the field that older files use.
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        inputs, outputs = chosen(each.inputs), chosen(each.outputs)
        layer = _layer(inputs, outputs, layers)
        layers |= {tensor.name: layer for tensor in outputs}
        operators.append(Operator(name, code.version, inputs, outputs, layer))
    return Network(chosen(graph.inputs), chosen(graph.outputs), tuple(operators))


def _layer(
    inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], layers: Mapping[str, str]
) -> str:
    """Return the layer of an operator; *layers* are those of the tensors before it.

    What the network gives has a name of the file format's own: there, the layer that it reads.
    """
    if not outputs[0].name.startswith(_OF_THE_FORMAT):
        return layer_of(outputs[0].name)
    return next((layers[each.name] for each in inputs if each.name in layers), outputs[0].name)


def check_network(network: Network) -> None:
    """Refuse a network that is not int8 throughout, or whose input is not the pixels' own range.

    Raises:
        BundleError: naming the operator and its layer, or the tensor and its scale.
    """
    in_float = [each for each in network.operators if each.kind not in _INTEGER_TYPES]
    # (DE)QUANTIZE only leads there and back.
    for each in sorted(in_float, key=lambda each: each.name.endswith("QUANTIZE")):
        raise BundleError(
            f"operator {each.name} of {each.layer} has no int8 form and would compute in "
            f"{each.kind.lower()}; take it out of the network (unit length is made on the edge), "
            "or replace it by one that quantises"
        )
    for each in network.operators:
        if each.name in _WEIGHTED and len(each.inputs[1].scales) != _channels(each):
            raise BundleError(
                f"the weights of {each.layer} have {len(each.inputs[1].scales)} scales for "
                f"{_channels(each)} channels; convert with the pinned TensorFlow"
            )
    for tensor in (*network.inputs, *network.outputs):
        if tensor.kind != "INT8":
            raise BundleError(f"{tensor.name} is {tensor.kind}; expected INT8 at both ends")
    (pixels,) = network.inputs
    scale, zero_point = pixels.scales[0], pixels.zero_points[0]
    if abs(scale - _WHOLE_RANGE_SCALE) > _SCALE_TOLERANCE or zero_point != _LOWEST_LEVEL:
        raise BundleError(
            f"the input is quantised with scale {scale:g} and zero point {zero_point}; pixels from "
            "0 to 255 need 1 and -128: the network must take pixels as they are and scale inside"
        )


def _tensor(described: Any, kinds: dict[int, str]) -> Tensor:  # noqa: ANN401 - generated, untyped
    found = described.quantization
    quantised = found is not None and found.scale is not None
    return Tensor(
        name=described.name.decode(),
        kind=kinds[described.type],
        shape=tuple(int(each) for each in described.shape),
        scales=tuple(float(each) for each in found.scale) if quantised else (),
        zero_points=tuple(int(each) for each in found.zeroPoint) if quantised else (),
    )


def _channels(operator: Operator) -> int:
    shape = operator.inputs[1].shape
    return shape[-1] if operator.name == "DEPTHWISE_CONV_2D" else shape[0]
