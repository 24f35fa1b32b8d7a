"""Did fine-tuning help? Before and after are compared on the same people, drawn again together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.vocabulary import FloatArray
from train.measuring.metrics import (
    IntArray,
    Interval,
    compare_all,
    equal_error_rate,
)
from train.measuring.resampling import LEAST_PEOPLE, ROUNDS, Redraws

# Of strangers without a second picture nothing but this can be measured: the mean cosine of what
# the two encoders say of one picture. Below it, little of the initial encoder is left; a choice.
_LEAST_AGREEMENT = 0.9

Embeddings = tuple[FloatArray, FloatArray | None]
Numbers = tuple[IntArray, IntArray | None]


@dataclass(frozen=True, slots=True)
class Change:
    """An equal error rate before and after, and the 95 % interval of the difference."""

    before: float
    after: float
    difference: Interval
    people: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the tuned encoder is kept, in words and figures."""

    helped: bool
    lines: tuple[str, ...]
    figures: dict[str, object]


def judge(before: Embeddings, after: Embeddings, numbers: Numbers, *, seed: int) -> Verdict:
    """Compare unit embeddings before and after: of the site's held-out people, and of others.

    It helped if the site's equal error rate fell by more than chance explains, and that of the
    other people did not rise by more than chance explains.

    Args:
        before: (N, D) of the site, and (M, D) of others or None.
        after: the same pictures.
        numbers: (N,) and (M,) subjects.
        seed: of the draws.
    """
    site = compare_change(before[0], after[0], numbers[0], seed=seed)
    improved = site.difference.high < 0
    lines = [f"  site, {_described(site)}"]
    agreement = {"site": _agreement(before[0], after[0])}
    forgot, others = False, None
    if before[1] is None or after[1] is None or numbers[1] is None:
        lines.append("  other people: not measured; give some with --keep DIR")
    else:
        agreement["others"] = _agreement(before[1], after[1])
        if np.bincount(numbers[1]).max() > 1:
            others = compare_change(before[1], after[1], numbers[1], seed=seed)
            forgot = others.difference.low > 0
            lines.append(f"  other people, {_described(others)}")
        else:
            forgot = agreement["others"] < _LEAST_AGREEMENT
            lines.append(
                "  other people: nobody has a second picture, so no error rate; agreement with "
                f"the initial encoder {agreement['others']:.3f} (at least {_LEAST_AGREEMENT})"
            )
    lines += [
        f"  mean cosine of both encoders' answers, {name}: {value:.3f}"
        for name, value in agreement.items()
    ]
    helped = improved and not forgot
    lines.insert(0, _headline(improved=improved, forgot=forgot, initial=site.before))
    figures: dict[str, object] = {
        "site": _plain(site),
        "others": None if others is None else _plain(others),
        "agreement": agreement,
    }
    return Verdict(helped, tuple(lines), figures)


def compare_change(
    before: FloatArray, after: FloatArray, numbers: IntArray, *, seed: int
) -> Change:
    """Return the equal error rates of the same pictures under two encoders.

    Each draw of people gives both rates, so what is hard about these people cancels.
    """
    _, subjects = np.unique(numbers, return_inverse=True)
    people = int(subjects.max()) + 1
    compared = [compare_all(each, subjects) for each in (before, after)]
    first, second = (equal_error_rate(each.mated, each.nonmated) for each in compared)
    rate = second - first
    if people < LEAST_PEOPLE:
        return Change(first, second, Interval(rate, -1.0, 1.0), people)
    redraws = [Redraws(each, people, seed=seed) for each in compared]
    rng = np.random.default_rng(seed)
    differences = []
    for _ in range(ROUNDS):
        drawn = rng.integers(people, size=people)
        one, other = (_rate(each, drawn) for each in redraws)
        differences.append(other - one)
    low, high = np.nanquantile(differences, [0.025, 0.975])
    return Change(first, second, Interval(rate, float(low), float(high)), people)


def _rate(redraws: Redraws, drawn: IntArray) -> float:
    fmr, fnmr = redraws.curves(drawn)
    if math.isnan(fmr[0]):
        return math.nan
    crossing = int(np.argmin(np.abs(fmr - fnmr)))
    return float(fmr[crossing] + fnmr[crossing]) / 2


def _agreement(before: FloatArray, after: FloatArray) -> float:
    return float((before * after).sum(axis=1).mean())


def _described(change: Change) -> str:
    found = change.difference
    return (
        f"{change.people} people held out: EER {change.before:.2%} before, {change.after:.2%} "
        f"after; difference {found.rate:+.2%} (95 % interval {found.low:+.2%} to {found.high:+.2%})"
    )


def _headline(*, improved: bool, forgot: bool, initial: float) -> str:
    if improved and forgot:
        return "It helped the site and harmed other people: the initial encoder is kept."
    if improved:
        return "It helped: the tuned encoder is kept. Enrol everybody again with it."
    if initial == 0:
        return "Nothing to gain: the initial encoder makes no error here, and is kept."
    return "It did not help beyond chance: the initial encoder is kept."


def _plain(change: Change) -> dict[str, float | int]:
    return {
        "eer_before": change.before,
        "eer_after": change.after,
        "difference_low": change.difference.low,
        "difference_high": change.difference.high,
        "people": change.people,
    }
