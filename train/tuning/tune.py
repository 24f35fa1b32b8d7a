"""Fine-tune: adapt a float encoder to a site's people without forgetting everybody else.

Two pulls at once. The site's labels: a margin softmax over its people, whose centres begin where
the initial encoder sees them. And the initial encoder itself, as teacher of the same pictures and,
if given, of other people's (`--keep`): what is not about the site should stay as it was. Whether it
helped is measured once, at the end, on people of the site who were never fitted on; what did not
help is not kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.vocabulary import FloatArray
from train.data.sampling import Batch, subject_batches
from train.fitting.feed import Feed
from train.fitting.fit import fit, seed_everything
from train.fitting.losses import Objective
from train.fitting.model import embed
from train.measuring import figures
from train.measuring.encoders import ENCODER_FILE
from train.measuring.evaluate import honest_lines, verify
from train.measuring.metrics import IntArray, unit_rows
from train.measuring.report import Section, verification_section, write_report
from train.recipes import Recipe
from train.tuning.initial import Initial, open_initial
from train.tuning.site import Lesson, Settings, read_lesson
from train.tuning.verdict import Verdict, judge

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor as Tensor

_LOG = logging.getLogger("janus.train")
_NOBODY = -1


def tune(
    source: Path,
    pictures: Path,
    out: Path,
    *,
    keep: Path | None = None,
    frames: str | None = None,
    settings: Settings | None = None,
    resume: bool = False,
) -> Verdict:
    """Adapt the encoder at *source* to the people in *pictures*; leave the better one in *out*.

    *out* receives ``encoder.keras`` (tuned if that helped, else the initial file as it is),
    ``metrics.json``, ``recipe.json``, ``history.jsonl``, ``report.html`` and the checkpoint from
    which *resume* goes on.

    Args:
        source: an encoder.keras, a run that holds one, or a bundle with its run around it.
        pictures: one folder per person: photos, or crops of `janus prepare`.
        out: directory of the run; made if missing.
        keep: other people, as folders or archives of crops; some are learnt from, others measured.
        frames: of *pictures*; default: whole for 112x112 crops, else aligned.
        settings: see `Settings`.
        resume: go on from the checkpoint in *out*, if there is one.

    Raises:
        ConfigError: if *source* holds no float encoder for crops.
        DataSetError: if the site has too few people to hold some out.
        DivergedError: if the loss is not finite.
    """
    settings = settings or Settings()
    seed_everything(settings.seed)
    initial = open_initial(source)
    out.mkdir(parents=True, exist_ok=True)
    lesson = read_lesson(pictures, keep, frames, settings)
    before = _measured(initial.model, lesson)
    history = _fit(initial, lesson, out, settings, resume=resume)
    after = _measured(initial.model, lesson)
    verdict = judge(before, after, _numbers(lesson), seed=settings.seed)
    if verdict.helped:
        initial.save(out / ENCODER_FILE)
    else:
        _copy(initial.path, out / ENCODER_FILE)
    _write(out, initial, lesson, settings, verdict)
    chosen = after if verdict.helped else before
    _report(
        out,
        lesson=lesson,
        history=history,
        verdict=verdict,
        before=before[0],
        chosen=chosen[0],
    )
    print("\n".join(verdict.lines))
    print(f"wrote {out / ENCODER_FILE} and {out / 'report.html'}")
    return verdict


def _measured(model: keras.Model, lesson: Lesson) -> tuple[FloatArray, FloatArray | None]:
    """Return unit embeddings of the people held out: of the site, and of the others if any."""
    others = lesson.kept_tested
    return (
        unit_rows(embed(model, lesson.tested.pixels)),
        None if others is None else unit_rows(embed(model, others.pixels)),
    )


def _numbers(lesson: Lesson) -> tuple[IntArray, IntArray | None]:
    others = lesson.kept_tested
    return lesson.tested.numbers, None if others is None else others.numbers


def _fit(
    initial: Initial, lesson: Lesson, out: Path, settings: Settings, *, resume: bool
) -> list[dict[str, float]]:
    """Fit the initial model in place; its statistics (batch normalisation) stay as they are."""
    numbers, pixels = lesson.fitted.numbers, lesson.fitted.pixels
    paths = [each.path for each in lesson.fitted.index.pictures]
    kept = 0
    if lesson.kept is not None:
        kept = len(lesson.kept.pixels)
        pixels = np.concatenate([pixels, lesson.kept.pixels])
        paths += [each.path for each in lesson.kept.index.pictures]
    rows = np.arange(len(pixels))

    def batches(epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([settings.seed, epoch, 1])
        for batch in subject_batches(
            numbers,
            people=settings.people,
            pictures=settings.pictures,
            steps=settings.steps,
            seed=settings.seed,
            epoch=epoch,
        ):
            others = rng.permutation(kept)[: settings.kept]
            chosen = np.concatenate([batch.pictures, len(numbers) + others])
            # The objective needs to know the picture, not only its subject: rows stand for both.
            yield replace(batch, pictures=chosen, subjects=chosen)

    feed = Feed(pixels, rows, tuple(paths), batches, settings.steps)
    targets = unit_rows(embed(initial.model, pixels))
    labels = np.concatenate([numbers, np.full(kept, _NOBODY, np.int64)])
    objective = _objective(targets, labels, settings)
    recipe = Recipe(
        name="tune",
        # Whatever decides the outcome is in the recipe, so that --resume refuses anything else.
        source=f"ours: from {initial.digest}, {json.dumps(asdict(settings))}",
        reader="folder",
        frames="aligned",
        encoder="initial",
        protocol="none",
        sampling="people",
        loss="distillation and margin-softmax",
        optimizer="adam",
        learning_rate=settings.learning_rate,
        decay="cosine",
        epochs=settings.epochs,
        steps=settings.steps,
        augment=("flip", "similarity", "light", "contrast"),
        seed=settings.seed,
    )
    with initial.frozen_statistics():
        return fit(initial.model, objective, recipe, feed, watch=None, run=out, resume=resume)


def _objective(targets: FloatArray, labels: IntArray, settings: Settings) -> Objective:
    """Return mean(1 - cosine with the initial embedding) + pull * margin softmax over the site."""
    import keras
    from keras import ops

    people = int(labels.max()) + 1
    means = unit_rows(np.stack([targets[labels == each].mean(axis=0) for each in range(people)]))
    centres = keras.Variable(means, name="site_centres")
    held_targets, held_labels = ops.convert_to_tensor(targets), ops.convert_to_tensor(labels)

    def loss(embeddings: Tensor, rows: Tensor, _pairs: Tensor, _mated: Tensor) -> Tensor:
        unit = ops.normalize(embeddings, axis=-1, epsilon=1e-12)
        taught = ops.take(held_targets, rows, axis=0)
        apart = ops.mean(1.0 - ops.sum(unit * taught, axis=-1))
        subjects = ops.take(held_labels, rows, axis=0)
        named = ops.cast(subjects >= 0, unit.dtype)
        subjects = ops.maximum(subjects, 0)
        cosines = ops.matmul(unit, ops.transpose(ops.normalize(centres, axis=-1)))
        logits = settings.scale * (cosines - settings.margin * ops.one_hot(subjects, people))
        each = ops.sparse_categorical_crossentropy(subjects, logits, from_logits=True)
        return apart + settings.pull * ops.sum(each * named) / ops.maximum(ops.sum(named), 1.0)

    return Objective(loss, lambda: None, (centres,))


def _copy(source: Path, target: Path) -> None:
    if target.exists() and source.samefile(target):
        return
    partial = target.with_name(target.name + ".partial")
    shutil.copyfile(source, partial)
    partial.replace(target)


def _write(
    out: Path, initial: Initial, lesson: Lesson, settings: Settings, verdict: Verdict
) -> None:
    recipe = {"name": "tune", "initial_sha256": initial.digest, **asdict(settings)}
    # `tested` is a share here, and a count where `janus convert` splits a recipe's people again.
    recipe["tested_share"] = recipe.pop("tested")
    metrics = {
        "helped": verdict.helped,
        "encoder": "tuned" if verdict.helped else "the initial one",
        "encoder_sha256": hashlib.sha256((out / ENCODER_FILE).read_bytes()).hexdigest(),
        "held_out": lesson.tested.index.subjects,
        **verdict.figures,
    }
    for name, tree in (("recipe.json", recipe), ("metrics.json", metrics)):
        partial = out / f"{name}.partial"
        partial.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
        partial.replace(out / name)


def _report(
    out: Path,
    *,
    lesson: Lesson,
    history: list[dict[str, float]],
    verdict: Verdict,
    before: FloatArray,
    chosen: FloatArray,
) -> None:
    numbers = lesson.tested.numbers
    found = verify(chosen, numbers)
    sections = [
        Section("Did it help?", verdict.lines),
        Section("Fitting", (), (("Loss", figures.loss_curves(history)),)),
        Section("The initial encoder, on people held out", honest_lines(verify(before, numbers))),
        verification_section(
            f"{ENCODER_FILE}, on the same people", honest_lines(found), lesson.tested, chosen, found
        ),
    ]
    write_report(out / "report.html", "Fine-tuning", sections)
