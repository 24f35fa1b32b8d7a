"""What a score is worth: int8 scores → log-likelihood ratios that add up over frames and galleries.

Scores are cut into bins of equal weight, and neighbouring bins are pooled until the share of mated
scores never falls: the pool-adjacent-violators calibration of Zadrozny and Elkan (KDD 2002), which
Brümmer and du Preez (Computer Speech and Language 20, 2006) use for likelihood ratios. Every person
counts alike among mated scores, every pair of people among non-mated ones, however many pictures
they have.

How much a ratio may claim. Where none of K independent comparisons fell, their true share is below
3/K at 95 % confidence (the rule of three). So a share of 3/K of non-mated scores is taken to lie
above all that were seen, and 3/M of mated ones, where M share no picture, below: as the rule of
succession in Brümmer's FoCal toolkit (`opt_loglr`), which puts one score of each kind at both ends.
Pooling then settles how far up the ratio still rises. None is above K/3, and that only where every
mated score is above every non-mated one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.vocabulary import EvidenceMap
from train.measuring.metrics import Comparisons

MOST_KNOTS = 48
_FEWEST_BINS = 8
_RULE_OF_THREE = 3
_NO_EVIDENCE = EvidenceMap((-1.0, 1.0), (0.0, 0.0))

WeightArray = npt.NDArray[np.float64]
_BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A map, the most that its data support, and what it is worth.

    The costs are Brümmer and du Preez's Cllr in bits: 0 for a perfect oracle, 1 for knowing
    nothing. ``cost_raw`` takes the cosine itself for a log-likelihood ratio; ``cost`` is the map's;
    ``cost_least`` is that of the best rising map on the very scores. ``cost_held_out`` is of maps
    that were fitted on one half of the people, on the other half; None where the halves are too
    small.
    """

    map: EvidenceMap
    bound_low: float
    bound_high: float
    cost_raw: float
    cost: float
    cost_least: float
    cost_held_out: float | None

    def facts(self) -> dict[str, float]:
        """Return the figures for the manifest."""
        facts = {
            "llr_at_least": self.bound_low,
            "llr_at_most": self.bound_high,
            "cllr_cosine": self.cost_raw,
            "cllr": self.cost,
            "cllr_least": self.cost_least,
        }
        return (
            facts if self.cost_held_out is None else facts | {"cllr_held_out": self.cost_held_out}
        )


def weigh_evidence(compared: Comparisons, effective_comparisons: int) -> Evidence:
    """Return the map of *compared* with its bounds and costs.

    Args:
        compared: every two pictures, by the int8 encoder; mated and non-mated ones.
        effective_comparisons: how many independent comparisons the non-mated ones are worth, from
            `convert.calibrate.effective_comparisons`.
    """
    fitted = fit_map(compared, effective_comparisons)
    low, high = _bounds(compared, effective_comparisons)
    scores = compared.scores.astype(np.float64)
    return Evidence(
        map=fitted,
        bound_low=low,
        bound_high=high,
        cost_raw=cost(scores, compared),
        cost=cost(mapped(fitted, scores), compared),
        cost_least=least_cost(compared),
        cost_held_out=_cost_held_out(compared, effective_comparisons),
    )


def fit_map(compared: Comparisons, effective_comparisons: int) -> EvidenceMap:
    """Return the rising map from scores to log-likelihood ratios, of at most `MOST_KNOTS` knots.

    Args:
        compared: mated and non-mated comparisons.
        effective_comparisons: as `weigh_evidence`.
    """
    mated, weights = _mated(compared), balanced(compared)
    people = np.unique(compared.subjects[mated]).size
    # A bin a person: where few people give the mated scores, finer bins would show their habits.
    bins = int(np.clip(people, _FEWEST_BINS, MOST_KNOTS))
    which = _binned(compared.scores, weights, bins)
    size = int(which.max()) + 1
    of_mated = np.bincount(which, weights * mated, size).astype(np.float64)
    of_nonmated = np.bincount(which, weights * ~mated, size).astype(np.float64)
    filled = of_mated + of_nonmated
    places = np.bincount(which, weights * compared.scores, size)[filled > 0] / filled[filled > 0]
    places = np.clip(places, -1.0, 1.0)  # float32 cosines leave it by a rounding error
    if places.size < 2 or not (np.diff(places) > 0).all():  # noqa: PLR2004
        return _NO_EVIDENCE  # all scores are alike: the network has collapsed
    low, high = _bounds(compared, effective_comparisons)
    of_mated = np.concatenate([[math.exp(low)], of_mated[filled > 0], [0.0]])
    of_nonmated = np.concatenate([[0.0], of_nonmated[filled > 0], [math.exp(-high)]])
    pooled = _pooled(of_mated, of_nonmated)
    # Shares of the pool that a bin belongs to; both are above 0, for shares of mated ones rise.
    _, pool = np.unique(pooled, return_inverse=True)
    ratios = np.log(np.bincount(pool, of_mated) / np.bincount(pool, of_nonmated))
    ratios = np.clip(ratios[pool][1:-1], low, high)
    needed = _needed(ratios)
    return EvidenceMap(tuple(places[needed].tolist()), tuple(ratios[needed].tolist()))


def mapped(fitted: EvidenceMap, scores: WeightArray) -> WeightArray:
    """Return the log-likelihood ratios of *scores*, both (K,)."""
    return np.interp(scores, fitted.scores, fitted.log_likelihood_ratios)


def balanced(compared: Comparisons) -> WeightArray:
    """Return (K,) weights: mated ones sum to 1, every person alike; non-mated ones, every pair."""
    mated = _mated(compared)
    people = int(compared.subjects.max()) + 1
    low, high = compared.subjects.min(axis=1), compared.subjects.max(axis=1)
    _, pair, counts = np.unique(low * people + high, return_inverse=True, return_counts=True)
    weights: WeightArray = 1.0 / counts[pair]
    for kind in (mated, ~mated):
        weights[kind] /= max(float(weights[kind].sum()), 1e-300)
    return weights


def cost(ratios: WeightArray, compared: Comparisons) -> float:
    """Return Cllr in bits of log-likelihood *ratios* (K,), natural logarithms.

    Half the mean of log2(1 + 1/LR) over mated and of log2(1 + LR) over non-mated comparisons:
    Brümmer and du Preez 2006, with the weights of `balanced`.
    """
    signed = np.where(_mated(compared), -ratios, ratios)
    return float(np.sum(balanced(compared) * np.logaddexp(0.0, signed)) / (2 * math.log(2)))


def least_cost(compared: Comparisons) -> float:
    """Return the lowest Cllr that any rising map reaches on *compared*: that of isotonic fit."""
    mated, weights = _mated(compared), balanced(compared)
    share = _isotonic(compared.scores.astype(np.float64), mated.astype(np.float64), weights)
    # A pool that holds a mated score has a share above 0, and the other way round.
    right = np.where(mated, share, 1.0 - share)
    return float(-np.sum(weights * np.log2(np.maximum(right, 1e-300))) / 2)


def _cost_held_out(compared: Comparisons, effective_comparisons: int) -> float | None:
    """Return the mean cost of a map fitted on every second person, on the others, both ways."""
    people = np.unique(compared.subjects)
    odd = np.isin(compared.subjects, people[1::2])
    halves = [
        Comparisons(compared.scores[rows], compared.subjects[rows])
        for rows in (odd.all(axis=1), ~odd.any(axis=1))
    ]
    if any(not _mated(each).any() or _mated(each).all() for each in halves):
        return None
    costs = []
    for fitted_on, tested_on in (halves, halves[::-1]):
        # A half has a quarter of the comparisons.
        fitted = fit_map(fitted_on, max(effective_comparisons // 4, 1))
        costs.append(cost(mapped(fitted, tested_on.scores.astype(np.float64)), tested_on))
    return float(np.mean(costs))


def _bounds(compared: Comparisons, effective_comparisons: int) -> tuple[float, float]:
    """Return the least and the largest log-likelihood ratio that the counts support."""
    low = -math.log(max(_apart(compared) / _RULE_OF_THREE, 1.0))
    return low, math.log(max(effective_comparisons / _RULE_OF_THREE, 1.0))


def _apart(compared: Comparisons) -> int:
    """Return how many mated comparisons share no picture: half of each person's pictures."""
    _, counts = np.unique(compared.subjects[_mated(compared)][:, 0], return_counts=True)
    pictures = np.rint((1 + np.sqrt(1 + 8 * counts)) / 2).astype(np.int64)  # n (n - 1) / 2 = count
    return int(np.sum(pictures // 2))


def _mated(compared: Comparisons) -> _BoolArray:
    same: _BoolArray = compared.subjects[:, 0] == compared.subjects[:, 1]
    return same


def _binned(
    scores: npt.NDArray[np.float32], weights: WeightArray, bins: int
) -> npt.NDArray[np.int64]:
    """Return (K,) the bin of each score, from 0; bins hold equal weights, ties stay together."""
    order = np.argsort(scores, kind="stable")
    running = np.cumsum(weights[order])
    edges = np.searchsorted(running, running[-1] * np.arange(1, bins) / bins)
    uppermost = np.unique(scores[order][np.minimum(edges, scores.size - 1)])
    return np.searchsorted(uppermost, scores, side="left").astype(np.int64)


def _pooled(of_mated: WeightArray, of_nonmated: WeightArray) -> WeightArray:
    total = of_mated + of_nonmated
    return _isotonic(np.arange(total.size, dtype=np.float64), of_mated / total, total)


def _isotonic(places: WeightArray, shares: WeightArray, weights: WeightArray) -> WeightArray:
    """Return the rising shares nearest to *shares*, all (K,)."""
    from sklearn.isotonic import IsotonicRegression

    fitted: WeightArray = IsotonicRegression().fit_transform(places, shares, sample_weight=weights)
    return fitted


def _needed(ratios: WeightArray) -> _BoolArray:
    """Return which knots are no mere middle of a level stretch; the first and last always are."""
    level = np.diff(ratios) == 0
    needed = np.ones(ratios.size, np.bool_)
    needed[1:-1] = ~(level[:-1] & level[1:])
    return needed
