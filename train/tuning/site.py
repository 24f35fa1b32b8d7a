"""Whom fine-tuning learns from and whom it is measured on, and how hard it pulls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from edge.errors import ConfigError, PictureError
from edge.vocabulary import CROP_SIZE_PX
from train.data.datasets import Index, read_crops, read_folder
from train.data.framing import Crops, frame
from train.errors import DataSetError

_LEAST_TESTED = 5  # people: fewer cannot show a difference (`train.measuring.resampling`)
_MOST_KEPT = 1500  # pictures of other people to learn from, and as many to measure on


@dataclass(frozen=True, slots=True)
class Settings:
    """How hard to pull; the defaults were tried on AT&T's faces as a site.

    Args:
        epochs, steps: of fitting; steps an epoch.
        people, pictures: of the site in a step.
        kept: pictures of other people in a step.
        learning_rate: at the start; it falls to zero.
        pull: weight of the site's labels against the distance from the initial encoder.
        margin, scale: of the softmax over the site's people.
        tested: share of the site's people who are held out, five at least.
        seed: of everything drawn at random.
    """

    epochs: int = 8
    steps: int = 25
    people: int = 8
    pictures: int = 4
    kept: int = 32
    learning_rate: float = 2e-4
    pull: float = 0.1
    margin: float = 0.2
    scale: float = 16.0
    tested: float = 0.35
    seed: int = 0


def parse_settings(given: Sequence[str]) -> Settings:
    """Return the defaults with each NAME=VALUE of *given* applied.

    Raises:
        ConfigError: if there is no such setting, or the value is of another type.
    """
    known = {each.name: type(getattr(Settings(), each.name)) for each in fields(Settings)}
    found = Settings()
    for setting in given:
        name, separator, text = setting.partition("=")
        if not separator or name not in known:
            raise ConfigError(
                f"--set {setting}: expected NAME=VALUE with one of {', '.join(known)}"
            )
        try:
            found = replace(found, **{name: known[name](text)})
        except ValueError as exc:
            raise ConfigError(f"--set {setting}: expected {known[name].__name__}") from exc
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Who is fitted on and who is not: of the site, and of the other people (may be empty)."""

    fitted: Crops
    tested: Crops
    kept: Crops | None
    kept_tested: Crops | None


def read_lesson(
    pictures: Path, keep: Path | None, frames: str | None, settings: Settings
) -> Lesson:
    """Cut the site's pictures, hold some of its people out, and read the other people, if any.

    Raises:
        DataSetError: if there are too few people.
    """
    index = read_folder(pictures)
    site = frame(index, frames or _natural_frames(index))
    counts = np.bincount(site.numbers)
    rng = np.random.default_rng(settings.seed)
    several = [name for name, count in zip(site.index.subjects, counts, strict=True) if count > 1]
    tested = max(_LEAST_TESTED, round(settings.tested * len(several)))
    if len(several) - tested < 2:  # noqa: PLR2004 - labels tell at least two people apart
        raise DataSetError(
            f"{pictures} has {len(several)} people with two usable pictures or more; "
            f"{_LEAST_TESTED + 2} are needed: {_LEAST_TESTED} to measure on, two to fit on. Until "
            "then enrol people with the encoder as it is"
        )
    held = {several[at] for at in rng.permutation(len(several))[:tested]}
    kept, kept_tested = None, None
    if keep is not None:
        kept, kept_tested = _other_people(keep, set(site.index.subjects), rng)
    return Lesson(
        site.only([each for each in site.index.subjects if each not in held]),
        site.only(sorted(held)),
        kept,
        kept_tested,
    )


def _natural_frames(index: Index) -> str:
    """Return `whole` if the pictures are crops already, by the first that can be read."""
    for each in index.pictures:
        try:
            shape = each.load().shape
        except PictureError:
            continue
        return "whole" if shape[:2] == (CROP_SIZE_PX, CROP_SIZE_PX) else "aligned"
    raise DataSetError(f"none of {len(index.pictures)} pictures can be read")


def _other_people(directory: Path, ours: set[str], rng: np.random.Generator) -> tuple[Crops, Crops]:
    """Return crops of people who are not *ours* to learn from, and of others to measure on.

    Raises:
        DataSetError: if there are fewer than two such people.
    """
    archives = (directory / "index.csv").is_file() and any(directory.glob("*.zip"))
    index = read_crops(directory, strangers=True) if archives else read_folder(directory)
    by_subject: dict[str, list[int]] = {}
    for at, each in enumerate(index.pictures):
        if each.subject.rpartition("/")[2] not in ours:
            by_subject.setdefault(each.subject, []).append(at)
    if len(by_subject) < 2:  # noqa: PLR2004 - some to learn from, some to measure on
        raise DataSetError(
            f"--keep {directory} has {len(by_subject)} people who are not the site's"
        )
    halves: list[list[int]] = [[], []]
    for number, at in enumerate(rng.permutation(len(by_subject))):
        drawn = list(by_subject.values())[at]
        halves[number % 2] += list(rng.permutation(drawn)[:10])
    frames = "whole" if archives else _natural_frames(index)
    learnt, measured = (
        frame(Index(tuple(index.pictures[at] for at in half[:_MOST_KEPT])), frames)
        for half in halves
    )
    return learnt, measured
