"""Pure: what the door does about an observation, given what it saw before.

No clock, no I/O: time comes in with the observation, so every decision can be replayed. A visit
begins with the first face and ends when no face was seen for `visit_gap_s`. Within a visit only
the largest face is judged; frames with a flaw are passed over.

Wald's sequential test: each judged frame adds to every subject's evidence (`edge.evidence`), and as
soon as that of the leading one is enough for the gallery's size, and ahead of the second by
`lead`, the door grants. It denies when nobody's evidence is above the lower bound, after
`most_frames` or `most_s`, or when the visitor leaves, if enough frames were judged to have granted.
Where the frames that are left cannot make up for what is missing, evidence enough for a second
factor grants with one. A test that ended begins anew, and each one of a visit asks for more.

Only frames of one and the same face add up: when another face is judged, the evidence for the first
is over, as if its visit had ended. Within one visit the same subject is granted, and anybody
denied, once in `repeat_s`, and nobody is denied just after a grant, when people turn to the door:
who chats in front of it neither keeps it open nor fills the log.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edge.evidence import effective_frames, needed, reachable_rate
from edge.standing import JudgedFrame, Standing, judged, stand
from edge.vocabulary import (
    Decision,
    EvidenceMap,
    Flaw,
    Observation,
    Outcome,
    Reason,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """When evidence is enough; see `DecisionConfig` for the units.

    ``threshold`` decides nothing: it is the cosine of one comparison that people know.
    """

    evidence: EvidenceMap
    threshold: float
    model_id: str
    correlation: float
    false_accept: float
    false_accept_with_pin: float
    early_denial: float
    lead: float
    least_frames: int
    most_frames: int
    most_s: float
    visit_gap_s: float
    repeat_s: float
    alone_only: bool = False


@dataclass(frozen=True, slots=True)
class VisitState:
    """What the door remembers of the visit so far; ``tests`` are those that ended."""

    last_frame_s: float = float("-inf")
    last_face_s: float = float("-inf")
    track: int | None = None
    frames: tuple[JudgedFrame, ...] = ()
    tests: int = 0
    granted_to: str | None = None
    granted_weakly: bool = False
    granted_at_s: float = float("-inf")
    denied_at_s: float = float("-inf")


def reachable(policy: Policy, references: int) -> float:
    """Return the lowest false-accept rate of a visit that this gallery allows by the face alone.

    A lower `false_accept` is never reached: such a policy grants with a second factor only.

    Args:
        policy: with the model's evidence.
        references: in the gallery.

    Returns: above 0, at most 1.
    """
    return reachable_rate(
        policy.evidence, references, frames=policy.most_frames, correlation=policy.correlation
    )


def step(
    state: VisitState, observation: Observation, policy: Policy
) -> tuple[VisitState, Decision]:
    """Judge one observation and return what to remember with the decision.

    Time that does not advance (a stale frame, a source that starts again) proves nothing and
    forgets the evidence and the visit.

    Raises:
        ValueError: if candidates come without the number of references they were searched among.
    """
    now_s = observation.captured_at_s
    if not now_s > state.last_frame_s:
        return VisitState(last_frame_s=now_s), _wait(Reason.STALE_FRAME, observation, policy)
    if now_s - state.last_face_s > policy.visit_gap_s:
        over, state = state, VisitState(last_frame_s=now_s)
        if len(over.frames) >= policy.least_frames and over.granted_to is None:
            return state, _denial(over, policy, left=True)
    if not observation.faces:
        return replace(state, last_frame_s=now_s), _wait(Reason.NO_FACE, observation, policy)

    state = replace(state, last_frame_s=now_s, last_face_s=now_s)
    if policy.alone_only and observation.in_view > 1:
        return state, _wait(Reason.SEVERAL_FACES, observation, policy)
    face = observation.faces[0]
    if face.flaws:
        return state, _wait(Reason.POOR_QUALITY, observation, policy, flaws=face.flaws)

    if face.track != state.track:
        earlier, state = state, replace(_ended(state), track=face.track)
        if len(earlier.frames) >= policy.least_frames and _may_deny(state, now_s, policy):
            return replace(state, denied_at_s=now_s), _denial(earlier, policy, left=True)
    frame = judged(observation, face.candidates, policy.evidence)
    if _granted_just_now(state, frame.first, now_s, policy) and not state.granted_weakly:
        return replace(state, frames=()), _wait(Reason.ALREADY_GRANTED, observation, policy)
    return _settle(replace(state, frames=(*state.frames, frame)), policy)


def _settle(state: VisitState, policy: Policy) -> tuple[VisitState, Decision]:
    """Tell what the evidence of the test in progress comes to."""
    newest = state.frames[-1]
    standing = stand(state.frames, policy.evidence, policy.correlation)
    alone, with_pin = _bounds(state, policy)
    # Who is granted is named by the newest frame too: the gallery may have changed meanwhile.
    enough = len(state.frames) >= policy.least_frames
    named = standing.subject_id is not None and newest.first == standing.subject_id
    named = named and enough and _leads(standing, policy)
    over = (
        len(state.frames) >= policy.most_frames
        or newest.at_s - state.frames[0].at_s >= policy.most_s
    )
    if named and standing.evidence >= alone:
        return _granted(state, standing, policy, weakly=False)
    if named and standing.evidence >= with_pin and (over or _most(standing, policy) < alone):
        if not _granted_just_now(state, standing.subject_id, newest.at_s, policy):
            return _granted(state, standing, policy, weakly=True)
        decision = _decision(Outcome.WAIT, Reason.ALREADY_GRANTED, state, standing, policy)
        return (_ended(state) if over else state), decision
    may_deny = _may_deny(state, newest.at_s, policy)
    hopeless = standing.evidence <= math.log(policy.early_denial)
    if enough and may_deny and (over or hopeless):
        denied = replace(_ended(state), denied_at_s=newest.at_s)
        return denied, _denial(state, policy, left=False)
    reason = _reason(state, standing, policy)
    decision = _decision(Outcome.WAIT, reason, state, standing, policy)
    return (_ended(state) if over else state), decision


def _granted(
    state: VisitState, standing: Standing, policy: Policy, *, weakly: bool
) -> tuple[VisitState, Decision]:
    """Grant; only one that opens by itself makes the next test a first one."""
    reason = Reason.WEAK_MATCH if weakly else Reason.MATCH
    decision = _decision(Outcome.GRANT, reason, state, standing, policy)
    after = replace(
        _ended(state),
        tests=state.tests + 1 if weakly else 0,
        granted_to=standing.subject_id,
        granted_weakly=weakly,
        granted_at_s=state.frames[-1].at_s,
    )
    return after, replace(decision, needs_second_factor=weakly)


def _ended(state: VisitState) -> VisitState:
    """Forget the evidence of the test in progress, and count it if there was any."""
    return replace(state, frames=(), tests=state.tests + bool(state.frames))


def _may_deny(state: VisitState, now_s: float, policy: Policy) -> bool:
    """Tell whether the last denial or grant of this visit is long enough ago."""
    return now_s - max(state.denied_at_s, state.granted_at_s) >= policy.repeat_s


def _granted_just_now(
    state: VisitState, subject_id: str | None, now_s: float, policy: Policy
) -> bool:
    """Tell whether this visit was granted to that subject a moment ago."""
    recent = now_s - state.granted_at_s < policy.repeat_s
    return recent and subject_id is not None and subject_id == state.granted_to


def _bounds(state: VisitState, policy: Policy) -> tuple[float, float]:
    """Return the evidence in nats that opens alone, and that which opens with a second factor.

    A PIN is compared with that of the leading subject only, so that with it there is but one to be
    mistaken for, however large the gallery.
    """
    test, references = state.tests + 1, state.frames[-1].references
    alone = needed(policy.false_accept, references, test)
    return alone, min(alone, needed(policy.false_accept_with_pin, 1, test))


def _leads(standing: Standing, policy: Policy) -> bool:
    return standing.lead is None or standing.lead >= policy.lead


def _most(standing: Standing, policy: Policy) -> float:
    """Return the evidence that the frames which are left could still bring it to."""
    left = max(policy.most_frames - len(standing.ratios), 0)
    total = math.fsum(standing.ratios) + left * policy.evidence.log_likelihood_ratios[-1]
    frames = len(standing.ratios) + left
    return total / frames * effective_frames(frames, policy.correlation)


def _reason(state: VisitState, standing: Standing, policy: Policy, *, left: bool = False) -> Reason:
    """Say why the evidence of the test in progress does not open."""
    if standing.subject_id is None and state.frames[-1].references == 0:
        return Reason.EMPTY_GALLERY
    if standing.subject_id is not None and standing.evidence >= _bounds(state, policy)[1]:
        if not _leads(standing, policy):
            return Reason.AMBIGUOUS
        if left:
            return Reason.LEFT
    return Reason.AGREEING if standing.evidence > 0 and not left else Reason.NO_MATCH


def _denial(state: VisitState, policy: Policy, *, left: bool) -> Decision:
    """Deny with the numbers of the test that ended."""
    standing = stand(state.frames, policy.evidence, policy.correlation)
    reason = _reason(state, standing, policy, left=left)
    if reason is Reason.AGREEING:
        reason = Reason.NO_MATCH
    return _decision(Outcome.DENY, reason, state, standing, policy)


def _decision(
    outcome: Outcome, reason: Reason, state: VisitState, standing: Standing, policy: Policy
) -> Decision:
    newest = state.frames[-1]
    named = outcome is Outcome.GRANT or reason is Reason.AGREEING
    return Decision(
        outcome=outcome,
        reason=reason,
        captured_at_s=newest.at_s,
        subject_id=standing.subject_id if named else None,
        score=max(standing.scores, default=None),
        threshold=policy.threshold,
        frames=len(state.frames),
        model_id=policy.model_id,
        evidence=standing.evidence,
        evidence_needed=_bounds(state, policy)[0],
        lead=standing.lead,
        lead_needed=policy.lead,
        false_accept=policy.false_accept,
        false_accept_with_pin=policy.false_accept_with_pin,
        references=newest.references,
        test=state.tests + 1,
        correlation=policy.correlation,
        scores=standing.scores,
        ratios=standing.ratios,
        rival_ratios=standing.rival_ratios,
    )


def _wait(
    reason: Reason, observation: Observation, policy: Policy, *, flaws: tuple[Flaw, ...] = ()
) -> Decision:
    return Decision(
        outcome=Outcome.WAIT,
        reason=reason,
        captured_at_s=observation.captured_at_s,
        subject_id=None,
        score=None,
        threshold=policy.threshold,
        frames=0,
        model_id=policy.model_id,
        flaws=flaws,
        references=observation.references,
    )
