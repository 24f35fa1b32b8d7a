"""How alike the frames of one visit are, and what it costs to take them for independent.

The share of the variance of log-likelihood ratios that is between visits (one-way analysis of
variance), of pairs of different people and of the same; and in how many strangers' visits the
evidence ever passes a bound, by a plain sum and discounted as the door does. `visits.py` calls it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from visit_pictures import BoolArray, Visits

from edge.evidence import FRAME_CORRELATION
from edge.vocabulary import EvidenceMap, FloatArray

_RATE = 0.02  # within what a map of few nats can reach


def correlations(
    filmed: Visits, enrolled: Visits, att: Visits, known: EvidenceMap
) -> Iterator[str]:
    """Yield how alike the ratios of one visit are, by the two kinds of repeated frames.

    Args:
        filmed: one picture of each person, rendered, several frames.
        enrolled: another picture of these people and of others, one frame each.
        att: AT&T's pictures, one frame each.
        known: the bundle's map.
    """
    home = {name: at for at, name in enumerate(enrolled.subjects)}
    one = [
        (filmed.embeddings[visit][filmed.usable[visit]], home[name])
        for visit, name in enumerate(filmed.subjects)
    ]
    usable = enrolled.usable[:, 0]
    yield from _told("LFW, filmed", one, enrolled.embeddings[:, 0], usable, known)
    subjects = np.array(att.subjects)
    names = sorted(set(att.subjects))
    first = [int(np.flatnonzero(subjects == name)[0]) for name in names]
    several = [
        (att.embeddings[np.flatnonzero((subjects == name) & att.usable[:, 0])[1:], 0], at)
        for at, name in enumerate(names)
    ]
    vectors, judged = att.embeddings[first, 0], att.usable[first, 0]
    yield from _told("AT&T, nine pictures", several, vectors, judged, known)


def _told(
    name: str,
    visits: Sequence[tuple[FloatArray, int]],
    references: FloatArray,
    usable: BoolArray,
    known: EvidenceMap,
) -> Iterator[str]:
    kinds: dict[str, list[FloatArray]] = {"of different people": [], "of one person": []}
    for vectors, own in visits:
        ratios = np.interp(
            vectors @ references.T, known.scores, known.log_likelihood_ratios
        ).astype(np.float32)
        for at in np.flatnonzero(usable):
            kinds["of one person" if at == own else "of different people"].append(ratios[:, at])
    for kind, groups in kinds.items():
        yield (
            f"{name:20} {kind:20} {intraclass(groups):.3f} "
            f"({len(groups):,} pairs of visit and reference)"
        )
    told = ", ".join(
        f"{exceeding(kinds['of different people'], each):.2%} with {each:g}"
        for each in (0.0, FRAME_CORRELATION)
    )
    yield f"{name:20} strangers' visits above the bound for {_RATE:.0%}: {told}"


def exceeding(visits: Sequence[FloatArray], correlation: float) -> float:
    """Return the share of visits whose evidence is ever above the bound for `_RATE`."""
    bound, above = math.log(1 / _RATE), 0
    for ratios in visits:
        frames = np.arange(1, len(ratios) + 1)
        worth = frames / (1 + (frames - 1) * correlation)
        above += bool((np.cumsum(ratios) / frames * worth >= bound).any())
    return above / len(visits)


def intraclass(groups: Sequence[FloatArray]) -> float:
    """Return the intraclass correlation of groups of values, by one-way analysis of variance."""
    kept = [np.asarray(each, np.float64) for each in groups if len(each) > 1]
    sizes = np.array([len(each) for each in kept])
    total, mean = int(sizes.sum()), float(np.concatenate(kept).mean())
    between = sum(len(each) * (each.mean() - mean) ** 2 for each in kept) / (len(kept) - 1)
    within = sum(float(((each - each.mean()) ** 2).sum()) for each in kept) / (total - len(kept))
    typical = (total - float((sizes**2).sum()) / total) / (len(kept) - 1)
    return float((between - within) / (between + (typical - 1) * within))
