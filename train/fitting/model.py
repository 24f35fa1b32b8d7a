"""The encoders of the published systems, and ours for small sets of grey faces.

Every encoder takes the door's aligned crop, (112, 112, 3) RGB as float32 0 … 255, and carries its
preprocessing as layers, so that any of them can be quantised and put behind the door. It gives the
embedding before it is scaled to unit length: the edge does that in float.

An encoder is built in two parts. The *stem* has nothing to learn (grey, cut, shrink): training runs
it once per picture, not once per step. The *core* is what is fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import ConfigError
from edge.vocabulary import CROP_SIZE_PX, FloatArray, PixelArray
from train.data.framing import Crops

if TYPE_CHECKING:
    import keras

PRECISIONS = ("float32", "mixed_bfloat16")
_BATCH = 256
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as OpenCV's RGB2GRAY


def build(
    encoder: str, dropout: tuple[float, ...], precision: str = "float32"
) -> tuple[keras.Model, keras.Model]:
    """Return the stem (crop → picture of the core's size, 0 … 255) and the core of *encoder*.

    Args:
        encoder: name in `ENCODERS`.
        dropout: rates, as many as the encoder takes.
        precision: of the core's arithmetic while it is fitted, one of `PRECISIONS`; its weights and
            its embedding are float32 in each.

    Raises:
        ConfigError: if there is no such encoder or precision.
    """
    import keras

    if encoder not in ENCODERS:
        raise ConfigError(f"encoder = {encoder!r}; expected one of {', '.join(ENCODERS)}")
    if precision not in PRECISIONS:
        raise ConfigError(f"precision = {precision!r}; expected one of {', '.join(PRECISIONS)}")
    stem, core = ENCODERS[encoder]
    built = stem()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return built, core(built.output_shape[1:], dropout)
    finally:
        keras.config.set_dtype_policy(before)


def assemble(stem: keras.Model, core: keras.Model) -> keras.Model:
    """Return the encoder: (N, 112, 112, 3) float32 0 … 255 → (N, D) float32."""
    import keras

    crops = keras.Input((CROP_SIZE_PX, CROP_SIZE_PX, 3), name="crop")
    return keras.Model(crops, core(stem(crops)), name="encoder")


def embed(encoder: keras.Model, crops: PixelArray, batch: int = _BATCH) -> FloatArray:
    """Return the embeddings (N, D) float32 of *crops* (N, H, W, C) uint8, not of unit length."""
    parts = [
        np.asarray(encoder(crops[start : start + batch].astype(np.float32), training=False))
        for start in range(0, len(crops), batch)
    ]
    return np.concatenate(parts)


def shrink(stem: keras.Model, crops: Crops) -> PixelArray:
    """Return what the core sees of *crops*, as uint8: rounding costs half a grey level at most.

    It goes batch by batch: 46,000 crops are 1.7 GB, and must not be held twice.
    """
    shrunk = np.empty((len(crops.index.pictures), *stem.output_shape[1:]), np.uint8)
    start = 0
    for pixels in crops.batches(_BATCH):
        shrunk[start : start + len(pixels)] = np.clip(np.rint(embed(stem, pixels)), 0, 255)
        start += len(pixels)
    return shrunk


def _grey(crops: keras.KerasTensor) -> keras.KerasTensor:
    """Return one channel of luminance, by a convolution that int8 conversion knows."""
    import keras

    layer = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False, name="grey")
    grey = layer(crops)
    layer.set_weights([np.array(_LUMA, np.float32).reshape(1, 1, 3, 1)])
    return grey


def _att_stem() -> keras.Model:
    """Return 56x46 grey: every second pixel of the middle 92 columns, as in the article."""
    import keras

    crops = keras.Input((CROP_SIZE_PX, CROP_SIZE_PX, 3))
    cut = keras.layers.Cropping2D(((0, 0), (10, 10)))(_grey(crops))
    # Pooling over one pixel with a step of two is [::2, ::2] in layers that TFLite has.
    return keras.Model(crops, keras.layers.AveragePooling2D(1, strides=2)(cut), name="stem")


def _att_core(shape: tuple[int, ...], dropout: tuple[float, ...]) -> keras.Model:
    """Return the article's net; its notebook's dropout is 0.25, 0.25, 0.1."""
    import keras

    rates = iter((*dropout, 0.0, 0.0, 0.0))
    layers = [keras.Input(shape), keras.layers.Rescaling(1 / 255)]
    for filters in (6, 12):
        layers += [
            keras.layers.Conv2D(filters, 3),
            # The largest before the rectifier is the largest after it, at a quarter of the work.
            keras.layers.MaxPooling2D(2),
            keras.layers.ReLU(),
            keras.layers.Dropout(next(rates)),
        ]
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dropout(next(rates)),
        keras.layers.Dense(50, activation="relu", name="embedding", dtype="float32"),
    ]
    return keras.Sequential(layers, name="core")


def _half_grey_stem() -> keras.Model:
    """Return 56x56 grey: the whole crop at half its size."""
    import keras

    crops = keras.Input((CROP_SIZE_PX, CROP_SIZE_PX, 3))
    return keras.Model(crops, keras.layers.AveragePooling2D(2)(_grey(crops)), name="stem")


def _plain_core(shape: tuple[int, ...], dropout: tuple[float, ...]) -> keras.Model:
    """Return four blocks of convolution, batch normalisation and pooling: for some dozen people.

    *dropout* holds one rate, before the embedding.
    """
    import keras

    layers = [keras.Input(shape), keras.layers.Rescaling(1 / 64, offset=-2)]
    for filters in (16, 32, 64, 128):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.95),
            keras.layers.MaxPooling2D(2),
            keras.layers.ReLU(),
        ]
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dropout(dropout[0] if dropout else 0.0),
        keras.layers.Dense(128, use_bias=False, name="embedding", dtype="float32"),
    ]
    return keras.Sequential(layers, name="core")


def _olivetti_stem() -> keras.Model:
    """Return 64x64 grey, the size of the Olivetti faces."""
    import keras

    crops = keras.Input((CROP_SIZE_PX, CROP_SIZE_PX, 3))
    return keras.Model(crops, keras.layers.Resizing(64, 64)(_grey(crops)), name="stem")


def _olivetti_core(shape: tuple[int, ...], dropout: tuple[float, ...]) -> keras.Model:
    """Return three blocks of convolution, pooling, dropout and a dense embedding of 128.

    The source does not state the filters: 8, 16, 32 are ours.
    """
    import keras

    rates = iter((*dropout, 0.0, 0.0, 0.0))
    layers = [keras.Input(shape), keras.layers.Rescaling(1 / 255)]
    for filters in (8, 16, 32):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same"),
            keras.layers.MaxPooling2D(2),
            keras.layers.ReLU(),
            keras.layers.Dropout(next(rates)),
        ]
    layers += [keras.layers.Flatten(), keras.layers.Dense(128, name="embedding", dtype="float32")]
    return keras.Sequential(layers, name="core")


def _half_colour_stem() -> keras.Model:
    """Return 56x56 RGB: the whole crop at half its size."""
    import keras

    crops = keras.Input((CROP_SIZE_PX, CROP_SIZE_PX, 3))
    return keras.Model(crops, keras.layers.AveragePooling2D(2)(crops), name="stem")


def _unit_core(shape: tuple[int, ...], dropout: tuple[float, ...]) -> keras.Model:
    """Return `_plain_core` with embeddings of unit length, so that a margin of 1 has a meaning."""
    import keras

    plain = _plain_core(shape, dropout)
    return keras.Sequential(
        [keras.Input(shape), *plain.layers, keras.layers.UnitNormalization(dtype="float32")],
        name="core",
    )


def _digit_stem() -> keras.Model:
    """Return 28x28 grey, the size of an MNIST digit."""
    import keras

    crops = keras.Input((CROP_SIZE_PX, CROP_SIZE_PX, 3))
    return keras.Model(crops, keras.layers.AveragePooling2D(4)(_grey(crops)), name="stem")


def _digit_core(shape: tuple[int, ...], _dropout: tuple[float, ...]) -> keras.Model:
    """Return the encoder of the Keras site's example."""
    import keras

    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Rescaling(1 / 255),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(4, 5, activation="tanh"),
            keras.layers.AveragePooling2D(2),
            keras.layers.Conv2D(16, 5, activation="tanh"),
            keras.layers.AveragePooling2D(2),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(10, activation="tanh", name="embedding", dtype="float32"),
        ],
        name="core",
    )


ENCODERS: dict[
    str,
    tuple[Callable[[], keras.Model], Callable[[tuple[int, ...], tuple[float, ...]], keras.Model]],
] = {
    "att": (_att_stem, _att_core),
    "avengers": (_half_colour_stem, _unit_core),
    "mnist": (_digit_stem, _digit_core),
    "olivetti": (_olivetti_stem, _olivetti_core),
    "plain": (_half_grey_stem, _plain_core),
}
