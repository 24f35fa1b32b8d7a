"""A threshold carries its evidence, and too little evidence is an error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from convert.calibrate import calibrate, check_support, effective_comparisons, subjects_needed
from train.errors import TooFewComparisonsError
from train.measuring.metrics import Comparisons, clopper_pearson, fmr_at


def comparisons(subjects=20, pictures=4, seed=0, look_alikes=()):
    """Independent scores about 0; mated ones about 0.9; *look_alikes* are pairs that score 0.99."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(subjects), pictures)
    first, second = np.triu_indices(len(numbers), k=1)
    pairs = np.stack([numbers[first], numbers[second]], axis=1)
    scores = rng.normal(0.0, 0.1, len(pairs)).astype(np.float32)
    scores[pairs[:, 0] == pairs[:, 1]] += np.float32(0.9)
    for one, other in look_alikes:
        scores[(pairs == (one, other)).all(axis=1)] = np.float32(0.99)
    return Comparisons(scores, pairs)


def test_threshold_keeps_the_rate_on_the_scores_that_it_was_chosen_on():
    compared = comparisons()
    made = calibrate(compared, 0.01, "toys")
    false = (compared.nonmated >= np.float32(made.point.threshold)).sum()
    assert (made.point.comparisons, made.point.mated) == (3040, 120)
    assert made.point.fmr == false / 3040 <= 0.01
    assert made.point.fmr > 0.009  # not lower than it need be
    assert made.point.fnmr == 0
    assert (made.subjects, made.point.data_id) == (20, "toys")


def test_upper_limit_is_above_the_rate_and_near_the_binomial_one_where_subjects_do_not_differ():
    made = calibrate(comparisons(subjects=40), 0.01, "toys")
    as_if_independent = clopper_pearson(round(0.01 * 12480), 12480).high
    assert made.point.fmr < made.fmr_upper
    assert made.fmr_upper == pytest.approx(as_if_independent, rel=0.1)


def test_false_matches_of_few_people_are_worth_fewer_comparisons_than_those_of_many():
    """The same number of false matches, all of one subject: the next site may have another such."""
    spread = [(2 * n, 2 * n + 1) for n in range(10)]
    one_sheep = [(0, n) for n in range(1, 11)]
    worth_spread = effective_comparisons(comparisons(look_alikes=spread), 0.95)
    worth_sheep = effective_comparisons(comparisons(look_alikes=one_sheep), 0.95)
    assert worth_sheep < worth_spread / 2
    assert worth_spread <= 190  # a pair of people who match does so in all its 16 comparisons


def test_without_a_false_match_there_are_as_many_comparisons_as_pairs_of_people():
    assert effective_comparisons(comparisons(), 0.995) == 190


def test_upper_limit_covers_the_true_rate_where_people_differ():
    """Some people are taken for others more often, so comparisons are far from independent.

    The limit should be missed in 2.5 % of samples. With so few, so different people it is in 9 %;
    as if comparisons were independent it would be in 44 %.
    """
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(25), 3)
    first, second = np.triu_indices(75, k=1)
    pairs = np.stack([numbers[first], numbers[second]], axis=1)
    true_rate = math.erfc(0.3 / math.sqrt(0.08**2 + 0.08**2 + 0.1**2) / math.sqrt(2)) / 2
    missed = missed_if_independent = 0
    for _ in range(100):
        habit = rng.normal(0.0, 0.08, 25)
        scores = (habit[pairs].sum(axis=1) + rng.normal(0, 0.1, len(pairs))).astype(np.float32)
        compared = Comparisons(scores, pairs)
        rate, total = fmr_at(compared.nonmated, 0.3), compared.nonmated.size
        effective = effective_comparisons(compared, 0.3)
        missed += clopper_pearson(math.ceil(rate * effective), effective).high < true_rate
        missed_if_independent += clopper_pearson(round(rate * total), total).high < true_rate
    assert missed <= 15
    assert missed_if_independent > 30


@pytest.mark.parametrize(("fmr", "people"), [(0.5, 3), (0.1, 5), (1e-2, 15), (1e-3, 46)])
def test_one_pair_of_look_alikes_is_never_more_than_the_rate(fmr, people):
    assert subjects_needed(fmr) == people
    assert people * (people - 1) / 2 >= 1 / fmr > (people - 1) * (people - 2) / 2


def test_rate_that_people_cannot_support_is_refused_with_what_could():
    with pytest.raises(TooFewComparisonsError, match=r"20 subjects .* takes 46 .* --fmr 0\.0099"):
        calibrate(comparisons(), 1e-3, "toys")


def test_offered_rate_is_accepted():
    """The message's advice works."""
    check_support(0.0099, subjects=20, nonmated=3040, mated=120)


def test_rate_that_comparisons_cannot_support_is_refused():
    """Many people with one picture each make many pairs, and still too few comparisons."""
    with pytest.raises(TooFewComparisonsError, match="30,000 comparisons"):
        check_support(1e-3, subjects=100, nonmated=4950, mated=1)


def test_no_mated_comparison_is_refused():
    with pytest.raises(TooFewComparisonsError, match="second picture"):
        check_support(0.1, subjects=100, nonmated=4950, mated=0)
