"""Intervals by drawing the people again (bootstrap): comparisons that share a person hang together.

The error curves of a drawn set come from weights of the comparisons on a fine grid of scores, so
that thousands of people need no sorting for each draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from edge.vocabulary import FloatArray
from train.measuring.metrics import (
    Comparisons,
    IntArray,
    Interval,
    bootstrap_interval,
    clopper_pearson,
)

Rates = npt.NDArray[np.float64]
LEAST_PEOPLE = 5  # to draw again: fewer give nearly the same people every time
ROUNDS = 200
_STEP = 1e-4  # of cosine: what an interval's limits may be off by
_LEVELS = round(2 / _STEP) + 1
# Non-mated comparisons that are drawn again; of more, these, at random: the limits of a rate of
# 1e-4 move by less than a tenth, and 200 draws take seconds.
_MOST_DRAWN_AGAIN = 2_000_000


class Redraws:
    """The same comparisons as if other people of the same kind had come.

    Args:
        compared: the comparisons; subjects are numbered from 0.
        people: how many there are to draw from.
        seed: of the draws.
    """

    def __init__(self, compared: Comparisons, people: int, *, seed: int) -> None:
        same = compared.same
        others = np.flatnonzero(~same)
        if len(others) > _MOST_DRAWN_AGAIN:
            rng = np.random.default_rng(seed)
            others = np.sort(rng.choice(others, _MOST_DRAWN_AGAIN, replace=False))
        self._people, self._seed = people, seed
        self._mated_levels = _levels(compared.scores[same])
        self._mated_of = compared.subjects[same, 0]
        self._nonmated_levels = _levels(compared.scores[others])
        self._nonmated_of = compared.subjects[others]

    def curves(self, drawn: IntArray) -> tuple[Rates, Rates]:
        """Return FMR and FNMR of the people *drawn*, repeats included, at rising thresholds.

        The last threshold is above every score. NaN where nothing is left to compare.
        """
        times = np.bincount(drawn, minlength=self._people).astype(np.float64)
        mated = np.bincount(self._mated_levels, times[self._mated_of], _LEVELS)
        weights = times[self._nonmated_of[:, 0]] * times[self._nonmated_of[:, 1]]
        nonmated = np.bincount(self._nonmated_levels, weights, _LEVELS)
        if not mated.sum() or not nonmated.sum():
            return np.full(_LEVELS + 1, np.nan), np.full(_LEVELS + 1, np.nan)
        fmr = np.append(np.cumsum(nonmated[::-1])[::-1], 0.0) / nonmated.sum()
        fnmr = np.append(0.0, np.cumsum(mated)) / mated.sum()
        return fmr, fnmr

    def intervals(self, rates: Sequence[float], stated: Sequence[float]) -> list[Interval]:
        """Return the intervals of the EER and of the true accept rates at *rates* (FMR).

        The threshold of each rate is chosen anew for each draw, so what is not known of it widens
        the interval. *stated* are the measured figures in the same order, the EER first.
        """
        if self._people < LEAST_PEOPLE:
            return [Interval(each, 0.0, 1.0) for each in stated]
        rng = np.random.default_rng(self._seed)
        found = []
        for _ in range(ROUNDS):
            fmr, fnmr = self.curves(rng.integers(self._people, size=self._people))
            crossing = int(np.argmin(np.abs(fmr - fnmr)))
            accepted = [1.0 - fnmr[int(np.argmax(fmr <= rate))] for rate in rates]
            found.append([(fmr[crossing] + fnmr[crossing]) / 2, *accepted])
        low, high = np.nanquantile(np.array(found), [0.025, 0.975], axis=0)
        return [
            never_certain(
                Interval(rate, min(float(below), rate), max(float(above), rate)), self._people
            )
            for rate, below, above in zip(stated, low, high, strict=True)
        ]


def over_people(statistic: Callable[[IntArray], float], people: int, seed: int) -> Interval:
    """Return the interval of *statistic* over people; of very few 0 to 1: nothing is known.

    Args:
        statistic: called with (people,) numbers of the people drawn, repeats included.
        people: how many there are.
        seed: of the draws.
    """
    if people < LEAST_PEOPLE:
        return Interval(statistic(np.arange(people)), 0.0, 1.0)
    return never_certain(bootstrap_interval(statistic, people, seed=seed, rounds=ROUNDS), people)


def never_certain(found: Interval, people: int) -> Interval:
    """Return *found*, wider if nobody erred, or everybody: drawing them again cannot show others.

    Then the limit is Clopper and Pearson's for no error (or nothing but errors) in *people* trials.
    """
    if found.high > found.low:
        return found
    if found.rate <= 0.0:
        return Interval(found.rate, found.low, clopper_pearson(0, people).high)
    if found.rate >= 1.0:
        return Interval(found.rate, clopper_pearson(people, people).low, found.high)
    return found


def _levels(scores: FloatArray) -> npt.NDArray[np.int32]:
    # Rounded down: a score reaches the thresholds up to its level, and none above.
    levels = np.floor((scores.astype(np.float64) + 1.0) / _STEP + 1e-9)
    clipped: npt.NDArray[np.int32] = np.clip(levels, 0, _LEVELS - 1).astype(np.int32)
    return clipped
