"""`decide` is pure: each test writes down what was seen, and reads what the door does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.decide import Policy, VisitState, step
from edge.vocabulary import (
    Box,
    Candidate,
    Detection,
    Flaw,
    Observation,
    ObservedFace,
    Outcome,
    Reason,
)

DETECTION = Detection(Box(0, 0, 100, 100), np.zeros((5, 2), np.float32), 1.0)
POLICY = Policy(
    threshold=0.5,
    margin=0.05,
    agree_frames=3,
    window_s=2.0,
    deny_frames=6,
    visit_gap_s=1.5,
    repeat_s=30.0,
    model_id="m",
)


def seen(at_s, *faces, flaws=(), track=1):
    """Build an observation; each face is a dict of subject → score, the first is *track*."""
    return Observation(
        at_s,
        tuple(
            ObservedFace(
                DETECTION,
                tuple(flaws),
                ()
                if flaws
                else tuple(
                    Candidate(name, score)
                    for name, score in sorted(face.items(), key=lambda each: -each[1])
                ),
                track + place,
            )
            for place, face in enumerate(faces)
        ),
    )


def play(*observations, policy=POLICY, state=None):
    """Step through the observations and return every decision."""
    state, decisions = state or VisitState(), []
    for observation in observations:
        state, decision = step(state, observation, policy)
        decisions.append(decision)
    return decisions


def outcomes(decisions):
    return [(each.outcome, each.reason) for each in decisions]


def test_door_opens_when_enough_frames_in_a_row_name_one_subject():
    decisions = play(*(seen(t / 10, {"ada": 0.7, "eve": 0.1}) for t in range(3)))
    assert outcomes(decisions) == [
        (Outcome.WAIT, Reason.AGREEING),
        (Outcome.WAIT, Reason.AGREEING),
        (Outcome.GRANT, Reason.MATCH),
    ]
    assert (decisions[-1].subject_id, decisions[-1].score) == ("ada", 0.7)
    assert (decisions[-1].frames, decisions[-1].threshold) == (3, 0.5)
    assert decisions[-1].model_id == "m"


def test_score_at_the_threshold_matches_and_just_below_does_not():
    just_below = float(np.nextafter(0.5, 0))
    assert play(seen(0, {"ada": 0.5}))[0].reason is Reason.AGREEING
    assert play(seen(0, {"ada": just_below}))[0].reason is Reason.NO_MATCH


def test_score_that_is_not_a_number_never_matches():
    nan = float("nan")
    decisions = play(*(seen(t / 10, {"ada": nan}) for t in range(6)))
    assert decisions[-1].outcome is Outcome.DENY
    beside_nan = [ObservedFace(DETECTION, (), (Candidate("ada", 0.9), Candidate("eve", nan)))]
    assert play(Observation(0.0, tuple(beside_nan)))[0].reason is Reason.AMBIGUOUS


def test_door_stays_shut_when_two_subjects_score_within_the_margin():
    """Two near-equal candidates are ambiguous, whatever their scores."""
    decisions = play(*(seen(t / 10, {"ada": 0.81, "eve": 0.80}) for t in range(6)))
    assert outcomes(decisions)[-1] == (Outcome.DENY, Reason.AMBIGUOUS)
    assert Outcome.GRANT not in {each.outcome for each in decisions}


def test_stranger_is_denied_after_enough_judged_frames():
    decisions = play(*(seen(t / 10, {"ada": 0.2}) for t in range(12)))
    denied = [i for i, each in enumerate(decisions) if each.outcome is Outcome.DENY]
    assert denied == [5]
    assert decisions[5].reason is Reason.NO_MATCH
    assert (decisions[5].score, decisions[5].frames) == (0.2, 6)


def test_one_who_stays_is_denied_again_only_after_a_while():
    """A poster in view must not fill the log."""
    decisions = play(*(seen(t / 10, {"ada": 0.2}) for t in range(700)))
    denied = [each.captured_at_s for each in decisions if each.outcome is Outcome.DENY]
    assert denied == pytest.approx([0.5, 30.5, 60.5])


def test_denied_person_is_still_let_in_once_enough_frames_agree():
    decisions = play(
        *(seen(t / 10, {"ada": 0.2}) for t in range(6)),
        *(seen(t / 10, {"ada": 0.9}) for t in range(6, 9)),
    )
    assert decisions[-1].outcome is Outcome.GRANT


@pytest.mark.parametrize(
    ("scores", "reason"), [([0.1] * 4, Reason.NO_MATCH), ([0.9, 0.9, 0.1, 0.9], Reason.NO_MATCH)]
)
def test_visit_that_ends_undecided_is_denied_when_it_is_over(scores, reason):
    decisions = play(*(seen(i / 10, {"ada": s}) for i, s in enumerate(scores)), seen(5.0))
    assert (decisions[-1].outcome, decisions[-1].reason) == (Outcome.DENY, reason)
    assert decisions[-1].captured_at_s == pytest.approx(0.3)


def test_one_who_matched_too_slowly_and_left_is_denied_for_leaving():
    decisions = play(*(seen(t * 1.2, {"ada": 0.9}) for t in range(4)), seen(9.0))
    assert (decisions[-1].outcome, decisions[-1].reason) == (Outcome.DENY, Reason.LEFT)


def test_glimpse_of_somebody_is_no_attempt():
    decisions = play(seen(0.0, {"ada": 0.1}), seen(0.1, {"ada": 0.1}), seen(5.0))
    assert decisions[-1].reason is Reason.NO_FACE


def test_frames_that_contradict_each_other_never_open():
    faces = [{"ada": 0.9, "eve": 0.1}, {"ada": 0.1, "eve": 0.9}] * 3
    decisions = play(*(seen(i / 10, face) for i, face in enumerate(faces)))
    assert outcomes(decisions)[-1] == (Outcome.DENY, Reason.AMBIGUOUS)


def test_a_non_match_between_matches_starts_the_count_again():
    scores = [0.9, 0.9, 0.1, 0.9, 0.9]
    decisions = play(*(seen(i / 10, {"ada": score}) for i, score in enumerate(scores)))
    assert Outcome.GRANT not in {each.outcome for each in decisions}


def test_frames_with_a_flaw_are_passed_over_and_say_why():
    decisions = play(
        seen(0.0, {"ada": 0.9}),
        seen(0.1, {}, flaws=(Flaw.TOO_DARK,)),
        seen(0.2, {"ada": 0.9}),
        seen(0.3, {"ada": 0.9}),
    )
    assert decisions[1].reason is Reason.POOR_QUALITY
    assert decisions[1].flaws == (Flaw.TOO_DARK,)
    assert decisions[-1].outcome is Outcome.GRANT


def test_agreeing_frames_too_far_apart_do_not_add_up():
    decisions = play(*(seen(t * 1.2, {"ada": 0.9}) for t in range(5)))
    assert Outcome.GRANT not in {each.outcome for each in decisions}


def test_evidence_does_not_outlive_the_visit():
    decisions = play(
        seen(0.0, {"ada": 0.9}), seen(0.1, {"ada": 0.9}), seen(0.2), seen(2.0, {"ada": 0.9})
    )
    assert outcomes(decisions)[2:] == [
        (Outcome.WAIT, Reason.NO_FACE),
        (Outcome.WAIT, Reason.AGREEING),
    ]


def test_only_the_largest_face_is_judged():
    decisions = play(*(seen(t / 10, {"eve": 0.1}, {"ada": 0.9}) for t in range(6)))
    assert decisions[-1].outcome is Outcome.DENY


def test_one_who_stays_is_granted_again_only_after_a_while():
    """Who chats in front of the door must not keep it open."""
    decisions = play(*(seen(i / 10, {"ada": 0.9}) for i in range(700)))
    granted = [each.captured_at_s for each in decisions if each.outcome is Outcome.GRANT]
    assert granted == pytest.approx([0.2, 30.4, 60.6])


def test_one_who_turns_away_after_a_grant_is_not_denied():
    decisions = play(
        *(seen(t / 10, {"ada": 0.9}) for t in range(3)),
        *(seen(t / 10, {"ada": 0.1}) for t in range(3, 20)),
        seen(9.0),
    )
    assert [each.outcome for each in decisions].count(Outcome.DENY) == 0


def test_next_person_need_not_wait_until_the_first_has_left():
    ada, bob = {"ada": 0.9, "bob": 0.1}, {"ada": 0.1, "bob": 0.9}
    decisions = play(
        *(seen(t / 10, ada) for t in range(10)), *(seen(t / 10, bob) for t in range(10, 14))
    )
    granted = [each.subject_id for each in decisions if each.outcome is Outcome.GRANT]
    assert granted == ["ada", "bob"]


def test_a_stranger_who_steps_in_inherits_no_votes():
    """Not even where the encoder takes him for the one who stood there."""
    ada = {"ada": 0.9}
    decisions = play(
        seen(0.0, ada, track=1), seen(0.1, ada, track=1), seen(0.2, ada, track=2),
        seen(0.3, ada, track=2), seen(0.4, ada, track=2),
    )  # fmt: skip
    assert [each.outcome for each in decisions] == [Outcome.WAIT] * 4 + [Outcome.GRANT]
    assert [each.frames for each in decisions] == [1, 2, 1, 2, 3]


def test_who_comes_back_begins_anew():
    ada, eve = {"ada": 0.9}, {"ada": 0.1}
    decisions = play(
        seen(0.0, ada, track=1), seen(0.1, ada, track=1), seen(0.2, eve, track=2),
        seen(0.3, ada, track=1),
    )  # fmt: skip
    assert (decisions[-1].outcome, decisions[-1].frames) == (Outcome.WAIT, 1)


def test_a_stranger_whose_place_another_takes_is_denied_for_the_log():
    decisions = play(
        *(seen(t / 10, {"ada": 0.1}, track=1) for t in range(4)),
        *(seen(t / 10, {"ada": 0.9}, track=2) for t in range(4, 9)),
    )
    assert (decisions[4].outcome, decisions[4].reason) == (Outcome.DENY, Reason.NO_MATCH)
    assert decisions[4].captured_at_s == pytest.approx(0.3)
    assert [each.outcome for each in decisions].count(Outcome.GRANT) == 1


def test_a_flawed_face_that_pushes_in_neither_adds_nor_takes_evidence():
    ada = {"ada": 0.9}
    decisions = play(
        seen(0.0, ada, track=1),
        seen(0.1, ada, track=1),
        seen(0.2, {}, flaws=(Flaw.TURNED,), track=2),
        seen(0.3, ada, track=1),
    )
    assert decisions[-1].outcome is Outcome.GRANT


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from("ae")), max_size=40))
def test_every_grant_rests_on_frames_of_one_face(steps):
    faces = {"a": {"ada": 0.9}, "e": {"ada": 0.1}}
    decisions = play(
        *(seen(i / 10, faces[who], track=track) for i, (track, who) in enumerate(steps))
    )
    for i, decision in enumerate(decisions):
        if decision.outcome is Outcome.GRANT:
            assert len({track for track, _ in steps[i - POLICY.agree_frames + 1 : i + 1]}) == 1


def test_empty_gallery_never_opens_and_says_so():
    decisions = play(*(seen(t / 10, {}) for t in range(6)))
    assert outcomes(decisions)[-1] == (Outcome.DENY, Reason.EMPTY_GALLERY)
    assert decisions[-1].score is None


@pytest.mark.parametrize("jump_s", [0.0, -5.0, -86_400.0])
def test_a_source_whose_time_stands_or_jumps_back_proves_nothing(jump_s):
    decisions = play(
        seen(10.0, {"ada": 0.9}),
        seen(10.1, {"ada": 0.9}),
        seen(10.1 + jump_s, {"ada": 0.9}),
        seen(10.3 + jump_s, {"ada": 0.9}),
    )
    assert decisions[2].reason is Reason.STALE_FRAME
    assert decisions[3].reason is Reason.AGREEING


frames = st.lists(
    st.tuples(
        st.floats(-1, 3),
        st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(-1, 1), max_size=3), max_size=2),
    ),
    max_size=40,
)


def replayed(steps, policy):
    now_s, observations = 0.0, []
    for pause_s, faces in steps:
        now_s += pause_s
        observations.append(seen(now_s, *faces))
    return play(*observations, policy=policy)


@given(frames)
def test_every_grant_rests_on_that_many_frames_naming_that_subject(steps):
    """Whatever was seen, a grant has its evidence in the frames just before it."""
    decisions = replayed(steps, POLICY)
    for i, decision in enumerate(decisions):
        if decision.outcome is not Outcome.GRANT:
            continue
        judged = [
            each
            for each in decisions[: i + 1]
            if each.reason not in (Reason.NO_FACE, Reason.POOR_QUALITY)
        ]
        evidence = judged[-POLICY.agree_frames :]
        assert {each.subject_id for each in evidence} == {decision.subject_id}
        assert all(each.score >= POLICY.threshold for each in evidence)
        assert evidence[-1].captured_at_s - evidence[0].captured_at_s <= POLICY.window_s


@given(frames, st.floats(0.5, 1.0))
def test_raising_the_threshold_above_every_score_never_opens(steps, extra):
    decisions = replayed(steps, replace(POLICY, threshold=1.0 + extra))
    assert Outcome.GRANT not in {each.outcome for each in decisions}
