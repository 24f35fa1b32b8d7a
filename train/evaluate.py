"""Measure an encoder on people whom it has never seen, and refuse what the count cannot support."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

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
    tar_at_fmr,
    threshold_at_fmr,
)

RATES = (1e-1, 1e-2, 1e-3, 1e-4)
WAYS = (5, 10, 20)
_TRIALS = 2000
_ROUNDS = 200


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
        equal_error_rate=bootstrap_interval(eer, people, seed=seed, rounds=_ROUNDS),
        area_under_roc=area_under_roc(mated, nonmated),
        tar=tar,
        threshold=threshold,
        one_shot=one_shot,
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
    return bootstrap_interval(
        lambda drawn: float(rates[drawn].mean()), len(people), seed=seed, rounds=_ROUNDS
    )
