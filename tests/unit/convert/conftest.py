"""Toys for the conversion: rendered people, and small encoders with fixed weights."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

PEOPLE, PICTURES = 7, 6


def _render_people():
    """Each person is a smooth pattern, each picture of it noisy and brighter or darker.

    With lips, and without deep shadow: the door sees nothing wrong with them.
    """
    rng = np.random.default_rng(0)
    crops = []
    for _ in range(PEOPLE):
        coarse = rng.uniform(70, 200, (7, 7, 3)).astype(np.float32)
        pattern = cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC)
        pattern[88:96, 40:72] *= 0.5
        for _ in range(PICTURES):
            noisy = pattern + rng.normal(0, 12, pattern.shape) + rng.uniform(-25, 25)
            crops.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return np.stack(crops)


def _toy_encoder(last=None, *, loudness=None):
    """Return an untrained encoder of 32 features.

    *last* is a layer put behind it. *loudness* makes one channel so many times louder and the next
    layer deaf to it by as much: nothing changes in float, all other channels vanish in int8.
    """
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    loud = layers.DepthwiseConv2D(1, use_bias=False, name="loud")
    deaf = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="deaf")
    model = keras.Sequential(
        [
            keras.Input((112, 112, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(8, 3, strides=4, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            *([loud, layers.ReLU()] if loudness else []),
            deaf,
            layers.DepthwiseConv2D(7, strides=7, use_bias=False),
            layers.Flatten(),
            layers.Dense(32, name="features"),
            *([last] if last else []),
        ],
        name="toy",
    )
    if loudness:
        gains = np.ones((1, 1, 8, 1), np.float32)
        gains[0, 0, 0] = loudness
        loud.set_weights([gains])
        kernel, bias = deaf.get_weights()
        kernel[:, :, 0] /= loudness
        deaf.set_weights([kernel, bias])
    return model


@pytest.fixture(scope="session")
def toy_encoder():
    """Build an encoder: `toy_encoder(last=None, loudness=None)`."""
    return _toy_encoder


@pytest.fixture(scope="session")
def crops():
    return _render_people()


@pytest.fixture(scope="session")
def numbers():
    """Whom each crop shows."""
    return np.repeat(np.arange(PEOPLE), PICTURES)


@pytest.fixture(scope="session")
def encoder():
    return _toy_encoder()


@pytest.fixture(scope="session")
def int8_bytes(encoder, crops):
    from convert.quantize import quantize_network

    return quantize_network(encoder, crops)


@pytest.fixture(scope="session")
def photos(tmp_path_factory, crops, numbers):
    """One folder per person, of lossless 112x112 crops."""
    directory = tmp_path_factory.mktemp("photos")
    for at, (crop, number) in enumerate(zip(crops, numbers, strict=True)):
        person = directory / f"person{number}"
        person.mkdir(exist_ok=True)
        cv2.imwrite(str(person / f"{at:03d}.png"), crop[..., ::-1])
    return directory
