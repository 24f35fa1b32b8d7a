"""What a core is fitted on: pictures that its stem has shrunk once, and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.errors import ConfigError
from edge.vocabulary import PixelArray
from train.data.framing import Crops
from train.data.sampling import (
    Batch,
    Pairs,
    att_pairs,
    drawn_pairs,
    pair_batches,
    subject_batches,
)
from train.fitting.model import shrink
from train.measuring.metrics import IntArray
from train.recipes import Recipe

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """Pictures and batches.

    ``pictures`` (N, h, w, c) uint8 are what the stem made of the crops; ``subjects`` (N,) numbers
    from 0; ``paths`` (N,) name them in messages; ``batches(epoch)`` yields an epoch's batches,
    about ``steps`` of them.
    """

    pictures: PixelArray
    subjects: IntArray
    paths: tuple[str, ...]
    batches: Callable[[int], Iterator[Batch]]
    steps: int


def feed_of(recipe: Recipe, stem: keras.Model, crops: Crops, pairs: Pairs | None = None) -> Feed:
    """Return what *recipe* fits on; *pairs* replace those that it would draw among the crops."""
    numbers = crops.numbers
    paths = tuple(each.path for each in crops.index.pictures)
    pictures = shrink(stem, crops)
    if recipe.sampling == "people":

        def draw(epoch: int) -> Iterator[Batch]:
            return subject_batches(
                numbers,
                people=recipe.people,
                pictures=recipe.pictures,
                steps=recipe.steps,
                seed=recipe.seed,
                epoch=epoch,
            )

        return Feed(pictures, numbers, paths, draw, recipe.steps)
    drawn = pairs or draw_pairs(recipe, numbers)

    def take(epoch: int) -> Iterator[Batch]:
        return pair_batches(drawn, numbers, batch=recipe.batch, seed=recipe.seed, epoch=epoch)

    return Feed(pictures, numbers, paths, take, sum(1 for _ in take(0)))


def draw_pairs(recipe: Recipe, numbers: IntArray) -> Pairs:
    """Draw the recipe's pairs among pictures whose subjects are *numbers* (N,).

    Raises:
        ConfigError: if the recipe's sampling draws no pairs.
    """
    if recipe.sampling == "att-pairs":
        return att_pairs(numbers, per_subject=recipe.pairs_each, seed=recipe.seed)
    if recipe.sampling == "drawn-pairs":
        return drawn_pairs(numbers, per_picture=recipe.pairs_each, seed=recipe.seed)
    raise ConfigError(
        f"sampling = {recipe.sampling!r}; expected one of people, att-pairs, drawn-pairs"
    )
