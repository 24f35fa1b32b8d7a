"""On the golden set every decision that int8 changes is counted, by what it means."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the workstation extra")

from convert.golden import Flips, Golden, count_flips, judge_golden, threshold_of
from train.measuring.metrics import Comparisons

PAIRS = np.array([[0, 0], [0, 0], [0, 1], [0, 1], [1, 1]])


def compared(*scores):
    return Comparisons(np.array(scores, np.float32), PAIRS)


def test_lost_and_gained_matches_are_told_apart_each_at_its_own_threshold():
    before = compared(0.6, 0.4, 0.6, 0.4, 0.9)
    after = compared(0.55, 0.65, 0.5, 0.7, 0.9)
    assert count_flips(before, after, (0.5, 0.6)) == Flips(5, 1, 1, 1, 1)
    assert count_flips(before, after, (0.5, 0.6)).all == 4
    assert count_flips(before, before, (0.5, 0.5)).all == 0


def test_score_at_the_threshold_is_a_match():
    assert count_flips(compared(0.5, 0, 0, 0, 0), compared(0.4, 0, 0, 0, 0), (0.5, 0.5)) == Flips(
        5, 1, 0, 0, 0
    )


def test_every_runtime_is_judged_on_the_same_comparisons():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    people = np.repeat(np.arange(10), 4)
    at = threshold_of(rows, people, 0.1)
    flips = judge_golden(rows, {"exact": rows, "other": rows[::-1].copy()}, people, (at, at))
    assert flips["exact"] == Flips(780, 0, 0, 0, 0)
    assert flips["other"].all > 0
    facts = Golden("toys: 10 people", flips).facts()
    assert facts["data_id"] == "toys: 10 people"
    assert facts["exact"]["comparisons"] == 780
