"""Measure an encoder on people whom it has never seen, and refuse what the count cannot support."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge.vocabulary import FloatArray
from train.errors import TooFewComparisonsError
from train.metrics import (
    IntArray,
    Interval,
    area_under_roc,
    bootstrap_interval,
    compare_all,
    equal_error_rate,
    one_shot_trials,
    open_set_rates,
    tar_at_fmr,
    ten_fold_accuracy,
    threshold_at_fmr,
    unit_rows,
)

RATES = (1e-1, 1e-2, 1e-3, 1e-4)
WAYS = (5, 10, 20)
GALLERIES = (5, 10, 20, 50, 100)
_DRAWS = 20
_LEAST_PEOPLE = 5  # to resample: fewer give nearly the same people every time
_TRIALS = 2000
_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Searches of a gallery of one picture a person, at the threshold that 1:1 *fmr* gave.

    ``fpir`` is the share of strangers for whom the door would open, ``fnir`` of enrolled people for
    whom it would not.
    """

    gallery: int
    fmr: str
    fpir: float
    fnir: float
    stranger_searches: int
    mated_searches: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What was measured on held-out people.

    ``tar`` and ``threshold`` are keyed by the FMR and hold only those that the count supports;
    ``refused`` says why the others are missing. ``one_shot`` is keyed by the number of ways.
    """

    subjects: int
    pictures: int
    mated: int
    nonmated: int
    equal_error_rate: Interval
    area_under_roc: float
    tar: dict[str, float]
    threshold: dict[str, float]
    one_shot: dict[str, Interval]
    searches: tuple[OpenSet, ...]
    refused: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return asdict(self)


def verify(embeddings: FloatArray, subjects: IntArray, *, seed: int = 0) -> Verification:
    """Measure *embeddings* (N, D) of *subjects* (N,) by cosine, as the door compares them.

    Intervals are 95 % bootstrap intervals over subjects.

    Raises:
        TooFewComparisonsError: if there are no mated or no non-mated pairs at all.
    """
    _, numbers = np.unique(subjects, return_inverse=True)
    people = int(numbers.max()) + 1
    compared = compare_all(embeddings, numbers)
    mated, nonmated = compared.mated, compared.nonmated
    tar, threshold, refused = {}, {}, []
    for rate in RATES:
        try:
            threshold[f"{rate:g}"] = threshold_at_fmr(nonmated, rate)
            tar[f"{rate:g}"] = tar_at_fmr(mated, nonmated, rate)
        except TooFewComparisonsError as exc:
            refused.append(f"TAR at FMR {rate:g}: {exc}")
    one_shot = {}
    for ways in WAYS:
        try:
            one_shot[str(ways)] = one_shot_rate(embeddings, numbers, ways=ways, seed=seed)
        except TooFewComparisonsError as exc:
            refused.append(f"{ways}-way one-shot: {exc}")

    sizes = [each for each in GALLERIES if each < people]
    searched = [
        open_set(embeddings, numbers, gallery=size, rate=rate, threshold=at, seed=seed)
        for rate, at in threshold.items()
        for size in sizes
    ]

    def eer(drawn: IntArray) -> float:
        if np.unique(drawn).size == 1:
            return math.nan  # one person alone has no non-mated comparison
        again = compared.redrawn(drawn)
        return equal_error_rate(again.mated, again.nonmated)

    return Verification(
        subjects=people,
        pictures=len(numbers),
        mated=mated.size,
        nonmated=nonmated.size,
        equal_error_rate=_over_people(eer, people, seed),
        area_under_roc=area_under_roc(mated, nonmated),
        tar=tar,
        threshold=threshold,
        one_shot=one_shot,
        searches=tuple(searched),
        refused=tuple(refused),
    )


def one_shot_rate(embeddings: FloatArray, numbers: IntArray, *, ways: int, seed: int) -> Interval:
    """Return the share of one-shot searches that find the right one of *ways* people.

    Raises:
        TooFewComparisonsError: if there are fewer people than *ways*.
    """
    hits, mates = one_shot_trials(embeddings, numbers, ways=ways, trials=_TRIALS, seed=seed)
    people = np.unique(mates)
    rates = np.array([hits[mates == each].mean() for each in people])
    return _over_people(lambda drawn: float(rates[drawn].mean()), len(people), seed)


def open_set(
    embeddings: FloatArray,
    numbers: IntArray,
    *,
    gallery: int,
    rate: str,
    threshold: float,
    seed: int,
) -> OpenSet:
    """Enrol *gallery* people from one picture each, and search it with everybody's other pictures.

    Who is enrolled, from which picture, is drawn 20 times.
    """
    rng = np.random.default_rng(seed)
    unit = unit_rows(embeddings)
    searches, mates = [], []
    for _ in range(_DRAWS):
        people = rng.permutation(int(numbers.max()) + 1)[:gallery]
        enrolled = np.array([rng.choice(np.flatnonzero(numbers == each)) for each in people])
        column = np.full(int(numbers.max()) + 1, -1)
        column[people] = np.arange(gallery)
        probes = np.setdiff1d(np.arange(len(numbers)), enrolled)
        searches.append(unit[probes] @ unit[enrolled].T)
        mates.append(column[numbers[probes]])
    drawn = np.concatenate(mates)
    fpir, fnir = open_set_rates(np.concatenate(searches), drawn, threshold)
    strangers = int((drawn < 0).sum())
    return OpenSet(gallery, rate, fpir, fnir, strangers, len(drawn) - strangers)


def _over_people(statistic: Callable[[IntArray], float], people: int, seed: int) -> Interval:
    """Return the bootstrap interval over people; of very few of them 0 to 1: nothing is known."""
    if people < _LEAST_PEOPLE:
        return Interval(statistic(np.arange(people)), 0.0, 1.0)
    return bootstrap_interval(statistic, people, seed=seed, rounds=_ROUNDS)


def by_group(
    embeddings: FloatArray, numbers: IntArray, groups: Sequence[str]
) -> list[tuple[str, float, int]]:
    """Return (group, equal error rate, subjects) for each of *groups* (N,), worst first.

    Groups without a mated and a non-mated pair are left out.
    """
    found = []
    for group in sorted(set(groups)):
        chosen = np.array([each == group for each in groups])
        compared = compare_all(embeddings[chosen], numbers[chosen])
        if compared.mated.size and compared.nonmated.size:
            rate = equal_error_rate(compared.mated, compared.nonmated)
            found.append((group, rate, len(np.unique(numbers[chosen]))))
    return sorted(found, key=lambda each: -each[1])


def honest_lines(found: Verification) -> list[str]:
    """Return what was measured, with what the count refuses."""
    eer = found.equal_error_rate
    lines = [
        f"{found.subjects} people, {found.pictures} pictures, compared by cosine:",
        f"  {found.mated:,} mated and {found.nonmated:,} non-mated comparisons",
        f"  EER {eer.rate:.2%} (95 % interval {eer.low:.2%} to {eer.high:.2%})",
        f"  AUC {found.area_under_roc:.4f}",
    ]
    lines += [
        f"  TAR {value:.2%} at FMR {rate}, threshold {found.threshold[rate]:.3f}"
        for rate, value in found.tar.items()
    ]
    lines += [
        f"  {ways}-way one-shot {hits.rate:.1%} (95 % interval {hits.low:.1%} to {hits.high:.1%})"
        for ways, hits in found.one_shot.items()
    ]
    lines += [
        f"  gallery of {each.gallery} at FMR {each.fmr}: FPIR {each.fpir:.2%} of "
        f"{each.stranger_searches:,} searches, FNIR {each.fnir:.2%} of {each.mated_searches:,}"
        for each in found.searches
    ]
    return lines + [f"  not stated: {reason}" for reason in found.refused]


def lfw_ten_folds(
    embeddings: FloatArray, paths: Sequence[str], pairs: Sequence[tuple[str, str, bool, int]]
) -> tuple[Interval, int]:
    """Measure by LFW's protocol.

    Args:
        embeddings: (N, D) of the pictures.
        paths: (N,) whose stems (`Ada_Lovelace_0001`) the pairs name.
        pairs: as `train.datasets.read_lfw_pairs` gives them.

    Returns:
        The accuracy with one standard error, and how many pairs lack a picture (no face found):
        those count as wrong.
    """
    unit = unit_rows(embeddings)
    at = {Path(path).stem: number for number, path in enumerate(paths)}
    # A pair that cannot be compared scores as its opposite would: wrong at every threshold.
    scores = np.array(
        [
            unit[at[one]] @ unit[at[other]] if one in at and other in at else 1.0 - 2.0 * mated
            for one, other, mated, _ in pairs
        ],
        np.float32,
    )
    missing = sum(one not in at or other not in at for one, other, _, _ in pairs)
    labels = np.array([mated for _, _, mated, _ in pairs])
    return ten_fold_accuracy(scores, labels, np.array([fold for *_, fold in pairs])), missing
