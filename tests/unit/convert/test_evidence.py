"""What a score is worth, and never more than the count of comparisons supports."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the workstation extra")

from convert.evidence import MOST_KNOTS, cost, fit_map, least_cost, mapped, weigh_evidence
from train.measuring.metrics import Comparisons

SPREAD = 0.12


def drawn(people=100, pictures=8, apart=0.3, seed=0):
    """Gaussian scores: non-mated about 0, mated about *apart*; so the true ratio is known."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(people), pictures)
    first, second = np.triu_indices(len(numbers), k=1)
    pairs = np.stack([numbers[first], numbers[second]], axis=1)
    scores = rng.normal(0.0, SPREAD, len(pairs))
    scores[pairs[:, 0] == pairs[:, 1]] += apart
    return Comparisons(scores.astype(np.float32), pairs)


def true_ratio(scores, apart=0.3):
    """The logarithm of the quotient of both Gaussian densities."""
    return apart / SPREAD**2 * (scores - apart / 2)


def pairs_of(people):
    return people * (people - 1) // 2


@pytest.mark.parametrize("seed", range(3))
def test_map_is_near_the_true_ratio_where_the_counts_support_it(seed):
    found = weigh_evidence(drawn(seed=seed), pairs_of(100))
    scores = np.linspace(-0.3, 0.6, 500)
    true = true_ratio(scores)
    supported = np.abs(true) < 2.5  # the bounds are -4.9 and 7.4
    error = np.abs(mapped(found.map, scores) - true)[supported]
    assert supported.sum() > 100
    assert error.mean() < 0.15
    assert error.max() < 0.5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("apart", [0.2, 0.3, 0.5])
def test_map_never_claims_much_more_for_a_match_than_is_true(seed, apart):
    found = weigh_evidence(drawn(apart=apart, seed=seed), pairs_of(100))
    scores = np.linspace(apart / 2, apart + 0.4, 500)
    assert (mapped(found.map, scores) - true_ratio(scores, apart)).max() < 0.7


@pytest.mark.parametrize("people", [5, 20, 60])
def test_map_rises_has_few_knots_and_keeps_the_rule_of_three(people):
    compared = drawn(people=people, apart=1.5)  # no score of one kind among those of the other
    found = weigh_evidence(compared, pairs_of(people))
    ratios = found.map.log_likelihood_ratios
    assert 2 <= len(ratios) <= MOST_KNOTS
    assert list(ratios) == sorted(ratios)
    assert max(ratios) <= math.log(pairs_of(people) / 3) + 1e-9
    assert min(ratios) >= -math.log(people * 4 / 3) - 1e-9  # eight pictures are four pairs
    assert (found.bound_low, found.bound_high) == pytest.approx(
        (-math.log(people * 4 / 3), math.log(pairs_of(people) / 3))
    )


def test_fewer_independent_comparisons_support_a_smaller_claim():
    compared = drawn(apart=0.6)
    claims = [max(fit_map(compared, each).log_likelihood_ratios) for each in (30, 300, 3000)]
    assert claims[0] < claims[1] < claims[2]


def test_person_with_many_pictures_counts_like_any_other():
    """One person of 60 pictures scores low with himself; nobody else does."""
    compared = drawn(people=41, pictures=6)
    many = np.triu_indices(60, k=1)[0].size
    low = np.random.default_rng(9).normal(0.0, SPREAD, many).astype(np.float32)
    swayed = Comparisons(
        np.concatenate([compared.scores, low]),
        np.concatenate([compared.subjects, np.full((many, 2), 41)]),
    )
    scores = np.linspace(0.1, 0.4, 50)
    before, after = (
        mapped(fit_map(each, pairs_of(41)), scores).mean() for each in (compared, swayed)
    )
    assert many > (compared.subjects[:, 0] == compared.subjects[:, 1]).sum() * 2
    assert abs(after - before) < 0.3


def test_cost_of_the_map_is_near_the_least_and_far_below_the_cosines_own():
    found = weigh_evidence(drawn(), pairs_of(100))
    assert found.cost_least <= found.cost <= found.cost_least + 0.03
    assert found.cost_raw > found.cost + 0.4
    assert found.cost <= found.cost_held_out < found.cost_least + 0.06
    assert found.facts()["cllr"] == found.cost


def test_least_cost_is_nothing_where_scores_are_apart_and_one_bit_where_they_say_nothing():
    assert least_cost(drawn(people=10, apart=3.0)) == pytest.approx(0.0, abs=1e-9)
    assert least_cost(drawn(people=100, apart=0.0)) > 0.95


def test_scores_that_say_nothing_are_worth_nothing():
    found = weigh_evidence(drawn(apart=0.0), pairs_of(100))
    assert np.abs(found.map.log_likelihood_ratios).max() < 0.5
    assert found.cost == pytest.approx(1.0, abs=0.02)


def test_collapsed_network_gives_no_evidence():
    compared = drawn(people=5)
    alike = Comparisons(np.ones_like(compared.scores), compared.subjects)
    assert set(fit_map(alike, 10).log_likelihood_ratios) == {0.0}


def test_halves_that_are_too_small_have_no_held_out_cost():
    found = weigh_evidence(drawn(people=2), 1)
    assert found.cost_held_out is None
    assert "cllr_held_out" not in found.facts()


@pytest.mark.slow
def test_map_of_one_half_of_real_people_is_near_the_least_cost_on_the_other_half(shared_data):
    """The shipped encoder on AT&T: 20 people to fit, 20 others to measure."""
    pytest.importorskip("tqdm", reason="needs the workstation extra")
    from convert.calibrate import calibrate
    from convert.embedding_worker import as_aligned
    from convert.pictures import read_pictures
    from edge.bundles.bundle import inspect_bundle
    from edge.config import SHIPPED_BUNDLE
    from edge.embed import open_embedder
    from train.measuring.metrics import compare_all

    embedder = open_embedder(inspect_bundle(SHIPPED_BUNDLE).encoder, "shipped")
    halves = []
    for first in (1, 21):
        people = [f"s{number}" for number in range(first, first + 20)]
        crops = read_pictures(shared_data / "att-faces", people).crops
        rows = np.stack([embedder.embed(as_aligned(each.copy())).vector for each in crops.pixels])
        halves.append(compare_all(rows, crops.numbers))
    for fitted_on, other in (halves, halves[::-1]):
        effective = calibrate(fitted_on, 0.01, "att").effective_comparisons
        fitted = fit_map(fitted_on, effective)
        found = cost(mapped(fitted, other.scores.astype(np.float64)), other)
        assert found < least_cost(other) + 0.1
        assert found < cost(other.scores.astype(np.float64), other) / 3
