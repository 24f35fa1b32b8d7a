"""Counts over a replay: who was shown, who was returned, and how sure the rates are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import policy

from edge.pipeline import Step
from edge.replay import Tally, wilson
from edge.vocabulary import (
    Box,
    Candidate,
    Decision,
    Detection,
    Flaw,
    Frame,
    Observation,
    ObservedFace,
    Outcome,
    Reason,
)

POLICY = policy(lead=0.5)
NAMES = {"1": "Ada", "2": "Grace"}
SHOWN = {0: "Ada", 1: "Eve"}
PIXELS = np.zeros((4, 4, 3), np.uint8)


def step(index, *candidates, face=True, flaws=(), granted=None, weak=False):
    landmarks = np.zeros((5, 2), np.float32)
    faces = (
        (ObservedFace(Detection(Box(0, 0, 9, 9), landmarks, 1.0), flaws, candidates),)
        if face
        else ()
    )
    outcome = Outcome.GRANT if granted else Outcome.WAIT
    decision = Decision(
        outcome, Reason.MATCH, 0.0, granted, 0.9, 0.5, 3, "m", needs_second_factor=weak
    )
    return Step(Frame(PIXELS.copy(), 0.0, index), Observation(0.0, faces), decision)


def tally(*steps):
    counted = Tally(POLICY, SHOWN, NAMES)
    for each in steps:
        counted(each)
    return counted


ADA, GRACE = Candidate("1", 0.8), Candidate("2", 0.3)


@pytest.mark.parametrize(
    ("seen", "finding"),
    [
        (step(0, ADA, GRACE), "right"),
        (step(0, Candidate("2", 0.8), Candidate("1", 0.3)), "wrong"),
        (step(0, Candidate("1", 0.49)), "nobody returned"),
        (step(0, ADA, Candidate("2", 0.77)), "ambiguous"),
        (step(0, face=False), "no face found"),
        (step(0, flaws=(Flaw.TOO_DARK,)), "refused"),
        (step(0), "nobody returned"),
    ],
)
def test_picture_of_an_enrolled_person_is_right_or_a_miss_with_its_reason(seen, finding):
    counted = tally(seen)
    assert dict(counted.mated) == {finding: 1}
    assert counted.fnir == (0 if finding == "right" else 1, 1)


def test_somebody_returned_for_a_stranger_is_a_false_positive():
    counted = tally(step(1, ADA, GRACE), step(1, GRACE))
    assert counted.fpir == (1, 2)


def test_pictures_of_strangers_that_were_not_searched_are_not_in_the_rate():
    counted = tally(step(1, face=False), step(1, flaws=(Flaw.TOO_DARK,)), step(1, GRACE))
    assert counted.fpir == (0, 1)


def test_grants_are_counted_against_the_person_shown():
    counted = tally(step(0, ADA, granted="1"), step(1, ADA, granted="1"))
    assert counted.granted_as == {"ada": {"ada"}, "eve": {"ada"}}
    assert "1 of 1 enrolled people let in; 1 of 2 people let in as somebody else" in "\n".join(
        counted.lines()
    )


def test_who_would_need_a_second_factor_is_not_let_in():
    counted = tally(step(0, ADA, granted="1", weak=True), step(1, ADA, granted="1"))
    assert counted.granted_as == {"eve": {"ada"}}
    assert counted.lines()[1] == "decisions 1 granted, 1 only with a second factor, 0 denied"


def test_film_without_truth_reports_no_rates():
    counted = tally(step(7, ADA))
    assert [line.split()[0] for line in counted.lines()] == ["frames", "decisions"]


def test_wilson_interval_against_published_values():
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81/263, 15/148, 0/20, 1/29."""
    for count, total, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson(count, total) == pytest.approx((low, high), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


@settings(deadline=None)
@given(st.integers(1, 10_000), st.data())
def test_interval_holds_the_rate_and_stays_within_0_and_1(total, data):
    count = data.draw(st.integers(0, total))
    low, high = wilson(count, total)
    assert 0.0 <= low <= count / total + 1e-12
    assert count / total - 1e-12 <= high <= 1.0


def test_folder_named_otherwise_than_the_gallery_spells_it_is_the_same_person():
    """macOS writes decomposed accents, SQLite holds composed ones."""
    decomposed, composed = "Jose\u0301", "Jos\u00e9"
    counted = Tally(POLICY, {0: decomposed.upper()}, {"1": composed})
    counted(step(0, ADA, granted="1"))
    assert dict(counted.mated) == {"right": 1}
    assert "1 of 1 enrolled people let in; 0 of 1" in counted.lines()[-1]
