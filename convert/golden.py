"""The golden set: the same crops for every runtime, on which each decision that changes is counted.

Every runtime judges at the bundle's threshold, as the door does, whichever runtime it was chosen
with; float judges at its own for the same FMR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from edge.vocabulary import FloatArray
from train.measuring.metrics import Comparisons, IntArray, compare_all, threshold_at_fmr


@dataclass(frozen=True, slots=True)
class Flips:
    """Decisions of *comparisons* that int8 changes: matches ``lost`` and ``gained``."""

    comparisons: int
    mated_lost: int
    mated_gained: int
    nonmated_lost: int
    nonmated_gained: int

    @property
    def all(self) -> int:
        """How many decisions change."""
        return self.mated_lost + self.mated_gained + self.nonmated_lost + self.nonmated_gained

    def __str__(self) -> str:
        """Say it in a sentence."""
        return (
            f"{self.all:,} of {self.comparisons:,} decisions change: of one person, "
            f"{self.mated_lost:,} matches are lost and {self.mated_gained:,} gained; of two people,"
            f" {self.nonmated_lost:,} lost and {self.nonmated_gained:,} gained"
        )


@dataclass(frozen=True, slots=True)
class Golden:
    """Flips on the golden set by runtime; ``data_id`` names and fingerprints its crops."""

    data_id: str
    flips: Mapping[str, Flips]

    def facts(self) -> dict[str, object]:
        """Return the figures for the manifest."""
        return {
            "data_id": self.data_id,
            **{runtime: asdict(each) for runtime, each in self.flips.items()},
        }


def count_flips(in_float: Comparisons, in_int8: Comparisons, at: tuple[float, float]) -> Flips:
    """Count the decisions that differ.

    Args:
        in_float: every two crops by the float encoder.
        in_int8: the same by an int8 one.
        at: the threshold of each.
    """
    before = in_float.scores >= np.float32(at[0])
    after = in_int8.scores >= np.float32(at[1])
    lost, gained, mated = before & ~after, ~before & after, in_float.same
    return Flips(
        comparisons=int(mated.size),
        mated_lost=int(np.sum(lost & mated)),
        mated_gained=int(np.sum(gained & mated)),
        nonmated_lost=int(np.sum(lost & ~mated)),
        nonmated_gained=int(np.sum(gained & ~mated)),
    )


def judge_golden(
    in_float: FloatArray,
    in_int8: Mapping[str, FloatArray],
    subjects: IntArray,
    at: tuple[float, float],
) -> dict[str, Flips]:
    """Return the flips of every runtime.

    Args:
        in_float: (N, D) float32 unit rows of the golden set.
        in_int8: runtime → the same of the int8 encoder.
        subjects: (N,) the number of whom they show.
        at: the thresholds of float and int8.
    """
    wanted = compare_all(in_float, subjects)
    return {
        runtime: count_flips(wanted, compare_all(rows, subjects), at)
        for runtime, rows in in_int8.items()
    }


def threshold_of(embeddings: FloatArray, subjects: IntArray, fmr: float) -> float:
    """Return the threshold of *embeddings* (N, D) for *fmr*, as `calibrate` chooses it."""
    return threshold_at_fmr(compare_all(embeddings, subjects).nonmated, fmr)
