"""The published systems measured as they measured themselves, so that a reader can compare.

These figures are about pairs of people who were all trained on. They are never the figures of
`encoder.keras`, which is fitted apart, with people held out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.vocabulary import FloatArray
from train.fit import Watch, fit, seed_everything
from train.framing import Crops
from train.losses import contrastive
from train.material import draw_pairs, material_of
from train.model import build, embed
from train.recipes import Recipe
from train.sampling import Pairs, split_pairs

if TYPE_CHECKING:
    import keras

MATCH_BELOW = 0.5  # Euclidean distance: the threshold of both articles that state one


def pair_protocol(recipe: Recipe, crops: Crops, run: Path, *, resume: bool) -> dict[str, float]:
    """Fit on pairs of all subjects and measure on other pairs of them, as the AT&T article does.

    Returns:
        The lowest and last validation loss, and on the test pairs the precision of matches at
        distance 0.5 (which the article calls accuracy) and the accuracy.
    """
    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout)
    fitted, validated, tested = split_pairs(draw_pairs(recipe, crops.numbers), seed=recipe.seed)
    material = material_of(recipe, stem, crops, fitted)

    def validation_loss(core: keras.Model) -> float:
        distances = pair_distances(embed(core, material.pictures), validated)
        return float(contrastive(distances, validated.mated, recipe.margin))

    watch = Watch("validation_loss", validation_loss, keep_best=False)
    history = fit(core, recipe, material, watch, run, resume=resume)
    distances = pair_distances(embed(core, material.pictures), tested)
    matched = distances < MATCH_BELOW
    return {
        "loss": history[-1]["loss"],
        "validation loss": history[-1]["validation_loss"],
        "precision at distance 0.5": float(tested.mated[matched].mean()),
        "accuracy at distance 0.5": float((matched == (tested.mated == 1)).mean()),
        "fit_s": sum(each["wall_s"] for each in history),
    }


def pair_distances(embeddings: FloatArray, pairs: Pairs) -> FloatArray:
    """Return the Euclidean distances (K,) of *pairs* of rows of *embeddings*."""
    one, other = embeddings[pairs.pictures[:, 0]], embeddings[pairs.pictures[:, 1]]
    return np.linalg.norm(one - other, axis=1).astype(np.float32)


def no_protocol(_recipe: Recipe, _crops: Crops, _run: Path, *, resume: bool) -> dict[str, float]:
    """Return nothing: the recipe is ours, and is judged on people held out alone."""
    del resume
    return {}


PROTOCOLS: dict[str, Callable[..., dict[str, float]]] = {"att": pair_protocol, "none": no_protocol}
