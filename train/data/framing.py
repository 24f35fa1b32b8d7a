"""Bring any picture to the 112x112 RGB crop that every encoder takes.

`aligned` is what the door does. The published systems frame faces differently; the other framings
put *their* picture into the same 112x112 square, so one encoder file serves both.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.errors import ConfigError, PictureError
from edge.vocabulary import CROP_SIZE_PX, PixelArray
from train.data.cutting import (
    DOOR_VIEW,
    NO_FACE,
    WHO_IS_MEANT,
    Cut,
    OpenDetector,
    View,
    cut_faces,
    recut,
)
from train.data.datasets import CROP_MARGIN_PX, Index, Picture
from train.errors import DataSetError
from train.measuring.metrics import IntArray

_LOG = logging.getLogger("janus.train")
_BATCH = 256
_NAMED = 10  # pictures in one warning
_WIDE_PX = CROP_SIZE_PX + 2 * CROP_MARGIN_PX


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Framed pictures in memory.

    ``held`` (M, 112, 112, 3) uint8 RGB are those of the index, in its order, or ``rows`` (N,) says
    which: parts of a large set share its pictures, which are never held twice.
    """

    index: Index
    held: PixelArray
    rows: IntArray | None = None

    @property
    def pixels(self) -> PixelArray:
        """The pictures (N, 112, 112, 3); of a part it is a copy."""
        return self.held if self.rows is None else self.held[self.rows]

    def batches(self, size: int) -> Iterator[PixelArray]:
        """Yield the pictures in order, *size* at a time."""
        rows = np.arange(len(self.held)) if self.rows is None else self.rows
        for start in range(0, len(rows), size):
            yield self.held[rows[start : start + size]]

    @property
    def numbers(self) -> IntArray:
        """The number of each picture's subject (N,), in natural order of the names."""
        at = {name: number for number, name in enumerate(self.index.subjects)}
        return np.array([at[each.subject] for each in self.index.pictures], np.int64)

    def only(self, subjects: Sequence[str]) -> Crops:
        """Return the crops of *subjects*."""
        wanted = frozenset(subjects)
        kept = [at for at, each in enumerate(self.index.pictures) if each.subject in wanted]
        return self.at(np.array(kept, np.int64))

    def at(self, numbers: IntArray) -> Crops:
        """Return the crops with these *numbers*, in that order."""
        index = Index(tuple(self.index.pictures[at] for at in numbers))
        return Crops(index, self.held, numbers if self.rows is None else self.rows[numbers])


def whole(pixels: PixelArray) -> PixelArray:
    """Return all of the picture, its longer side brought to 112, black beside it.

    A 92x112 picture of AT&T keeps every pixel: 10 black columns are added on either side.
    """
    height, width = pixels.shape[:2]
    scale = CROP_SIZE_PX / max(height, width)
    scaled = _resized(pixels, round(width * scale), round(height * scale))
    top, left = (CROP_SIZE_PX - scaled.shape[0]) // 2, (CROP_SIZE_PX - scaled.shape[1]) // 2
    crop = np.zeros((CROP_SIZE_PX, CROP_SIZE_PX, 3), np.uint8)
    crop[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return crop


def centre(pixels: PixelArray) -> PixelArray:
    """Return the centre square of the picture, brought to 112x112."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _resized(pixels[top : top + side, left : left + side], CROP_SIZE_PX, CROP_SIZE_PX)


FRAMINGS: dict[str, Callable[[PixelArray], PixelArray]] = {"whole": whole, "centre": centre}
"""How a picture becomes a crop, except `aligned`, which may refuse one: see `cuts`."""


def cuts(
    index: Index,
    frames: str,
    *,
    opener: OpenDetector | None = None,
    view: View = DOOR_VIEW,
    central: bool = False,
) -> Iterator[Cut]:
    """Bring the pictures of *index* to crops, one after the other, in its order.

    Args:
        index: the pictures.
        frames: `aligned`, or a key of `FRAMINGS`.
        opener: aligned only: opens the detector; default: `train.data.cutting.detector_opener`'s.
        view: what the crop shows of a face; other framings give (112, 112, 3) whatever it is, but
            for pictures that hold the margin of an archive's crop: those are cut to the view.
        central: see `train.data.cutting.cut_face`.

    Raises:
        ConfigError: if *frames* is unknown.
    """
    if frames == "aligned":
        return cut_faces(index, opener=opener, view=view, central=central)
    if frames not in FRAMINGS:
        known = ", ".join(("aligned", *FRAMINGS))
        raise ConfigError(f"frames = {frames!r}; expected one of {known}")
    return (_framed(each, frames, view) for each in index.pictures)


def align_pictures(index: Index, *, opener: OpenDetector | None = None) -> Crops:
    """Return the aligned crops of *index*; pictures without one clear face are left out, counted.

    Raises:
        DataSetError: if no face is found in any picture.
    """
    return _collected(cuts(index, "aligned", opener=opener), len(index.pictures))


def frame(index: Index, frames: str, *, opener: OpenDetector | None = None) -> Crops:
    """Load the pictures of *index* and bring each to a crop; what cannot be used is left out.

    Raises:
        DataSetError: if no picture is left.
        ConfigError: if *frames* is unknown.
    """
    if frames == "aligned":
        return align_pictures(index, opener=opener)
    return _collected(cuts(index, frames), len(index.pictures))


def fingerprint(crops: Crops) -> str:
    """Return the counts of *crops*, and a sha256 over subjects and pixels, in order."""
    seen, start = hashlib.sha256(), 0
    for pixels in crops.batches(_BATCH):
        for picture, crop in zip(crops.index.pictures[start:], pixels, strict=False):
            seen.update(f"{picture.subject}\n".encode())
            seen.update(crop.tobytes())
        start += len(pixels)
    people, count = len(crops.index.subjects), len(crops.index.pictures)
    return f"{people} people, {count} crops, sha256 {seen.hexdigest()}"


def warn_of_refusals(refused: Sequence[tuple[str, str]], count: int) -> None:
    """Say once how many of *count* pictures were skipped and why, and which cannot be read.

    Where debugging each is named, with its own reason.

    Raises:
        DataSetError: if none is left.
    """
    for path, reason in refused:
        _LOG.debug("skipped %s: %s", path, reason)
    if not refused:
        return
    reasons = Counter(each if _is_about_faces(each) else "cannot be read" for _, each in refused)
    listed = "; ".join(f"{number} times: {reason}" for reason, number in reasons.most_common(3))
    if len(refused) == count:
        what = (
            "no face was found in" if any(map(_is_about_faces, reasons)) else "none can be used of"
        )
        raise DataSetError(
            f"{what} {count} pictures ({listed}), the first is {refused[0][0]}; are they photos of "
            "faces?"
        )
    unread = [path for path, each in refused if not _is_about_faces(each)]
    named = f" ({', '.join(unread[:_NAMED])}{' …' if len(unread) > _NAMED else ''})"
    _LOG.warning(
        "%d of %d pictures were skipped. %s%s", len(refused), count, listed, named if unread else ""
    )


def _collected(made: Iterator[Cut], count: int) -> Crops:
    kept: list[Picture] = []
    refused: list[tuple[str, str]] = []
    # Filled one by one: a list of 46,000 crops and then an array of them would be 3.5 GB.
    pixels = np.empty((count, CROP_SIZE_PX, CROP_SIZE_PX, 3), np.uint8)
    for each in made:
        if each.crop is None:
            refused.append((each.picture.path, each.reason))
        else:
            pixels[len(kept)] = each.crop
            kept.append(each.picture)
    warn_of_refusals(refused, count)
    return Crops(Index(tuple(kept), tuple(refused)), pixels[: len(kept)])


def _is_about_faces(reason: str) -> bool:
    return reason == NO_FACE or reason.endswith(WHO_IS_MEANT)


def _framed(picture: Picture, frames: str, view: View) -> Cut:
    try:
        pixels = picture.load()
    except PictureError as exc:
        return Cut(picture, None, str(exc))
    if frames == "whole" and pixels.shape[:2] == (_WIDE_PX, _WIDE_PX) and view is not DOOR_VIEW:
        return Cut(picture, recut(pixels, view))
    return Cut(picture, FRAMINGS[frames](pixels))


def _resized(pixels: PixelArray, width: int, height: int) -> PixelArray:
    shrinks = height < pixels.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR  # no aliasing, no blocks
    return cv2.resize(pixels, (width, height), interpolation=how)  # type: ignore[return-value]
