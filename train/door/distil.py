"""Teach the door's encoder what a larger face encoder says of the same crops.

Once: crops are decoded, and the teacher's embedding of each (mean of the crop and its mirror image)
is kept; a run that was stopped makes what is missing. Then `train.door.student` fits the encoder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import ConfigError
from train.door.caches import cache_crops, cache_targets, read_listing
from train.door.judging import figures
from train.door.lesson import Lesson, hold_out
from train.door.mixing import Mixtures
from train.door.schedule import Schedule
from train.door.student import fit_student

if TYPE_CHECKING:
    import keras


def run_door(
    pictures: Path,
    teacher: Path,
    out: Path,
    *,
    minutes: float | None = None,
    resume: bool = False,
    seed: int = 0,
    schedule: Schedule | None = None,
    start: Path | None = None,
) -> bool:
    """Fit the door's encoder; leave ``encoder.keras`` and ``metrics.json`` in *out*.

    Args:
        pictures: directory of index.csv and the archives of 144x144 crops that it lists.
        teacher: ONNX face encoder, (1, 3, 112, 112) RGB, (x - 127.5) / 128, compared by cosine.
        out: directory of the run; the cache of crops and targets is beside it, in ``cache``.
        minutes: of fitting in this call, caches not counted; None: to the end of the schedule.
        resume: go on from the checkpoint in *out*, if there is one.
        seed: of the people held out, the weights and everything drawn.
        schedule: default: `Schedule()`.
        start: directory of an encoder.keras that a new run begins with, such as weights/door.

    Returns: whether the schedule was finished.

    Raises:
        DataSetError: if the listing or an archive is missing or unreadable.
        ConfigError: if onnxruntime is not installed, the teacher is no such network, or *start*
            has other widths than the schedule.
        DivergedError: if the loss is not finite.
    """
    schedule = schedule or Schedule()
    out.mkdir(parents=True, exist_ok=True)
    cache = out.parent / "cache"
    listing = read_listing(pictures)
    crops = cache_crops(listing, pictures, cache)
    targets = cache_targets(len(crops), crops.__getitem__, teacher, cache, f"own-{listing.digest}")
    held = hold_out(listing, seed)
    mixtures = Mixtures.drawn(held.fitted, schedule.mixtures, seed)
    mixed_targets = targets[:0]
    if schedule.mixtures:
        mixed_targets = cache_targets(
            schedule.mixtures,
            lambda at: mixtures.wide(crops, at),
            teacher,
            cache,
            f"mixed-{listing.digest}-{seed}-{schedule.mixtures}",
        )
    lesson = Lesson(crops, targets, held, mixtures, mixed_targets)
    facts = {"name": "door", "seed": seed, "teacher": teacher.name} | asdict(schedule)
    if start is not None:
        facts["start"] = start.name
    _write_json(out / "recipe.json", facts)
    encoder, finished = fit_student(
        lesson,
        schedule,
        out,
        minutes=minutes,
        resume=resume,
        seed=seed,
        start=None if start is None else opened(start / "encoder.keras"),
    )
    found = figures(encoder, lesson)
    print(json.dumps(found, indent=2))
    people = sorted(set(listing.subjects[held.known]))
    strangers = [listing.files[row] for row in held.strangers]
    _write_json(out / "metrics.json", found | {"validated": [*map(str, people), *strangers]})
    return finished


def opened(path: Path) -> keras.Model:
    """Read an encoder that `train.door.student.keep` wrote, without what fits crops to it.

    Raises:
        ConfigError: if it is none.
    """
    import keras

    try:
        model = keras.models.load_model(path)
    except (OSError, ValueError) as exc:
        raise ConfigError(f"--start: {path} cannot be read: {exc}") from exc
    inner = [each for each in model.layers if isinstance(each, keras.Model)]
    return inner[0] if inner else model


def _write_json(path: Path, facts: Mapping[str, object]) -> None:
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
