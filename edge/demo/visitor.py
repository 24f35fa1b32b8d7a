"""A camera that renders people who walk up to it, stand still, and leave.

Every frame is a pure function of the scene, the seed and the frame's number: background, person
(scale, place, lean, motion blur), light, sensor noise, and the camera's own JPEG compression.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi, sin

import cv2
import numpy as np

from edge.demo.portraits import Portrait
from edge.vocabulary import FloatArray, Frame, PixelArray

FRAME_RATE_HZ = 15.0
SIZE_PX = (640, 480)
_WALK_S, _STAND_S, _LEAVE_S = 1.5, 2.2, 1.1
VISIT_S = _WALK_S + _STAND_S + _LEAVE_S
_FAR_PX, _NEAR_PX = 52.0, 128.0  # face width where the walk begins and ends
_FAR_Y_PX, _NEAR_Y_PX = 292.0, 214.0  # the camera hangs a little above head height
_SHUTTER = 0.4  # of the frame interval: how much of the motion blurs
_NOISE_SIGMA = 3.0
_JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """One person in front of the door from `begins_s` for `VISIT_S` seconds.

    Args:
        label: for the log and the report.
        portrait: who.
        begins_s: when the first pixel may be seen.
        gain: how bright the scene is meanwhile, 1 is the background photograph.
        from_right: the side that the walk comes from and leaves to the other.
        expected: the name under which the door must let this person in, None for a stranger.
    """

    label: str
    portrait: Portrait
    begins_s: float
    gain: float = 1.0
    from_right: bool = False
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class _Pose:
    """Where the face is in the frame, in pixels and degrees."""

    x: float
    y: float
    face_px: float
    lean_deg: float


class VisitorCamera:
    """Renders *visits* before *background*; two cameras with one seed give the same bytes.

    Args:
        background: (480, 640, 3) uint8 RGB with nobody in it.
        visits: none of which overlap.
        duration_s: simulated seconds until the camera ends.
        seed: of the noise and the sway.
    """

    def __init__(
        self, background: PixelArray, visits: tuple[Visit, ...], duration_s: float, seed: int = 1
    ) -> None:
        self._background = background.astype(np.float32)
        self._visits = visits
        self._seed = seed
        self.frames_in_all = round(duration_s * FRAME_RATE_HZ)
        width, height = SIZE_PX
        self._across = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :, None]
        # One field of noise, larger than a frame: each frame takes another part of it.
        random = np.random.default_rng(seed)
        self._noise = random.normal(0.0, _NOISE_SIGMA, (height + 97, width + 131, 3)).astype(
            np.float32
        )

    def frames(self) -> Iterator[Frame]:
        """Yield every frame, `captured_at_s` in simulated seconds."""
        for index in range(self.frames_in_all):
            yield self.frame(index)

    def frame(self, index: int) -> Frame:
        """Return one frame, whichever were rendered before."""
        return Frame(self._render(index), index / FRAME_RATE_HZ, index)

    def close(self) -> None:
        """Do nothing: no device is held."""

    def visit_at(self, at_s: float) -> Visit | None:
        """Return who is (or is about to step) before the camera at *at_s*."""
        for visit in self._visits:
            if visit.begins_s <= at_s < visit.begins_s + VISIT_S:
                return visit
        return None

    def _render(self, index: int) -> PixelArray:
        at_s = index / FRAME_RATE_HZ
        visit = self.visit_at(at_s)
        scene = self._background
        if visit is not None:
            scene = _compose(scene, visit, at_s, self._seed)
        random = np.random.default_rng((self._seed, index))
        gain = 1.0 if visit is None else visit.gain
        drift = 0.05 * sin(0.9 * at_s) + random.normal(0.0, 0.006)  # a cloud, and mains flicker
        light = gain * (1.0 + drift + 0.12 * cos(0.35 * at_s) * self._across)
        height, width, _ = scene.shape
        top, left = random.integers(0, 97), random.integers(0, 131)
        noise = self._noise[top : top + height, left : left + width]
        exposed = np.clip(scene * light + noise, 0.0, 255.0).astype(np.uint8)
        return _compress(exposed)


def _compose(scene: FloatArray, visit: Visit, at_s: float, seed: int) -> FloatArray:
    """Lay the visitor over *scene* (H, W, 3) as seen at *at_s*."""
    pose = _pose(visit, at_s - visit.begins_s, seed)
    layer = _place(visit.portrait, pose)
    later = _pose(visit, at_s - visit.begins_s + _SHUTTER / FRAME_RATE_HZ, seed)
    layer = _blur(layer, later.x - pose.x, later.y - pose.y)
    return np.asarray(scene * (1.0 - layer[..., 3:]) + layer[..., :3], dtype=np.float32)


def _pose(visit: Visit, since_s: float, seed: int) -> _Pose:
    """Walk up for 1.5 s, stand and sway for 2.2 s, walk out of the picture for 1.1 s."""
    side = 1.0 if visit.from_right else -1.0
    near = _ease(since_s / _WALK_S)
    gone = _ease((since_s - _WALK_S - _STAND_S) / _LEAVE_S, begin_only=True)
    walking = (1.0 - near) + min(1.0, 3.0 * gone)
    # Seeded phases: nobody stands twice in the same way.
    phase = 2.0 * pi * ((seed * 0.37 + visit.begins_s * 0.61803) % 1.0)
    bob_px = 5.0 * walking * abs(sin(2.0 * pi * 1.8 * since_s))
    x = 330.0 + side * 190.0 * (1.0 - near) - side * 520.0 * gone + 9.0 * sin(1.3 * since_s + phase)
    return _Pose(
        x=x,
        y=_FAR_Y_PX + (_NEAR_Y_PX - _FAR_Y_PX) * near + bob_px + 2.5 * sin(2.1 * since_s + phase),
        face_px=_FAR_PX + (_NEAR_PX - _FAR_PX) * near + 4.0 * sin(1.7 * since_s + phase),
        lean_deg=3.5 * sin(1.6 * since_s + phase) - 4.0 * side * gone,
    )


def _ease(part: float, *, begin_only: bool = False) -> float:
    """Go from 0 to 1 with *part*, slowly at the beginning and (unless told) at the end."""
    part = min(max(part, 0.0), 1.0)
    return part * part if begin_only else part * part * (3.0 - 2.0 * part)


def _place(portrait: Portrait, pose: _Pose) -> FloatArray:
    """Scale, turn and shift the portrait: (480, 640, 4) float32, premultiplied."""
    scale = pose.face_px / portrait.face_px
    turned = np.asarray(
        cv2.getRotationMatrix2D(portrait.face_xy, pose.lean_deg, scale), dtype=np.float64
    )
    turned[:, 2] += np.array([pose.x, pose.y]) - portrait.face_xy
    # Where the picture shrinks, average first: a lens does not alias.
    layer = portrait.layer
    if scale < 1.0:
        layer = cv2.GaussianBlur(layer, (0, 0), 0.45 / scale).astype(np.float32)
    return np.asarray(cv2.warpAffine(layer, turned, SIZE_PX, flags=cv2.INTER_LINEAR))


def _blur(layer: FloatArray, dx_px: float, dy_px: float) -> FloatArray:
    """Smear *layer* along the way that it moves while the shutter is open."""
    # A box around the path: exact for the level walks that blur most, and fast at any length.
    reach = round(abs(dx_px)) + 1, round(abs(dy_px)) + 1
    return layer if reach == (1, 1) else np.asarray(cv2.blur(layer, reach), dtype=np.float32)


def _compress(pixels: PixelArray) -> PixelArray:
    """Return *pixels* after the camera's JPEG: block edges, and colour at half resolution."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, packed = cv2.imencode(".jpg", pixels[..., ::-1], options)
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR_RGB), dtype=np.uint8)
