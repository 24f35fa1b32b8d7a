"""The published systems measured as they measured themselves, so that a reader can compare.

These figures are about people who were all trained on. They are never the figures of
``encoder.keras``, which is fitted apart, with people held out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.vocabulary import FloatArray
from train.datasets import Index
from train.fit import Watch, fit, seed_everything
from train.framing import Crops, frame
from train.losses import contrastive, make_objective
from train.material import draw_pairs, material_of
from train.model import build, embed, shrink
from train.recipes import Recipe
from train.sampling import Pairs, drawn_pairs, split_pairs, split_pictures

if TYPE_CHECKING:
    import keras

Figures = dict[str, float]


def pair_protocol(recipe: Recipe, index: Index, run: Path, *, resume: bool) -> Figures:
    """Fit on pairs of all subjects and measure on other pairs of them, as the AT&T article does.

    Its "accuracy" is the precision of what lies below distance 0.5.
    """
    crops = frame(index, recipe.own_frames)
    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout)
    fitted, validated, tested = split_pairs(draw_pairs(recipe, crops.numbers), seed=recipe.seed)
    material = material_of(recipe, stem, crops, fitted)

    def validation_loss(core: keras.Model) -> float:
        distances = pair_distances(embed(core, material.pictures), validated)
        return float(contrastive(distances, validated.mated, recipe.margin))

    watch = Watch("validation_loss", validation_loss, keep_best=False)
    objective = make_objective(recipe, material.subjects, core)
    history = fit(core, objective, recipe, material, watch=watch, run=run, resume=resume)
    distances = pair_distances(embed(core, material.pictures), tested)
    matched = distances < recipe.margin / 2
    return {
        "loss": history[-1]["loss"],
        "validation loss": history[-1]["validation_loss"],
        "precision at distance 0.5": float(tested.mated[matched].mean()),
        "accuracy at distance 0.5": float((matched == (tested.mated == 1)).mean()),
        "wall_s": sum(each["wall_s"] for each in history),
    }


def picture_protocol(recipe: Recipe, index: Index, run: Path, *, resume: bool) -> Figures:
    """Fit on some pictures of all subjects and measure pairs of their other pictures.

    A pair matches below the loss's own boundary; a loss without one gets the distance that is best
    on the pictures fitted on.
    """
    crops = frame(index, recipe.own_frames)
    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout)
    fitted, tested = split_pictures(crops.numbers, seed=recipe.seed)
    material = material_of(recipe, stem, crops.at(fitted))
    objective = make_objective(recipe, material.subjects, core)
    history = fit(core, objective, recipe, material, watch=None, run=run, resume=resume)
    seen = _paired(stem, core, crops.at(fitted), recipe.seed)
    unseen = _paired(stem, core, crops.at(tested), recipe.seed)
    boundary = objective.boundary()
    if boundary is None:
        boundary = best_boundary(*seen)
    return {
        "loss": history[-1]["loss"],
        "accuracy, pictures fitted on": accuracy_below(boundary, *seen),
        "accuracy, other pictures of them": accuracy_below(boundary, *unseen),
        "precision, other pictures": float(unseen[1][unseen[0] < boundary].mean()),
        "distance that separates": boundary,
        "wall_s": sum(each["wall_s"] for each in history),
    }


def no_protocol(_recipe: Recipe, _index: Index, _run: Path, *, resume: bool) -> Figures:
    """Return nothing: the recipe is ours, and is judged on people held out alone."""
    del resume
    return {}


PROTOCOLS: dict[str, Callable[..., Figures]] = {
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


def best_boundary(distances: FloatArray, mated: FloatArray) -> float:
    """Return the boundary with the highest accuracy."""
    order = np.sort(distances)
    between = (order[1:] + order[:-1]) / 2
    return float(between[np.argmax([accuracy_below(each, distances, mated) for each in between])])


def _paired(
    stem: keras.Model, core: keras.Model, crops: Crops, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return distances and labels of pairs among *crops*."""
    pairs = drawn_pairs(crops.numbers, per_picture=1, seed=seed)
    return pair_distances(embed(core, shrink(stem, crops.pixels)), pairs), pairs.mated
