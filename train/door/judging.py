"""How near the student is to its teacher, and how it tells apart people who were held out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.vocabulary import CROP_SIZE_PX, FloatArray
from train.door.jitter import MARGIN_PX
from train.door.lesson import Lesson
from train.errors import TooFewComparisonsError
from train.measuring.metrics import IntArray, compare_all, tar_at_fmr, unit_rows

if TYPE_CHECKING:
    import keras

_RATES = 1e-2, 1e-3


def embed_rows(encoder: keras.Model, lesson: Lesson, rows: IntArray) -> FloatArray:
    """Return what the door's encoder says of undisturbed crops, (R, D)."""
    core = slice(MARGIN_PX, MARGIN_PX + CROP_SIZE_PX)
    parts = []
    for at in range(0, len(rows), 64):
        pixels = lesson.crops[rows[at:][:64], core, core].astype(np.float32)
        parts.append(np.asarray(encoder(pixels, training=False)))
    return np.concatenate(parts)


def figures(encoder: keras.Model, lesson: Lesson) -> dict[str, float]:
    """Return mean cosine to the teacher, and TAR on people held out where their count allows it.

    *encoder* takes the door's crop (`train.door.backbones.at_door`). Non-mated pairs are of three
    kinds: two of these people, one of them and a stranger, and two strangers, among whom are
    children and heads in profile.
    """
    held = lesson.held
    rows = np.concatenate([held.known, held.strangers])
    unit = unit_rows(embed_rows(encoder, lesson, rows))
    agreement = (unit * lesson.targets[rows]).sum(axis=1)
    known = len(held.known)
    found = {
        "cosine_people": float(agreement[:known].mean()),
        "cosine_strangers": float(agreement[known:].mean()),
    }
    compared = compare_all(unit[:known], held.people)
    among = (unit[known:] @ unit[known:].T)[np.triu_indices(len(held.strangers), 1)]
    visits = (unit[:known] @ unit[known:].T).ravel()
    kinds = {"people": compared.nonmated, "visits": visits, "strangers": among}
    for fmr in _RATES:
        for name, nonmated in kinds.items():
            try:
                found[f"tar_{name}_{fmr:g}"] = tar_at_fmr(compared.mated, nonmated, fmr)
            except TooFewComparisonsError:
                continue
    return found
