"""The door's own encoder: a small residual network of dense convolutions.

Depthwise-separable networks need fewer multiply-adds, but on a CPU their many cheap layers are
bound by memory: a dense network of the same cost trains two to three times as fast there, and its
int8 form runs as well. ReLU and batch normalisation fold into the convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.vocabulary import CROP_SIZE_PX, FloatArray
from train.fitting.normalization import fused_normalization

if TYPE_CHECKING:
    import keras

STAGES: tuple[tuple[int, str], ...] = ((48, "b"), (96, "bbn"), (192, "nnn"))
"""Channels of each stage, and its blocks: `b` two 3x3 convolutions, `n` narrow: 1x1, 3x3, 1x1."""

_MOMENTUM = 0.97  # a run has a few thousand steps: the statistics must follow the weights
_GLOBAL = "global_depthwise"


def residual_encoder(
    size_px: int = CROP_SIZE_PX,
    embedding_size: int = 128,
    *,
    stem_channels: int = 24,
    stages: Sequence[tuple[int, str]] = STAGES,
    head_channels: int = 256,
    fused: bool = False,
    precision: str = "float32",
) -> keras.Model:
    """Build the encoder: (N, S, S, 3) float pixels 0 … 255, RGB → (N, D), not of unit length.

    The stem and each stage halve the picture (112 → 56 → 28 → 14 → 7); a depthwise convolution as
    large as what is left weighs the places of the face, and a dense layer mixes the channels.

    Args:
        size_px: S, a multiple of 16.
        embedding_size: D.
        stem_channels: after the first convolution.
        stages: channels and blocks of each stage, as `STAGES`.
        head_channels: of the last map, before the places are weighed.
        fused: to train on a CPU, see `fused_normalization`; save the model built without it.
        precision: Keras's policy for the maps; the embedding itself is always float32.
    """
    import keras
    from keras import layers

    normalization = fused_normalization() if fused else layers.BatchNormalization

    def convolved(
        maps: keras.KerasTensor, channels: int, side: int, step: int = 1, *, active: bool = True
    ) -> keras.KerasTensor:
        maps = layers.Conv2D(
            channels,
            side,
            step,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            dtype=precision,
        )(maps)
        maps = normalization(momentum=_MOMENTUM, dtype=precision)(maps)
        return layers.ReLU(dtype=precision)(maps) if active else maps

    def block(maps: keras.KerasTensor, channels: int, kind: str) -> keras.KerasTensor:
        if kind == "b":
            inner = convolved(convolved(maps, channels, 3), channels, 3, active=False)
        else:
            inner = convolved(convolved(maps, channels // 2, 1), channels // 2, 3)
            inner = convolved(inner, channels, 1, active=False)
        return layers.ReLU(dtype=precision)(layers.Add(dtype=precision)([maps, inner]))

    crops = keras.Input((size_px, size_px, 3), name="crop")
    maps = convolved(layers.Rescaling(1 / 127.5, -1.0)(crops), stem_channels, 3, 2)
    for channels, kinds in stages:
        maps = convolved(maps, channels, 3, 2)
        for kind in kinds:
            maps = block(maps, channels, kind)
    maps = convolved(maps, head_channels, 1)
    maps = layers.DepthwiseConv2D(maps.shape[1], use_bias=False, name=_GLOBAL)(maps)
    flat = layers.Flatten()(layers.BatchNormalization(momentum=_MOMENTUM)(maps))
    embedding = layers.Dense(embedding_size, use_bias=False)(flat)
    # Every dimension of equal spread: one int8 scale then serves them all.
    embedding = layers.BatchNormalization(momentum=_MOMENTUM)(embedding)
    return keras.Model(crops, embedding, name="residual_encoder")


def at_door(encoder: keras.Model) -> keras.Model:
    """Return the door's encoder: crops (N, 112, 112, 3) → the mean of each and its mirror image.

    It shrinks the crop to the size of *encoder* itself. Both looks go through as one batch: a
    branch of its own for each would bring the weights into the int8 file twice.
    """
    import keras
    from keras import layers, ops

    size_px, embedding_size = encoder.input_shape[1], encoder.output_shape[1]
    crops = keras.Input((CROP_SIZE_PX, CROP_SIZE_PX, 3), name="crop")
    shrunk = crops if size_px == CROP_SIZE_PX else layers.Resizing(size_px, size_px)(crops)
    both = layers.Concatenate(axis=0)([shrunk, ops.flip(shrunk, axis=2)])
    embeddings = ops.reshape(encoder(both), (2, -1, embedding_size))
    return keras.Model(crops, ops.mean(embeddings, axis=0))


def even_out(encoder: keras.Model) -> None:
    """Give the channels of the global depthwise convolution of *encoder* equal spread, in place.

    What the normalisation after it would scale goes into its kernel; the embeddings stay what they
    are. TFLite's converter merges that normalisation into the dense layer behind it, so that one
    int8 scale would have to serve channels as they come: that cost more than all other layers.
    """
    names = [each.name for each in encoder.layers]
    depthwise = encoder.get_layer(_GLOBAL)
    normalization = encoder.layers[names.index(_GLOBAL) + 1]
    gamma, beta, mean, variance = (np.array(each) for each in normalization.weights)
    scale = gamma / np.sqrt(variance + normalization.epsilon)
    depthwise.kernel.assign(np.array(depthwise.kernel) * scale[:, None])
    spread = variance * scale**2
    normalization.set_weights([np.sqrt(spread + normalization.epsilon), beta, mean * scale, spread])


def resized_weights(weights: Sequence[FloatArray], encoder: keras.Model) -> list[FloatArray]:
    """Return *weights* of an encoder for another size of picture in the shapes of *encoder*.

    Only the global depthwise kernel depends on the size: it is interpolated, and scaled so that
    its sum over the face stays what it was.
    """
    fitting = []
    for held, variable in zip(weights, encoder.weights, strict=True):
        if held.shape == tuple(variable.shape):
            fitting.append(held)
            continue
        old, new = held.shape[0], int(variable.shape[0])
        kernel = cv2.resize(held[..., 0], (new, new), interpolation=cv2.INTER_LINEAR)
        fitting.append((kernel * (old / new) ** 2).reshape(variable.shape).astype(np.float32))
    return fitting


def multiply_adds(encoder: keras.Model) -> int:
    """Return the multiply-adds of one picture in the convolutions and dense layers."""
    from keras import layers

    total = 0
    for layer in encoder.layers:
        if isinstance(layer, layers.DepthwiseConv2D | layers.Conv2D):
            total += int(np.prod(layer.output.shape[1:3])) * int(np.prod(layer.kernel.shape))
        elif isinstance(layer, layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total
