"""Events in words: what the numbers say, and that a record which contradicts itself shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.audit import Audit
from edge.evidence import weigh
from edge.explanation import decision_of, explain
from edge.vocabulary import Decision, Flaw, Outcome, Reason

MODEL = "a" * 64


def decision(*ratios, outcome=Outcome.GRANT, reason=Reason.MATCH, rival=(), **changes):
    made = Decision(
        outcome=outcome,
        reason=reason,
        captured_at_s=1.5,
        subject_id="0a1b2c3d",
        score=0.8125,
        threshold=0.4375,
        frames=len(ratios),
        model_id=MODEL,
        scores=(0.8,) * len(ratios),
        ratios=ratios,
        rival_ratios=rival,
        references=120,
        false_accept=1e-5,
        false_accept_with_pin=1e-3,
        correlation=0.5,
        lead_needed=1.0,
    )
    made = replace(made, evidence=weigh(made).evidence, evidence_needed=weigh(made).needed)
    return replace(made, **changes)


@pytest.fixture
def audit(tmp_path):
    with Audit(tmp_path / "audit.sqlite") as audit:
        yield audit


def told(audit, seq=1):
    event, *following = audit.event_and_next(seq, 20)
    return "\n".join(explain(event, following, {"0a1b2c3d": "Ada"}.get))


def test_a_grant_is_told_with_what_was_found_needed_and_done(audit):
    audit.record(decision(14.0, 15.0, 16.0, rival=(-3.0, -3.0, -3.0)))
    audit.note("release", cause="face", subject_id="0a1b2c3d", release_s=3.0)
    audit.record(decision(14.0))
    said = told(audit)
    assert "granted, because the evidence for one subject is enough (Ada)." in said
    assert "In 3 frame(s) the best cosine with Ada was 0.812, at or above 0.438" in said
    # Mean 15 of 3 frames that are worth 3 / (1 + 2 · 0.5) = 1.5: 22.50; ln(120 · 2 / 1e-5) = 16.99.
    assert "worth 22.50 nats: 5.91e+09 times likelier for one person than for two." in said
    assert "16.99 nats are needed" in said
    assert "share of strangers' visits that open to 1e-05, among 120 reference(s)." in said
    assert "The next subject lies 27.00 nats behind; 1.00 are asked for, so that is enough." in said
    assert "this comes to the same." in said
    assert "Then, event 2: the strike was released for 3.0 s: face (Ada)." in said
    assert "event 3" not in said, "the next visit is another story"
    assert "did not open" not in said


def test_a_denial_says_what_was_missing(audit):
    audit.record(
        decision(
            2.0,
            3.0,
            outcome=Outcome.DENY,
            reason=Reason.NO_MATCH,
            flaws=(Flaw.TOO_DARK,),
            rival=(2.0, 2.5),
        )
    )
    said = told(audit)
    assert "denied, because the evidence is not enough for any subject (Ada)." in said
    assert "worth 3.33 nats" in said
    assert "With a second factor, 7.60 nats are needed (0.001)." in said
    assert "0.33 nats behind; 1.00 are asked for, so that is too little." in said
    assert "The picture: more light, please." in said
    assert said.endswith("The door did not open for it.")


def test_a_grant_that_the_gate_or_the_door_refused_says_so(audit):
    audit.record(decision(20.0))
    audit.note("not admitted", subject_id="0a1b2c3d", answer="refuse", reason="outside_hours")
    audit.record(decision(20.0))
    audit.note("refused", cause="face", reason="lockdown")
    said = told(audit)
    assert "Ada was not admitted (refuse): the group may not enter at this hour." in said
    assert "the door did not open for it" in said
    assert "not released for face: the door is lockdown." in told(audit, 3)


@pytest.mark.parametrize(
    "forged",
    [
        decision(2.0, 3.0),
        decision(20.0, evidence=30.0),
        decision(20.0, rival=(19.9,)),
        decision(2.0, outcome=Outcome.GRANT, reason=Reason.WEAK_MATCH, needs_second_factor=True),
    ],
    ids=["too little", "another sum", "no lead", "too little for a second factor"],
)
def test_a_record_that_contradicts_its_own_numbers_shows(audit, forged):
    audit.record(forged)
    assert "does NOT come to the same" in told(audit)


def test_a_grant_by_a_second_factor_is_held_to_its_own_rate(audit):
    audit.record(decision(9.0, reason=Reason.WEAK_MATCH, needs_second_factor=True))
    assert "this comes to the same" in told(audit)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_told_also_when_nobody_was_compared(audit, reason):
    made = decision(outcome=Outcome.DENY, reason=reason, score=None, subject_id=None)
    audit.record(made)
    said = told(audit)
    assert f"denied, because {reason.value}." in said
    assert "Nobody was compared." in said
    assert decision_of(audit.event_and_next(1, 0)[0]) == made


def test_a_decision_of_an_earlier_release_is_told_as_far_as_it_goes(audit):
    """It recorded no evidence."""
    facts = {
        "outcome": "deny",
        "reason": "no_match",
        "subject_id": None,
        "score": 0.25,
        "threshold": 0.4375,
        "frames": 3,
        "model_id": MODEL,
        "flaws": ["too_dark"],
    }
    audit._append("decision", facts)
    said = told(audit)
    assert "In 3 frame(s) the best cosine with the nearest subject was 0.250, below 0.438" in said
    assert "nats" not in said


def test_what_is_no_decision_is_told_with_its_facts(audit):
    audit.note("alarm", alarm="forced")
    audit._append("decision", {"outcome": "from a later release"})
    assert told(audit).splitlines()[1] == "  alarm: forced"
    assert "outcome: from a later release" in told(audit, 2)
