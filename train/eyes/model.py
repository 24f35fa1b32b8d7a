"""The two networks of the eyes in Keras: plain convolutions, which train and quantise well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.eyes import STRIDES
from edge.refiner import REFINER_SIDE_PX
from train.fitting.normalization import fused_normalization

_FINDER_WIDTHS = (16, 24, 48, 64, 96)  # channels at strides 2, 4, 8, 16, 32
# Of the refiner's maps at strides 2, 4, 8: channels, convolutions, pairs that add to what is seen.
_REFINER_WIDTHS = ((16, 1, 1), (32, 2, 2), (48, 3, 1))
_NORM_MOMENTUM = 0.97
# A cell in fifty is a face's at the start; without it the first steps only unlearn "face".
_FIRST_LOGIT = -4.0


def build_finder(
    height_px: int | None = None,
    width_px: int | None = None,
    batch: int | None = None,
    *,
    fused: bool = False,
) -> Any:  # noqa: ANN401 - keras is untyped
    """Return the finder: (N, H, W, 1) grey, 0 to 255 → score logits and landmarks by stride.

    Its outputs are, for each of `STRIDES`, (N, H/s, W/s, 1) and (N, H/s, W/s, 10).

    Args:
        height_px: H, a multiple of 32; None for any.
        width_px: W, a multiple of 32; None for any.
        batch: N; None for any.
        fused: to train on a CPU, see `fused_normalization`; save the model built without it.
    """
    import keras
    from keras import layers

    convolved = _convolution(fused=fused)

    picture = keras.Input((height_px, width_px, 1), batch_size=batch, name="picture")
    seen = layers.Rescaling(1 / 127.5, -1.0)(picture)
    at_2, at_4, at_8, at_16, at_32 = _FINDER_WIDTHS
    seen = convolved(convolved(seen, at_2, 2), at_4, 2)
    fine = convolved(convolved(seen, at_8, 2), at_8)
    middle = convolved(convolved(fine, at_16, 2), at_16)
    coarse = convolved(convolved(middle, at_32, 2), at_32)
    head_32 = convolved(coarse, at_16, kernel=1)
    both = layers.Add()([convolved(middle, at_16, kernel=1), layers.UpSampling2D(2)(head_32)])
    head_16 = convolved(both, at_16, kernel=1)
    wider = layers.UpSampling2D(2)(convolved(both, at_8, kernel=1))
    head_8 = convolved(layers.Add()([convolved(fine, at_8, kernel=1), wider]), at_8, kernel=1)
    rarely = keras.initializers.Constant(_FIRST_LOGIT)
    outputs = []
    for stride, head in zip(STRIDES, (head_8, head_16, head_32), strict=True):
        outputs += [
            layers.Conv2D(1, 1, name=f"score_{stride}", bias_initializer=rarely)(head),
            layers.Conv2D(10, 1, name=f"landmarks_{stride}")(head),
        ]
    return keras.Model(picture, outputs, name="finder")


def build_refiner(*, fused: bool = False) -> Any:  # noqa: ANN401 - keras is untyped
    """Return the refiner: (N, 64, 64, 1) grey, 0 to 255 → landmarks (N, 10), score logit (N, 1).

    Its last map is still 8×8, thin: places are what it is to tell. At every size of map it looks
    again and adds what it sees (He et al. 2016), which at first is nothing (Goyal et al. 2017).

    Args:
        fused: to train on a CPU, see `fused_normalization`; save the model built without it.
    """
    import keras
    from keras import layers

    convolved = _convolution(fused=fused)

    crop = keras.Input((REFINER_SIDE_PX, REFINER_SIDE_PX, 1), name="crop")
    seen = layers.Rescaling(1 / 127.5, -1.0)(crop)
    for channels, plain, again in _REFINER_WIDTHS:
        for at in range(plain):
            seen = convolved(seen, channels, 1 if at else 2)
        for _ in range(again):
            seen = convolved(convolved(seen, channels), channels, onto=seen)
    seen = convolved(seen, 16, kernel=1)
    seen = layers.Dense(64, use_bias=False)(layers.Flatten()(seen))
    seen = layers.ReLU(6.0)(layers.BatchNormalization()(seen))
    placed = layers.Dense(10, name="landmarks")(seen)
    return keras.Model(crop, [placed, layers.Dense(1, name="score")(seen)], name="refiner")


def _convolution(*, fused: bool) -> Callable[..., Any]:
    """Return what adds a convolution with its normalisation and ReLU6; *onto* is added before."""
    from keras import layers

    normalization = fused_normalization() if fused else layers.BatchNormalization

    def convolved(
        seen: Any,  # noqa: ANN401
        channels: int,
        stride: int = 1,
        *,
        kernel: int = 3,
        onto: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        seen = layers.Conv2D(channels, kernel, stride, "same", use_bias=False)(seen)
        first = "ones" if onto is None else "zeros"
        seen = normalization(momentum=_NORM_MOMENTUM, gamma_initializer=first)(seen)
        return layers.ReLU(6.0)(seen if onto is None else layers.Add()([onto, seen]))

    return convolved
