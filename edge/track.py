"""Pure: which face of a frame is which face of the frames before.

No clock, no I/O, and no look at who it is: only where a face is, how large, and how it moves. So
evidence adds up for one visitor, and whoever steps in front of another begins with none. In doubt
a face is a new one: that costs a visitor a moment, the other error would lend him a stranger's
votes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.vocabulary import Detection

# How far a face may be from where it is expected, in eye distances of a face that looks into the
# camera (6.3 cm): more than a step of 1.2 m/s at 15 frames a second, less than the width of a head,
# which keeps two people apart.
_REACH = 1.5
# A face that leans in grows by less between two frames; another person farther away is smaller.
_MOST_GROWTH = 1.4
# Two faces expected as near as that to the one that is seen are not told apart.
_DOUBT = 0.3
# How long a face may be out of sight (blinked by the detector, behind another) and come back as
# itself. Between two frames in a row it is not out of sight, even on a slow machine.
_GAP_S = 0.5
_SLOWEST_S = 1.0
# The newest step's weight in the speed: landmarks tremble by a few per cent of the eye distance.
_NEWEST = 0.5


@dataclass(frozen=True, slots=True)
class Track:
    """One face that is followed: its identity, and where and when it was seen last.

    Points are complex, x + iy, in frame pixels; ``velocity`` is in pixels a second.
    """

    identity: int
    place: complex
    size_px: float
    velocity: complex
    seen_at_s: float


@dataclass(frozen=True, slots=True)
class Tracks:
    """What is remembered between frames; identities count up and never come again."""

    known: tuple[Track, ...] = ()
    next_identity: int = 1
    last_frame_s: float = -math.inf


def follow(
    tracks: Tracks, detections: Sequence[Detection], at_s: float
) -> tuple[Tracks, tuple[int, ...]]:
    """Return what to remember, and the identity of each of *detections*, in their order.

    The order of *detections* changes nobody's identity. Time that does not advance proves nothing:
    everybody is new.

    Args:
        tracks: what the frames before left.
        detections: the faces of one frame, in pixels of one camera.
        at_s: when it was captured.
    """
    known = [
        each
        for each in (tracks.known if at_s > tracks.last_frame_s else ())
        if at_s - each.seen_at_s
        <= (_SLOWEST_S if each.seen_at_s == tracks.last_frame_s else _GAP_S)
    ]
    seen = [(_place(each), _size_px(each)) for each in detections]
    pairs, doubted = _pairs(known, seen, at_s)
    # New faces are numbered by place, so that the order of *detections* does not matter.
    fresh = itertools.count(tracks.next_identity)
    followed: dict[int, Track] = {}
    for at in sorted(range(len(seen)), key=lambda each: _in_order(seen[each])):
        place, size_px = seen[at]
        before = pairs.get(at)
        identity = next(fresh) if before is None else before.identity
        velocity = 0j if before is None else _velocity(before, place, at_s)
        followed[at] = Track(identity, place, size_px, velocity, at_s)
    matched = {each.identity for each in followed.values()}
    hidden = [each for each in known if each.identity not in matched]
    # Who is doubted is one of two that are remembered as hidden: he is not followed as a third.
    sure = [each for at, each in followed.items() if at not in doubted]
    remembered = sorted([*sure, *hidden], key=lambda each: each.identity)
    identities = tuple(followed[at].identity for at in range(len(seen)))
    return Tracks(tuple(remembered), next(fresh), at_s), identities


def _pairs(
    known: Sequence[Track], seen: Sequence[tuple[complex, float]], at_s: float
) -> tuple[dict[int, Track], set[int]]:
    """Return the track of each seen face that has one, and the faces that may be either of two.

    The nearest pairs come first.

    Tracks that were seen last choose before those that are hidden: where one passes behind another,
    both are expected in one place, and the face there is that of the one in front. Of at most eight
    faces, greedy differs from the best assignment only where two are nearer to each other than a
    head is wide.
    """
    latest_s = max((each.seen_at_s for each in known), default=at_s)
    near = []
    for track, (at, (place, size_px)) in itertools.product(known, enumerate(seen)):
        growth = size_px / track.size_px
        apart = abs(place - _expected(track, at_s)) / max(size_px, track.size_px)
        if apart <= _REACH and 1 / _MOST_GROWTH <= growth <= _MOST_GROWTH:
            cost = math.hypot(apart, math.log(growth))
            hidden_s = latest_s - track.seen_at_s
            near.append((hidden_s, cost, track.identity, _in_order(seen[at]), at, track))
    pairs: dict[int, Track] = {}
    costs: dict[int, tuple[float, float]] = {}
    taken: set[int] = set()
    doubted: set[int] = set()
    for hidden_s, cost, identity, _, at, track in sorted(near, key=lambda each: each[:4]):
        if at not in pairs and identity not in taken:
            pairs[at], costs[at] = track, (hidden_s, cost)
            taken.add(identity)
    for hidden_s, cost, identity, _, at, _ in near:
        # Somebody is out of sight, and it cannot be told who of the two is seen.
        if identity not in taken and hidden_s == costs[at][0] and cost < costs[at][1] + _DOUBT:
            pairs.pop(at, None)
            doubted.add(at)
    return pairs, doubted


def _expected(track: Track, at_s: float) -> complex:
    return track.place + track.velocity * (at_s - track.seen_at_s)


def _velocity(before: Track, place: complex, at_s: float) -> complex:
    """Return the speed in pixels a second, smoothed; that of the first step is taken whole."""
    newest = (place - before.place) / (at_s - before.seen_at_s)
    return (
        newest if before.velocity == 0 else before.velocity + _NEWEST * (newest - before.velocity)
    )


def _place(face: Detection) -> complex:
    """Return the middle of the five landmarks."""
    x, y = face.landmarks.astype(float).mean(axis=0)
    return complex(x, y)


def _size_px(face: Detection) -> float:
    """Return the larger of eye distance and eyes to mouth: a turned head is no smaller."""
    points = face.landmarks.astype(float)
    down = points[3:].mean(axis=0) - points[:2].mean(axis=0)
    return max(face.eye_distance_px, math.hypot(*down), 1.0)


def _in_order(seen: tuple[complex, float]) -> tuple[float, float, float]:
    """Return what sorts faces by place."""
    place, size_px = seen
    return place.real, place.imag, size_px
