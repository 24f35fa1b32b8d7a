"""What may befall a training picture, as Keras layers; never part of the encoder that is saved.

Pictures are float32 0 … 255, any number of channels. Shares and factors are first choices:
`att-plus` was measured with some of them, none was tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.errors import ConfigError

if TYPE_CHECKING:
    import keras

_RANGE = (0, 255)


def augmentation(names: tuple[str, ...]) -> keras.layers.Layer:
    """Return one layer that applies the augmentations *names* in that order, while training.

    Raises:
        ConfigError: if one of them is unknown.
    """
    import keras

    for name in names:
        if name not in AUGMENTATIONS:
            known = ", ".join(AUGMENTATIONS)
            raise ConfigError(f"augment: there is no {name!r}; expected some of {known}")
    if not names:
        return keras.layers.Identity()
    return keras.Sequential([layer for name in names for layer in AUGMENTATIONS[name]()])


def _flip() -> list[keras.layers.Layer]:
    import keras

    return [keras.layers.RandomFlip("horizontal")]


def _similarity() -> list[keras.layers.Layer]:
    """Turn, scale and shift a little: a landmark is good to 2 or 3 % of the eye distance."""
    import keras

    return [
        keras.layers.RandomRotation(0.02, fill_mode="nearest"),
        keras.layers.RandomZoom((-0.08, 0.08), fill_mode="nearest"),
        keras.layers.RandomTranslation(0.05, 0.05, fill_mode="nearest"),
    ]


def _light() -> list[keras.layers.Layer]:
    import keras

    return [keras.layers.RandomBrightness(0.15, value_range=_RANGE)]


def _contrast() -> list[keras.layers.Layer]:
    import keras

    return [keras.layers.RandomContrast(0.25, value_range=_RANGE)]


def _blur() -> list[keras.layers.Layer]:
    import keras

    return [keras.layers.RandomGaussianBlur(0.2, kernel_size=3, sigma=1.0, value_range=_RANGE)]


def _noise() -> list[keras.layers.Layer]:
    import keras

    # 4 grey levels, as a sensor's in dim light; the layer takes spreads up to 1 only.
    return [
        keras.layers.Rescaling(1 / 255),
        keras.layers.GaussianNoise(4 / 255),
        keras.layers.Rescaling(255),
    ]


def _grey() -> list[keras.layers.Layer]:
    """Drop the colour of some RGB pictures, so that infrared and AT&T work."""
    import keras

    return [keras.layers.RandomGrayscale(0.2)]


def _occlusion() -> list[keras.layers.Layer]:
    import keras

    return [keras.layers.RandomErasing(0.3, scale=(0.02, 0.12), value_range=_RANGE)]


AUGMENTATIONS: dict[str, Callable[[], list[keras.layers.Layer]]] = {
    "flip": _flip,
    "similarity": _similarity,
    "light": _light,
    "contrast": _contrast,
    "blur": _blur,
    "noise": _noise,
    "grey": _grey,
    "occlusion": _occlusion,
}
