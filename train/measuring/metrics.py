"""Error rates of face comparison, their thresholds and their intervals; numpy only.

Scores are cosine similarities: higher is more alike, ``score >= threshold`` is a match. *Mated*
scores compare two pictures of one subject, *non-mated* scores pictures of two. Rates are shares in
[0, 1]. Every function is pure; whatever draws at random takes a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.vocabulary import FloatArray
from train.errors import TooFewComparisonsError

IntArray = npt.NDArray[np.int64]
_RULE_OF_30 = 30


@dataclass(frozen=True, slots=True)
class Interval:
    """A rate with the limits of its interval at the stated level (0.95 unless told)."""

    rate: float
    low: float
    high: float


def fmr_at(nonmated: FloatArray, threshold: float) -> float:
    """Return the share of non-mated scores that match at *threshold*."""
    return float(np.mean(_filled(nonmated, "non-mated") >= np.float32(threshold)))


def fnmr_at(mated: FloatArray, threshold: float) -> float:
    """Return the share of mated scores that do not match at *threshold*."""
    return float(np.mean(_filled(mated, "mated") < np.float32(threshold)))


def threshold_at_fmr(nonmated: FloatArray, fmr: float) -> float:
    """Return the lowest threshold whose measured false match rate is at most *fmr*.

    Args:
        nonmated: (K,) scores of different subjects, in any order.
        fmr: the highest rate allowed, between 0 and 1.

    Raises:
        TooFewComparisonsError: if K is below 30 / fmr, Doddington's rule of 30: so many make the
            true rate lie within 30 % of the measured one at 90 % confidence.
    """
    needed = comparisons_needed(fmr)
    if nonmated.size < needed:
        raise TooFewComparisonsError(
            f"{nonmated.size:,} non-mated comparisons cannot support FMR {fmr:g}; need "
            f"{needed:,}: add subjects or pictures, or ask for a higher rate"
        )
    return _threshold_above(nonmated, int(nonmated.size * fmr + 1e-9))


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score that matches, and the false match rate that it was chosen for."""

    score: float
    fmr: float


def strictest_threshold(nonmated: FloatArray) -> Threshold | None:
    """Return the threshold of the lowest rate that the count supports (30 / K), if any."""
    if nonmated.size <= _RULE_OF_30:
        return None
    fmr = _RULE_OF_30 / nonmated.size
    return Threshold(threshold_at_fmr(nonmated, fmr), fmr)


def comparisons_needed(fmr: float) -> int:
    """Return how many non-mated comparisons the rule of 30 asks for at *fmr*.

    Raises:
        ValueError: if *fmr* is not strictly between 0 and 1.
    """
    if not 0 < fmr < 1:
        raise ValueError(f"a false match rate lies between 0 and 1; got {fmr!r}")
    return math.ceil(_RULE_OF_30 / fmr - 1e-6)


def tar_at_fmr(mated: FloatArray, nonmated: FloatArray, fmr: float) -> float:
    """Return the true accept rate, 1 - FNMR, at the threshold that *fmr* gives.

    Raises:
        TooFewComparisonsError: as `threshold_at_fmr`.
    """
    return 1.0 - fnmr_at(mated, threshold_at_fmr(nonmated, fmr))


def det_curve(
    mated: FloatArray, nonmated: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return thresholds (T,) in rising order, with the FMR and the FNMR (T,) at each.

    The thresholds are all scores that occur, and one just above the highest: there FMR is 0.
    """
    mated, nonmated = np.sort(_filled(mated, "mated")), np.sort(_filled(nonmated, "non-mated"))
    scores = np.unique(np.concatenate([mated, nonmated]))
    thresholds = np.append(scores, np.nextafter(scores[-1], np.float32(np.inf)))
    fmr = 1.0 - np.searchsorted(nonmated, thresholds, side="left") / nonmated.size
    fnmr = np.searchsorted(mated, thresholds, side="left") / mated.size
    return thresholds, fmr, fnmr


def equal_error_rate(mated: FloatArray, nonmated: FloatArray) -> float:
    """Return the rate at which FMR and FNMR are equal: their mean where they cross."""
    _, fmr, fnmr = det_curve(mated, nonmated)
    crossing = int(np.argmin(np.abs(fmr - fnmr)))
    return float(fmr[crossing] + fnmr[crossing]) / 2


def area_under_roc(mated: FloatArray, nonmated: FloatArray) -> float:
    """Return how often a mated score is above a non-mated one; a tie counts one half."""
    below = np.sort(_filled(nonmated, "non-mated"))
    wins = np.searchsorted(below, mated, "left") + np.searchsorted(below, mated, "right")
    return float(wins.mean()) / (2 * below.size)


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Pictures compared with one another: scores (K,), and the subjects (K, 2) that they show."""

    scores: FloatArray
    subjects: npt.NDArray[np.integer[Any]]

    @property
    def mated(self) -> FloatArray:
        """Scores of pairs of one subject."""
        return self.scores[self.same]

    @property
    def nonmated(self) -> FloatArray:
        """Scores of pairs of two subjects."""
        return self.scores[~self.same]

    @property
    def same(self) -> npt.NDArray[np.bool_]:
        """Whether a comparison is of one subject, (K,)."""
        same: npt.NDArray[np.bool_] = self.subjects[:, 0] == self.subjects[:, 1]
        return same

    def redrawn(self, drawn: IntArray) -> Comparisons:
        """Return the comparisons of the subjects *drawn*, each as often as it was drawn."""
        times = np.bincount(drawn, minlength=int(self.subjects.max()) + 1)
        first, second = times[self.subjects[:, 0]], times[self.subjects[:, 1]]
        repeats = np.where(self.same, first, first * second)
        return Comparisons(np.repeat(self.scores, repeats), np.repeat(self.subjects, repeats, 0))


def compare_all(embeddings: FloatArray, subjects: IntArray) -> Comparisons:
    """Compare every two pictures once, by cosine.

    Args:
        embeddings: (N, D) float32, any length; a row of zeros scores 0 with everything.
        subjects: (N,) one number a subject, from 0.
    """
    unit = unit_rows(embeddings)
    count = len(unit)
    scores = np.empty(count * (count - 1) // 2, np.float32)
    shown = np.empty((len(scores), 2), np.int32)
    filled = 0
    # Row by row: the index arrays of all pairs at once would be twice as large as the result.
    for at in range(count - 1):
        part = slice(filled, filled + count - 1 - at)
        scores[part] = unit[at + 1 :] @ unit[at]
        shown[part, 0], shown[part, 1] = subjects[at], subjects[at + 1 :]
        filled = part.stop
    return Comparisons(scores, shown)


def unit_rows(embeddings: FloatArray) -> FloatArray:
    """Return *embeddings* (N, D) scaled to unit length; rows of zeros stay zeros."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit: FloatArray = (embeddings / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit


def open_set_errors(
    searches: FloatArray, mates: IntArray, threshold: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which searches of a gallery go wrong, as the door searches it.

    Args:
        searches: (S, G) scores of S probes with G enrolled subjects (best reference of each).
        mates: (S,) column of the probe's own subject, or -1 if that subject is not enrolled.
        threshold: lowest score that matches.

    Returns:
        (S,) whether a stranger's best score matches; (S,) whether an enrolled person's best column
        is another's, or does not match. Each is False where the other applies.
    """
    matches = searches.max(axis=1) >= np.float32(threshold)
    enrolled = mates >= 0
    found = matches & (searches.argmax(axis=1) == mates)
    return matches & ~enrolled, enrolled & ~found


def open_set_rates(searches: FloatArray, mates: IntArray, threshold: float) -> tuple[float, float]:
    """Return FPIR and FNIR: the shares of `open_set_errors` among strangers and enrolled people.

    NaN where there are no such searches.
    """
    let_in, missed = open_set_errors(searches, mates, threshold)
    enrolled = mates >= 0
    fpir = float(let_in[~enrolled].mean()) if (~enrolled).any() else math.nan
    fnir = float(missed[enrolled].mean()) if enrolled.any() else math.nan
    return fpir, fnir


def one_shot_trials(
    embeddings: FloatArray, subjects: IntArray, *, ways: int, trials: int, seed: int
) -> tuple[npt.NDArray[np.bool_], IntArray]:
    """Search *ways* single references for a probe's subject, *trials* times.

    Each trial draws *ways* subjects, one reference of each, and another picture of the first of
    them as the probe; a tie is an error.

    Returns:
        (trials,) whether the probe's own subject scored highest, and (trials,) that subject.

    Raises:
        TooFewComparisonsError: if fewer than *ways* subjects have a picture, or none has two.
    """
    unit = unit_rows(embeddings)
    rng = np.random.default_rng(seed)
    people = [np.flatnonzero(subjects == each) for each in np.unique(subjects)]
    probed = [at for at, pictures in enumerate(people) if pictures.size > 1]
    if len(people) < ways or not probed:
        raise TooFewComparisonsError(
            f"{len(people)} subjects, {len(probed)} of them with two pictures or more, cannot "
            f"support {ways}-way one-shot trials; ask for fewer ways"
        )
    hits, mates = np.zeros(trials, np.bool_), np.zeros(trials, np.int64)
    for trial in range(trials):
        mate = probed[rng.integers(len(probed))]
        others = rng.permutation([at for at in range(len(people)) if at != mate])[: ways - 1]
        probe, reference = rng.permutation(people[mate])[:2]
        impostors = [people[at][rng.integers(people[at].size)] for at in others]
        hits[trial] = unit[probe] @ unit[reference] > (unit[impostors] @ unit[probe]).max()
        mates[trial] = mate
    return hits, mates


def ten_fold_accuracy(
    scores: FloatArray, mated: npt.NDArray[np.bool_], folds: IntArray
) -> Interval:
    """Return LFW's figure: mean accuracy over folds, each at the threshold best on the others.

    Args:
        scores: (K,) one a pair.
        mated: (K,) whether the pair shows one subject.
        folds: (K,) the pair's fold.

    Returns:
        The mean, with limits one standard error of the mean below and above.
    """
    accuracies = []
    for fold in np.unique(folds):
        tested = folds == fold
        thresholds, fmr, fnmr = det_curve(scores[~tested & mated], scores[~tested & ~mated])
        threshold = thresholds[int(np.argmin(fmr + fnmr))]
        accuracies.append(np.mean((scores[tested] >= threshold) == mated[tested]))
    mean, spread = float(np.mean(accuracies)), float(np.std(accuracies, ddof=1))
    error = spread / math.sqrt(len(accuracies))
    return Interval(mean, mean - error, mean + error)


def clopper_pearson(errors: int, trials: int, level: float = 0.95) -> Interval:
    """Return the exact binomial interval of *errors* out of *trials* independent comparisons.

    The limits are found by bisection on the binomial's own sum, so no quantile of the beta
    distribution (scipy) is needed.

    Raises:
        ValueError: unless 0 <= errors <= trials and trials > 0.
    """
    if not 0 <= errors <= trials or trials == 0:
        raise ValueError(f"{errors} errors out of {trials} trials is no rate")
    tail = (1 - level) / 2
    low = 0.0 if errors == 0 else 1 - _upper_limit(trials - errors, trials, tail)
    high = 1.0 if errors == trials else _upper_limit(errors, trials, tail)
    return Interval(errors / trials, low, high)


def bootstrap_interval(
    statistic: Callable[[IntArray], float],
    units: int,
    *,
    seed: int,
    rounds: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Return a statistic with its percentile interval over resampled units.

    Units are subjects, not comparisons: comparisons that share a subject are not independent.

    Args:
        statistic: called with (units,) numbers of the units drawn, repeats included.
        units: how many there are to draw from.
        seed: of the draws.
        rounds: how often they are drawn.
        level: of the interval.
    """
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.integers(units, size=units)) for _ in range(rounds)]
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(statistic(np.arange(units)), float(low), float(high))


def _filled(scores: FloatArray, kind: str) -> FloatArray:
    if scores.size == 0:
        raise TooFewComparisonsError(f"there are no {kind} comparisons; add pictures or subjects")
    return scores


def _threshold_above(nonmated: FloatArray, matches: int) -> float:
    first_non_match = np.sort(nonmated.astype(np.float32))[::-1][matches]
    # Just above it in float32, the scores' own type, so that ties are non-matches.
    return float(np.nextafter(first_non_match, np.float32(np.inf)))


def _upper_limit(errors: int, trials: int, tail: float) -> float:
    """Return p for which P(X <= errors | trials, p) = tail; errors < trials."""
    counts = np.arange(1, errors + 1)
    log_ways = np.concatenate([[0.0], np.cumsum(np.log(trials - counts + 1) - np.log(counts))])
    counts = np.arange(errors + 1)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        logs = log_ways + counts * math.log(middle) + (trials - counts) * math.log1p(-middle)
        if np.exp(logs).sum() > tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2
