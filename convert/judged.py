"""Which pictures the door would judge: a threshold of faces that it passes over is not the door's.

A crop tells neither how many pixels the face had in its picture, nor how far the head leant to a
shoulder. So size never counts here, and tilt only in photos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from edge.config import QualityConfig
from edge.quality import flaws
from edge.vocabulary import AlignedFace, Flaw
from train.data.datasets import Picture

LIMITS = replace(QualityConfig(), eye_distance_px=0.0)
"""What the door asks of a face unless it is configured otherwise, apart from its size."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A picture brought to a crop; ``has_pose`` is whether its landmarks are known.

    Without landmarks, those of the template stand in for them: such a face looks straight ahead.
    """

    picture: Picture
    aligned: AlignedFace
    has_pose: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """How many pictures were looked at, and how many were passed over for which flaw.

    ``flaws`` counts pictures by flaw; one picture may have several, so that they may sum to more
    than ``passed_over``. ``without_pose`` of those looked at have no landmarks: nobody asked
    whether they are turned.
    """

    looked_at: int
    passed_over: int
    flaws: Mapping[Flaw, int]
    without_pose: int

    def facts(self) -> dict[str, object]:
        """Return the figures for the manifest, with the limits that they were judged by."""
        limits = asdict(LIMITS)
        del limits["eye_distance_px"]
        return {
            "looked_at": self.looked_at,
            "passed_over": self.passed_over,
            "flaws": {flaw.name.lower(): count for flaw, count in self.flaws.items()},
            "without_pose": self.without_pose,
            "limits": limits,
        }

    def __str__(self) -> str:
        """Say it in a sentence, the commonest flaw first."""
        reasons = ", ".join(
            f"{count:,} {flaw.name.lower().replace('_', ' ')}" for flaw, count in self.flaws.items()
        )
        said = (
            f"{self.passed_over:,} of {self.looked_at:,} pictures were passed over, as the door "
            f"does{f': {reasons}' if reasons else ''}"
        )
        unknown = f"; {self.without_pose:,} are crops without landmarks, whose pose is unknown"
        return said + (unknown if self.without_pose else "")


def select(faces: Sequence[Face]) -> tuple[list[Face], Selection]:
    """Return the *faces* in which the door finds no flaw, in order, and what was passed over."""
    fit, found = [], Counter[Flaw]()
    for each in faces:
        its = flaws(each.aligned, LIMITS)
        found.update(its)
        if not its:
            fit.append(each)
    return fit, Selection(
        looked_at=len(faces),
        passed_over=len(faces) - len(fit),
        flaws=dict(found.most_common()),
        without_pose=sum(not each.has_pose for each in faces),
    )
