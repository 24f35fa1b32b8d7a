"""What one frame came to, in the words of the film, the log and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.pipeline import Step
from edge.vocabulary import Outcome, Reason


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of the story.

    Args:
        at_s: seconds since the first frame.
        film_s: where it is in the film, in seconds; the same unless the source paused.
        visit: who is before the camera, as far as the source knows; empty for nobody.
        found: whether a face was found.
        judged: whether the largest face was fit to be compared.
        hint: what the person could do about a face that is not, else empty.
        best: name of the likeliest subject, or None where nothing was compared.
        score: that subject's cosine, or None.
        threshold: what it takes to match.
        outcome: what the door decided.
        reason: why.
        granted: whom the door let in with this very frame, or None.
        released: whether the relay is released now.
        evidence: what the frames of the visitor come to, in nats, or None.
        evidence_needed: what opens.
    """

    at_s: float
    film_s: float
    visit: str
    found: bool
    judged: bool
    hint: str
    best: str | None
    score: float | None
    threshold: float
    outcome: Outcome
    reason: Reason
    granted: str | None
    released: bool
    evidence: float | None = None
    evidence_needed: float | None = None

    @property
    def title(self) -> str:
        """Name the decision, and whom it lets in."""
        return f"GRANT {self.granted}" if self.granted else self.outcome.name

    def line(self) -> str:
        """Return the log's line: when, what, why, and the numbers."""
        parts = [f"{self.at_s:7.2f} s  {self.title:16} {self.reason.value}"]
        if self.score is not None:
            parts.append(f"(score {self.score:.3f}, threshold {self.threshold:.3f})")
        if self.evidence is not None and self.evidence_needed is not None:
            parts.append(f"(evidence {self.evidence:.1f} of {self.evidence_needed:.1f} nats)")
        if self.hint:
            parts.append(f"({self.hint})")
        parts.append("· relay released" if self.released else "· relay locked")
        return " ".join(parts)


def moment_of(
    step: Step,
    *,
    at_s: float,
    film_s: float,
    visit: str,
    names: Mapping[str, str],
    released: bool,
) -> Moment:
    """Describe *step*.

    Args:
        step: one frame and what it led to.
        at_s: seconds since the first frame.
        film_s: where it goes in the film.
        visit: who is before the camera.
        names: subject id → name.
        released: whether the relay is released.
    """
    face = step.observation.faces[0] if step.observation.faces else None
    best = face.candidates[0] if face and face.candidates else None
    decision = step.decision
    opens = decision.outcome is Outcome.GRANT and not decision.needs_second_factor
    granted = decision.subject_id if opens else None
    return Moment(
        at_s=at_s,
        film_s=film_s,
        visit=visit,
        found=face is not None,
        judged=face is not None and not face.flaws,
        hint=", ".join(flaw.value for flaw in face.flaws) if face else "",
        best=names.get(best.subject_id, best.subject_id) if best else None,
        score=best.score if best else None,
        threshold=decision.threshold,
        outcome=decision.outcome,
        reason=decision.reason,
        granted=names.get(granted, granted) if granted else None,
        released=released,
        evidence=decision.evidence,
        evidence_needed=decision.evidence_needed,
    )
