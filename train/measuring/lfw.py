"""Labeled Faces in the Wild: 6,000 given pairs in ten folds (view 2 of its protocol)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.vocabulary import FloatArray
from train.errors import TooFewComparisonsError
from train.measuring.metrics import (
    Comparisons,
    IntArray,
    Interval,
    area_under_roc,
    equal_error_rate,
    tar_at_fmr,
    ten_fold_accuracy,
    unit_rows,
)
from train.measuring.resampling import Redraws

_RATES = (1e-2, 1e-3)
_NO_FACE = -1.0  # the lowest cosine: who is not seen is not let in

Pair = tuple[str, str, bool, int]


@dataclass(frozen=True, slots=True)
class LfwResult:
    """LFW's accuracy with one standard error below and above, and the rates of a door.

    ``missing`` pairs have a picture without a face: in the accuracy they count as wrong, in the
    rates as no match, which is what a door does. ``refused`` says which rates the count denies.
    """

    accuracy: Interval
    equal_error_rate: Interval
    area_under_roc: float
    tar: dict[str, Interval]
    mated: int
    nonmated: int
    missing: int
    missing_mated: int
    refused: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return asdict(self)


def measure_lfw(
    embeddings: FloatArray, paths: Sequence[str], pairs: Sequence[Pair], *, seed: int = 0
) -> LfwResult:
    """Measure embeddings by LFW's protocol, thresholds chosen on the other nine folds.

    Args:
        embeddings: (N, D) of the pictures.
        paths: (N,) whose stems (`Ada_Lovelace_0001`) the pairs name.
        pairs: as `train.data.datasets.read_lfw_pairs` gives them.
        seed: of the intervals' draws.

    Raises:
        TooFewComparisonsError: if there are no mated or no non-mated pairs.
    """
    scores, seen = _scores(embeddings, paths, pairs)
    mated = np.array([each[2] for each in pairs])
    folds = np.array([each[3] for each in pairs])
    # A pair that cannot be compared scores as its opposite would: wrong at every threshold.
    accuracy = ten_fold_accuracy(np.where(seen, scores, np.where(mated, -1.0, 1.0)), mated, folds)
    compared = Comparisons(np.where(seen, scores, np.float32(_NO_FACE)), _subjects(pairs))
    eer = equal_error_rate(compared.mated, compared.nonmated)
    accepted, refused = {}, []
    for rate in _RATES:
        try:
            accepted[f"{rate:g}"] = tar_at_fmr(compared.mated, compared.nonmated, rate)
        except TooFewComparisonsError as exc:
            refused.append(f"TAR at FMR {rate:g}: {exc}")
    people = int(compared.subjects.max()) + 1
    first, *others = Redraws(compared, people, seed=seed).intervals(
        [float(rate) for rate in accepted], [eer, *accepted.values()]
    )
    return LfwResult(
        accuracy=accuracy,
        equal_error_rate=first,
        area_under_roc=area_under_roc(compared.mated, compared.nonmated),
        tar=dict(zip(accepted, others, strict=True)),
        mated=int(mated.sum()),
        nonmated=int((~mated).sum()),
        missing=int((~seen).sum()),
        missing_mated=int((~seen & mated).sum()),
        refused=tuple(refused),
    )


def lfw_lines(found: LfwResult) -> list[str]:
    """Return what was measured, with what the count refuses."""
    error = found.accuracy.high - found.accuracy.rate
    eer = found.equal_error_rate
    lines = [
        (
            f"LFW, {found.mated:,} mated and {found.nonmated:,} non-mated pairs; in brackets 95 % "
            "intervals over people:"
        ),
        f"  ten-fold accuracy {found.accuracy.rate:.2%} ± {error:.2%} (standard error)",
        f"  EER {eer.rate:.2%} ({eer.low:.2%} to {eer.high:.2%}), AUC {found.area_under_roc:.4f}",
    ]
    lines += [
        f"  TAR {tar.rate:.2%} ({tar.low:.2%} to {tar.high:.2%}) at FMR {rate}"
        for rate, tar in found.tar.items()
    ]
    if found.missing:
        lines.append(
            f"  {found.missing} pairs have a picture without a face, {found.missing_mated} of them "
            "mated: wrong in the accuracy, no match in the other rates"
        )
    return lines + [f"  not stated: {reason}" for reason in found.refused]


def _scores(
    embeddings: FloatArray, paths: Sequence[str], pairs: Sequence[Pair]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the score of each pair (0 without one), and whether both pictures have a face."""
    unit = unit_rows(embeddings)
    at = {Path(path).stem: number for number, path in enumerate(paths)}
    seen = np.array([one in at and other in at for one, other, _, _ in pairs])
    rows = np.array([(at.get(one, 0), at.get(other, 0)) for one, other, _, _ in pairs])
    scores = np.einsum("kd,kd->k", unit[rows[:, 0]], unit[rows[:, 1]])
    return np.where(seen, scores, 0).astype(np.float32), seen


def _subjects(pairs: Sequence[Pair]) -> IntArray:
    """Return the numbers (K, 2) of the people that each pair shows: a stem less its `_0001`."""
    names = [[stem.rpartition("_")[0] for stem in each[:2]] for each in pairs]
    _, numbers = np.unique(names, return_inverse=True)
    return np.asarray(numbers, np.int64).reshape(-1, 2)
