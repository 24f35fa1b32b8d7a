"""The timeline as one inline SVG: scores against the threshold, faces, decisions, relay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import chain, groupby
from math import ceil

from edge.demo.moment import Moment
from edge.demo.record import visits_in
from edge.vocabulary import Outcome

_WIDTH, _HEIGHT = 1000, 318
_LEFT, _RIGHT = 74, 988
_TOP, _BOTTOM = 34, 204  # of the scores
_LOWEST, _HIGHEST = -0.2, 1.0
_LANES = {"face": 228, "decision": 252, "relay": 276}
_MOST_TICKS = 12
_CHARACTER_PX = 6.6  # of the labels, about


def draw(moments: Sequence[Moment]) -> str:
    """Return the `<svg>` of a film's *moments*; colours come from the page's style."""
    end_s = max(moments[-1].film_s, 1.0)
    judged = [each for each in moments if each.score is not None]
    parts = (
        [_opening(end_s)],
        _bands(moments, end_s),
        _axes(end_s),
        _threshold(moments[-1].threshold),
        [
            _dots("below", (each for each in judged if not _matches(each)), end_s),
            _dots("match", (each for each in judged if _matches(each)), end_s),
        ],
        _lane("face", "seen", moments, end_s, lambda each: each.found),
        _lane("face", "judged", moments, end_s, lambda each: each.judged),
        _decisions(moments, end_s),
        _lane("relay", "locked", moments, end_s, lambda each: not each.released),
        _lane("relay", "released", moments, end_s, lambda each: each.released),
        [_playhead(), "</svg>"],
    )
    return "\n".join(chain.from_iterable(parts))


def _opening(end_s: float) -> str:
    """Return the opening tag; the page's script reads the scale of time from it."""
    return (
        f'<svg id="timeline" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" data-left="{_LEFT}" '
        f'data-right="{_RIGHT}" data-end="{end_s:.3f}">'
        "<title>Scores against the threshold, decisions and relay over time</title>"
    )


def _threshold(threshold: float) -> Iterable[str]:
    y = _y(threshold)
    yield f'<line class="threshold" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield (
        f'<text class="threshold-text" x="{_RIGHT}" y="{y - 6:.1f}" text-anchor="end">'
        f"threshold {threshold:.3f}</text>"
    )


def _playhead() -> str:
    return (
        f'<line id="playhead" x1="{_LEFT}" x2="{_LEFT}" y1="{_TOP - 8}" '
        f'y2="{_LANES["relay"] + 10}"/>'
    )


def _x(at_s: float, end_s: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * at_s / end_s


def _y(score: float) -> float:
    inside = min(max(score, _LOWEST), _HIGHEST)
    return _BOTTOM - (_BOTTOM - _TOP) * (inside - _LOWEST) / (_HIGHEST - _LOWEST)


def _matches(moment: Moment) -> bool:
    return moment.score is not None and moment.score >= moment.threshold


def _bands(moments: Sequence[Moment], end_s: float) -> Iterable[str]:
    """Shade each visit and name it, where its name has room."""
    for visit in visits_in(moments):
        left, right = _x(visit.begins_s, end_s), _x(visit.ends_s, end_s)
        yield (
            f'<rect class="band" x="{left:.1f}" y="{_TOP - 24}" width="{right - left:.1f}" '
            f'height="{_LANES["relay"] - _TOP + 36}"><title>{escape(visit.label)}</title></rect>'
        )
        room = int((right - left) / _CHARACTER_PX)
        label = visit.label if len(visit.label) <= room else visit.label[: max(room - 1, 0)] + "…"
        if room > 1:
            yield f'<text class="who" x="{left + 5:.1f}" y="{_TOP - 8}">{escape(label)}</text>'


def _axes(end_s: float) -> Iterable[str]:
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tenth / 10:.1f}</text>'
    for name, y in _LANES.items():
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{name}</text>'
    step_s = ceil(end_s / _MOST_TICKS)
    for at_s in range(0, int(end_s) + 1, step_s):
        x = _x(at_s, end_s)
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{at_s} s</text>'
    yield f'<text x="{_LEFT - 8}" y="{_TOP - 12}" text-anchor="end">score</text>'


def _dots(name: str, moments: Iterable[Moment], end_s: float) -> str:
    """Return one path for all dots: strokes of no length with round ends."""
    places = (f"M{_x(each.film_s, end_s):.1f} {_y(each.score or 0.0):.1f}h0" for each in moments)
    return f'<path class="dots {name}" d="{"".join(places)}"/>'


def _lane(
    lane: str,
    name: str,
    moments: Sequence[Moment],
    end_s: float,
    holds: Callable[[Moment], bool],
) -> Iterable[str]:
    """Draw a bar over every run of moments for which *holds* is true."""
    y = _LANES[lane]
    place = 0
    for true, run in groupby(moments, key=holds):
        length = len(list(run))
        if true:
            after = min(place + length, len(moments) - 1)
            left, right = _x(moments[place].film_s, end_s), _x(moments[after].film_s, end_s)
            yield (
                f'<rect class="{name}" x="{left:.1f}" y="{y - 6}" '
                f'width="{max(right - left, 1.5):.1f}" height="12" rx="2"/>'
            )
        place += length


def _decisions(moments: Sequence[Moment], end_s: float) -> Iterable[str]:
    """Mark grants with a tick and denials with a cross: not by colour alone."""
    y = _LANES["decision"]
    for each in moments:
        if each.outcome is Outcome.WAIT:
            continue
        x = _x(each.film_s, end_s)
        grant = each.outcome is Outcome.GRANT
        shape = (
            f"M{x - 5:.1f} {y}l4 5l7 -11" if grant else f"M{x - 5:.1f} {y - 5}l10 10m0 -10l-10 10"
        )
        title = escape(each.line())
        kind = "granted" if grant else "denied"
        yield f'<path class="mark {kind}" d="{shape}"><title>{title}</title></path>'
