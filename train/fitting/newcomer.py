"""One-shot enrolment of one more person, from one photo and without training.

The article's 41st person matched four or five of 41 people at a threshold without an error rate.
Here the threshold is that of the lowest rate which the people held out support.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.align import align
from edge.config import DetectorConfig
from edge.detect import Detector
from edge.errors import EnrolmentError
from edge.pictures.picture import read_picture
from edge.vocabulary import FloatArray, PixelArray
from train.data.cutting import detector_opener
from train.data.framing import Crops
from train.measuring import figures
from train.measuring.encoders import Encode
from train.measuring.metrics import Threshold, unit_rows
from train.measuring.report import Section


@dataclass(frozen=True, slots=True, eq=False)
class Newcomer:
    """Scores of the newcomer's reference with one picture of everybody, and with the other photos.

    ``shown`` (S,) are the numbers of everybody's pictures; ``matched`` counts those at or above the
    threshold; ``own`` (K,) belongs to the newcomer's other photos.
    """

    shown: tuple[int, ...]
    others: FloatArray
    own: FloatArray
    threshold: float

    @property
    def matched(self) -> int:
        """How many of the others match the newcomer: false matches, all of them."""
        return int((self.others >= np.float32(self.threshold)).sum())


def enrol_newcomer(
    crops: Crops, encode: Encode, faces: PixelArray, threshold: float, *, seed: int = 0
) -> Newcomer:
    """Enrol *faces* (K, 112, 112, 3) by the first, and compare it with everybody in *crops*."""
    rng = np.random.default_rng(seed)
    numbers = crops.numbers
    shown = tuple(int(rng.choice(np.flatnonzero(numbers == each))) for each in np.unique(numbers))
    photos = unit_rows(encode(faces))
    others = unit_rows(encode(crops.pixels[list(shown)])) @ photos[0]
    return Newcomer(shown, others, photos[1:] @ photos[0], threshold)


def read_faces(photos: Sequence[Path]) -> PixelArray:
    """Return the largest face of each photo, cut as at the door: (K, 112, 112, 3), K >= 1.

    Raises:
        PictureError: if a photo cannot be read.
        EnrolmentError: if a photo shows no face.
    """
    detector = detector_opener(DetectorConfig())()
    return np.stack([_face(path, detector) for path in photos])


def enrolment_section(
    crops: Crops,
    encode: Encode,
    names: Sequence[str],
    faces: PixelArray,
    threshold: Threshold | None,
) -> Section:
    """Enrol one more person and report who matches, at the lowest rate in *thresholds*.

    Args:
        crops: everybody else.
        encode: the encoder.
        names: (K,) of the person's photos; the first is enrolled, the others are searched.
        faces: (K, 112, 112, 3), of `read_faces`.
        threshold: without one the section says that nobody is enrolled, and why.
    """
    heading = "One more person, enrolled from one photo"
    if threshold is None:
        why = "the people held out are too few for any threshold"
        return Section(heading, (f"not enrolled: {why}; hold out more: --set tested=10",))
    found = enrol_newcomer(crops, encode, faces, threshold.score)
    lines = [
        f"enrolled from {names[0]}, threshold {found.threshold:.3f} (FMR {threshold.fmr:.2g})",
        f"  matched {found.matched} of {len(found.others)} other people",
    ]
    lines += [
        f"  {name}: score {score:.3f}, {'match' if score >= found.threshold else 'no match'}"
        for name, score in zip(names[1:], found.own, strict=True)
    ]
    captions = [f"{score:.2f}" for score in found.others]
    colours = ["#b5502f" if score >= found.threshold else "#444444" for score in found.others]
    pictures = [crops.pixels[at] for at in found.shown]
    tiles = [
        (faces[0], "enrolled", "#2a7f62"),
        *zip(pictures, captions, colours, strict=True),
    ]
    grid = figures.tiled(tiles, 8)
    return Section(heading, lines, (("Everybody", grid),))


def _face(path: Path, detector: Detector) -> PixelArray:
    pixels = read_picture(path)
    faces = detector.detect(pixels)
    if not faces:
        raise EnrolmentError(f"no face was found in {path}; take one from the front, in good light")
    return align(pixels, faces[0]).pixels
