"""The pictures that a conversion rests on: found, thinned by person, brought to crops, judged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.embedding_worker import as_aligned
from convert.judged import Face, Selection, select
from edge.align import similarity
from edge.errors import PictureError
from edge.vocabulary import CROP_SIZE_PX, AlignedFace, PixelArray
from train.data.cutting import Cut
from train.data.datasets import Index, Picture, read_att, read_crops, read_folder, readable
from train.data.framing import Crops, cuts, fingerprint, warn_of_refusals
from train.errors import DataSetError

# 1,500 crops give a million comparisons and keep a conversion below three minutes on two cores.
MOST_PICTURES = 1500
# Of faces in the wild about a fifth are turned away or covered.
MOST_LOOKED_AT = 2000
REPRESENTATIVE_PICTURES = 200
# Of fewer pictures nobody is left out: a threshold needs people more than it needs speed.
_LEAST_ROOM = 100


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationPictures:
    """Aligned crops that the door would judge, of people whom the encoder was not fitted on.

    ``note`` says which people of the directory they are, ``selection`` what was passed over.
    """

    name: str
    crops: Crops
    note: str
    selection: Selection

    @property
    def representative(self) -> PixelArray:
        """(N, 112, 112, 3) crops, evenly spread, that activations' ranges are learnt from."""
        return self.crops.pixels[evenly(len(self.crops.pixels), REPRESENTATIVE_PICTURES)]

    @property
    def data_id(self) -> str:
        """Name, counts and sha256 over subjects and pixels, in order."""
        return f"{self.name}: {fingerprint(self.crops)}"


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
    alignment, as at the door. Those that the door would pass over are left out.

    Args:
        directory: see `read_index`.
        wanted: the subjects to take; None takes all.
        note: who they are, for the report.

    Raises:
        DataSetError: if no face is left.
    """
    index = read_index(directory)
    index = thinned(index if wanted is None else index.only(wanted), MOST_LOOKED_AT)
    fit, selection = select(_faces(index))
    if not fit:
        raise DataSetError(
            f"no picture in --calibration {directory} is one that a door would judge: {selection}; "
            "give pictures of faces that look into the camera"
        )
    pixels = {each.picture.path: each.aligned.pixels for each in fit}
    kept = thinned(Index(tuple(each.picture for each in fit)), MOST_PICTURES)
    crops = Crops(kept, np.stack([pixels[each.path] for each in kept.pictures]))
    return CalibrationPictures(directory.resolve().name, crops, note, selection)


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


def _faces(index: Index) -> list[Face]:
    """Return the faces of *index*; if its first picture is a crop, all are taken as crops."""
    if not _is_crop(_first_readable(index)):
        made = list(cuts(index, "aligned"))
        refused = [(each.picture.path, each.reason) for each in made if each.crop is None]
        warn_of_refusals(refused, len(made))
        return [Face(each.picture, _aligned(each), True) for each in made if each.crop is not None]
    kept, pixels = readable(index)
    for picture, its in zip(kept.pictures, pixels, strict=True):
        if not _is_crop(its):
            raise DataSetError(
                f"{picture.path} is no {CROP_SIZE_PX}x{CROP_SIZE_PX} crop, while "
                f"{kept.pictures[0].path} is; give aligned crops or photos, not both"
            )
    return [
        Face(picture, as_aligned(its, picture.landmarks), picture.landmarks is not None)
        for picture, its in zip(kept.pictures, pixels, strict=True)
    ]


def _aligned(cut: Cut) -> AlignedFace:
    """Return what `edge.align` made of the face that *cut* found."""
    if cut.crop is None or cut.detection is None:
        raise ValueError(f"{cut.picture.path} was refused: {cut.reason}")
    return AlignedFace(cut.crop, similarity(cut.detection.landmarks), cut.detection)


def _first_readable(index: Index) -> PixelArray:
    for each in index.pictures:
        try:
            return each.load()
        except PictureError:
            continue  # `frame` and `readable` report it
    raise DataSetError(f"none of {len(index.pictures)} pictures can be read")


def _is_crop(pixels: PixelArray) -> bool:
    return pixels.shape[:2] == (CROP_SIZE_PX, CROP_SIZE_PX)
