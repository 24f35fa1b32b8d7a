"""The pictures that a conversion rests on: found, thinned evenly by person, brought to crops."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.errors import PictureError
from edge.vocabulary import CROP_SIZE_PX, PixelArray
from train.data.datasets import Index, Picture, read_att, read_crops, read_folder, readable
from train.data.framing import Crops, frame
from train.errors import DataSetError

# 1,500 crops give a million comparisons and keep a conversion below three minutes on two cores.
MOST_PICTURES = 1500
REPRESENTATIVE_PICTURES = 200
# Of fewer pictures nobody is left out: a threshold needs people more than it needs speed.
_LEAST_ROOM = 100


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationPictures:
    """Aligned crops of people whom the encoder was not fitted on.

    ``note`` says which people of the directory they are.
    """

    name: str
    crops: Crops
    note: str

    @property
    def representative(self) -> PixelArray:
        """(N, 112, 112, 3) crops, evenly spread, that activations' ranges are learnt from."""
        return self.crops.pixels[evenly(len(self.crops.pixels), REPRESENTATIVE_PICTURES)]

    @property
    def data_id(self) -> str:
        """Name, counts and sha256 over subjects and pixels, in order."""
        seen = hashlib.sha256()
        for picture, pixels in zip(self.crops.index.pictures, self.crops.pixels, strict=True):
            seen.update(f"{picture.subject}\n".encode())
            seen.update(pixels.tobytes())
        people, count = len(self.crops.index.subjects), len(self.crops.pixels)
        return f"{self.name}: {people} people, {count} crops, sha256 {seen.hexdigest()}"


def read_index(directory: Path) -> Index:
    """Index *directory*: crop archives with index.csv, the AT&T tree, or one folder per person.

    Raises:
        DataSetError: if it is none of these.
    """
    if not directory.is_dir():
        raise DataSetError(f"--calibration {directory} is not a directory")
    if (directory / "index.csv").is_file() and any(directory.glob("*.zip")):
        return read_crops(directory, strangers=True)
    if any(directory.glob("s*/*.pgm")):
        return read_att(directory)
    return read_folder(directory)


def read_pictures(
    directory: Path, wanted: Sequence[str] | None = None, *, note: str = "everybody"
) -> CalibrationPictures:
    """Read and align at most `MOST_PICTURES` pictures of *directory*, as many of each person.

    Pictures of 112x112 pixels are crops already; all others go through the edge's detector and
    alignment, as at the door.

    Args:
        directory: see `read_index`.
        wanted: the subjects to take; None takes all.
        note: who they are, for the report.

    Raises:
        DataSetError: if no face is left.
    """
    index = read_index(directory)
    chosen = thinned(index if wanted is None else index.only(wanted), MOST_PICTURES)
    return CalibrationPictures(directory.resolve().name, _cropped(chosen), note)


def thinned(index: Index, most: int) -> Index:
    """Return at most about *most* pictures of *index*: evenly spread ones, as many of each person.

    Who has few keeps all of them. Everybody keeps two at least, where there are two: a mated
    comparison needs them. Where even that is too much, people are left out, evenly as well.
    """
    if len(index.pictures) <= most:
        return index
    by_subject: dict[str, list[Picture]] = defaultdict(list)
    for each in index.pictures:
        by_subject[each.subject].append(each)
    kept = _people({each: len(by_subject[each]) for each in index.subjects}, most)
    counts = sorted(len(by_subject[each]) for each in kept)
    share, left = 2, most
    for at, count in enumerate(counts):
        share = max(2, left // (len(counts) - at))
        if count >= share:
            break
        left -= count
    chosen = []
    for subject in kept:
        pictures = by_subject[subject]
        chosen += [pictures[at] for at in evenly(len(pictures), share)]
    return Index(tuple(chosen))


def _people(counts: Mapping[str, int], most: int) -> list[str]:
    """Return whom of *counts* (pictures by subject) two pictures each make at most *most* of.

    People with one picture make non-mated pairs only: they get half the room, if there are others.
    """
    alone = [each for each in counts if counts[each] == 1]
    several = [each for each in counts if counts[each] > 1]
    if len(alone) + 2 * len(several) <= most or most < _LEAST_ROOM:
        return list(counts)
    room = max(most // 2, most - 2 * len(several)) if several else most
    alone = [alone[at] for at in evenly(len(alone), room)]
    room = max(_LEAST_ROOM // 2, (most - len(alone)) // 2)
    chosen = {*alone, *(several[at] for at in evenly(len(several), room))}
    return [each for each in counts if each in chosen]


def evenly(count: int, most: int) -> list[int]:
    """Return at most *most* of the rows 0 … *count* - 1, evenly spread, first and last included."""
    if count <= most:
        return list(range(count))
    return [int(at) for at in np.linspace(0, count - 1, most).round()]


def _cropped(index: Index) -> Crops:
    """Return the crops of *index*; if its first picture is one already, all are taken as crops."""
    if not _is_crop(_first_readable(index)):
        return frame(index, "aligned")
    kept, pixels = readable(index)
    for picture, its in zip(kept.pictures, pixels, strict=True):
        if not _is_crop(its):
            raise DataSetError(
                f"{picture.path} is no {CROP_SIZE_PX}x{CROP_SIZE_PX} crop, while "
                f"{kept.pictures[0].path} is; give aligned crops or photos, not both"
            )
    return Crops(kept, np.stack(pixels))


def _first_readable(index: Index) -> PixelArray:
    for each in index.pictures:
        try:
            return each.load()
        except PictureError:
            continue  # `frame` and `readable` report it
    raise DataSetError(f"none of {len(index.pictures)} pictures can be read")


def _is_crop(pixels: PixelArray) -> bool:
    return pixels.shape[:2] == (CROP_SIZE_PX, CROP_SIZE_PX)
