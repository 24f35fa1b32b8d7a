"""The annotated film: what the camera saw, what the door made of it, and what the relay did."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge.demo.moment import Moment
from edge.errors import ConfigError
from edge.pipeline import Step
from edge.vocabulary import Outcome, PixelArray

FRAME_RATE_HZ = 15.0
_WIDTH_PX, _STRIP_PX = 640, 96
_LONGEST_HOLD_S = 0.8  # a pause in the source is shown no longer than this
# Blue, green, red, as OpenCV draws. Legible on one another and for the colour-blind.
_INK, _PAPER, _MUTED = (240, 236, 232), (38, 30, 26), (160, 150, 144)
_COLOURS = {
    Outcome.GRANT: (118, 190, 52),
    Outcome.DENY: (74, 84, 232),
    Outcome.WAIT: (60, 178, 246),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(step: Step, moment: Moment) -> PixelArray:
    """Return *step*'s frame with faces, landmarks and a strip of facts: (H, 640, 3) uint8 BGR."""
    height, width, _ = step.frame.pixels.shape
    scale = _WIDTH_PX / width
    picture_px = 2 * round(height * scale / 2)  # VP8 wants even sizes
    picture = cv2.resize(step.frame.pixels, (_WIDTH_PX, picture_px), interpolation=cv2.INTER_AREA)
    # Sensor noise would take most of the film's bits and of the encoder's time.
    picture = cv2.GaussianBlur(picture, (0, 0), 0.9)
    canvas = np.full((picture_px + _STRIP_PX, _WIDTH_PX, 3), _PAPER, dtype=np.uint8)
    # The strip is above, for a browser lays its controls over the lower edge.
    canvas[_STRIP_PX:] = picture[..., ::-1]
    _draw_strip(canvas[:_STRIP_PX], moment)
    _draw_faces(canvas[_STRIP_PX:], step, moment, scale)
    return canvas


def _draw_faces(canvas: PixelArray, step: Step, moment: Moment, scale: float) -> None:
    for place, face in enumerate(step.observation.faces):
        judged = place == 0  # the door judges the largest face only
        colour = _face_colour(moment) if judged else _MUTED
        box = face.detection.box
        corner = round(box.left * scale), round(box.top * scale)
        far = round(box.right * scale), round(box.bottom * scale)
        cv2.rectangle(canvas, corner, far, colour, 2, cv2.LINE_AA)
        for x, y in face.detection.landmarks * scale:
            cv2.circle(canvas, (round(float(x)), round(float(y))), 3, colour, -1, cv2.LINE_AA)
        _label(canvas, corner, _face_text(moment) if judged else "not judged", colour)
    _text(canvas, f"{moment.at_s:5.1f} s  {moment.visit}", (12, 26), 0.6, _INK, halo=True)


def _face_text(moment: Moment) -> str:
    if moment.score is None:
        return moment.hint
    sign = ">=" if moment.score >= moment.threshold else "<"
    return f"{moment.best or '?'}? {moment.score:.2f} {sign} {moment.threshold:.2f}"


def _face_colour(moment: Moment) -> tuple[int, int, int]:
    if moment.score is None:
        return _MUTED
    return _COLOURS[Outcome.GRANT if moment.score >= moment.threshold else Outcome.DENY]


def _label(
    canvas: PixelArray, corner: tuple[int, int], text: str, colour: tuple[int, int, int]
) -> None:
    """Write *text* on a plate above *corner*, or below it where there is no room."""
    (wide, high), _ = cv2.getTextSize(text, _FONT, 0.5, 1)
    left = min(max(corner[0] - 1, 0), max(canvas.shape[1] - wide - 12, 0))
    top = corner[1] - high - 12 if corner[1] > high + 44 else corner[1] + 4
    cv2.rectangle(canvas, (left, top), (left + wide + 12, top + high + 11), colour, -1)
    cv2.putText(canvas, text, (left + 6, top + high + 5), _FONT, 0.5, _PAPER, 1, cv2.LINE_AA)


def _draw_strip(strip: PixelArray, moment: Moment) -> None:
    """Relay lamp on the left, decision in the middle, score against the threshold below it."""
    lamp = _COLOURS[Outcome.GRANT] if moment.released else _COLOURS[Outcome.DENY]
    cv2.circle(strip, (44, 40), 20, lamp, -1, cv2.LINE_AA)
    cv2.circle(strip, (44, 40), 20, _INK, 2, cv2.LINE_AA)
    state = "RELEASED" if moment.released else "LOCKED"
    _text(strip, state, (44 - 4 * len(state), 82), 0.45, _INK)
    _text(strip, moment.title, (108, 32), 0.72, _COLOURS[moment.outcome])
    _text(strip, moment.reason.value, (108, 56), 0.48, _MUTED)
    left, right, y = 108, _WIDTH_PX - 20, 76
    cv2.rectangle(strip, (left, y - 5), (right, y + 5), (70, 62, 56), -1)
    if moment.score is not None:
        end = left + round(max(moment.score, 0.0) * (right - left))
        cv2.rectangle(strip, (left, y - 5), (end, y + 5), _face_colour(moment), -1)
    mark = left + round(max(moment.threshold, 0.0) * (right - left))
    cv2.line(strip, (mark, y - 10), (mark, y + 10), _INK, 2)


def _text(
    canvas: PixelArray,
    text: str,
    at: tuple[int, int],
    size: float,
    colour: tuple[int, int, int],
    *,
    halo: bool = False,
) -> None:
    plain = text.encode("ascii", "replace").decode()  # OpenCV's fonts know ASCII only
    if halo:
        cv2.putText(canvas, plain, at, _FONT, size, _PAPER, 4, cv2.LINE_AA)
    cv2.putText(canvas, plain, at, _FONT, size, colour, 1, cv2.LINE_AA)


class Film:
    """A WebM file (VP8, which every browser plays) at 15 pictures a second; closing twice is fine.

    Args:
        path: where; replaced if it exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written = 0
        self._last_s = 0.0
        self._credit = 1.0

    @property
    def next_s(self) -> float:
        """Where in the film the next picture goes, in seconds."""
        return self._written / FRAME_RATE_HZ

    def add(self, picture: PixelArray, at_s: float) -> None:
        """Show *picture* from *at_s* on.

        Pictures that come faster than the film runs are dropped, slower ones are held.
        """
        if self._writer is None:
            self._writer = self._open(picture)
        else:
            self._credit += min(at_s - self._last_s, _LONGEST_HOLD_S) * FRAME_RATE_HZ
        self._last_s = at_s
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = np.asarray(cv2.resize(picture, self._size), dtype=np.uint8)
        while self._credit > 0.5:  # noqa: PLR2004 - round to the nearest picture
            self._writer.write(picture)
            self._written += 1
            self._credit -= 1.0

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _open(self, picture: PixelArray) -> cv2.VideoWriter:
        self._size = picture.shape[1], picture.shape[0]
        with _quiet_stderr():
            writer = cv2.VideoWriter(
                str(self._path),
                cv2.CAP_FFMPEG,
                cv2.VideoWriter.fourcc(*"VP80"),
                FRAME_RATE_HZ,
                self._size,
            )
        if not writer.isOpened():
            raise ConfigError(
                f"{self._path} cannot be written as a film; check that its folder is writable, "
                "and that OpenCV has a VP8 encoder (pip install opencv-python-headless)"
            )
        return writer


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what native code prints.

    OpenCV says that WebM has no FourCC for VP8, which is so, and then writes a correct file.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
