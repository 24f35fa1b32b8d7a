"""A probe against the gallery: best reference a subject, best subject first."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edge.errors import GalleryModelMismatchError
from edge.match import rank
from edge.vocabulary import Candidate, Embedding, Gallery

MODEL = "a" * 64


def unit(*values):
    vector = np.array(values, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def probe(*values, model_id=MODEL):
    return Embedding(unit(*values), model_id)


def gallery(*rows, model_id=MODEL):
    """Build a gallery from (subject id, vector) pairs."""
    return Gallery(
        model_id,
        tuple(subject_id for subject_id, _ in rows),
        np.array([vector for _, vector in rows], dtype=np.float32),
    )


def random_units(count, size, seed):
    rows = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_subject_scores_with_its_best_reference():
    """References of one subject may lie anywhere in the gallery."""
    enrolled = gallery(("ada", unit(0, 1)), ("eve", unit(1, 1)), ("ada", unit(1, 0)))
    ranked = rank(probe(1, 0), enrolled)
    assert [each.subject_id for each in ranked] == ["ada", "eve"]
    assert [each.score for each in ranked] == pytest.approx([1.0, 0.5**0.5], abs=1e-6)


def test_equal_scores_are_ordered_by_subject_id_even_across_the_cut():
    """Which of five equals is named must not depend on the order of the rows."""
    same = unit(1, 2)
    ids = ["eve", "bob", "dan", "ada", "cat"]
    for shift in range(5):
        rows = [(each, same) for each in ids[shift:] + ids[:shift]]
        ranked = rank(probe(1, 2), gallery(*rows), most=3)
        assert [each.subject_id for each in ranked] == ["ada", "bob", "cat"]


def test_scores_stay_within_a_cosine_s_range():
    """Float32 rounding must not lead to a score above 1 or below -1."""
    vectors = random_units(500, 128, seed=3)
    enrolled = gallery(*((f"s{i}", row) for i, row in enumerate(vectors)))
    raised = 0
    for row in vectors[:100]:
        assert rank(Embedding(row.copy(), MODEL), enrolled)[0].score <= 1.0
        assert rank(Embedding(-row, MODEL), enrolled, most=500)[-1].score >= -1.0
        raised += int((vectors @ row).max() > 1.0)
    assert raised > 0, "no row would have left the range: the test says nothing"


def test_an_empty_gallery_has_no_candidates():
    """Nobody enrolled, whatever the length of an embedding."""
    assert rank(probe(1, 0), Gallery(MODEL, (), np.zeros((0, 0), np.float32))) == ()


@pytest.mark.parametrize("rows", [(), (("ada", unit(1, 0)),)])
def test_a_probe_of_another_model_is_refused(rows):
    """Two models' embeddings are not comparable, not even with nobody."""
    enrolled = (
        gallery(*rows, model_id="b" * 64)
        if rows
        else Gallery("b" * 64, (), np.zeros((0, 0), np.float32))
    )
    with pytest.raises(GalleryModelMismatchError) as caught:
        rank(probe(1, 0), enrolled)
    assert (caught.value.gallery_model, caught.value.loaded_model) == ("b" * 64, MODEL)


@pytest.mark.parametrize("most", [1, 2, 5, 40, 1000])
def test_ranking_agrees_with_the_plain_definition(most):
    """Against max over references, then a sort, on coarse vectors that make many ties."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        coarse = random.integers(-1, 2, (120, 3)).astype(np.float32) + np.float32([0, 0, 0.5])
        vectors = coarse / np.linalg.norm(coarse, axis=1, keepdims=True)
        ids = [f"s{i:02}" for i in random.integers(0, 40, 120)]
        asked = Embedding(vectors[0].copy(), MODEL)
        enrolled = gallery(*zip(ids, vectors, strict=True))

        scores = np.clip(enrolled.matrix @ asked.vector, -1, 1)
        best: dict[str, float] = {}
        for subject_id, score in zip(ids, scores.tolist(), strict=True):
            best[subject_id] = max(score, best.get(subject_id, -2.0))
        expected = sorted(best.items(), key=lambda each: (-each[1], each[0]))[:most]

        assert rank(asked, enrolled, most=most) == tuple(Candidate(*each) for each in expected)


@pytest.mark.timed
def test_ten_thousand_subjects_are_searched_within_two_milliseconds():
    """The best of 50 in the processor's time, so that a busy machine does not fail the test."""
    vectors = random_units(10_000, 128, seed=1)
    enrolled = gallery(*((f"{i:08x}", row) for i, row in enumerate(vectors)))
    asked = Embedding(vectors[4321].copy(), MODEL)
    took_s = []
    for _ in range(50):
        began_s = time.process_time()
        ranked = rank(asked, enrolled)
        took_s.append(time.process_time() - began_s)
        assert ranked[0].subject_id == f"{4321:08x}"
    assert min(took_s) <= 0.002
