"""Pure: what the door does about an observation, given what it saw before.

No clock, no I/O: time comes in with the observation, so every decision can be replayed. A visit
begins with the first face and ends when no face was seen for `visit_gap_s`. Within a visit only
the largest face is judged; frames with a flaw are passed over. The door grants when `agree_frames`
judged frames in a row, inside `window_s`, name one subject who leads every other by `margin`.
Who stays in view after a grant is judged afresh after `regrant_s`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from edge.vocabulary import Candidate, Decision, Flaw, Observation, Outcome, Reason


@dataclass(frozen=True, slots=True)
class Policy:
    """When evidence is enough; see `DecisionConfig` for the units."""

    threshold: float
    margin: float
    agree_frames: int
    window_s: float
    deny_frames: int
    visit_gap_s: float
    regrant_s: float
    model_id: str


@dataclass(frozen=True, slots=True)
class Vote:
    """What one judged frame says; `subject_id` is None where it names nobody."""

    at_s: float
    subject_id: str | None
    reason: Reason
    score: float | None


@dataclass(frozen=True, slots=True)
class VisitState:
    """What the door remembers of the visit so far."""

    last_frame_s: float = float("-inf")
    last_face_s: float = float("-inf")
    votes: tuple[Vote, ...] = ()
    granted_at_s: float | None = None


def step(
    state: VisitState, observation: Observation, policy: Policy
) -> tuple[VisitState, Decision]:
    """Judge one observation and return what to remember with the decision.

    Time that does not advance (a stale frame, a source that starts again) proves nothing and
    forgets the evidence and the visit.
    """
    now_s = observation.captured_at_s
    if now_s <= state.last_frame_s:
        return VisitState(last_frame_s=now_s), _wait(Reason.STALE_FRAME, observation, policy)
    if now_s - state.last_face_s > policy.visit_gap_s:
        state = VisitState()
    if not observation.faces:
        return replace(state, last_frame_s=now_s), _wait(Reason.NO_FACE, observation, policy)

    state = replace(state, last_frame_s=now_s, last_face_s=now_s)
    face = observation.faces[0]
    if state.granted_at_s is not None and now_s - state.granted_at_s < policy.regrant_s:
        return state, _wait(Reason.ALREADY_GRANTED, observation, policy)
    if face.flaws:
        return state, _wait(Reason.POOR_QUALITY, observation, policy, flaws=face.flaws)

    vote = _vote(now_s, face.candidates, policy)
    state = replace(state, votes=(*state.votes, vote))
    agreeing = _agreeing(state.votes, now_s, policy.window_s)
    if agreeing >= policy.agree_frames:
        decision = _decision(Outcome.GRANT, Reason.MATCH, vote, agreeing, policy)
        return replace(state, votes=(), granted_at_s=now_s), decision
    if len(state.votes) >= policy.deny_frames:
        decision = _denial(state.votes, policy)
        return replace(state, votes=()), decision
    return state, _decision(Outcome.WAIT, vote.reason, vote, agreeing, policy)


def _vote(now_s: float, candidates: tuple[Candidate, ...], policy: Policy) -> Vote:
    """Turn ranked candidates into one frame's vote."""
    if not candidates:
        return Vote(now_s, None, Reason.EMPTY_GALLERY, None)
    best = candidates[0]
    if not best.score >= policy.threshold:
        return Vote(now_s, None, Reason.NO_MATCH, best.score)
    if len(candidates) > 1 and not best.score - candidates[1].score >= policy.margin:
        return Vote(now_s, None, Reason.AMBIGUOUS, best.score)
    return Vote(now_s, best.subject_id, Reason.AGREEING, best.score)


def _agreeing(votes: tuple[Vote, ...], now_s: float, window_s: float) -> int:
    """Count the newest votes in a row, inside the window, that name one subject."""
    subject_id = votes[-1].subject_id
    count = 0
    for vote in reversed(votes):
        if subject_id is None or vote.subject_id != subject_id or now_s - vote.at_s > window_s:
            break
        count += 1
    return count


def _denial(votes: tuple[Vote, ...], policy: Policy) -> Decision:
    """Deny with the reason that most votes gave and the best score among those."""
    reasons = Counter(vote.reason for vote in votes if vote.subject_id is None)
    # Votes that name subjects, yet never enough of one in a row: the faces contradict each other.
    reason = reasons.most_common(1)[0][0] if reasons else Reason.AMBIGUOUS
    scores = [vote.score for vote in votes if vote.score is not None]
    return Decision(
        outcome=Outcome.DENY,
        reason=reason,
        captured_at_s=votes[-1].at_s,
        subject_id=None,
        score=max(scores, default=None),
        threshold=policy.threshold,
        frames=len(votes),
        model_id=policy.model_id,
    )


def _decision(
    outcome: Outcome, reason: Reason, vote: Vote, frames: int, policy: Policy
) -> Decision:
    return Decision(
        outcome=outcome,
        reason=reason,
        captured_at_s=vote.at_s,
        subject_id=vote.subject_id,
        score=vote.score,
        threshold=policy.threshold,
        frames=frames,
        model_id=policy.model_id,
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
    )
