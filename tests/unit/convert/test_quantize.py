"""Keras → int8: the levels, the arithmetic, and refusals that name the layer."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("tqdm", reason="needs the workstation extra")

from convert.encoder import embed_float
from convert.operators import read_network
from convert.quantize import quantize_network
from convert.runtimes import embed_int8
from edge.errors import BundleError
from edge.tflite import installed_runtimes

# Looked up, not imported: TensorFlow takes seconds to import, and only when a test runs.
pytestmark = [
    pytest.mark.tf,
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs the workstation extra"),
]


@pytest.mark.parametrize("runtime", installed_runtimes())
def test_int8_embeddings_are_near_the_float_ones_in_every_runtime(
    encoder, crops, int8_bytes, runtime
):
    cosines = np.sum(embed_float(encoder, crops) * embed_int8(int8_bytes, crops, runtime), axis=1)
    assert cosines.min() > 0.999


def test_every_convolution_has_a_scale_for_each_channel(int8_bytes):
    scales = {
        each.name: len(each.inputs[1].scales)
        for each in read_network(int8_bytes).operators
        if "CONV" in each.name
    }
    assert scales == {"CONV_2D": 16, "DEPTHWISE_CONV_2D": 16}


def test_no_operator_depends_on_the_batch_size(int8_bytes):
    """SHAPE, STRIDED_SLICE and PACK would keep tflite-runtime from its fast kernels."""
    names = {each.name for each in read_network(int8_bytes).operators}
    assert names == {"MUL", "ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "RESHAPE", "FULLY_CONNECTED"}


def test_encoder_that_shrinks_its_crop_takes_the_pixels_levels_also_of_pictures_without_white():
    """Shrinking would mix one white pixel with the grey beside it."""
    from train.door.backbones import at_door, residual_encoder

    small = residual_encoder(96, 8, stem_channels=4, stages=((4, "n"),), head_channels=4)
    grey = np.random.default_rng(0).integers(60, 200, (8, 112, 112, 3), np.uint8)
    made = quantize_network(at_door(small), grey)
    (given,) = read_network(made).inputs
    assert given.scales[0] == pytest.approx(1.0, abs=1e-5)
    assert given.zero_points == (-128,)


def test_no_representative_crop_is_refused(encoder, crops):
    with pytest.raises(BundleError, match="no representative crops"):
        quantize_network(encoder, crops[:0])


def test_operator_that_tflite_lacks_is_named_with_its_layer(toy_encoder, crops):
    import keras

    class Erf(keras.layers.Layer):
        def call(self, inputs):
            return keras.ops.erf(inputs)

    with pytest.raises(BundleError, match="operator Erf of odd_1/Erf does not exist in TFLite"):
        quantize_network(toy_encoder(Erf(name="odd")), crops[:2])


def test_operator_without_int8_form_is_named_with_its_layer(toy_encoder, crops):
    import keras

    unit = keras.layers.UnitNormalization(name="unit")
    with pytest.raises(BundleError, match=r"operator \w+ of unit_1/\w+ has no int8 form"):
        quantize_network(toy_encoder(unit), crops[:2])


def test_last_operator_without_int8_form_is_named_with_its_layer_too(toy_encoder, crops):
    """What the whole network gives bears no layer's name in the file."""
    import keras

    last = keras.layers.Dense(16, activation="elu", name="odd")
    with pytest.raises(BundleError, match=r"operator ELU of odd_1\S* has no int8 form"):
        quantize_network(toy_encoder(last), crops[:2])


@pytest.mark.parametrize("activation", ["selu", "gelu"])
def test_activations_that_have_an_int8_form_run_in_every_runtime(toy_encoder, crops, activation):
    import keras

    odd = keras.layers.Dense(16, activation=activation, name="odd")
    encoder = quantize_network(toy_encoder(odd), crops[:4])
    for runtime in installed_runtimes():
        assert embed_int8(encoder, crops[:4], runtime).shape == (4, 16)


@pytest.mark.skipif(find_spec("tflite_runtime") is None, reason="needs the extra tflite-runtime")
def test_operator_that_one_runtime_lacks_is_named_with_its_layer(toy_encoder, crops):
    """The logarithm of a softplus, in int8, is newer than tflite-runtime 2.14."""
    import keras

    mish = keras.layers.Activation("mish", name="odd")
    encoder = quantize_network(toy_encoder(mish), crops[:2])
    assert embed_int8(encoder, crops[:2], "ai-edge-litert").shape == (2, 32)
    with pytest.raises(BundleError, match=r"tflite-runtime has no operator LOG version 2.* odd_1"):
        embed_int8(encoder, crops[:2], "tflite-runtime")


def test_one_layer_computes_what_the_arithmetic_says(crops):
    """Every number of a convolution written out: weights, bias, sums, scales, rounding.

    The input keeps the pixels' own levels though no picture is black or white.
    """
    import keras
    from ai_edge_litert.interpreter import Interpreter

    keras.utils.set_random_seed(1)
    layer = keras.layers.Conv2D(4, 16, strides=16, bias_initializer="random_normal")
    model = keras.Sequential([keras.Input((112, 112, 3)), layer, keras.layers.Flatten()])
    dull = (crops // 4 + 90).astype(np.uint8)
    encoder = quantize_network(model, dull)
    network = read_network(encoder)
    operator = next(each for each in network.operators if each.name == "CONV_2D")
    interpreter = Interpreter(model_content=encoder)
    interpreter.allocate_tensors()
    index = {each["name"]: each["index"] for each in interpreter.get_tensor_details()}
    of_pixels, of_weights, of_bias = operator.inputs
    (of_output,) = operator.outputs

    assert of_pixels.scales == pytest.approx([1.0])
    assert of_pixels.zero_points == (-128,)

    # Weights: one scale a channel, the largest magnitude becomes 127, none is -128.
    kernel, bias = layer.get_weights()
    weights = np.moveaxis(kernel, -1, 0)  # TFLite's order: output channel, row, column, input
    scales = np.abs(weights).reshape(4, -1).max(axis=1) / 127
    levels = np.rint(weights / scales[:, None, None, None]).astype(np.int8)
    assert of_weights.scales == pytest.approx(scales)
    assert of_weights.zero_points == (0, 0, 0, 0)
    stored = interpreter.get_tensor(index[of_weights.name])
    assert np.abs(stored.astype(int) - levels).max() <= 1  # float32 ties
    assert np.mean(stored == levels) > 0.999

    # Bias: int32 in units of input scale (1) times weight scale.
    sums_of_bias = interpreter.get_tensor(index[of_bias.name])
    np.testing.assert_allclose(sums_of_bias, np.rint(bias / scales), atol=1)

    # Output: the range seen, zero included, over 256 levels.
    crop = dull[5]
    patches = crop.reshape(7, 16, 7, 16, 3).transpose(0, 2, 1, 3, 4).astype(np.int64)
    sums = np.einsum("ijrsc,orsc->ijo", patches, stored.astype(np.int64)) + sums_of_bias
    (output_scale,), (zero_point,) = of_output.scales, of_output.zero_points
    real = sums * np.array(of_weights.scales) / output_scale + zero_point
    expected = np.clip(np.floor(real + 0.5), -128, 127).astype(np.int8)

    # The network takes pixel - 128, and subtracts its zero point of -128 again.
    pixels = (crop.astype(np.int16) - 128).astype(np.int8)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[np.newaxis])
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    clear = np.abs(real - np.floor(real) - 0.5).ravel() > 1e-4  # not a tie of fixed-point rounding
    assert clear.sum() > 190
    np.testing.assert_array_equal(found.ravel()[clear], expected.ravel()[clear])
