"""Error rates, thresholds and intervals, against figures worked out by hand."""

import math

import numpy as np
import pytest

from train.errors import TooFewComparisonsError
from train.measuring.metrics import (
    area_under_roc,
    bootstrap_interval,
    clopper_pearson,
    compare_all,
    comparisons_needed,
    det_curve,
    equal_error_rate,
    fmr_at,
    fnmr_at,
    one_shot_trials,
    open_set_rates,
    strictest_threshold,
    tar_at_fmr,
    ten_fold_accuracy,
    threshold_at_fmr,
)


def scores(*values):
    return np.array(values, np.float32)


def test_score_equal_to_threshold_is_a_match():
    assert fmr_at(scores(0.1, 0.5), 0.5) == 0.5
    assert fnmr_at(scores(0.5, 0.7), 0.5) == 0.0


def test_threshold_keeps_the_false_match_rate_at_or_below_what_was_asked():
    nonmated = np.linspace(-1, 1, 3000, dtype=np.float32)
    threshold = threshold_at_fmr(nonmated, 0.01)
    assert fmr_at(nonmated, threshold) == 30 / 3000
    lower = float(np.nextafter(np.float32(threshold), np.float32(-1)))
    assert fmr_at(nonmated, lower) > 0.01, "no lower threshold would do"


def test_ties_at_the_threshold_are_non_matches():
    """float32 scores, so the step above a tie must be one of float32 as well."""
    nonmated = np.concatenate([np.full(2000, 0.1), np.full(1000, 0.7)]).astype(np.float32)
    threshold = threshold_at_fmr(nonmated, 0.1)
    assert fmr_at(nonmated, threshold) == 0.0


@pytest.mark.parametrize(
    ("fmr", "needed"), [(0.1, 300), (0.01, 3000), (1e-3, 30000), (1e-4, 300000)]
)
def test_rule_of_30_says_how_many_comparisons_a_rate_needs(fmr, needed):
    assert comparisons_needed(fmr) == needed
    with pytest.raises(TooFewComparisonsError, match=f"{needed:,}"):
        threshold_at_fmr(np.zeros(needed - 1, np.float32), fmr)


@pytest.mark.parametrize("fmr", [0.0, 1.0, -0.1, 2.0])
def test_rate_outside_0_and_1_is_refused(fmr):
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_at_fmr(np.zeros(10, np.float32), fmr)


def test_separable_scores_have_no_errors():
    mated, nonmated = scores(0.8, 0.9), np.linspace(-1, 0.5, 300, dtype=np.float32)
    assert equal_error_rate(mated, nonmated) == 0.0
    assert area_under_roc(mated, nonmated) == 1.0
    assert tar_at_fmr(mated, nonmated, 0.1) == 1.0


def test_equal_error_rate_of_a_worked_example():
    mated, nonmated = scores(0.2, 0.6, 0.7, 0.8), scores(0.1, 0.3, 0.4, 0.65)
    assert equal_error_rate(mated, nonmated) == 0.25
    assert area_under_roc(mated, nonmated) == pytest.approx((1 + 3 + 4 + 4) / 16)


def test_equal_scores_count_one_half_in_the_area():
    assert area_under_roc(scores(0.5), scores(0.5)) == 0.5


def test_det_runs_from_all_match_to_none():
    thresholds, fmr, fnmr = det_curve(scores(0.2, 0.9), scores(0.1, 0.4))
    assert (fmr[0], fnmr[0]) == (1.0, 0.0)
    assert (fmr[-1], fnmr[-1]) == (0.0, 1.0)
    assert (np.diff(thresholds) > 0).all()
    assert (np.diff(fmr) <= 0).all()
    assert (np.diff(fnmr) >= 0).all()


def test_every_two_pictures_are_compared_once():
    embeddings = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]] * 7
    compared = compare_all(embeddings, np.array([0, 0, 1, 2]))
    assert compared.mated.tolist() == [1.0]
    assert compared.nonmated.tolist() == [0.0] * 5


def test_subject_drawn_twice_counts_twice_and_one_not_drawn_not_at_all():
    compared = compare_all(np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]], np.array([0, 0, 1, 1, 2]))
    again = compared.redrawn(np.array([0, 0, 2]))
    assert again.mated.size == 2
    assert again.nonmated.size == 2 * 2 * 1


def test_embedding_of_zeros_scores_0_and_no_nan():
    compared = compare_all(np.zeros((2, 3), np.float32), np.array([0, 1]))
    assert compared.nonmated.tolist() == [0.0]


def test_open_set_counts_strangers_let_in_and_people_not_found():
    searches = np.array(
        [
            [0.9, 0.1],  # enrolled, found
            [0.2, 0.8],  # enrolled as 0, found as 1: not found
            [0.3, 0.1],  # enrolled, below the threshold
            [0.7, 0.1],  # stranger, let in
            [0.1, 0.2],  # stranger, refused
        ],
        np.float32,
    )
    fpir, fnir = open_set_rates(searches, np.array([0, 0, 0, -1, -1]), 0.5)
    assert fpir == pytest.approx(1 / 2)
    assert fnir == pytest.approx(2 / 3)
    assert math.isnan(open_set_rates(searches[:3], np.array([0, 0, 0]), 0.5)[0])


def test_one_shot_is_perfect_when_people_are_far_apart():
    subjects = np.repeat(np.arange(10), 3)
    hits, mates = one_shot_trials(
        np.eye(10, dtype=np.float32)[subjects], subjects, ways=10, trials=200, seed=1
    )
    assert hits.all()
    assert set(mates) == set(range(10))


def test_one_shot_tie_is_an_error():
    """An encoder that says the same of everybody must not look right by luck."""
    hits, _ = one_shot_trials(
        np.ones((20, 4), np.float32), np.repeat(np.arange(10), 2), ways=5, trials=50, seed=1
    )
    assert not hits.any()


def test_one_shot_of_a_blind_encoder_is_at_chance():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((400, 16)).astype(np.float32)
    hits, _ = one_shot_trials(
        embeddings, np.repeat(np.arange(40), 10), ways=10, trials=2000, seed=1
    )
    assert 0.07 < hits.mean() < 0.13


def test_more_ways_than_people_is_refused():
    with pytest.raises(TooFewComparisonsError, match="3 subjects"):
        one_shot_trials(
            np.eye(6, dtype=np.float32), np.repeat(np.arange(3), 2), ways=10, trials=1, seed=0
        )


def test_ten_folds_choose_each_threshold_on_the_others():
    """Fold 0 is shifted: a threshold chosen on it would make it perfect, and must not be."""
    fold = np.repeat([0, 1, 2], 4)
    mated = np.tile([True, True, False, False], 3)
    level = np.where(mated, 0.8, 0.2) + np.where(fold == 0, 0.7, 0.0)
    found = ten_fold_accuracy(level.astype(np.float32), mated, fold)
    assert found.rate == pytest.approx((0.5 + 1 + 1) / 3)


@pytest.mark.parametrize(
    ("errors", "trials", "low", "high"),
    [(0, 300, 0.0, 0.0122210), (3, 300, 0.0020670, 0.0289445), (300, 300, 0.9877790, 1.0)],
)
def test_clopper_pearson_agrees_with_the_beta_quantiles(errors, trials, low, high):
    """Reference values: scipy.stats.beta.ppf, 2.5 % and 97.5 %."""
    found = clopper_pearson(errors, trials)
    assert found.low == pytest.approx(low, abs=1e-6)
    assert found.high == pytest.approx(high, abs=1e-6)


def test_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no rate"):
        clopper_pearson(0, 0)


def test_bootstrap_interval_holds_the_mean_and_repeats_by_seed():
    values = np.random.default_rng(3).normal(size=50)
    first = bootstrap_interval(lambda drawn: float(values[drawn].mean()), 50, seed=5)
    again = bootstrap_interval(lambda drawn: float(values[drawn].mean()), 50, seed=5)
    assert first == again
    assert first.low < first.rate < first.high
    assert first.high - first.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(50), rel=0.2)


def test_strictest_threshold_is_that_of_the_lowest_rate_that_the_count_supports():
    scores = np.linspace(0, 1, 3000, dtype=np.float32)
    found = strictest_threshold(scores)
    assert found.fmr == pytest.approx(0.01)
    assert (scores >= np.float32(found.score)).sum() == 30
    assert strictest_threshold(scores[:30]) is None
