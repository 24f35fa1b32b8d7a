"""The int8 encoder against the float one, as the door runs it: a gate, not a report.

A cosine near 1 proves nothing about a network that gives every face the same embedding, so the
error is also measured against the spread of the embeddings over different pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from convert.calibrate import lowest_fmr
from edge.vocabulary import FloatArray
from train.measuring.metrics import Comparisons, IntArray, compare_all, threshold_at_fmr

LEAST_MEAN = 0.99
LEAST_FIRST_PERCENTILE = 0.97
# int8 may move an embedding by a tenth of what separates two pictures, and no more.
MOST_ERROR_OF_SPREAD = 0.1
# int8 may lose half a point of the true accept rate at this FMR, or at the lowest one that the
# pictures support.
GATE_FMR = 1e-3
MOST_TAR_LOSS = 0.005
# Below 1,000 mated comparisons half a point is fewer than these, which chance moves by itself.
_LEAST_LOST_COMPARISONS = 5
# A picture more or less of one person must not decide: of how many people a subset has pictures.
_FEWEST_PEOPLE = 10


@dataclass(frozen=True, slots=True)
class Decisions:
    """What int8 changes in decisions, each encoder at its own threshold for the same FMR.

    ``flips`` is the share of all comparisons that are decided otherwise; ``mated`` counts the mated
    ones, of which both true accept rates are.
    """

    fmr: float
    tar_float: float
    tar_int8: float
    flips: float
    mated: int

    @property
    def tar_change(self) -> float:
        """True accept rate of int8 less that of float; below zero is worse."""
        return self.tar_int8 - self.tar_float

    @property
    def most_loss(self) -> float:
        """How much of the true accept rate may be lost."""
        return max(MOST_TAR_LOSS, _LEAST_LOST_COMPARISONS / self.mated)

    @property
    def at_rate(self) -> str:
        """The rate in words, and why it is not the gate's own."""
        lowest = "" if self.fmr <= GATE_FMR else ", the lowest that these pictures support"
        return f"FMR {self.fmr:.3g}{lowest}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """One runtime: cosine of float and int8 embedding of the same crop, and what decisions change.

    ``decisions`` is None where its crops have no mated comparison, or no non-mated one.
    """

    runtime: str
    crops: int
    cosine_mean: float
    cosine_p1: float
    cosine_min: float
    decisions: Decisions | None = None


@dataclass(frozen=True, slots=True)
class Parity:
    """Agreement in every runtime, the first on all crops, and the spread it is judged against."""

    agreements: tuple[Agreement, ...]
    spread: float

    @property
    def failures(self) -> tuple[str, ...]:
        """One sentence for each limit that is not met; empty if the gate is passed."""
        return tuple(
            sentence for each in self.agreements for sentence in _failures(each, self.spread)
        )

    @property
    def passed(self) -> bool:
        """Whether every limit is met in every runtime."""
        return not self.failures

    def facts(self) -> Mapping[str, float]:
        """Return the figures for the manifest: the worst runtime first, then each."""
        facts = {
            "passed": float(self.passed),
            "spread": self.spread,
            "cosine_mean": min(each.cosine_mean for each in self.agreements),
            "cosine_p1": min(each.cosine_p1 for each in self.agreements),
            "cosine_min": min(each.cosine_min for each in self.agreements),
        }
        for each in self.agreements:
            figures = {
                "crops": float(each.crops),
                "cosine_mean": each.cosine_mean,
                "cosine_p1": each.cosine_p1,
                "cosine_min": each.cosine_min,
            }
            if each.decisions is not None:
                figures |= {
                    "fmr": each.decisions.fmr,
                    "tar_float": each.decisions.tar_float,
                    "tar_int8": each.decisions.tar_int8,
                    "decision_flips": each.decisions.flips,
                    "mated": float(each.decisions.mated),
                }
            facts |= {f"{each.runtime}.{name}": value for name, value in figures.items()}
        return facts


def agreement(
    runtime: str, in_float: FloatArray, in_int8: FloatArray, subjects: IntArray
) -> Agreement:
    """Compare embeddings of the same crops.

    Args:
        runtime: its name.
        in_float: (N, D) float32 unit rows.
        in_int8: (N, D) float32 unit rows of the same crops.
        subjects: (N,) the number of whom they show.
    """
    cosines = np.sum(in_float.astype(np.float64) * in_int8, axis=1)
    return Agreement(
        runtime,
        crops=len(cosines),
        cosine_mean=float(cosines.mean()),
        cosine_p1=float(np.quantile(cosines, 0.01)),
        cosine_min=float(cosines.min()),
        decisions=compare_decisions(in_float, in_int8, subjects),
    )


def spread(embeddings: FloatArray) -> float:
    """Return 1 less the mean cosine of two different pictures: 0 where all are alike.

    Args:
        embeddings: (N, D) float32 unit rows, N >= 2.
    """
    total = np.sum(embeddings, axis=0, dtype=np.float64)
    count = len(embeddings)
    return float(1 - (total @ total - count) / (count * (count - 1)))


def compare_decisions(
    in_float: FloatArray, in_int8: FloatArray, subjects: IntArray, fmr: float = GATE_FMR
) -> Decisions | None:
    """Return what int8 changes in decisions at *fmr*, or at the lowest rate that is supported.

    Args:
        in_float: (N, D) float32 unit rows.
        in_int8: (N, D) float32 unit rows of the same crops.
        subjects: (N,) the number of whom they show.
        fmr: the rate that each encoder's own threshold gives.

    Returns:
        None where there is no mated comparison, or too few non-mated ones for any rate.
    """
    before, after = compare_all(in_float, subjects), compare_all(in_int8, subjects)
    mated = before.subjects[:, 0] == before.subjects[:, 1]
    rate = max(fmr, lowest_fmr(np.unique(subjects).size, int(np.sum(~mated))))
    if not mated.any() or rate >= 1:
        return None
    matched_before, matched_after = _matches(before, rate), _matches(after, rate)
    return Decisions(
        fmr=rate,
        tar_float=float(matched_before[mated].mean()),
        tar_int8=float(matched_after[mated].mean()),
        flips=float((matched_before != matched_after).mean()),
        mated=int(mated.sum()),
    )


def subset(subjects: IntArray, most: int) -> IntArray:
    """Return at most *most* rows for a slow runtime: all pictures of people drawn, in rising order.

    Whole people, for mated comparisons need them; of one person at most a tenth of *most*.
    """
    order = np.random.default_rng(0).permutation(np.unique(subjects))
    rows: list[int] = []
    for each in order:
        rows += np.flatnonzero(subjects == each)[: max(2, most // _FEWEST_PEOPLE)].tolist()
    return np.sort(np.array(rows[:most], np.int64))


def _matches(compared: Comparisons, fmr: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(compared.scores >= np.float32(threshold_at_fmr(compared.nonmated, fmr)))


def _failures(found: Agreement, spread: float) -> list[str]:
    limits = [
        ("mean cosine", found.cosine_mean, LEAST_MEAN),
        ("1st percentile of the cosine", found.cosine_p1, LEAST_FIRST_PERCENTILE),
    ]
    sentences = [
        f"{found.runtime}: {name} {value:.4f} is below {least:g}"
        for name, value, least in limits
        if not value >= least
    ]
    error = 1 - found.cosine_mean
    if not sentences and not error <= MOST_ERROR_OF_SPREAD * spread:
        sentences.append(
            f"{found.runtime}: int8 moves an embedding by {error:.2g} (1 - cosine) where two "
            f"pictures differ by {spread:.2g} on average; the network tells faces too little apart"
        )
    changed = found.decisions
    if changed is not None and not -changed.tar_change <= changed.most_loss:
        sentences.append(
            f"{found.runtime}: at {changed.at_rate}, the true accept rate falls from "
            f"{changed.tar_float:.2%} in float to {changed.tar_int8:.2%} in int8, more than "
            f"{changed.most_loss:.2%}"
        )
    return sentences
