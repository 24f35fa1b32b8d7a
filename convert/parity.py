"""The int8 encoder against the float one, as the door runs it: a gate, not a report.

A cosine near 1 proves nothing about a network that gives every face the same embedding, so the
error is also measured against the spread of the embeddings over different pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge.vocabulary import FloatArray
from train.metrics import Comparisons, IntArray, compare_all, threshold_at_fmr

LEAST_MEAN = 0.99
LEAST_FIRST_PERCENTILE = 0.97
# int8 may move an embedding by a tenth of what separates two pictures, and no more.
MOST_ERROR_OF_SPREAD = 0.1


@dataclass(frozen=True, slots=True)
class Agreement:
    """Cosine of float and int8 embedding of the same crop, over many crops, in one runtime."""

    runtime: str
    crops: int
    cosine_mean: float
    cosine_p1: float
    cosine_min: float


@dataclass(frozen=True, slots=True)
class Decisions:
    """What int8 changes in decisions, each encoder at its own threshold for the same FMR.

    ``tar_change`` is int8's true accept rate less float's, in shares; ``flips`` the share of all
    comparisons that are decided otherwise.
    """

    fmr: float
    tar_float: float
    tar_int8: float
    flips: float

    @property
    def tar_change(self) -> float:
        """True accept rate of int8 less that of float; below zero is worse."""
        return self.tar_int8 - self.tar_float


@dataclass(frozen=True, slots=True)
class Parity:
    """Agreement in every runtime, the spread it is judged against, and what decisions change."""

    agreements: tuple[Agreement, ...]
    spread: float
    decisions: Decisions

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
            facts |= {
                f"{each.runtime}.crops": float(each.crops),
                f"{each.runtime}.cosine_mean": each.cosine_mean,
                f"{each.runtime}.cosine_p1": each.cosine_p1,
                f"{each.runtime}.cosine_min": each.cosine_min,
            }
        return facts | {
            "fmr": self.decisions.fmr,
            "tar_float": self.decisions.tar_float,
            "tar_int8": self.decisions.tar_int8,
            "decision_flips": self.decisions.flips,
        }


def agreement(runtime: str, in_float: FloatArray, in_int8: FloatArray) -> Agreement:
    """Compare embeddings of the same crops, both (N, D) float32 with unit rows."""
    cosines = np.sum(in_float.astype(np.float64) * in_int8, axis=1)
    return Agreement(
        runtime,
        crops=len(cosines),
        cosine_mean=float(cosines.mean()),
        cosine_p1=float(np.quantile(cosines, 0.01)),
        cosine_min=float(cosines.min()),
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
    in_float: FloatArray, in_int8: FloatArray, subjects: IntArray, fmr: float
) -> Decisions:
    """Return what int8 changes in decisions at *fmr*.

    Args:
        in_float: (N, D) float32 unit rows.
        in_int8: (N, D) float32 unit rows of the same crops.
        subjects: (N,) the number of whom they show.
        fmr: the rate that each encoder's own threshold gives.

    Raises:
        TooFewComparisonsError: if there are too few comparisons for *fmr*.
    """
    before, after = compare_all(in_float, subjects), compare_all(in_int8, subjects)
    matched_before, matched_after = _matches(before, fmr), _matches(after, fmr)
    mated = before.subjects[:, 0] == before.subjects[:, 1]
    return Decisions(
        fmr=fmr,
        tar_float=float(matched_before[mated].mean()),
        tar_int8=float(matched_after[mated].mean()),
        flips=float((matched_before != matched_after).mean()),
    )


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
    return sentences
