"""Error rates by group at one threshold, as a door has one: worst group first, with its evidence.

False matches are counted within a group: two people who share age or origin are the ones whom an
encoder confuses. They need no second picture of anybody, so that sets with one picture a person
(FairFace) can be measured too; false non-matches need one.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import ConfigError
from edge.vocabulary import FloatArray
from train.data.datasets import Index
from train.measuring.metrics import IntArray, Interval, comparisons_needed, unit_rows
from train.measuring.resampling import LEAST_PEOPLE, over_people

_ROWS = 1024  # of the score matrix at a time
SOURCE = "source"
_LISTING = "index.csv"


@dataclass(frozen=True, slots=True)
class GroupRate:
    """An error rate within one group; the 95 % interval is over its people."""

    group: str
    rate: Interval
    errors: int
    comparisons: int
    people: int


@dataclass(frozen=True, slots=True)
class Groups:
    """Both error rates by group at *threshold*, worst first; ``refused`` says what is missing."""

    column: str
    threshold: float
    false_matches: tuple[GroupRate, ...]
    false_non_matches: tuple[GroupRate, ...]
    refused: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """What a group's comparisons gave: false matches as pairs (E, 2) of people, rest by person."""

    people: int
    pictures: npt.NDArray[np.float64]
    confused: IntArray
    mated: npt.NDArray[np.float64]
    missed: npt.NDArray[np.float64]

    def nonmated(self, times: npt.NDArray[np.float64]) -> float:
        """Return how many non-mated comparisons there are if each person came *times*."""
        held = times * self.pictures
        return float(held.sum() ** 2 - (held**2).sum()) / 2


def read_column(directory: Path, index: Index, column: str) -> list[str]:
    """Return the value of *column* for each picture of *index*; empty where there is none.

    Args:
        directory: holds index.csv, whose column `file` names the pictures, as archives of crops and
            `janus prepare` have it. `source` needs no such file.
        index: the pictures.
        column: of index.csv; several with commas between are taken together.

    Raises:
        ConfigError: if there is no such file or column.
    """
    if column == SOURCE:
        return [each.source for each in index.pictures]
    listing = directory / _LISTING
    if not listing.is_file():
        raise ConfigError(
            f"--group {column}: there is no {listing}; write one with the columns file and "
            f"{column}, a row for each picture, or use --group {SOURCE}"
        )
    with listing.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        known = reader.fieldnames or ()
        wanted = column.split(",")
        if missing := [each for each in ("file", *wanted) if each not in known]:
            raise ConfigError(
                f"{listing} has no column {missing[0]!r}; its columns are {', '.join(known)}"
            )
        values = {row["file"]: [row[each] or "" for each in wanted] for row in reader}
    found = [values.get(each.path, [""]) for each in index.pictures]
    return [", ".join(each) if all(each) else "" for each in found]


def measure_groups(
    embeddings: FloatArray,
    numbers: IntArray,
    groups: Sequence[str],
    *,
    column: str,
    threshold: float,
    seed: int = 0,
) -> Groups:
    """Measure false matches and false non-matches within each group at *threshold*.

    A group's rate is stated where the rule of 30 holds for the rate of all groups together: with
    fewer comparisons than 30 / rate a group could not be told from the others.

    Args:
        embeddings: (N, D) of the pictures.
        numbers: (N,) their subjects.
        groups: (N,) their groups; pictures with an empty one are left out.
        column: what the groups are.
        threshold: lowest cosine that matches.
        seed: of the intervals' draws.
    """
    unit = unit_rows(embeddings)
    labels = np.array(groups)
    counts = {
        str(name): _count(unit[labels == name], numbers[labels == name], threshold)
        for name in np.unique(labels[labels != ""])
    }
    refused: list[str] = []
    return Groups(
        column,
        threshold,
        _rates("FMR", counts, _false_matches, seed, refused),
        _rates("FNMR", counts, _false_non_matches, seed, refused),
        tuple(refused),
    )


def group_lines(found: Groups) -> list[str]:
    """Return both lists, worst group first, with what the counts refuse."""
    what = "worst first, in brackets 95 % intervals over people:"
    lines = [f"  within each group, at threshold {found.threshold:.3f}; {what}"]
    for name, rates in (("FMR", found.false_matches), ("FNMR", found.false_non_matches)):
        lines += [
            f"  {name} {each.rate.rate:.3%} ({each.rate.low:.3%} to {each.rate.high:.3%}) "
            f"{each.group}: {each.errors:,} of {each.comparisons:,} comparisons, "
            f"{each.people:,} people"
            for each in rates
        ]
    return lines + [f"  not stated: {reason}" for reason in found.refused]


def _count(unit: FloatArray, subjects: IntArray, threshold: float) -> _Counts:
    _, numbers = np.unique(subjects, return_inverse=True)
    people = int(numbers.max()) + 1
    pictures = np.bincount(numbers, minlength=people).astype(np.float64)
    missed, confused = np.zeros(people), []
    for start in range(0, len(unit), _ROWS):
        scores = unit[start : start + _ROWS] @ unit[start:].T
        later = np.triu(np.ones_like(scores, np.bool_), k=1)
        same = numbers[start : start + _ROWS, None] == numbers[None, start:]
        matches = scores >= np.float32(threshold)
        ours, _ = np.nonzero(later & same & ~matches)
        missed += np.bincount(numbers[start + ours], minlength=people)
        one, other = np.nonzero(later & ~same & matches)
        confused.append(np.stack([numbers[start + one], numbers[start + other]], axis=1))
    return _Counts(
        people, pictures, np.concatenate(confused), pictures * (pictures - 1) / 2, missed
    )


_Ratio = tuple[float, float]
_Kind = Callable[[_Counts, npt.NDArray[np.float64]], _Ratio]


def _false_matches(held: _Counts, times: npt.NDArray[np.float64]) -> _Ratio:
    errors = (times[held.confused[:, 0]] * times[held.confused[:, 1]]).sum()
    return float(errors), held.nonmated(times)


def _false_non_matches(held: _Counts, times: npt.NDArray[np.float64]) -> _Ratio:
    return float((times * held.missed).sum()), float((times * held.mated).sum())


def _rates(
    name: str, counts: Mapping[str, _Counts], kind: _Kind, seed: int, refused: list[str]
) -> tuple[GroupRate, ...]:
    """Return the rate of each group that its count supports, worst first; add to *refused*."""
    measured = {group: kind(held, np.ones(held.people)) for group, held in counts.items()}
    errors, comparisons = np.sum([*measured.values(), (0.0, 0.0)], axis=0)
    if not comparisons:
        refused.append(f"{name}: nobody has a second picture" if name == "FNMR" else name)
        return ()
    if not 0 < errors < comparisons:
        refused.append(
            f"{name} by group: {errors:,.0f} errors in {comparisons:,.0f} comparisons of all "
            "groups tell none of them from another; choose another --threshold"
        )
        return ()
    needed = comparisons_needed(errors / comparisons)
    found = []
    for group, held in counts.items():
        wrong, compared = measured[group]
        people = int((held.mated > 0).sum()) if name == "FNMR" else held.people
        if compared < needed or people < LEAST_PEOPLE:
            refused.append(
                f"{name} of {group}: {compared:,.0f} comparisons of {people} people; needs "
                f"{needed:,} comparisons and {LEAST_PEOPLE} people"
            )
            continue
        rate = over_people(_statistic(held, kind), held.people, seed)
        found.append(GroupRate(group, rate, int(wrong), int(compared), people))
    return tuple(sorted(found, key=lambda each: -each.rate.rate))


def _statistic(held: _Counts, kind: _Kind) -> Callable[[IntArray], float]:
    def rate(drawn: IntArray) -> float:
        times = np.bincount(drawn, minlength=held.people).astype(np.float64)
        errors, comparisons = kind(held, times)
        return errors / comparisons if comparisons else math.nan

    return rate
