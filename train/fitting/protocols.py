"""The published systems measured as they measured themselves, so that a reader can compare.

These figures are about people who were all trained on. They are never the figures of
``encoder.keras``, which is fitted apart, with people held out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge.vocabulary import FloatArray
from train.data.datasets import Index
from train.data.framing import Crops, frame
from train.data.sampling import Pairs, drawn_pairs, split_pairs, split_pictures
from train.fitting.feed import draw_pairs, feed_of
from train.fitting.fit import Watch, fit, seed_everything
from train.fitting.losses import contrastive, make_objective
from train.fitting.model import build, embed, shrink
from train.fitting.strategy import Team
from train.measuring import figures
from train.recipes import Recipe

if TYPE_CHECKING:
    import keras

_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Own:
    """Figures by the source's own protocol, and its pictures with captions."""

    figures: dict[str, float]
    pictures: tuple[tuple[str, bytes], ...] = ()


Protocol = Callable[..., Own]


def pair_protocol(
    recipe: Recipe, index: Index, run: Path, *, resume: bool, team: Team, tensorboard: bool
) -> Own:
    """Fit on pairs of all subjects and measure on other pairs of them, as the AT&T article does.

    Its "accuracy" is the precision of what lies below distance 0.5.
    """
    crops = frame(index, recipe.own_frames)
    seed_everything(recipe.seed)
    with team.scope():
        stem, core = build(recipe.encoder, recipe.dropout, recipe.precision)
    fitted, validated, tested = split_pairs(draw_pairs(recipe, crops.numbers), seed=recipe.seed)
    feed = feed_of(recipe, stem, crops, fitted)

    def validation_loss(core: keras.Model) -> float:
        distances = pair_distances(embed(core, feed.pictures), validated)
        return float(contrastive(distances, validated.mated, recipe.margin))

    watch = Watch("validation_loss", validation_loss, keep_best=False)
    with team.scope():
        objective = make_objective(recipe, feed.subjects, core)
    history = fit(
        core,
        objective,
        recipe,
        feed,
        watch=watch,
        run=run,
        resume=resume,
        team=team,
        tensorboard=tensorboard,
    )
    distances = pair_distances(embed(core, feed.pictures), tested)
    matched = distances < recipe.margin / 2
    shown = _own_pictures(history, crops, tested, distances)
    return Own(
        {
            "loss": history[-1]["loss"],
            "validation loss": history[-1]["validation_loss"],
            "precision at distance 0.5": precision_of(matched, tested.mated),
            "accuracy at distance 0.5": float((matched == (tested.mated == 1)).mean()),
            "wall_s": sum(each["wall_s"] for each in history),
        },
        shown,
    )


def picture_protocol(
    recipe: Recipe, index: Index, run: Path, *, resume: bool, team: Team, tensorboard: bool
) -> Own:
    """Fit on some pictures of all subjects and measure pairs of their other pictures.

    A pair matches below the loss's own boundary; a loss without one gets the distance that is best
    on the pictures fitted on.
    """
    crops = frame(index, recipe.own_frames)
    seed_everything(recipe.seed)
    with team.scope():
        stem, core = build(recipe.encoder, recipe.dropout, recipe.precision)
    fitted, tested = split_pictures(crops.numbers, seed=recipe.seed)
    feed = feed_of(recipe, stem, crops.at(fitted))
    with team.scope():
        objective = make_objective(recipe, feed.subjects, core)
    history = fit(
        core,
        objective,
        recipe,
        feed,
        watch=None,
        run=run,
        resume=resume,
        team=team,
        tensorboard=tensorboard,
    )
    seen = _paired(stem, core, crops.at(fitted), recipe.seed)
    unseen = _paired(stem, core, crops.at(tested), recipe.seed)
    boundary = objective.boundary()
    if boundary is None:
        boundary = best_boundary(*seen)
    others = crops.at(tested)
    pairs = drawn_pairs(others.numbers, per_picture=1, seed=recipe.seed)
    shown = _own_pictures(history, others, pairs, unseen[0])
    return Own(
        {
            "loss": history[-1]["loss"],
            "accuracy, pictures fitted on": accuracy_below(boundary, *seen),
            "accuracy, other pictures of them": accuracy_below(boundary, *unseen),
            "precision, other pictures": precision_of(unseen[0] < boundary, unseen[1]),
            "distance that separates": boundary,
            "wall_s": sum(each["wall_s"] for each in history),
        },
        shown,
    )


def no_protocol(_recipe: Recipe, _index: Index, _run: Path, **_manner: Team | bool) -> Own:
    """Return nothing: the recipe is ours, and is judged on people held out alone."""
    return Own({})


PROTOCOLS: dict[str, Protocol] = {
    "pairs": pair_protocol,
    "pictures": picture_protocol,
    "none": no_protocol,
}


def pair_distances(embeddings: FloatArray, pairs: Pairs) -> FloatArray:
    """Return the Euclidean distances (K,) of *pairs* of rows of *embeddings*."""
    one, other = embeddings[pairs.pictures[:, 0]], embeddings[pairs.pictures[:, 1]]
    distances: FloatArray = np.linalg.norm(one - other, axis=1).astype(np.float32)
    return distances


def accuracy_below(boundary: float, distances: FloatArray, mated: FloatArray) -> float:
    """Return the share of pairs that lie on their side of *boundary*."""
    return float(((distances < boundary) == (mated == 1)).mean())


def precision_of(matched: npt.NDArray[np.bool_], mated: FloatArray) -> float:
    """Return the share of mated pairs among the matches; 0 if nothing matches."""
    return float(mated[matched].sum() / max(1, matched.sum()))


def best_boundary(distances: FloatArray, mated: FloatArray) -> float:
    """Return the boundary with the highest accuracy."""
    order = np.sort(distances)
    between = (order[1:] + order[:-1]) / 2
    return float(between[np.argmax([accuracy_below(each, distances, mated) for each in between])])


def _own_pictures(
    history: list[dict[str, float]], crops: Crops, pairs: Pairs, distances: FloatArray
) -> tuple[tuple[str, bytes], ...]:
    """Return the curves of all epochs and of the first five, and pairs with their distances."""
    some = np.random.default_rng(0).permutation(len(pairs.mated))[:_SHOWN]
    drawn = figures.pair_pictures(
        crops.pixels, pairs.pictures[some], distances[some], pairs.mated[some]
    )
    return (
        ("Loss, all epochs", figures.loss_curves(history)),
        ("Loss, the first five", figures.loss_curves(history, 5)),
        ("Pairs not trained on, with their distance (green: one person)", drawn),
    )


def _paired(
    stem: keras.Model, core: keras.Model, crops: Crops, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return distances and labels of pairs among *crops*."""
    pairs = drawn_pairs(crops.numbers, per_picture=1, seed=seed)
    return pair_distances(embed(core, shrink(stem, crops)), pairs), pairs.mated
