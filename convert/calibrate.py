"""Choose the threshold on int8 scores of people whom the encoder was not fitted on.

What makes people independent: two comparisons that share a person are not. Among S people there
are S(S-1)/2 pairs of people, however many pictures each has, and every person is in S-1 of them.
So three things guard a stated FMR. Doddington's rule of 30 asks for enough comparisons; one pair of
look-alikes must not be the whole rate, which asks for 1/FMR pairs of people; and the upper limit is
Clopper and Pearson's with the effective number of comparisons of Korn and Graubard (Survey
Methodology 24, 1998), from the rate's variance over people and over pairs of people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.vocabulary import OperatingPoint
from train.errors import TooFewComparisonsError
from train.measuring.metrics import (
    Comparisons,
    clopper_pearson,
    comparisons_needed,
    fmr_at,
    fnmr_at,
    threshold_at_fmr,
)

SquareArray = npt.NDArray[np.float64]
_RULE_OF_30 = 30


@dataclass(frozen=True, slots=True)
class Calibration:
    """An operating point with what its evidence rests on.

    ``fmr_upper`` is the upper limit of the FMR's 95 % interval; ``effective_comparisons`` says how
    many independent comparisons the non-mated ones are worth.
    """

    point: OperatingPoint
    subjects: int
    effective_comparisons: int
    fmr_upper: float


def calibrate(compared: Comparisons, fmr: float, data_id: str) -> Calibration:
    """Return the lowest threshold whose measured FMR is at most *fmr*, with its evidence.

    Args:
        compared: every two pictures, by the int8 encoder.
        fmr: false match rate of 1:1 comparisons, between 0 and 1.
        data_id: names and fingerprints the pictures.

    Raises:
        TooFewComparisonsError: if the pictures cannot support *fmr*; it says how many could.
    """
    subjects = np.unique(compared.subjects).size
    nonmated, mated = compared.nonmated, compared.mated
    check_support(fmr, subjects=subjects, nonmated=nonmated.size, mated=mated.size)
    threshold = threshold_at_fmr(nonmated, fmr)
    point = OperatingPoint(
        threshold=threshold,
        fmr=fmr_at(nonmated, threshold),
        fnmr=fnmr_at(mated, threshold),
        comparisons=int(nonmated.size),
        mated=int(mated.size),
        data_id=data_id,
    )
    effective = effective_comparisons(compared, threshold)
    # Rounded up: a part of a false match counts as one.
    upper = clopper_pearson(math.ceil(point.fmr * effective - 1e-9), effective).high
    return Calibration(point, subjects, effective, upper)


def check_support(fmr: float, *, subjects: int, nonmated: int, mated: int) -> None:
    """Refuse an FMR that so many subjects and comparisons cannot support.

    Raises:
        TooFewComparisonsError: with the numbers needed, and the lowest FMR that could be stated.
    """
    if not mated or not nonmated:
        raise TooFewComparisonsError(
            f"{subjects} subjects give {mated} mated and {nonmated} non-mated comparisons; a "
            "threshold needs both: add people, and a second picture of some of them"
        )
    lowest = lowest_fmr(subjects, nonmated)
    if fmr < lowest:
        raise TooFewComparisonsError(
            f"{subjects} subjects with {nonmated:,} non-mated comparisons cannot support FMR "
            f"{fmr:g}; that takes {subjects_needed(fmr)} subjects and {comparisons_needed(fmr):,} "
            f"comparisons: add people to --calibration, or ask for --fmr {_rounded_up(lowest):g}"
        )


def lowest_fmr(subjects: int, nonmated: int) -> float:
    """Return the lowest FMR that so many subjects and non-mated comparisons support, at most 1."""
    if subjects < 2 or not nonmated:  # noqa: PLR2004 - a pair
        return 1.0
    return min(1.0, max(2 / (subjects * (subjects - 1)), _RULE_OF_30 / nonmated))


def subjects_needed(fmr: float) -> int:
    """Return the smallest number of people who make 1 / *fmr* pairs.

    With fewer, one pair of people who always match is a higher rate than the one to be stated.
    """
    return math.ceil((1 + math.sqrt(1 + 8 / fmr)) / 2 - 1e-9)


def effective_comparisons(compared: Comparisons, threshold: float) -> int:
    """Return how many independent comparisons the non-mated ones are worth at *threshold*.

    The number whose binomial variance equals the variance of the FMR over subjects, or over pairs
    of subjects if that is larger; between 1 and the number of comparisons. Where none or all match
    there is no variance to go by, and it is the number of pairs of subjects.
    """
    pairs = compared.subjects[compared.subjects[:, 0] != compared.subjects[:, 1]]
    names, numbers = np.unique(pairs, return_inverse=True)
    shape = (len(names), len(names))
    matches = compared.nonmated >= np.float32(threshold)
    first, second = numbers.reshape(-1, 2).T
    # (S, S) counts of comparisons and of false matches, whichever of the two subjects comes first.
    counted, false = np.zeros(shape), np.zeros(shape)
    np.add.at(counted, (np.minimum(first, second), np.maximum(first, second)), 1.0)
    np.add.at(false, (np.minimum(first, second), np.maximum(first, second)), matches)
    total, rate = counted.sum(), false.sum() / counted.sum()
    if rate in (0.0, 1.0):
        return int(np.count_nonzero(counted))
    excess = false - rate * counted  # (S, S) of each pair of subjects
    over_pairs = float(np.sum(excess**2)) / total**2
    variance = max(over_pairs, _variance_over_subjects(counted, false))
    return int(np.clip(rate * (1 - rate) / variance, 1, total))


def _variance_over_subjects(counted: SquareArray, false: SquareArray) -> float:
    """Return the variance of the rate false / counted, by leaving out one subject at a time."""
    counted_without = counted.sum() - counted.sum(axis=0) - counted.sum(axis=1)
    false_without = false.sum() - false.sum(axis=0) - false.sum(axis=1)
    some_left = counted_without > 0  # of two subjects, leaving one out leaves nothing
    without = false_without[some_left] / counted_without[some_left]
    people = len(without)
    if people < 2:  # noqa: PLR2004 - a variance needs two
        return math.inf
    return float(np.sum((without - without.mean()) ** 2)) * (people - 1) / people


def _rounded_up(rate: float) -> float:
    """Return *rate* with two significant digits, never lower."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return math.ceil(rate / step - 1e-9) * step
