"""The gate between float and int8."""

from __future__ import annotations

import numpy as np
import pytest

from convert.parity import Decisions, Parity, agreement, compare_decisions, spread

DECISIONS = Decisions(fmr=0.01, tar_float=0.98, tar_int8=0.975, flips=0.001)


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
    return Parity((agreement("toy", in_float, in_int8),), spread(in_float), DECISIONS)


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
    good, bad = agreement("good", rows(), rows()), agreement("bad", rows(), moved(rows(), 0.3))
    found = Parity((good, bad), 1.0, DECISIONS)
    assert not found.passed
    assert found.facts()["passed"] == 0.0
    assert found.facts()["cosine_mean"] == bad.cosine_mean
    assert found.facts()["good.cosine_mean"] == good.cosine_mean


def test_spread_is_the_mean_over_all_pairs():
    found = rows(count=20)
    cosines = (found @ found.T)[np.triu_indices(20, k=1)]
    assert spread(found) == pytest.approx(1 - cosines.mean(), abs=1e-6)


def test_decisions_of_equal_embeddings_do_not_change():
    numbers = np.repeat(np.arange(40), 5)
    found = compare_decisions(rows(), rows(), numbers, 0.01)
    assert (found.flips, found.tar_change) == (0.0, 0.0)


def test_lost_accepts_are_counted_against_int8():
    """Mated pictures agree in float; int8 blurs half the people into noise."""
    numbers = np.repeat(np.arange(40), 5)
    in_float = moved(rows(count=40)[numbers], 0.3)
    blurred = np.where(numbers[:, None] % 2 == 0, in_float, rows(seed=7))
    found = compare_decisions(in_float, blurred.astype(np.float32), numbers, 0.01)
    assert found.tar_float == 1.0
    assert found.tar_change == pytest.approx(-0.5, abs=0.03)
    assert found.flips > 0.005
