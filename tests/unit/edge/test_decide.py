"""`decide` is pure: each test writes down what was seen, and reads what the door does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import POLICY, policy

from edge.decide import VisitState, reachable, step
from edge.evidence import needed, summed, weigh
from edge.vocabulary import (
    Box,
    Candidate,
    Detection,
    EvidenceMap,
    Flaw,
    Observation,
    ObservedFace,
    Outcome,
    Reason,
)

DETECTION = Detection(Box(0, 0, 100, 100), np.zeros((5, 2), np.float32), 1.0)
ADA, EVE = {"ada": 0.9, "bob": 0.3}, {"ada": 0.1}


def seen(at_s, *faces, flaws=(), track=1, references=1):
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
        references=references,
        in_view=len(faces),
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


def grants(decisions):
    return [each for each in decisions if each.outcome is Outcome.GRANT]


def opens(decisions):
    return [each for each in grants(decisions) if not each.needs_second_factor]


# --- granting ------------------------------------------------------------------------------------


def test_door_opens_as_soon_as_the_evidence_is_enough():
    decisions = play(*(seen(t / 10, ADA) for t in range(3)))
    assert outcomes(decisions) == [
        (Outcome.WAIT, Reason.AGREEING),
        (Outcome.WAIT, Reason.AGREEING),
        (Outcome.GRANT, Reason.MATCH),
    ]
    opened = decisions[-1]
    assert (opened.subject_id, opened.score, opened.frames) == ("ada", 0.9, 3)
    assert (opened.threshold, opened.model_id) == (0.5, "m")
    assert opened.evidence == pytest.approx(13.5)
    assert opened.evidence_needed == pytest.approx(math.log(2 / 1e-5))
    assert not opened.needs_second_factor


def test_a_decision_states_its_operating_point():
    opened = play(*(seen(t / 10, ADA, references=3) for t in range(3)))[-1]
    assert (opened.false_accept, opened.false_accept_with_pin) == (1e-5, 1e-2)
    assert (opened.references, opened.test, opened.correlation) == (3, 1, 0.0)
    assert opened.scores == (0.9,) * 3
    assert opened.ratios == pytest.approx((4.5,) * 3)
    assert opened.lead == pytest.approx(3 * (4.5 + 2.0))


@pytest.mark.parametrize(("references", "frames"), [(1, 3), (3, 3), (4, 4), (300, 4), (1000, 5)])
def test_a_larger_gallery_asks_for_more_frames(references, frames):
    """FPIR: each reference may be mistaken for, so ln N is added to what is needed."""
    decisions = play(*(seen(t / 10, ADA, references=references) for t in range(6)))
    assert [each.frames for each in opens(decisions)] == [frames]


def test_one_frame_is_never_enough():
    sure = EvidenceMap((0.0, 1.0), (-50.0, 50.0))
    decisions = play(*(seen(t / 10, {"ada": 1.0}) for t in range(2)), policy=policy(evidence=sure))
    assert [each.outcome for each in decisions] == [Outcome.WAIT, Outcome.GRANT]


def test_frames_that_are_alike_add_little():
    """Of wholly correlated frames a hundred are worth one."""
    one = policy(correlation=1.0, most_frames=100)
    decisions = play(*(seen(t / 100, ADA) for t in range(99)), policy=one)
    assert opens(decisions) == []
    assert {round(each.evidence, 9) for each in decisions if each.evidence is not None} == {4.5}


def test_candidates_without_the_size_of_the_gallery_are_refused():
    with pytest.raises(ValueError, match="candidates of None references"):
        play(seen(0.0, ADA, references=None))


# --- the second factor ---------------------------------------------------------------------------


def test_evidence_that_never_suffices_alone_grants_with_a_second_factor():
    """At 0.7 a frame says 2.25 nats: six say 13.5, and 100 references need 16.8."""
    decisions = play(*(seen(t / 10, {"ada": 0.7}, references=100) for t in range(6)))
    (weak,) = grants(decisions)
    assert (weak.needs_second_factor, weak.subject_id) == (True, "ada")
    assert weak.reason is Reason.WEAK_MATCH
    assert weak.evidence_needed > weak.evidence >= needed(1e-2, 1, 1)


def test_it_is_granted_at_once_where_the_frames_left_cannot_make_up_for_what_is_missing():
    """No more than 5 nats a frame are to come, and 1e9 references need 32.9."""
    decisions = play(*(seen(t / 10, ADA, references=10**9) for t in range(3)))
    assert [each.outcome for each in decisions] == [Outcome.WAIT, Outcome.GRANT, Outcome.WAIT]
    assert decisions[1].needs_second_factor


def test_a_second_factor_is_not_asked_of_one_who_may_still_do_without():
    decisions = play(*(seen(t / 10, {"ada": 0.8}, references=1) for t in range(6)))
    assert [each.needs_second_factor for each in grants(decisions)] == [False]


def test_who_was_asked_for_a_second_factor_may_still_open_by_the_face():
    dim, clear = {"ada": 0.7}, {"ada": 1.0}
    decisions = play(
        *(seen(t / 10, dim, references=100) for t in range(6)),
        *(seen(t / 10, clear, references=100) for t in range(6, 12)),
    )
    assert [each.needs_second_factor for each in grants(decisions)] == [True, False]


def test_a_second_factor_is_asked_for_once_in_a_while():
    decisions = play(*(seen(t / 10, {"ada": 0.7}, references=10**9) for t in range(290)))
    assert len(grants(decisions)) == 1
    assert Outcome.DENY not in {each.outcome for each in decisions}


# --- refusing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf"), 1.5])
def test_a_score_that_is_no_cosine_speaks_for_nobody(score):
    decisions = play(*(seen(t / 10, {"ada": score}) for t in range(6)))
    assert {each.outcome for each in decisions} == {Outcome.WAIT, Outcome.DENY}
    beside = play(*(seen(t / 10, {"ada": 0.9, "eve": score}) for t in range(6)))
    assert grants(beside) == []


def test_door_stays_shut_for_one_of_two_who_look_alike():
    """Two near-equal candidates are ambiguous, whatever their scores."""
    decisions = play(*(seen(t / 10, {"ada": 0.91, "eve": 0.90}) for t in range(6)))
    assert outcomes(decisions)[-1] == (Outcome.DENY, Reason.AMBIGUOUS)
    assert grants(decisions) == []


def test_a_look_alike_who_is_named_in_some_frames_only_is_a_rival_in_all():
    """He may have been just below the last that was named."""
    both = {"ada": 0.9, "eve": 0.899, "bob": 0.898}
    decisions = play(
        seen(0.0, both), *(seen(t / 10, {"ada": 0.9, "bob": 0.898}) for t in range(1, 6))
    )
    assert grants(decisions) == []


def test_stranger_is_denied_after_enough_judged_frames():
    decisions = play(*(seen(t / 10, {"ada": 0.45}) for t in range(12)))
    denied = [i for i, each in enumerate(decisions) if each.outcome is Outcome.DENY]
    assert denied == [5]
    assert decisions[5].reason is Reason.NO_MATCH
    assert (decisions[5].score, decisions[5].frames) == (0.45, 6)


def test_one_who_is_certainly_nobody_is_denied_sooner():
    """Wald's lower bound: at 0.1 a frame says -4 nats, and ln 0.01 is -4.6."""
    decisions = play(*(seen(t / 10, EVE) for t in range(6)), policy=policy(early_denial=0.01))
    denied = [i for i, each in enumerate(decisions) if each.outcome is Outcome.DENY]
    assert denied == [1]


def test_judging_ends_when_the_time_is_over():
    decisions = play(*(seen(t * 1.3, {"ada": 0.6}) for t in range(6)), policy=policy(most_s=3.0))
    assert [i for i, each in enumerate(decisions) if each.outcome is Outcome.DENY] == [3]


def test_one_who_stays_is_denied_again_only_after_a_while():
    """A poster in view must not fill the log."""
    decisions = play(*(seen(t / 10, {"ada": 0.2}) for t in range(700)))
    denied = [each.captured_at_s for each in decisions if each.outcome is Outcome.DENY]
    assert denied == pytest.approx([0.5, 30.5, 60.5])


def test_denied_person_is_still_let_in_once_the_evidence_is_enough():
    decisions = play(
        *(seen(t / 10, {"ada": 0.2}) for t in range(6)), *(seen(t / 10, ADA) for t in range(6, 12))
    )
    assert [each.test for each in opens(decisions)] == [2]


def test_each_test_of_a_visit_asks_for_more_than_the_one_before():
    """1 / (k (k + 1)) of the rate for the k-th: together they spend it once."""
    decisions = play(*(seen(t / 10, {"ada": 0.6}) for t in range(18)), seen(1.8, ADA))
    wanted = [decisions[i].evidence_needed for i in (0, 6, 12, 18)]
    assert [each.test for each in decisions[::6]] == [1, 2, 3, 4]
    assert wanted == pytest.approx([math.log(k * (k + 1) / 1e-5) for k in (1, 2, 3, 4)])
    assert sum(1 / (k * (k + 1)) for k in range(1, 10_000)) < 1


def test_a_new_visit_begins_with_a_first_test():
    decisions = play(*(seen(t / 10, {"ada": 0.6}) for t in range(7)), seen(5.0), seen(5.1, ADA))
    assert decisions[-1].test == 1


def test_visit_that_ends_undecided_is_denied_when_it_is_over():
    decisions = play(*(seen(t / 10, {"ada": 0.6}) for t in range(4)), seen(5.0))
    assert (decisions[-1].outcome, decisions[-1].reason) == (Outcome.DENY, Reason.NO_MATCH)
    assert decisions[-1].captured_at_s == pytest.approx(0.3)


def test_one_who_was_recognised_and_left_too_soon_is_denied_for_leaving():
    decisions = play(*(seen(t / 10, ADA) for t in range(2)), seen(9.0))
    assert (decisions[-1].outcome, decisions[-1].reason) == (Outcome.DENY, Reason.LEFT)


def test_glimpse_of_somebody_is_no_attempt():
    decisions = play(seen(0.0, EVE), seen(5.0))
    assert decisions[-1].reason is Reason.NO_FACE


def test_frames_that_contradict_each_other_never_open():
    faces = [{"ada": 0.9, "eve": 0.1}, {"ada": 0.1, "eve": 0.9}] * 3
    decisions = play(*(seen(i / 10, face) for i, face in enumerate(faces)))
    assert opens(decisions) == []
    alike = play(
        *(seen(i / 10, face) for i, face in enumerate(faces)), policy=policy(correlation=0.9)
    )
    assert grants(alike) == []


def test_frames_with_a_flaw_are_passed_over_and_say_why():
    decisions = play(
        seen(0.0, ADA), seen(0.1, {}, flaws=(Flaw.TOO_DARK,)), seen(0.2, ADA), seen(0.3, ADA)
    )
    assert decisions[1].reason is Reason.POOR_QUALITY
    assert decisions[1].flaws == (Flaw.TOO_DARK,)
    assert decisions[-1].outcome is Outcome.GRANT


def test_evidence_does_not_outlive_the_visit():
    decisions = play(seen(0.0, ADA), seen(0.1), seen(2.0, ADA), seen(2.1, ADA))
    assert outcomes(decisions)[1:] == [
        (Outcome.WAIT, Reason.NO_FACE),
        (Outcome.WAIT, Reason.AGREEING),
        (Outcome.WAIT, Reason.AGREEING),
    ]


def test_one_who_is_forgotten_meanwhile_is_not_granted():
    """The frames before named her; the gallery of the newest one does not know her."""
    decisions = play(
        *(seen(t / 10, ADA, references=1000) for t in range(4)),
        *(seen(t / 10, {"bob": 0.45}, references=999) for t in range(4, 6)),
    )
    assert grants(decisions) == []


def test_empty_gallery_never_opens_and_says_so():
    decisions = play(*(seen(t / 10, {}, references=0) for t in range(6)))
    (denied,) = [each for each in decisions if each.outcome is Outcome.DENY]
    assert (denied.reason, denied.score) == (Reason.EMPTY_GALLERY, None)
    assert grants(decisions) == []


# --- one visitor at a time -----------------------------------------------------------------------


def test_only_the_largest_face_is_judged():
    decisions = play(*(seen(t / 10, EVE, ADA) for t in range(6)))
    assert decisions[-1].outcome is Outcome.DENY


def test_a_site_may_judge_nobody_while_several_are_in_view():
    alone = policy(alone_only=True)
    decisions = play(
        *(seen(t / 10, ADA) for t in range(2)),
        *(seen(t / 10, ADA, EVE) for t in range(2, 8)),
        seen(0.9, ADA),
        policy=alone,
    )
    assert {each.reason for each in decisions[2:8]} == {Reason.SEVERAL_FACES}
    assert decisions[-1].outcome is Outcome.GRANT


def test_one_who_stays_is_granted_again_only_after_a_while():
    """Who chats in front of the door must not keep it open."""
    decisions = play(*(seen(i / 10, ADA) for i in range(700)))
    assert [each.captured_at_s for each in grants(decisions)] == pytest.approx([0.2, 30.4, 60.6])


def test_one_who_turns_away_after_a_grant_is_not_denied():
    decisions = play(
        *(seen(t / 10, ADA) for t in range(3)),
        *(seen(t / 10, EVE) for t in range(3, 20)),
        seen(9.0),
    )
    assert [each.outcome for each in decisions].count(Outcome.DENY) == 0


def test_next_person_need_not_wait_until_the_first_has_left():
    bob = {"ada": 0.3, "bob": 0.9}
    decisions = play(
        *(seen(t / 10, ADA) for t in range(10)),
        *(seen(t / 10, bob, track=2) for t in range(10, 14)),
    )
    assert [each.subject_id for each in grants(decisions)] == ["ada", "bob"]


def test_a_stranger_who_steps_in_inherits_no_evidence():
    """Not even where the encoder takes him for the one who stood there."""
    decisions = play(
        seen(0.0, ADA, track=1), seen(0.1, ADA, track=2),
        seen(0.2, ADA, track=2), seen(0.3, ADA, track=2),
    )  # fmt: skip
    assert [each.outcome for each in decisions] == [Outcome.WAIT] * 3 + [Outcome.GRANT]
    assert [each.frames for each in decisions] == [1, 1, 2, 3]
    assert [each.test for each in decisions] == [1, 2, 2, 2]


def test_who_comes_back_begins_anew():
    decisions = play(seen(0.0, ADA, track=1), seen(0.1, EVE, track=2), seen(0.2, ADA, track=1))
    assert (decisions[-1].outcome, decisions[-1].frames) == (Outcome.WAIT, 1)


def test_a_stranger_whose_place_another_takes_is_denied_for_the_log():
    decisions = play(
        *(seen(t / 10, EVE, track=1) for t in range(4)),
        *(seen(t / 10, ADA, track=2) for t in range(4, 9)),
    )
    assert (decisions[4].outcome, decisions[4].reason) == (Outcome.DENY, Reason.NO_MATCH)
    assert decisions[4].captured_at_s == pytest.approx(0.3)
    assert len(grants(decisions)) == 1


def test_a_flawed_face_that_pushes_in_neither_adds_nor_takes_evidence():
    decisions = play(
        seen(0.0, ADA, track=1),
        seen(0.1, ADA, track=1),
        seen(0.2, {}, flaws=(Flaw.TURNED,), track=2),
        seen(0.3, ADA, track=1),
    )
    assert decisions[-1].outcome is Outcome.GRANT


@pytest.mark.parametrize("jump_s", [0.0, -5.0, -86_400.0, float("nan")])
def test_a_source_whose_time_stands_or_jumps_back_proves_nothing(jump_s):
    decisions = play(
        seen(10.0, ADA), seen(10.1, ADA), seen(10.1 + jump_s, ADA), seen(10.3 + jump_s, ADA)
    )
    assert decisions[2].reason is Reason.STALE_FRAME
    assert grants(decisions) == []


# --- what is reachable ---------------------------------------------------------------------------


def test_what_is_reachable_falls_with_the_size_of_the_gallery():
    """Six frames of 5 nats are 30; 2 N e^-30."""
    assert reachable(POLICY, 1) == pytest.approx(2 * math.exp(-30))
    assert reachable(POLICY, 1000) == pytest.approx(2000 * math.exp(-30))
    assert reachable(policy(correlation=1.0), 10**6) == 1.0


@settings(deadline=None)
@given(st.integers(1, 10**6), st.floats(0.0, 1.0), st.floats(1e-9, 0.5), st.floats(0.0, 0.01))
def test_what_is_reachable_opens_by_perfect_frames_and_what_is_not_never_does(
    references, correlation, false_accept, above
):
    """At the very bound rounding may decide, so a hair is left on either side."""
    held = policy(correlation=correlation, false_accept=false_accept)
    best = reachable(held, references)
    perfect = [seen(t / 10, {"ada": 1.0}, references=references) for t in range(6)]
    opened = bool(opens(play(*perfect, policy=held)))
    if false_accept > best * (1.001 + above):
        assert opened
    if false_accept < best * (0.999 - above):
        assert not opened


# --- whatever is seen ----------------------------------------------------------------------------

scores = st.one_of(
    st.floats(-1, 1), st.sampled_from([float("nan"), float("inf"), -float("inf"), 0.9, 1.0])
)
frames = st.lists(
    st.tuples(
        st.sampled_from([0.1, 0.1, 0.1, 0.5, 2.0, 0.0, -1.0]),
        st.lists(st.dictionaries(st.sampled_from("abc"), scores, max_size=3), max_size=2),
        st.integers(1, 2),
    ),
    max_size=40,
)
policies = st.builds(
    policy,
    correlation=st.floats(0, 1),
    false_accept=st.floats(1e-9, 0.5),
    false_accept_with_pin=st.just(0.5),
    lead=st.floats(0.1, 5.0),
    early_denial=st.floats(1e-9, 0.5),
    most_frames=st.integers(2, 8),
)


def observed(steps, references=3):
    now_s, observations = 0.0, []
    for pause_s, faces, track in steps:
        now_s += pause_s
        observations.append(seen(now_s, *faces, track=track, references=references))
    return observations


@settings(deadline=None)
@given(frames, policies)
def test_no_grant_is_ever_below_its_bound(steps, held):
    for each in grants(play(*observed(steps), policy=held)):
        bound = needed(held.false_accept, 3, each.test)
        if each.needs_second_factor:
            bound = needed(held.false_accept_with_pin, 1, each.test)
        assert each.evidence >= bound
        assert each.evidence == summed(each.ratios, held.correlation)
        assert each.lead is None or each.lead >= held.lead
        assert len(each.ratios) == each.frames >= held.least_frames


@settings(deadline=None)
@given(frames, policies)
def test_a_decision_comes_out_the_same_from_its_stored_numbers(steps, held):
    for each in play(*observed(steps), policy=held):
        if each.frames == 0:
            continue
        again = weigh(each)
        if each.ratios:
            assert (again.evidence, again.lead) == (each.evidence, each.lead)
        assert again.needed == each.evidence_needed
        if each.outcome is Outcome.GRANT:
            assert again.with_second_factor or again.alone
            assert again.alone is not each.needs_second_factor
        if each.outcome is Outcome.DENY and each.reason is Reason.NO_MATCH:
            assert not again.with_second_factor


@settings(deadline=None)
@given(frames, policies)
def test_the_same_observations_give_the_same_decisions(steps, held):
    observations = observed(steps)
    assert play(*observations, policy=held) == play(*observations, policy=held)


@settings(deadline=None)
@given(frames, policies)
def test_evidence_is_never_carried_from_one_face_to_another(steps, held):
    """Each decision rests on the frames of its own track only, in a row."""
    state, run = VisitState(), (None, 0)
    for observation in observed(steps):
        state, decision = step(state, observation, held)
        judged = [
            each for each in observation.faces[:1] if decision.reason is not Reason.STALE_FRAME
        ]
        if decision.reason is Reason.STALE_FRAME:
            run = (None, 0)
        for face in judged:
            run = (face.track, run[1] + 1) if face.track == run[0] else (face.track, 1)
        if decision.outcome is Outcome.GRANT:
            assert decision.frames <= run[1]


@settings(deadline=None)
@given(frames, st.floats(-1, 1), policies)
def test_higher_scores_of_the_only_one_enrolled_never_shut_him_out(steps, score, held):
    """Monotone: who was let in with these scores is let in no later with higher ones."""
    low = [
        (0.1, [{"a": float(np.clip(each, -1, 1))}], 1)
        for _, faces, _ in steps
        for face in faces
        for each in face.values()
        if math.isfinite(each)
    ]
    high = [(pause, [{"a": max(face[0]["a"], score)}], track) for pause, face, track in low]
    patient = replace(held, early_denial=1e-300, most_frames=200, most_s=60.0)
    first = next((i for i, e in enumerate(play(*observed(low), policy=patient)) if
                  e.outcome is Outcome.GRANT and not e.needs_second_factor), None)  # fmt: skip
    if first is None:
        return
    later = play(*observed(high), policy=patient)
    assert opens(later[: first + 1])


@settings(deadline=None)
@given(frames, policies, st.permutations("abc"))
def test_a_subjects_name_does_not_matter(steps, held, other):
    """Whoever is called what, the same outcomes come out, under the other names."""
    renamed = dict(zip("abc", other, strict=True))
    again = [
        (pause, [{renamed[name]: score for name, score in face.items()} for face in faces], track)
        for pause, faces, track in steps
    ]
    before = grants(play(*observed(steps), policy=held))
    after = grants(play(*observed(again), policy=held))
    assert [renamed[each.subject_id] for each in before] == [each.subject_id for each in after]


@settings(deadline=None)
@given(frames)
def test_scores_that_say_nothing_never_open(steps):
    nothing = policy(evidence=EvidenceMap((-1.0, 1.0), (0.0, 0.0)))
    assert grants(play(*observed(steps), policy=nothing)) == []
