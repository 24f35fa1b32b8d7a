"""Write tiny_encoder.tflite: a full-int8 network of known weights, small enough to commit.

It averages the crop in 14 px squares and multiplies the 8x8x3 means with `weights()`, so a test
can work out its embedding by hand. Needs the workstation extra:

    python tests/golden/make_tiny_encoder.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

PATH = Path(__file__).parent / "tiny_encoder.tflite"
EMBEDDING_SIZE = 16
_SQUARE_PX = 14


def weights():
    """Return the (192, 16) float32 matrix that the network multiplies the square means with."""
    at = np.arange(192 * EMBEDDING_SIZE, dtype=np.float64).reshape(192, EMBEDDING_SIZE)
    return (np.sin(at * 12.9898) / 14).astype(np.float32)


def features(pixels):
    """Return what the network computes of (112, 112, 3) uint8 *pixels*, in float: (16,)."""
    squares = pixels.astype(np.float32).reshape(8, _SQUARE_PX, 8, _SQUARE_PX, 3).mean(axis=(1, 3))
    return (squares.ravel() / 127.5 - 1.0) @ weights()


def squares(seed):
    """Return a synthetic crop: (112, 112, 3) uint8, squares of random colour."""
    colours = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return colours.repeat(_SQUARE_PX, axis=0).repeat(_SQUARE_PX, axis=1)


def build(*, io_type="int8", embedding_size=EMBEDDING_SIZE, size_px=112):
    """Return the .tflite bytes; `io_type` float32 leaves input and output unquantised."""
    import keras
    import tensorflow as tf

    crop = keras.Input(batch_shape=(1, size_px, size_px, 3))
    means = keras.layers.AveragePooling2D(_SQUARE_PX)(
        keras.layers.Rescaling(1 / 127.5, offset=-1.0)(crop)
    )
    dense = keras.layers.Dense(embedding_size)
    model = keras.Model(crop, dense(keras.layers.Flatten()(means)))
    rows = dense.get_weights()[0].shape[0]
    dense.set_weights([np.resize(weights(), (rows, embedding_size)), np.zeros(embedding_size)])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [squares(seed)[np.newaxis, :size_px, :size_px].astype(np.float32)] for seed in range(64)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, io_type)
    return converter.convert()


if __name__ == "__main__":
    print(f"{PATH}: {PATH.write_bytes(build()):,} bytes")
