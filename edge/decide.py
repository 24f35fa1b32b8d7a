"""Pure: what the door does about an observation, given what it saw before.

No clock, no I/O: time comes in with the observation, so every decision can be replayed. A visit
begins with the first face and ends when no face was seen for `visit_gap_s`. Within a visit only
the largest face is judged; frames with a flaw are passed over. The door grants when `agree_frames`
judged frames in a row, inside `window_s`, name one subject who leads every other by `margin`.
It denies after `deny_frames` judged frames, or when the visit ends, if enough frames were judged to
have granted. Only frames of one and the same face add up: when another face is judged, the evidence
for the first is over, as if its visit had ended. Within one visit the same subject is granted, and
anybody denied, once in `repeat_s`, and nobody is denied just after a grant, when people turn to the
door: who chats in front of it neither keeps it open nor fills the log.
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
    repeat_s: float
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
    track: int | None = None
    votes: tuple[Vote, ...] = ()
    granted_to: str | None = None
    granted_at_s: float = float("-inf")
    denied_at_s: float = float("-inf")


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
        over, state = state, VisitState(last_frame_s=now_s)
        if len(over.votes) >= policy.agree_frames and over.granted_to is None:
            return state, _denial(over.votes, policy)
    if not observation.faces:
        return replace(state, last_frame_s=now_s), _wait(Reason.NO_FACE, observation, policy)

    state = replace(state, last_frame_s=now_s, last_face_s=now_s)
    face = observation.faces[0]
    if face.flaws:
        return state, _wait(Reason.POOR_QUALITY, observation, policy, flaws=face.flaws)

    if face.track != state.track:
        earlier, state = state.votes, replace(state, track=face.track, votes=())
        if len(earlier) >= policy.agree_frames and _may_deny(state, now_s, policy):
            return replace(state, denied_at_s=now_s), _denial(earlier, policy)
    vote = _vote(now_s, face.candidates, policy)
    if _is_repeated(state, vote, policy):
        return replace(state, votes=()), _wait(Reason.ALREADY_GRANTED, observation, policy)
    return _count(state, vote, policy)


def _count(state: VisitState, vote: Vote, policy: Policy) -> tuple[VisitState, Decision]:
    """Add *vote* to the evidence and tell what it comes to."""
    now_s = vote.at_s
    state = replace(state, votes=(*state.votes, vote)[-policy.deny_frames :])
    agreeing = _agreeing(state.votes, now_s, policy.window_s)
    if agreeing >= policy.agree_frames:
        state = replace(state, votes=(), granted_to=vote.subject_id, granted_at_s=now_s)
        return state, _decision(Outcome.GRANT, Reason.MATCH, vote, agreeing, policy)
    if len(state.votes) >= policy.deny_frames and _may_deny(state, now_s, policy):
        return replace(state, votes=(), denied_at_s=now_s), _denial(state.votes, policy)
    return state, _decision(Outcome.WAIT, vote.reason, vote, agreeing, policy)


def _may_deny(state: VisitState, now_s: float, policy: Policy) -> bool:
    """Tell whether the last denial or grant of this visit is long enough ago."""
    return now_s - max(state.denied_at_s, state.granted_at_s) >= policy.repeat_s


def _is_repeated(state: VisitState, vote: Vote, policy: Policy) -> bool:
    """Tell whether *vote* names the subject whom this visit was granted to a moment ago."""
    recent = vote.at_s - state.granted_at_s < policy.repeat_s
    return recent and vote.subject_id is not None and vote.subject_id == state.granted_to


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
    if reasons:
        reason = reasons.most_common(1)[0][0]
    else:
        # Every vote names somebody, yet not enough of them one subject in a row.
        one = len({vote.subject_id for vote in votes}) == 1
        reason = Reason.LEFT if one else Reason.AMBIGUOUS
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
