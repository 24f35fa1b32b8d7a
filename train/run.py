"""One run of a recipe: its source's own protocol first, then people held out, then what to keep."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import ConfigError
from train import recipes
from train.data.framing import Crops, fingerprint, frame
from train.data.readers import READERS
from train.data.sampling import split_subjects
from train.fitting.feed import feed_of
from train.fitting.fit import Watch, fit, seed_everything
from train.fitting.losses import make_objective
from train.fitting.model import assemble, build, embed, shrink
from train.fitting.newcomer import enrolment_section, read_faces
from train.fitting.protocols import PROTOCOLS, Own
from train.fitting.strategy import Team, one_process
from train.measuring import figures
from train.measuring.encoders import ENCODER_FILE
from train.measuring.evaluate import honest_lines, verify
from train.measuring.metrics import (
    compare_all,
    comparisons_needed,
    equal_error_rate,
    strictest_threshold,
    tar_at_fmr,
)
from train.measuring.report import Section, skipped_sections, verification_section, write_report
from train.recipes import Recipe

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
    team: Team | None = None,
    tensorboard: bool = False,
) -> None:
    """Run *recipe* on *directory*; leave the encoder, its figures and its history in *out*.

    ``encoder.keras`` never saw the held-out people whose figures ``metrics.json`` states. With
    photos of one more person in *enrol*, the first is enrolled and the others are searched. Of a
    *team* (default: this process alone) only the chief measures and writes.

    Raises:
        ConfigError: if the recipe names an unknown reader or protocol, has patience and nobody to
            watch, or *out* cannot be made.
        PictureError, EnrolmentError: if a photo of *enrol* cannot be read, or shows no face.
    """
    if recipe.patience and not recipe.validated:
        raise ConfigError(
            f"patience = {recipe.patience} needs people to watch while fitting, who are not fitted "
            "on; add --set validated=4"
        )
    if recipe.reader not in READERS or recipe.protocol not in PROTOCOLS:
        raise ConfigError(
            f"reader = {recipe.reader!r}, protocol = {recipe.protocol!r}; expected one of "
            f"{', '.join(READERS)} and one of {', '.join(PROTOCOLS)}"
        )
    team = team or one_process()
    # First what would otherwise fail when hours have been fitted.
    if team.chief:
        _make_directory(out)
    faces = read_faces(enrol) if enrol else None
    index = READERS[recipe.reader](directory)
    _LOG.info("%d pictures of %d people", len(index.pictures), len(index.subjects))
    own = PROTOCOLS[recipe.protocol](
        recipe, index, out / "own-protocol", resume=resume, team=team, tensorboard=tensorboard
    )
    crops = frame(index, recipe.frames)
    split = split_subjects(
        crops.index.subjects,
        validated=recipe.validated,
        tested=recipe.tested,
        fold=recipe.fold,
        seed=recipe.seed,
    )
    encoder, history = fit_encoder(
        recipe,
        crops.only(split.fitted),
        crops.only(split.validated),
        out,
        resume=resume,
        team=team,
        tensorboard=tensorboard,
    )
    if not team.chief:
        _LOG.info("this worker is done; the chief measures and writes %s", out)
        return
    encoder.save(out / ENCODER_FILE)
    recipes.save(recipe, out / "recipe.json")
    tested = crops.only(split.tested)
    embeddings = embed(encoder, tested.pixels)
    honest = verify(embeddings, tested.numbers, seed=recipe.seed)
    strictest = strictest_threshold(compare_all(embeddings, tested.numbers).nonmated)
    held = {
        "data": fingerprint(crops),
        "skipped": len(crops.index.refused),
        "own_protocol": own.figures,
        "held_out": split.tested,
        "honest": honest.as_dict(),
        "strictest": strictest and asdict(strictest),
    }
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
    sections += skipped_sections(crops.index.refused)
    if faces is not None:
        encode, names = partial(embed, encoder), [each.name for each in enrol]
        sections.append(enrolment_section(crops, encode, names, faces, strictest))
    write_report(out / "report.html", f"Run of recipe {recipe.name}", sections)
    for section in sections:
        if section.lines:
            print(f"\n{section.heading}")
            print("\n".join(section.lines))
    print(f"\nwrote {out / ENCODER_FILE} and {out / 'report.html'}")


def _make_directory(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"--out {out} cannot be made: {exc.strerror}; name another") from exc


def fit_encoder(
    recipe: Recipe,
    fitted: Crops,
    watched: Crops,
    run: Path,
    *,
    resume: bool = False,
    team: Team | None = None,
    tensorboard: bool = False,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Fit the recipe's encoder on *fitted*, keeping what is best on *watched*, if anybody is.

    Returns: the encoder, in float32 whatever it was fitted in, and the history of the fit.
    """
    team = team or one_process()
    seed_everything(recipe.seed)
    with team.scope():
        stem, core = build(recipe.encoder, recipe.dropout, recipe.precision)
    watch = error_watch(stem, watched, recipe.watched_fmr) if watched.index.pictures else None
    feed = feed_of(recipe, stem, fitted)
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
    stem, kept = build(recipe.encoder, recipe.dropout)
    kept.set_weights(core.get_weights())
    return assemble(stem, kept), history


def error_watch(stem: keras.Model, watched: Crops, fmr: float) -> Watch:
    """Return the FNMR at *fmr* on *watched* as the figure to follow, or the EER, saying so.

    The EER is taken where the comparisons of *watched* are too few for that rate.
    """
    pictures, numbers = shrink(stem, watched), watched.numbers
    counts = np.bincount(numbers)
    nonmated = (counts.sum() ** 2 - (counts**2).sum()) // 2
    supported = nonmated >= comparisons_needed(fmr)
    name = f"fnmr_at_fmr_{fmr:g}" if supported else "eer"
    if supported:
        _LOG.info("watching the FNMR at FMR %g on %d people", fmr, len(counts))
    else:
        _LOG.warning(
            "watching the EER on %d people: their %s non-mated comparisons cannot support FMR %g, "
            "which needs %s; --set validated=N watches more people",
            len(counts),
            f"{nonmated:,}",
            fmr,
            f"{comparisons_needed(fmr):,}",
        )

    def figure(core: keras.Model) -> float:
        compared = compare_all(embed(core, pictures), numbers)
        if supported:
            return 1.0 - tar_at_fmr(compared.mated, compared.nonmated, fmr)
        return equal_error_rate(compared.mated, compared.nonmated)

    return Watch(name, figure, keep_best=True)


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
