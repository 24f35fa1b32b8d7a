"""Keras encoder → full-int8 TFLite bytes.

Weights get one scale a channel, activations one scale a tensor, learnt from representative crops.
The input keeps the pixels' own 256 levels (scale 1, zero point -128), so nothing is lost before the
first layer. Unit length is made on the edge, in float: inside the graph it would have a step of
1/128. Equal inputs give equal bytes.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from convert.encoder import quiet_tensorflow
from convert.operators import check_network, layer_of, read_network
from edge.errors import BundleError
from edge.vocabulary import FloatArray, PixelArray

_PIN_PX = 4


def quantize_network(model: Any, representative: PixelArray) -> bytes:  # noqa: ANN401 - keras is untyped
    """Return the full-int8 .tflite bytes of *model*.

    Args:
        model: a Keras network of pixels from 0 to 255, (None, H, W, C): an encoder or the eyes.
        representative: (N, H, W, C) uint8, N >= 1: the activations' ranges are theirs.

    Raises:
        BundleError: if an operator cannot be converted or has no int8 form; it names the layer.
    """
    if not len(representative):
        raise BundleError("there are no representative crops; add pictures to --calibration")
    encoder = _converted(model, with_both_ends(representative))
    check_network(read_network(encoder))
    return encoder


def float_encoder(model: Any, *, half: bool = False) -> bytes:  # noqa: ANN401 - keras is untyped
    """Return *model* as float32 .tflite bytes: what int8 is compared with, layer by layer.

    Args:
        model: as `quantize_network`.
        half: keep the weights as float16, which the runtimes widen while loading.

    Raises:
        BundleError: as `quantize_network`.
    """
    return _converted(model, None, half=half)


def _converted(
    model: Any,  # noqa: ANN401 - keras is untyped
    representative: PixelArray | None,
    *,
    half: bool = False,
) -> bytes:
    """Return .tflite bytes, in int8 where there are *representative* crops, else in float."""
    quiet_tensorflow()
    import keras
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    # A free batch size would convert to SHAPE and PACK operators, which keep tflite-runtime from
    # using its fast kernels. The names are part of the bytes, so they are fixed here.
    crop = keras.Input(batch_shape=(1, *model.input_shape[1:]), name="crop")
    fixed = keras.Model(crop, model(crop, training=False), name="encoder")
    with silenced() as terminal:
        # Not from_concrete_functions: with Keras 3 it drops the weights without a word.
        converter = tf.lite.TFLiteConverter.from_keras_model(fixed)
        if representative is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: _one_by_one(representative, terminal)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8
        elif half:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        try:
            return bytes(converter.convert())
        except (ConverterError, ValueError, RuntimeError) as exc:
            raise BundleError(_why_refused(exc)) from exc


def with_both_ends(representative: PixelArray) -> PixelArray:
    """Return a copy whose first crop has a black and a white square in a corner.

    The input's scale follows from the values seen; the squares pin it to 0…255 where no picture
    happens to reach both ends, and hardly move another range. Squares, because an encoder that
    shrinks its crop first would mix a single pixel with its neighbours.
    """
    pinned = representative.copy()
    pinned[0, :_PIN_PX, :_PIN_PX] = 0
    pinned[0, :_PIN_PX, _PIN_PX : 2 * _PIN_PX] = 255
    return pinned


def _one_by_one(crops: PixelArray, terminal: IO[str]) -> Iterator[list[FloatArray]]:
    for each in tqdm(crops, desc="representative crops", file=terminal, leave=False, disable=None):
        yield [each[np.newaxis].astype(np.float32)]


@contextlib.contextmanager
def silenced() -> Iterator[IO[str]]:
    """Silence TensorFlow's converter, which prints from C++; give a stream to the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept_out, kept_err = os.dup(1), os.dup(2)
    try:
        with tempfile.TemporaryFile() as sink, os.fdopen(os.dup(kept_err), "w") as terminal:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield terminal
    finally:
        os.dup2(kept_out, 1)
        os.dup2(kept_err, 2)
        os.close(kept_out)
        os.close(kept_err)


def _why_refused(exc: Exception) -> str:
    """Name the operator and the layer of a converter's error, as far as it tells them."""
    located = [each for each in getattr(exc, "errors", ()) if each.location.call]
    found = [
        f"operator {each.operator.name.removeprefix('tf.')} of "
        f"{layer_of(each.location.call[0].name)}"
        for each in located
        if each.operator.name
    ]
    if found:
        return (
            f"{' and '.join(found)} does not exist in TFLite; replace it in the network by one "
            "that does"
        )
    said = str(exc).strip() or type(exc).__name__
    return f"TensorFlow cannot convert the network: {said.splitlines()[0]}"
