"""The gate between float and int8."""

from __future__ import annotations

import numpy as np
import pytest

from convert.parity import (
    GATE_FMR,
    Agreement,
    Decisions,
    Parity,
    agreement,
    compare_decisions,
    spread,
    subset,
)

PEOPLE = np.repeat(np.arange(40), 5)


def rows(count=200, size=64, seed=0, towards=None, pull=0.0):
    """Return unit rows; *pull* draws all of them *towards* one direction."""
    found = np.random.default_rng(seed).normal(size=(count, size))
    found += pull * (np.ones(size) if towards is None else towards)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def moved(embeddings, by, seed=1):
    """Return *embeddings* with noise of length *by* (an array or a number), unit rows again."""
    noise = rows(*embeddings.shape, seed=seed) * np.reshape(by, (-1, 1))
    found = embeddings + noise
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def parity(in_float, in_int8):
    return Parity((agreement("toy", in_float, in_int8, PEOPLE),), spread(in_float))


def judged(tar_float, tar_int8, mated, fmr=GATE_FMR):
    """Return the sentences about decisions alone."""
    decisions = Decisions(fmr, tar_float, tar_int8, flips=0.001, mated=mated)
    return Parity((Agreement("toy", 1000, 1.0, 1.0, 1.0, decisions),), 1.0).failures


def test_equal_embeddings_pass_with_cosine_one():
    found = parity(rows(), rows())
    assert found.passed
    assert found.facts()["cosine_min"] == pytest.approx(1.0, abs=1e-6)


def test_small_error_passes():
    assert parity(rows(), moved(rows(), 0.1)).passed


def test_low_mean_fails():
    failures = parity(rows(), moved(rows(), 0.2)).failures
    assert len(failures) == 1
    assert failures[0].startswith("toy: mean cosine 0.98")


def test_few_bad_faces_fail_though_the_mean_is_good():
    """A door must not work for 97 of 100 people."""
    by = np.full(200, 0.01)
    by[:6] = 0.5
    found = parity(rows(), moved(rows(), by))
    assert found.agreements[0].cosine_mean > 0.99
    assert [each.split(" 0.")[0] for each in found.failures] == [
        "toy: 1st percentile of the cosine"
    ]


def test_collapsed_network_fails_though_every_cosine_is_near_one():
    """Embeddings that are all alike agree whatever int8 does to them."""
    alike = rows(pull=30.0)
    found = parity(alike, moved(alike, 0.02))
    assert found.agreements[0].cosine_p1 > 0.999
    assert ["tells faces too little apart" in each for each in found.failures] == [True]


def test_embeddings_that_are_not_numbers_fail():
    assert not parity(rows(), np.full((200, 64), np.nan, np.float32)).passed


def test_every_runtime_must_pass_and_the_worst_stands_in_the_manifest():
    good = agreement("good", rows(), rows(), PEOPLE)
    bad = agreement("bad", rows(), moved(rows(), 0.3), PEOPLE)
    found = Parity((good, bad), 1.0)
    assert not found.passed
    assert found.facts()["passed"] == 0.0
    assert found.facts()["cosine_mean"] == bad.cosine_mean
    assert found.facts()["good.cosine_mean"] == good.cosine_mean


def test_spread_is_the_mean_over_all_pairs():
    found = rows(count=20)
    cosines = (found @ found.T)[np.triu_indices(20, k=1)]
    assert spread(found) == pytest.approx(1 - cosines.mean(), abs=1e-6)


def test_decisions_of_equal_embeddings_do_not_change():
    found = compare_decisions(rows(), rows(), PEOPLE)
    assert (found.flips, found.tar_change) == (0.0, 0.0)


def test_rate_is_the_gates_own_or_the_lowest_that_the_pictures_support_and_says_so():
    few = compare_decisions(rows(), rows(), PEOPLE)
    assert few.fmr == pytest.approx(30 / 19_500)  # 40 people, 5 pictures each
    assert few.at_rate == "FMR 0.00154, the lowest that these pictures support"
    many = compare_decisions(rows(400), rows(400), np.repeat(np.arange(80), 5))
    assert (many.fmr, many.at_rate) == (GATE_FMR, "FMR 0.001")


def test_lost_accepts_are_counted_against_int8():
    """Mated pictures agree in float; int8 blurs half the people into noise."""
    in_float = moved(rows(count=40)[PEOPLE], 0.3)
    blurred = np.where(PEOPLE[:, None] % 2 == 0, in_float, rows(seed=7)).astype(np.float32)
    found = compare_decisions(in_float, blurred, PEOPLE)
    assert (found.tar_float, found.mated) == (1.0, 400)
    assert found.tar_change == pytest.approx(-0.5, abs=0.03)
    assert found.flips > 0.005
    assert "the true accept rate falls from 100.00% in float" in " ".join(
        parity(in_float, blurred).failures
    )


def test_half_a_point_of_the_true_accept_rate_may_be_lost_and_no_more():
    assert judged(0.98, 0.9751, mated=100_000) == ()
    assert judged(0.98, 0.9749, mated=100_000)[0].startswith("toy: at FMR 0.001, the true accept")
    assert judged(0.98, 0.99, mated=100_000) == ()


def test_fewer_than_five_lost_comparisons_do_not_fail_a_small_set():
    assert judged(1.0, 1 - 5 / 270, mated=270) == ()
    assert judged(1.0, 1 - 6 / 270, mated=270) != ()


def test_pictures_without_mated_comparisons_have_no_rate_and_fail_by_cosine_alone():
    strangers = np.arange(200)
    assert compare_decisions(rows(), rows(), strangers) is None
    assert Parity((agreement("toy", rows(), rows(), strangers),), spread(rows())).passed


def test_subset_for_a_slow_runtime_holds_whole_people():
    numbers = np.repeat(np.arange(300), 4)
    chosen = subset(numbers, 100)
    assert chosen.size == len(set(chosen.tolist())) == 100
    assert (np.diff(chosen) > 0).all()
    assert np.bincount(numbers[chosen])[np.unique(numbers[chosen])].tolist() == [4] * 25


def test_subset_does_not_fill_up_with_one_person():
    numbers = np.repeat(np.arange(5), 300)
    assert np.bincount(numbers[subset(numbers, 300)]).tolist() == [30] * 5


def test_small_set_is_taken_whole():
    assert subset(PEOPLE, 300).tolist() == list(range(200))
