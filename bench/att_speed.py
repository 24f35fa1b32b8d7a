"""The AT&T article's 13 epochs, written its way and ours, side by side: time and validation loss.

    python bench/att_speed.py ../shared/data/att-faces [epochs]

The article's way: an array of 20,000 pairs of pictures, a model of two branches with shared
weights, `fit` with its validation pairs. Ours: every picture is embedded once a step, and batches
are drawn so that pairs share pictures. Pairs, weights' initialiser, optimiser, batch and epochs are
the same. (Channels come last in both: TensorFlow has no pooling with channels first on a CPU.)
CPU time is printed beside wall time, for machines that are shared.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge.vocabulary import FloatArray, PixelArray
from train.data.datasets import read_att
from train.data.framing import Crops, frame
from train.data.sampling import Pairs, split_pairs
from train.fitting.feed import draw_pairs, feed_of
from train.fitting.fit import Watch, fit, seed_everything
from train.fitting.losses import contrastive, make_objective
from train.fitting.model import build, embed, shrink
from train.fitting.protocols import pair_distances
from train.recipes import Recipe, resolve


def articles_way(pictures: FloatArray, pairs: tuple[Pairs, ...], epochs: int, batch: int) -> float:
    """Fit two branches on arrays of pairs; return the last validation loss."""
    import keras
    from keras import ops

    keras.utils.set_random_seed(0)
    fitted, validated, _ = pairs
    branch = keras.Sequential(
        [
            keras.Input((56, 46, 1)),
            keras.layers.Conv2D(6, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(12, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(50, activation="relu"),
        ]
    )
    one, other = keras.Input((56, 46, 1)), keras.Input((56, 46, 1))

    def energy(features: Any) -> Any:  # noqa: ANN401 - two Keras tensors
        squares = ops.sum(ops.square(features[0] - features[1]), axis=1, keepdims=True)
        return ops.sqrt(ops.maximum(squares, 1e-7))

    def contrastive(mated: Any, distance: Any) -> Any:  # noqa: ANN401 - Keras tensors
        far = ops.maximum(1 - distance, 0)
        return ops.mean(mated * ops.square(distance) + (1 - mated) * ops.square(far))

    distance = keras.layers.Lambda(energy)([branch(one), branch(other)])
    model = keras.Model([one, other], distance)
    model.compile(optimizer="rmsprop", loss=contrastive)

    def arrays(some: Pairs) -> tuple[list[FloatArray], FloatArray]:
        return [pictures[some.pictures[:, 0]], pictures[some.pictures[:, 1]]], some.mated

    model.fit(
        *arrays(fitted),
        validation_data=arrays(validated),
        batch_size=batch,
        epochs=epochs,
        verbose=0,
    )
    return float(model.evaluate(*arrays(validated), batch_size=batch, verbose=0))


def our_way(pictures: PixelArray, pairs: tuple[Pairs, ...], crops: Crops, recipe: Recipe) -> float:
    """Fit with each picture embedded once a step; return the last validation loss."""
    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout)
    fitted, validated, _ = pairs
    feed = feed_of(recipe, stem, crops, fitted)
    objective = make_objective(recipe, feed.subjects, core)

    def validation_loss(core: Any) -> float:  # noqa: ANN401 - a Keras model
        distances = pair_distances(embed(core, pictures), validated)
        return float(contrastive(distances, validated.mated, recipe.margin))

    watch = Watch("validation_loss", validation_loss, keep_best=False)
    with tempfile.TemporaryDirectory() as run:
        history = fit(core, objective, recipe, feed, watch=watch, run=Path(run))
    return history[-1]["validation_loss"]


def timed(work: Callable[[], float]) -> tuple[float, float, float]:
    """Return what *work* returns, its wall seconds and its CPU seconds."""
    wall_s, cpu_s = time.monotonic(), time.process_time()
    loss = work()
    return loss, time.monotonic() - wall_s, time.process_time() - cpu_s


def main() -> None:
    """Measure both and print the ratio."""
    recipe = resolve("att", [f"epochs={sys.argv[2]}"] if len(sys.argv) > 2 else [])
    crops = frame(read_att(Path(sys.argv[1])), recipe.own_frames)
    stem, _ = build(recipe.encoder, ())
    pictures = shrink(stem, crops)
    scaled = (pictures / 255).astype(np.float32)
    pairs = split_pairs(draw_pairs(recipe, crops.numbers), seed=recipe.seed)
    theirs = timed(lambda: articles_way(scaled, pairs, recipe.epochs, recipe.batch))
    ours = timed(lambda: our_way(pictures, pairs, crops, recipe))
    for name, (loss, wall_s, cpu_s) in (("article's way", theirs), ("ours", ours)):
        print(f"{name:14}{wall_s:8.1f} s wall {cpu_s:8.1f} s CPU   validation loss {loss:.4f}")
    print(f"ours / article's: {ours[1] / theirs[1]:.3f} wall, {ours[2] / theirs[2]:.3f} CPU")


if __name__ == "__main__":
    main()
