"""One run of a recipe: its source's own protocol first, then people held out, then what to keep."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from train import recipes
from train.datasets import READERS
from train.evaluate import Verification, verify
from train.fit import Watch, fit, seed_everything
from train.framing import Crops, frame
from train.losses import make_objective
from train.material import material_of
from train.metrics import compare_all, equal_error_rate
from train.model import assemble, build, embed, shrink
from train.protocols import PROTOCOLS
from train.recipes import Recipe
from train.sampling import split_subjects

if TYPE_CHECKING:
    import keras

_LOG = logging.getLogger("janus.train")


def train(recipe: Recipe, directory: Path, out: Path, *, resume: bool = False) -> Verification:
    """Run *recipe* on *directory*; leave the encoder, its figures and its history in *out*.

    ``encoder.keras`` never saw the held-out people whose figures ``metrics.json`` states.
    """
    out.mkdir(parents=True, exist_ok=True)
    recipes.save(recipe, out / "recipe.json")
    index = READERS[recipe.reader](directory)
    _LOG.info("%d pictures of %d people", len(index.pictures), len(index.subjects))
    own = PROTOCOLS[recipe.protocol](recipe, index, out / "own-protocol", resume=resume)
    crops = frame(index, recipe.frames)
    split = split_subjects(
        crops.index.subjects,
        validated=recipe.validated,
        tested=recipe.tested,
        fold=recipe.fold,
        seed=recipe.seed,
    )
    encoder = fit_encoder(
        recipe, crops.only(split.fitted), crops.only(split.validated), out, resume=resume
    )
    encoder.save(out / "encoder.keras")
    tested = crops.only(split.tested)
    honest = verify(embed(encoder, tested.pixels), tested.numbers, seed=recipe.seed)
    held = {"own_protocol": own, "held_out": split.tested, "honest": honest.as_dict()}
    (out / "metrics.json").write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
    print("\n".join([*own_lines(recipe, own), "", *honest_lines(honest)]))
    print(f"\nwrote {out / 'encoder.keras'}")
    return honest


def fit_encoder(
    recipe: Recipe, fitted: Crops, watched: Crops, run: Path, *, resume: bool = False
) -> keras.Model:
    """Fit the recipe's encoder on *fitted*, keeping what is best on *watched*, if anybody is."""
    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout)
    watch = error_watch(stem, watched) if watched.index.pictures else None
    material = material_of(recipe, stem, fitted)
    objective = make_objective(recipe, material.subjects, core)
    fit(core, objective, recipe, material, watch=watch, run=run, resume=resume)
    return assemble(stem, core)


def error_watch(stem: keras.Model, watched: Crops) -> Watch:
    """Return the equal error rate on *watched* as the figure to follow."""
    pictures = shrink(stem, watched.pixels)

    def figure(core: keras.Model) -> float:
        compared = compare_all(embed(core, pictures), watched.numbers)
        return equal_error_rate(compared.mated, compared.nonmated)

    return Watch("eer", figure, keep_best=True)


def own_lines(recipe: Recipe, own: dict[str, float]) -> list[str]:
    """Return the source's figures beside ours, by the source's own protocol."""
    stated = {each.figure: each.stated for each in recipe.published}
    lines = [f"{recipe.name}, by its source's own protocol (people that it was trained on)"]
    lines.append(f"  {'figure':<34}{'published':>12}{'here':>12}")
    lines += [
        f"  {figure:<34}{stated.pop(figure, '-'):>12}{value:>12.4f}"
        for figure, value in own.items()
    ]
    return lines + [f"  {figure:<34}{value:>12}{'-':>12}" for figure, value in stated.items()]


def honest_lines(honest: Verification) -> list[str]:
    """Return what was measured on people held out, with what the count refuses."""
    eer = honest.equal_error_rate
    lines = [
        f"encoder.keras on {honest.subjects} people that it never saw, by cosine",
        f"  {honest.pictures} pictures, {honest.mated:,} mated and {honest.nonmated:,} other pairs",
        f"  EER {eer.rate:.2%} (95 % interval {eer.low:.2%} to {eer.high:.2%})",
    ]
    lines += [f"  TAR {value:.2%} at FMR {rate}" for rate, value in honest.tar.items()]
    lines += [
        f"  {ways}-way one-shot {hits.rate:.1%} (95 % interval {hits.low:.1%} to {hits.high:.1%})"
        for ways, hits in honest.one_shot.items()
    ]
    return lines + [f"  not stated: {reason}" for reason in honest.refused]
