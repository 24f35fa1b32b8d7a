"""Encoders of others: read from ONNX and TFLite, held to their own runtime, refused by name."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("tqdm", reason="needs the workstation extra")

from convert import foreign
from convert.cli import _PRESETS
from convert.encoder import embed_float
from convert.foreign import PRESETS, Preset, find_foreign, load_foreign
from convert.graph import Step, build
from convert.quantize import float_encoder, quantize_network
from edge.errors import BundleError
from train.measuring.metrics import unit_rows

pytestmark = [
    pytest.mark.tf,
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs the workstation extra"),
]
RAW = "sface"


def rewritten(tmp_path, content, crops, preset=RAW):
    file = tmp_path / "theirs.tflite"
    file.write_bytes(content)
    return load_foreign(find_foreign(file, preset), crops)


@pytest.mark.parametrize("half", [False, True])
def test_float_tflite_is_read_exactly(tmp_path, encoder, crops, half):
    model = rewritten(tmp_path, float_encoder(encoder, half=half), crops)
    cosines = np.sum(embed_float(model, crops) * embed_float(encoder, crops), axis=1)
    assert cosines.min() > (0.9999 if half else 0.999999)


def test_int8_tflite_becomes_the_values_that_its_levels_stand_for(
    tmp_path, encoder, int8_bytes, crops
):
    model = rewritten(tmp_path, int8_bytes, crops)
    cosines = np.sum(embed_float(model, crops) * embed_float(encoder, crops), axis=1)
    assert cosines.min() > 0.999


def test_network_with_other_parts_of_face_encoders_is_read_exactly(tmp_path, crops):
    """PReLU, pooling, shortcuts, a mean over places, shrinking: what the toy has not."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    pixels = keras.Input((112, 112, 3))
    maps = layers.Rescaling(1 / 128, -1)(layers.Resizing(56, 56)(pixels))
    maps = layers.Conv2D(8, 3, strides=2, padding="same")(layers.ZeroPadding2D(1)(maps))
    maps = layers.PReLU(shared_axes=[1, 2], alpha_initializer="random_normal")(maps)
    inner = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1)(maps)
    maps = layers.MaxPooling2D(2)(layers.Add()([maps, layers.ReLU(6.0)(inner)]))
    maps = layers.AveragePooling2D(2)(maps)
    flat = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 1)(maps))
    theirs = keras.Model(pixels, layers.Dense(32)(flat))
    model = rewritten(tmp_path, float_encoder(theirs), crops)
    cosines = np.sum(embed_float(model, crops) * embed_float(theirs, crops), axis=1)
    assert cosines.min() > 0.9999


def test_presets_range_becomes_part_of_the_network(tmp_path, encoder, crops):
    """Their network takes values about 0; the rebuilt one takes pixels."""
    import keras

    values = keras.Input((112, 112, 3))
    theirs = keras.Model(values, encoder(keras.layers.Rescaling(128.0, 127.5)(values)))
    model = rewritten(tmp_path, float_encoder(theirs), crops, "mobilefacenet")
    cosines = np.sum(embed_float(model, crops) * embed_float(encoder, crops), axis=1)
    assert cosines.min() > 0.9999


def test_what_was_read_converts_to_int8(tmp_path, encoder, crops):
    model = rewritten(tmp_path, float_encoder(encoder), crops)
    assert len(quantize_network(model, crops)) > 1000


def test_operator_that_is_not_read_is_named_with_its_layer(tmp_path, toy_encoder, crops):
    import keras

    odd = keras.Sequential(
        [toy_encoder(keras.layers.Activation("tanh", name="odd")), keras.layers.Dense(8)]
    )
    with pytest.raises(BundleError, match=r"operator TANH of .*odd.* is not read"):
        rewritten(tmp_path, float_encoder(odd), crops)


def test_network_that_was_read_wrongly_is_refused(tmp_path, encoder, crops, monkeypatch):
    """A reader that takes one step for another must not pass: here, a ReLU is lost."""
    read = foreign.read_tflite

    def forgetful(file):
        steps, source, result = read(file)
        lost = [
            Step("same", each.name, each.inputs, each.output) if each.kind == "clip" else each
            for each in steps
        ]
        return lost, source, result

    monkeypatch.setattr(foreign, "read_tflite", forgetful)
    with pytest.raises(BundleError, match=r"was read wrongly: .* agrees with the file"):
        rewritten(tmp_path, float_encoder(encoder), crops)


def test_file_that_is_no_network_is_refused(tmp_path, crops):
    with pytest.raises(BundleError, match="no TFLite file"):
        rewritten(tmp_path, b"not a network", crops)
    with pytest.raises(BundleError, match="there is no"):
        find_foreign(tmp_path / "none.onnx", RAW)


def test_command_offers_the_presets_that_there_are():
    assert set(_PRESETS) == set(PRESETS)


def test_step_that_reads_what_nothing_writes_is_refused():
    with pytest.raises(BundleError, match="which nothing writes"):
        build([Step("same", "lost", ("nowhere",), "end")], "start", "end", 112, scale=1, offset=0)


# ONNX


def convolution(rng, outputs, inputs, size, groups=1):
    return rng.normal(0, 0.3, (outputs, inputs // groups, size, size)).astype(np.float32)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    """A small network with the operators of both presets, written by hand."""
    onnx = pytest.importorskip("onnx", reason="needs the onnx extra")
    rng = np.random.default_rng(0)
    make, numpy_helper = onnx.helper, onnx.numpy_helper
    held = {
        "mean": np.array([[[[127.5]]]], np.float32),
        "part": np.array(1 / 128, np.float32),
        "kernel": convolution(rng, 8, 3, 3),
        "bias": rng.normal(0, 1, 8).astype(np.float32),
        "gain": rng.uniform(0.5, 2, 8).astype(np.float32),
        "offset": rng.normal(0, 1, 8).astype(np.float32),
        "running": rng.normal(0, 1, 8).astype(np.float32),
        "variance": rng.uniform(0.5, 2, 8).astype(np.float32),
        "slope": rng.uniform(0, 0.5, (8, 1, 1)).astype(np.float32),
        "deep": convolution(rng, 8, 8, 3, groups=8),
        "least": np.array(0.0, np.float32),
        "most": np.array(6.0, np.float32),
        "far": convolution(rng, 16, 8, 7),
        "dense": rng.normal(0, 0.1, (32, 16 * 8 * 8)).astype(np.float32),
        "last": rng.normal(0, 1, 32).astype(np.float32),
    }
    node = make.make_node
    strided = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        node("Sub", ["data", "mean"], ["centred"], "centre"),
        node("Mul", ["centred", "part"], ["scaled"], "scale"),
        node(
            "Conv", ["scaled", "kernel", "bias"], ["first"], "first", kernel_shape=[3, 3], **strided
        ),
        node(
            "BatchNormalization",
            ["first", "gain", "offset", "running", "variance"],
            ["normal"],
            "normal",
        ),
        node("PRelu", ["normal", "slope"], ["bent"], "bent"),
        node(
            "Conv",
            ["bent", "deep"],
            ["deepened"],
            "deepened",
            group=8,
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        ),
        node("Clip", ["deepened", "least", "most"], ["clipped"], "clipped"),
        node("Add", ["clipped", "bent"], ["sum"], "shortcut"),
        node("Conv", ["sum", "far"], ["small"], "far", kernel_shape=[7, 7], strides=[7, 7]),
        node("Relu", ["small"], ["kept"], "kept"),
        node("Dropout", ["kept"], ["same"], "dropout"),
        node("Flatten", ["same"], ["flat"], "flat", axis=1),
        node("Gemm", ["flat", "dense", "last"], ["fc1"], "features", transB=1),
    ]
    graph = make.make_graph(
        nodes,
        "theirs",
        [make.make_tensor_value_info("data", onnx.TensorProto.FLOAT, [1, 3, 112, 112])],
        [make.make_tensor_value_info("fc1", onnx.TensorProto.FLOAT, [1, 32])],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 12)], ir_version=7)
    onnx.checker.check_model(model)
    path = tmp_path_factory.mktemp("onnx") / "theirs.onnx"
    onnx.save(model, str(path))
    return path


def test_onnx_is_read_exactly_channels_first_or_not(onnx_file, crops):
    import cv2

    model = load_foreign(find_foreign(onnx_file, RAW), crops)
    network = cv2.dnn.readNetFromONNX(str(onnx_file))
    wanted = []
    for crop in crops[:6]:
        network.setInput(crop.astype(np.float32).transpose(2, 0, 1)[np.newaxis])
        wanted.append(network.forward()[0].copy())
    cosines = np.sum(unit_rows(np.stack(wanted)) * embed_float(model, crops[:6]), axis=1)
    assert cosines.min() > 0.99999


def test_wrong_order_of_features_would_be_noticed(onnx_file, crops, monkeypatch):
    read = foreign.read_onnx

    def channels_last(file):
        steps, source, result = read(file)
        return (
            [
                Step(each.kind, each.name, each.inputs, each.output, each.weights)
                if each.kind == "flatten"
                else each
                for each in steps
            ],
            source,
            result,
        )

    monkeypatch.setattr(foreign, "read_onnx", channels_last)
    with pytest.raises(BundleError, match="was read wrongly"):
        load_foreign(find_foreign(onnx_file, RAW), crops)


def test_onnx_operator_that_is_not_read_is_named_with_its_layer(onnx_file, tmp_path, crops):
    import onnx

    model = onnx.load(str(onnx_file))
    model.graph.node[4].op_type = "Elu"
    del model.graph.node[4].input[1:]
    onnx.save(model, str(tmp_path / "odd.onnx"))
    with pytest.raises(BundleError, match="operator Elu of bent is not read"):
        load_foreign(find_foreign(tmp_path / "odd.onnx", RAW), crops)


def test_onnx_file_that_is_cut_off_is_refused(onnx_file, tmp_path, crops):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(onnx_file.read_bytes()[:-1000])
    with pytest.raises(BundleError, match="no ONNX file"):
        load_foreign(find_foreign(cut, RAW), crops)


@pytest.mark.slow
def test_real_mobilefacenet_is_read_exactly(shared_data, crops):
    pytest.importorskip("onnx", reason="needs the onnx extra")
    peer = shared_data.parent / "peers" / "mobilefacenet.onnx"
    if not peer.is_file():
        pytest.skip(f"the peer is not at {peer}")
    model = load_foreign(find_foreign(peer, "mobilefacenet"), crops)
    assert model.output_shape == (None, 128)


def test_facts_name_the_file_and_its_hash(onnx_file):
    facts = find_foreign(onnx_file, RAW).facts()
    assert (facts["recipe"], facts["source_file"]) == ("foreign/sface", "theirs.onnx")
    assert len(facts["source_sha256"]) == 64
    assert Preset(RAW, 1.0, 0.0) == PRESETS[RAW]
