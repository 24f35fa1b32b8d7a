"""Pure: what one judged frame says, and where a visitor's frames together leave every subject."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.evidence import summed
from edge.vocabulary import Candidate, EvidenceMap, Observation

_NAMELESS_SCORE = -1.0  # of a subject whom a frame does not name: the map gives its lowest ratio


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """What one frame says about the subjects that it names; ``first`` is the likeliest of them."""

    at_s: float
    references: int
    first: str | None
    scores: Mapping[str, float] = field(default_factory=dict)
    ratios: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a test stands: the leading subject, the evidence in nats, and what it rests on."""

    subject_id: str | None
    evidence: float
    lead: float | None
    scores: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    rival_ratios: tuple[float, ...] = ()


def judged(
    observation: Observation, candidates: tuple[Candidate, ...], evidence: EvidenceMap
) -> JudgedFrame:
    """Weigh the candidates of one frame; where a score is no cosine, it names nobody.

    Raises:
        ValueError: if it is not said among how many references they were searched.
    """
    if candidates and (observation.references is None or observation.references < 1):
        raise ValueError(
            f"{len(candidates)} candidates of {observation.references} references: an observation "
            "says how many were searched, for they all could be mistaken for"
        )
    at_s, references = observation.captured_at_s, observation.references or 0
    if not candidates or not all(-1.0 <= each.score <= 1.0 for each in candidates):
        return JudgedFrame(at_s, references, None)
    scores = {each.subject_id: each.score for each in candidates}
    ratios = {subject_id: evidence.at(score) for subject_id, score in scores.items()}
    return JudgedFrame(at_s, references, candidates[0].subject_id, scores, ratios)


def stand(frames: tuple[JudgedFrame, ...], known: EvidenceMap, correlation: float) -> Standing:
    """Add up the evidence of every subject who was named.

    A frame that does not name a subject speaks against it as much as the map can. As a rival of the
    leading one it may have been just below the last that was named, and is taken to be there.
    """
    lowest = known.log_likelihood_ratios[0]
    named = sorted({subject_id for frame in frames for subject_id in frame.ratios})
    own = {each: [frame.ratios.get(each, lowest) for frame in frames] for each in named}
    if not named:
        return Standing(None, summed([lowest] * len(frames), correlation), None)
    first = max(named, key=lambda each: math.fsum(own[each]))
    evidence = summed(own[first], correlation)
    last = [min(frame.ratios.values(), default=lowest) for frame in frames]
    rivals = [
        tuple(frame.ratios.get(each, at) for frame, at in zip(frames, last, strict=True))
        for each in named
        if each != first
    ]
    rival = max(rivals, key=math.fsum, default=())
    return Standing(
        subject_id=first,
        evidence=evidence,
        lead=evidence - summed(rival, correlation) if rival else None,
        scores=tuple(frame.scores.get(first, _NAMELESS_SCORE) for frame in frames),
        ratios=tuple(own[first]),
        rival_ratios=rival,
    )
