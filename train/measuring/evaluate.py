"""Measure an encoder on people whom it has never seen, and refuse what the count cannot support."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from edge.vocabulary import FloatArray
from train.errors import TooFewComparisonsError
from train.measuring.metrics import (
    IntArray,
    Interval,
    area_under_roc,
    compare_all,
    equal_error_rate,
    one_shot_trials,
    open_set_errors,
    tar_at_fmr,
    threshold_at_fmr,
    unit_rows,
)
from train.measuring.resampling import Redraws, over_people

RATES = (1e-1, 1e-2, 1e-3, 1e-4)
WAYS = (5, 10, 20)
GALLERIES = (5, 10, 20, 50, 100)
_DRAWS = 20
_TRIALS = 2000


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Searches of a gallery of one picture a person, at the threshold that 1:1 *fmr* gave.

    ``fpir`` is the share of strangers for whom the door would open, ``fnir`` of enrolled people for
    whom it would not; intervals are over the people who search. Without such searches a rate is NaN
    and its interval 0 to 1.
    """

    gallery: int
    fmr: str
    fpir: Interval
    fnir: Interval
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
    tar: dict[str, Interval]
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
    eer = equal_error_rate(mated, nonmated)
    accepted, threshold, refused = {}, {}, []
    for rate in RATES:
        try:
            threshold[f"{rate:g}"] = threshold_at_fmr(nonmated, rate)
            accepted[f"{rate:g}"] = tar_at_fmr(mated, nonmated, rate)
        except TooFewComparisonsError as exc:
            refused.append(f"TAR at FMR {rate:g}: {exc}")
    first, *others = Redraws(compared, people, seed=seed).intervals(
        [float(rate) for rate in accepted], [eer, *accepted.values()]
    )
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
    return Verification(
        subjects=people,
        pictures=len(numbers),
        mated=mated.size,
        nonmated=nonmated.size,
        equal_error_rate=first,
        area_under_roc=area_under_roc(mated, nonmated),
        tar=dict(zip(accepted, others, strict=True)),
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
    return over_people(lambda drawn: float(rates[drawn].mean()), len(people), seed)


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
    pictures_of = [np.flatnonzero(numbers == each) for each in range(int(numbers.max()) + 1)]
    let_in, not_found = _Tally(len(pictures_of)), _Tally(len(pictures_of))
    for _ in range(_DRAWS):
        people = rng.permutation(len(pictures_of))[:gallery]
        enrolled = np.array([rng.choice(pictures_of[each]) for each in people])
        column = np.full(len(pictures_of), -1)
        column[people] = np.arange(gallery)
        probes = np.setdiff1d(np.arange(len(numbers)), enrolled)
        searches, who = unit[probes] @ unit[enrolled].T, numbers[probes]
        stranger = column[who] < 0
        wrongly_in, missed = open_set_errors(searches, column[who], threshold)
        let_in.add(who[stranger], wrongly_in[stranger])
        not_found.add(who[~stranger], missed[~stranger])
    return OpenSet(
        gallery, rate, let_in.rate(seed), not_found.rate(seed), let_in.searches, not_found.searches
    )


class _Tally:
    """Errors and searches of each person."""

    def __init__(self, people: int) -> None:
        self._errors, self._searches = np.zeros(people), np.zeros(people)

    def add(self, who: IntArray, wrong: npt.NDArray[np.bool_]) -> None:
        self._searches += np.bincount(who, minlength=len(self._searches))
        self._errors += np.bincount(who, wrong, len(self._errors))

    @property
    def searches(self) -> int:
        return int(self._searches.sum())

    def rate(self, seed: int) -> Interval:
        searched = np.flatnonzero(self._searches)
        if not searched.size:
            return Interval(float("nan"), 0.0, 1.0)
        errors, searches = self._errors[searched], self._searches[searched]
        return over_people(
            lambda drawn: float(errors[drawn].sum() / searches[drawn].sum()), len(searched), seed
        )


def honest_lines(found: Verification) -> list[str]:
    """Return what was measured, with what the count refuses."""
    lines = [
        (
            f"{found.subjects} people, {found.pictures} pictures, compared by cosine; in brackets "
            "95 % intervals over people:"
        ),
        f"  {found.mated:,} mated and {found.nonmated:,} non-mated comparisons",
        f"  EER {spread(found.equal_error_rate)}",
        f"  AUC {found.area_under_roc:.4f}",
    ]
    lines += [
        f"  TAR {spread(value)} at FMR {rate}, threshold {found.threshold[rate]:.3f}"
        for rate, value in found.tar.items()
    ]
    lines += [
        f"  {ways}-way one-shot {spread(hits, digits=1)}" for ways, hits in found.one_shot.items()
    ]
    lines += [
        f"  gallery of {each.gallery} at FMR {each.fmr}: FPIR {spread(each.fpir)} of "
        f"{each.stranger_searches:,} searches, FNIR {spread(each.fnir)} of {each.mated_searches:,}"
        for each in found.searches
    ]
    return lines + [f"  not stated: {reason}" for reason in found.refused]


def spread(found: Interval, *, digits: int = 2) -> str:
    """Return a rate with its 95 % interval, for people to read."""
    low, high = f"{found.low:.{digits}%}", f"{found.high:.{digits}%}"
    return f"{found.rate:.{digits}%} ({low} to {high})"
