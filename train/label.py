"""Name the people in a group photo after a folder with one photo each: one-shot, no training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.align import align
from edge.config import DetectorConfig
from edge.detect import Detector, open_detector
from edge.picture import picture_paths, read_picture
from edge.vocabulary import Detection, PixelArray
from train.encoders import Encode
from train.errors import DataSetError
from train.metrics import unit_rows

_SMALLEST_FACE_PX = 32  # people in a group stand far away
_GREEN, _RED = (40, 160, 90), (200, 80, 50)


@dataclass(frozen=True, slots=True)
class Named:
    """A face of the photo: the nearest person of the folder, or None below the threshold."""

    detection: Detection
    name: str | None
    score: float


def name_faces(
    photo: PixelArray, database: Path, encode: Encode, threshold: float
) -> tuple[Named, ...]:
    """Compare every face in *photo* (H, W, 3) with the one face of each photo in *database*.

    Raises:
        DataSetError: if no photo in *database* shows a face.
    """
    detector = open_detector(DetectorConfig(smallest_face_px=_SMALLEST_FACE_PX))
    known: list[tuple[str, PixelArray]] = []
    for path in picture_paths(database):
        pixels = read_picture(path)
        if faces := detector.detect(pixels):
            known.append((path.stem, align(pixels, faces[0]).pixels))
    if not known:
        raise DataSetError(f"no photo in {database} shows a face; expected NAME.jpg, one a person")
    references = unit_rows(encode(np.stack([crop for _, crop in known])))
    return tuple(
        _nearest(detection, align(photo, detection).pixels, known, references, encode, threshold)
        for detection in detector.detect(photo)
    )
