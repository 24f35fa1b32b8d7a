"""One run of a recipe: its source's own protocol first, then people held out, then what to keep."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from train import figures, recipes
from train.encoders import ENCODER_FILE
from train.evaluate import honest_lines, verify
from train.feed import feed_of
from train.fit import Watch, fit, seed_everything
from train.framing import Crops, frame
from train.losses import make_objective
from train.metrics import compare_all, equal_error_rate
from train.model import assemble, build, embed, shrink
from train.newcomer import enrolment_section
from train.protocols import PROTOCOLS, Own
from train.readers import READERS
from train.recipes import Recipe
from train.report import Section, verification_section, write_report
from train.sampling import split_subjects

if TYPE_CHECKING:
    import keras

_LOG = logging.getLogger("janus.train")


def train(
    recipe: Recipe,
    directory: Path,
    out: Path,
    *,
    resume: bool = False,
    enrol: tuple[Path, ...] = (),
) -> None:
    """Run *recipe* on *directory*; leave the encoder, its figures and its history in *out*.

    ``encoder.keras`` never saw the held-out people whose figures ``metrics.json`` states. With
    photos of one more person in *enrol*, the first is enrolled and the others are searched.
    """
    out.mkdir(parents=True, exist_ok=True)
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
    encoder, history = fit_encoder(
        recipe, crops.only(split.fitted), crops.only(split.validated), out, resume=resume
    )
    encoder.save(out / ENCODER_FILE)
    recipes.save(recipe, out / "recipe.json")
    tested = crops.only(split.tested)
    embeddings = embed(encoder, tested.pixels)
    honest = verify(embeddings, tested.numbers, seed=recipe.seed)
    held = {"own_protocol": own.figures, "held_out": split.tested, "honest": honest.as_dict()}
    (out / "metrics.json").write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
    sections = [
        *own_sections(recipe, own),
        Section("Fitting the encoder", (), (("Loss", figures.loss_curves(history)),)),
        verification_section(
            f"{ENCODER_FILE}, on people that it never saw",
            honest_lines(honest),
            tested,
            embeddings,
            honest,
        ),
    ]
    if enrol:
        encode = partial(embed, encoder)
        sections.append(enrolment_section(crops, encode, enrol, honest.threshold))
    write_report(out / "report.html", f"Run of recipe {recipe.name}", sections)
    for section in sections:
        if section.lines:
            print(f"\n{section.heading}")
            print("\n".join(section.lines))
    print(f"\nwrote {out / ENCODER_FILE} and {out / 'report.html'}")


def fit_encoder(
    recipe: Recipe, fitted: Crops, watched: Crops, run: Path, *, resume: bool = False
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Fit the recipe's encoder on *fitted*, keeping what is best on *watched*, if anybody is.

    Returns: the encoder, and the history of the fit.
    """
    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout)
    watch = error_watch(stem, watched) if watched.index.pictures else None
    feed = feed_of(recipe, stem, fitted)
    objective = make_objective(recipe, feed.subjects, core)
    history = fit(core, objective, recipe, feed, watch=watch, run=run, resume=resume)
    return assemble(stem, core), history


def error_watch(stem: keras.Model, watched: Crops) -> Watch:
    """Return the equal error rate on *watched* as the figure to follow."""
    pictures = shrink(stem, watched.pixels)

    def figure(core: keras.Model) -> float:
        compared = compare_all(embed(core, pictures), watched.numbers)
        return equal_error_rate(compared.mated, compared.nonmated)

    return Watch("eer", figure, keep_best=True)


def own_sections(recipe: Recipe, own: Own) -> list[Section]:
    """Return the source's figures beside ours, by its own protocol; nothing if it has none."""
    if not own.figures:
        return []
    stated = {each.figure: each.stated for each in recipe.published}
    lines = [recipe.source, f"  {'figure':<36}{'published':>12}{'here':>10}"]
    lines += [
        f"  {figure:<36}{stated.pop(figure, '-'):>12}{value:>10.4f}"
        for figure, value in own.figures.items()
    ]
    lines += [f"  {figure:<36}{value:>12}{'-':>10}" for figure, value in stated.items()]
    heading = "The source's own protocol, on people that were trained on"
    return [Section(heading, lines, own.pictures)]
