"""Recorded frames through the whole line, with counts of what the door would have done.

A folder with one sub-folder per person carries the truth, so that open-set identification can be
counted (ISO/IEC 19795-1): FPIR is the share of searches by people who are not enrolled that return
somebody, FNIR the share of pictures of enrolled people that do not return that person. A picture
in which no face is found, or whose face is refused, misses its person: the door would, too.
Intervals take pictures for independent; of few people with many pictures each they are too narrow.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from edge.decide import Policy
from edge.pipeline import Step
from edge.stores.naming import folded
from edge.vocabulary import Outcome

_Z_95 = 1.959964  # standard normal quantile for a two-sided 95 % interval


def wilson(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of count / total (Wilson, JASA 22, 1927).

    Args:
        count: 0 to total.
        total: 0 gives (0, 1): nothing is known.
    """
    if total == 0:
        return 0.0, 1.0
    share, z2 = count / total, _Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(slots=True)
class Tally:
    """Counts over a replay; call it with each step.

    Args:
        policy: the threshold and the lead that make a search of one picture return somebody; the
            door itself weighs a visit's frames together.
        truth: frame index → the name of who is shown, or None where nobody knows.
        names: subject id → enrolled name.
    """

    policy: Policy
    truth: dict[int, str]
    names: dict[str, str]
    frames: int = 0
    faces: int = 0
    judged: int = 0
    grants: int = 0
    weak_grants: int = 0
    denials: int = 0
    mated: Counter[str] = field(default_factory=Counter)
    nonmated: Counter[str] = field(default_factory=Counter)
    granted_as: dict[str, set[str]] = field(default_factory=dict)

    def __call__(self, step: Step) -> None:
        """Count one frame."""
        found = step.observation.faces
        self.frames += 1
        self.faces += bool(found)
        self.judged += bool(found) and not found[0].flaws
        granted = step.decision.outcome is Outcome.GRANT
        self.grants += granted and not step.decision.needs_second_factor
        self.weak_grants += granted and step.decision.needs_second_factor
        self.denials += step.decision.outcome is Outcome.DENY
        shown = self.truth.get(step.frame.index)
        if shown is None:
            return
        enrolled = folded(shown) in self._enrolled()
        (self.mated if enrolled else self.nonmated)[self._finding(step, shown)] += 1
        opens = granted and not step.decision.needs_second_factor
        if opens and step.decision.subject_id is not None:
            who = self.names[step.decision.subject_id]
            self.granted_as.setdefault(folded(shown), set()).add(folded(who))

    def _finding(self, step: Step, shown: str) -> str:
        """Name what the search of this frame's largest face came to."""
        if not step.observation.faces:
            return "no face found"
        face = step.observation.faces[0]
        if face.flaws:
            return "refused"
        if not face.candidates or face.candidates[0].score < self.policy.threshold:
            return "nobody returned"
        ratios = [self.policy.evidence.at(each.score) for each in face.candidates[:2]]
        if len(ratios) > 1 and ratios[0] - ratios[1] < self.policy.lead:
            return "ambiguous"
        found = self.names[face.candidates[0].subject_id]
        return "right" if folded(found) == folded(shown) else "wrong"

    def _enrolled(self) -> set[str]:
        """Return the names of who is enrolled, as they are compared: a folder's may differ."""
        return {folded(name) for name in self.names.values()}

    @property
    def fpir(self) -> tuple[int, int]:
        """Searches by people who are not enrolled that returned somebody, and all of them."""
        unsearched = self.nonmated["no face found"] + self.nonmated["refused"]
        return self.nonmated["wrong"], self.nonmated.total() - unsearched

    @property
    def fnir(self) -> tuple[int, int]:
        """Pictures of enrolled people that did not return that person, and all of them."""
        return self.mated.total() - self.mated["right"], self.mated.total()

    def lines(self) -> list[str]:
        """Return the report for people, a line a fact."""
        told = [
            f"frames    {self.frames}: a face in {self.faces}, judged {self.judged}",
            (
                f"decisions {self.grants} granted, {self.weak_grants} only with a second factor, "
                f"{self.denials} denied"
            ),
        ]
        if self.nonmated:
            told.append(f"FPIR      {_rate(*self.fpir)} of searches by people not enrolled")
        if self.mated:
            why = ", ".join(f"{n} {why}" for why, n in sorted(self.mated.items()) if why != "right")
            told.append(
                f"FNIR      {_rate(*self.fnir)} of pictures of people enrolled"
                + (f": {why}" if why else "")
            )
            told.append(f"visits    {self._visits()}")
        return told

    def _visits(self) -> str:
        people = {folded(name) for name in self.truth.values()}
        enrolled = people & self._enrolled()
        let_in = [name for name in enrolled if self.granted_as.get(name) == {name}]
        wrong = [name for name, granted in self.granted_as.items() if granted - {name}]
        return (
            f"{len(let_in)} of {len(enrolled)} enrolled people let in; "
            f"{len(wrong)} of {len(people)} people let in as somebody else"
        )

    def facts(self) -> dict[str, object]:
        """Return the counts for machines."""
        return {
            "frames": self.frames,
            "faces": self.faces,
            "judged": self.judged,
            "granted": self.grants,
            "granted_with_second_factor": self.weak_grants,
            "denied": self.denials,
            "threshold": self.policy.threshold,
            "lead_nats": self.policy.lead,
            "false_accept_per_visit": self.policy.false_accept,
            "enrolled": len(self.names),
            "fpir": {"count": self.fpir[0], "of": self.fpir[1], "interval": wilson(*self.fpir)},
            "fnir": {"count": self.fnir[0], "of": self.fnir[1], "interval": wilson(*self.fnir)},
            "mated": dict(self.mated),
            "nonmated": dict(self.nonmated),
            "granted_as": {name: sorted(who) for name, who in sorted(self.granted_as.items())},
        }


def _rate(count: int, total: int) -> str:
    low, high = wilson(count, total)
    share = 100 * count / total if total else 0.0
    return f"{count}/{total} = {share:.2f} % (95 %: {100 * low:.2f} to {100 * high:.2f} %)"
