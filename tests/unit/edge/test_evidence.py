"""What frames are worth together: the arithmetic, and real repeated pictures that hold it."""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import EVIDENCE, policy

from edge.align import align
from edge.bundles.bundle import inspect_bundle
from edge.config import SHIPPED_BUNDLE, DetectorConfig, QualityConfig
from edge.detect import open_detector
from edge.embed import open_embedder
from edge.evidence import FRAME_CORRELATION, effective_frames, needed, reachable_rate, summed
from edge.pictures.picture import picture_paths, read_picture
from edge.promise import promise
from edge.quality import flaws


def test_independent_frames_add_up_and_equal_ones_count_once():
    assert summed([1.0, 2.0, 3.0], 0.0) == pytest.approx(6.0)
    assert summed([2.0, 2.0, 2.0], 1.0) == pytest.approx(2.0)
    assert summed([], 0.5) == 0.0


def test_the_design_effect_is_kishs():
    """Kish 1965: clusters of 10 with a correlation of 0.05 have a design effect of 1.45."""
    assert effective_frames(10, 0.05) == pytest.approx(10 / 1.45)
    assert effective_frames(10**9, 0.25) == pytest.approx(4.0)


def test_for_equally_correlated_normal_scores_it_is_the_exact_log_likelihood_ratio():
    """Mated N(1, C), non-mated N(-1, C), C equicorrelated: worked out with the full covariance."""
    rho, scores = 0.6, np.array([0.7, -0.2, 1.1, 0.4])
    inverse = np.linalg.inv((1 - rho) * np.eye(4) + rho)
    exact = -0.5 * ((scores - 1) @ inverse @ (scores - 1) - (scores + 1) @ inverse @ (scores + 1))
    assert summed((2 * scores).tolist(), rho) == pytest.approx(exact)


@settings(deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=1, max_size=30), st.floats(0, 1))
def test_evidence_lies_between_that_of_the_mean_and_the_sum(ratios, correlation):
    mean, evidence = math.fsum(ratios) / len(ratios), summed(ratios, correlation)
    assert min(mean, len(ratios) * mean) - 1e-9 <= evidence <= max(mean, len(ratios) * mean) + 1e-9


def test_strangers_with_correlated_scores_exceed_the_bound_no_more_often_than_promised():
    """A thousand visits of 30 frames, looked at after each frame: Ville's inequality."""
    drawn = np.random.default_rng(0)
    rho, visits = 0.7, 20_000
    shared = drawn.normal(size=(visits, 1)) * math.sqrt(rho)
    scores = -1 + shared + drawn.normal(size=(visits, 30)) * math.sqrt(1 - rho)
    frames = np.arange(1, 31)
    running = 2 * np.cumsum(scores, axis=1) / (1 + (frames - 1) * rho)
    assert running[0, 4] == pytest.approx(summed((2 * scores[0, :5]).tolist(), rho))
    for false_accept in (0.1, 0.01):
        exceeded = (running >= math.log(1 / false_accept)).any(axis=1).mean()
        assert 0 < exceeded <= false_accept


def test_what_is_needed_grows_with_gallery_and_tests():
    assert needed(1e-5, 100, 1) == pytest.approx(math.log(2 * 100 / 1e-5))
    assert needed(1e-5, 100, 2) == pytest.approx(math.log(6 * 100 / 1e-5))
    assert needed(1e-5, 0, 1) == needed(1e-5, 1, 1)


def test_more_frames_reach_hardly_more_where_they_are_alike():
    few = reachable_rate(EVIDENCE, 100, frames=15, correlation=0.98)
    many = reachable_rate(EVIDENCE, 100, frames=10**6, correlation=0.98)
    assert few / many == pytest.approx(1.0, abs=0.01)
    assert reachable_rate(EVIDENCE, 1, frames=1, correlation=0.5) == pytest.approx(2 * math.exp(-5))


# --- the promise in words ------------------------------------------------------------------------


def test_a_gallery_small_enough_is_promised_what_is_asked():
    said = promise(policy(), 10)
    assert said.alone
    assert str(said).startswith(
        "with 10 references a stranger gets in by the face in at most one visit in 100,000"
    )


def test_a_gallery_too_large_is_told_what_is_reachable_and_what_to_write():
    """Wholly correlated frames of 5 nats: 2 e^-5 with one reference, and more than 1 with 100."""
    alike = policy(correlation=1.0, false_accept_with_pin=0.02)
    said = promise(alike, 1)
    assert (said.alone, said.with_pin) == (False, True)
    assert "one visit in 74 at best, not one visit in 100,000" in str(said)
    assert "a face with a PIN does" in str(said)
    assert str(said).endswith("accept more: false_accept_per_visit = 0.027")
    assert said.possible(keypad=True)
    assert not said.possible(keypad=False)
    many = str(promise(alike, 100))
    assert "can promise nothing, not one visit in 100,000" in many
    assert many.endswith("For a face alone only a better model, or a smaller gallery, helps")


def test_where_not_even_a_pin_helps_it_says_so():
    said = promise(policy(correlation=1.0, false_accept_with_pin=1e-3), 1)
    assert not said.possible(keypad=True)
    assert "nobody gets in, not even with a PIN" in str(said)
    assert "false_accept_with_pin = 0.027" in str(said)


def test_what_it_offers_is_reachable():
    alike = policy(correlation=1.0)
    assert promise(policy(correlation=1.0, false_accept=0.027), 1).alone
    assert not promise(alike, 1).alone


def test_nobody_enrolled_is_no_failure():
    said = promise(policy(), 0)
    assert said.possible(keypad=False)
    assert str(said) == "nobody is enrolled, and nobody gets in"


# --- real repeated pictures ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def repeated(shared_data):
    """(20, 6, 20) log-likelihood ratios of six pictures of a person with twenty references.

    AT&T's ten pictures of a person differ in expression and view: more than the frames of a visit.
    """
    folder = shared_data / "att-faces"
    if not folder.is_dir():
        pytest.skip("AT&T's faces are not in ../shared/data")
    bundle = inspect_bundle(SHIPPED_BUNDLE)
    detector = open_detector(DetectorConfig(), eyes=bundle.eyes)
    embedder = open_embedder(bundle.encoder, bundle.model_id)
    references, pictures = [], []
    for number in range(1, 21):
        vectors = []
        for path in picture_paths(folder / f"s{number}"):
            pixels = read_picture(path)
            face = align(pixels, detector.detect(pixels)[0])
            if not flaws(face, QualityConfig()):
                vectors.append(embedder.embed(face).vector)
            if len(vectors) == 7:
                break
        references.append(vectors[0])
        pictures.append(vectors[1:])
    scores = np.stack([np.stack(each) for each in pictures]) @ np.stack(references).T
    known = bundle.evidence
    return np.interp(scores, known.scores, known.log_likelihood_ratios)


def of_strangers(ratios):
    """Return (V, F) the ratios of each person with each reference of somebody else."""
    people = len(ratios)
    return np.stack([ratios[a, :, b] for a in range(people) for b in range(people) if a != b])


@pytest.mark.slow
def test_frames_of_one_visit_are_far_from_independent_and_less_alike_than_is_assumed(repeated):
    """One-way analysis of variance: the share of the variance that is between visits."""
    visits = of_strangers(repeated)
    frames = visits.shape[1]
    between = frames * visits.mean(axis=1).var(ddof=1)
    within = visits.var(axis=1, ddof=1).mean()
    correlation = (between - within) / (between + (frames - 1) * within)
    assert 0.5 < correlation <= FRAME_CORRELATION


@pytest.mark.slow
def test_discounted_evidence_keeps_its_promise_on_real_pictures_and_a_plain_sum_does_not(repeated):
    """Each stranger's visit is looked at after each picture, as the door does."""
    visits = of_strangers(repeated)

    def exceeding(correlation, rate):
        bound = math.log(1 / rate)
        return np.mean(
            [
                any(
                    total * effective_frames(count, correlation) / count >= bound
                    for count, total in enumerate(accumulate(visit), 1)
                )
                for visit in visits
            ]
        )

    for rate in (0.2, 0.1, 0.05):
        assert exceeding(FRAME_CORRELATION, rate) <= rate
    assert exceeding(0.0, 0.05) > 2 * 0.05
