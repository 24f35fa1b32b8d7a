"""Bring any picture to the 112x112 RGB crop that every encoder takes.

`aligned` is what the door does. The published systems frame faces differently; the other framings
put *their* picture into the same 112x112 square, so one encoder file serves both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.errors import ConfigError
from edge.vocabulary import CROP_SIZE_PX, PixelArray
from train.cutting import cut_faces
from train.datasets import Index, readable
from train.errors import DataSetError
from train.metrics import IntArray

_LOG = logging.getLogger("janus.train")


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Framed pictures in memory: ``pixels`` (N, 112, 112, 3) uint8 RGB in the index's order."""

    index: Index
    pixels: PixelArray

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
        return Crops(Index(tuple(self.index.pictures[at] for at in numbers)), self.pixels[numbers])


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
"""How a picture becomes a crop, except `aligned`, which may refuse one: see `align_pictures`."""


def align_pictures(index: Index) -> Crops:
    """Return the aligned crops of *index*; pictures without one clear face are left out, counted.

    Raises:
        DataSetError: if no face is found in any picture.
    """
    cuts = list(cut_faces(index))
    refused = tuple((each.picture.path, each.reason) for each in cuts if each.crop is None)
    for path, reason in refused:
        _LOG.debug("skipped %s: %s", path, reason)
    if refused:
        _LOG.warning("%d of %d pictures were skipped: no one clear face", len(refused), len(cuts))
    pixels = [each.crop for each in cuts if each.crop is not None]
    if not pixels:
        raise DataSetError(f"no face was found in {len(cuts)} pictures; are they photos of faces?")
    kept = tuple(each.picture for each in cuts if each.crop is not None)
    return Crops(Index(kept, refused), np.stack(pixels))


def frame(index: Index, frames: str) -> Crops:
    """Load the pictures of *index* and bring each to a crop; what cannot be used is left out.

    Raises:
        DataSetError: if no picture is left.
        ConfigError: if *frames* is unknown.
    """
    if frames == "aligned":
        return align_pictures(index)
    if frames not in FRAMINGS:
        known = ", ".join(("aligned", *FRAMINGS))
        raise ConfigError(f"frames = {frames!r}; expected one of {known}")
    kept, pictures = readable(index)
    return Crops(kept, np.stack([FRAMINGS[frames](each) for each in pictures]))


def _resized(pixels: PixelArray, width: int, height: int) -> PixelArray:
    shrinks = height < pixels.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR  # no aliasing, no blocks
    return cv2.resize(pixels, (width, height), interpolation=how)  # type: ignore[return-value]
