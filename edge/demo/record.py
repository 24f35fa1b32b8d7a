"""Follows a door frame by frame: log, film, and what the report needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2

from edge.demo.film import Film, annotate
from edge.demo.moment import Moment, moment_of
from edge.pipeline import Step
from edge.relay import Relay
from edge.vocabulary import Outcome, PixelArray

_MOST_STILLS = 24
_STILL_WIDTH_PX = 400
_STILL_QUALITY = 82


@dataclass(frozen=True, slots=True)
class Still:
    """The picture that tells most about a visit, as JPEG bytes."""

    moment: Moment
    jpeg: bytes


class Recorder:
    """Call it with each step; it keeps numbers and a few stills, never the frames.

    Args:
        film: takes every annotated picture.
        relay: the door's; it must live in the frames' own time.
        names: subject id → name.
        visit_of: tells who is before the camera; empty for nobody.
        say: takes the live log, a line for every change of mind.
    """

    def __init__(
        self,
        film: Film,
        relay: Relay,
        *,
        names: Mapping[str, str],
        visit_of: Callable[[Step], str],
        say: Callable[[str], None] = print,
    ) -> None:
        self._film = film
        self._relay = relay
        self._names = names
        self._visit_of = visit_of
        self._say = say
        self._began_s: float | None = None
        self.moments: list[Moment] = []
        self.stills: dict[str, Still] = {}

    def __call__(self, step: Step) -> None:
        """Follow one frame."""
        now_s = step.frame.captured_at_s
        self._began_s = now_s if self._began_s is None else self._began_s
        moment = moment_of(
            step,
            at_s=now_s - self._began_s,
            film_s=self._film.next_s,
            visit=self._visit_of(step),
            names=self._names,
            released=self._relay.released,
        )
        picture = annotate(step, moment)
        self._film.add(picture, moment.at_s)
        self._tell(moment)
        self._keep(moment, picture)
        self.moments.append(moment)

    def _tell(self, moment: Moment) -> None:
        last = self.moments[-1] if self.moments else None
        if moment.visit and (last is None or last.visit != moment.visit):
            self._say(f"         -- {moment.visit} --")
        decided = moment.outcome is not Outcome.WAIT
        if last is None or decided or _gist(moment) != _gist(last):
            self._say(moment.line())

    def _keep(self, moment: Moment, picture: PixelArray) -> None:
        """Keep the picture if it tells more about its visit than the one that is kept."""
        kept = self.stills.get(moment.visit)
        if kept is None and len(self.stills) == _MOST_STILLS:
            return
        if kept is None or _weight(moment) > _weight(kept.moment):
            height = round(picture.shape[0] * _STILL_WIDTH_PX / picture.shape[1])
            size = (_STILL_WIDTH_PX, height)
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _STILL_QUALITY])
            self.stills[moment.visit] = Still(moment, jpeg.tobytes())


def _gist(moment: Moment) -> tuple[object, ...]:
    """Return what makes a new line in the log when it changes."""
    return moment.reason, moment.hint, moment.released


def _weight(moment: Moment) -> int:
    """Rank a moment by how much its picture tells: a grant, a denial, a judged face, a face."""
    if moment.outcome is not Outcome.WAIT:
        return 4 if moment.outcome is Outcome.GRANT else 3
    return int(moment.found) + int(moment.judged)


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of one visit, counted in frames."""

    label: str
    begins_s: float
    ends_s: float
    frames: int
    found: int
    judged: int
    denials: int
    granted: tuple[str, ...]
    best_score: float | None


def visits_in(moments: Sequence[Moment]) -> list[Visit]:
    """Group *moments* by their visits, in order of time; what belongs to no visit is left out."""
    groups: dict[str, list[Moment]] = {}
    for moment in moments:
        if moment.visit:
            groups.setdefault(moment.visit, []).append(moment)
    return [_visit(label, group) for label, group in groups.items()]


def _visit(label: str, moments: list[Moment]) -> Visit:
    scores = [each.score for each in moments if each.score is not None]
    return Visit(
        label=label,
        begins_s=moments[0].film_s,
        ends_s=moments[-1].film_s,
        frames=len(moments),
        found=sum(each.found for each in moments),
        judged=sum(each.judged for each in moments),
        denials=sum(each.outcome is Outcome.DENY for each in moments),
        granted=tuple(dict.fromkeys(each.granted for each in moments if each.granted)),
        best_score=max(scores, default=None),
    )


class VisitCounter:
    """Names visits of people whom nobody announced: one ends when no face is seen for a while.

    Args:
        gap_s: for how long, in seconds.
    """

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._last_face_s = float("-inf")
        self._visits = 0

    def __call__(self, step: Step) -> str:
        """Return the visit that *step* belongs to, empty for none."""
        now_s = step.frame.captured_at_s
        absent = now_s - self._last_face_s > self._gap_s
        if step.observation.faces:
            self._visits += absent
            self._last_face_s = now_s
            absent = False
        return "" if absent else f"visit {self._visits}"
