"""Find, align and cut the one face of each picture, as the door does, on all processors."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edge.align import align
from edge.config import DetectorConfig
from edge.detect import Detector, open_detector
from edge.errors import PictureError
from edge.vocabulary import PixelArray
from train.datasets import Index, Picture

# AT&T's faces are about 60 px wide; smaller ones have too few pixels for a 112 px crop.
_SMALLEST_FACE_PX = 48
# A second face of this share of the first one's width leaves open who is meant.
_RIVAL_SHARE = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What became of one picture: a crop (112, 112, 3), or the reason why there is none."""

    picture: Picture
    crop: PixelArray | None
    reason: str = ""


def cut_face(picture: Picture, detector: Detector) -> Cut:
    """Return the aligned crop of the one face in *picture*, or why it was refused."""
    try:
        pixels = picture.load()
    except PictureError as exc:
        return Cut(picture, None, str(exc))
    faces = detector.detect(pixels)
    if not faces:
        return Cut(picture, None, "no face found")
    if len(faces) > 1 and faces[1].box.width >= _RIVAL_SHARE * faces[0].box.width:
        return Cut(picture, None, f"{len(faces)} faces: who is meant?")
    return Cut(picture, align(pixels, faces[0]).pixels)


def cut_faces(index: Index) -> Iterator[Cut]:
    """Cut every picture of *index*, in its order, on all processors."""
    held = threading.local()  # a cascade keeps state while it searches: one for each thread
    config = DetectorConfig(smallest_face_px=_SMALLEST_FACE_PX)

    def cut(picture: Picture) -> Cut:
        if not hasattr(held, "detector"):
            held.detector = open_detector(config)
        return cut_face(picture, held.detector)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(cut, index.pictures)
