"""Name the people in a group photo after a folder with one photo each: one-shot, no training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.align import align
from edge.config import DetectorConfig
from edge.detect import Detector
from edge.pictures.picture import picture_paths, read_picture
from edge.vocabulary import Detection, PixelArray
from train.data.cutting import detector_opener
from train.errors import DataSetError
from train.measuring.encoders import Encode, open_encoder
from train.measuring.metrics import unit_rows

_SMALLEST_FACE_PX = 32  # people in a group stand far away
_GREEN, _RED = (40, 160, 90), (200, 80, 50)


@dataclass(frozen=True, slots=True)
class Named:
    """A face of the photo, and whose reference is nearest; ``matches`` if it is near enough."""

    detection: Detection
    name: str
    score: float
    matches: bool


def label(encoder: Path, photo: Path, *, database: Path, threshold: float, out: Path) -> None:
    """Write *photo* with a box and a name on each face to *out*, and print the names.

    Raises:
        DataSetError: if *out* cannot be written.
    """
    pixels = read_picture(photo)
    named = name_faces(pixels, database, open_encoder(encoder), threshold)
    for each in named:
        print(f"{each.score:6.3f}  {each.name}{'' if each.matches else '  (below the threshold)'}")
    if not cv2.imwrite(str(out), draw_names(pixels, named)[..., ::-1]):
        raise DataSetError(f"{out} cannot be written; name a .png in a directory that exists")
    print(f"{len(named)} faces; wrote {out}")


def name_faces(
    photo: PixelArray, database: Path, encode: Encode, threshold: float
) -> tuple[Named, ...]:
    """Compare every face in *photo* (H, W, 3) with the one face of each photo in *database*.

    Raises:
        DataSetError: if no photo in *database* shows a face.
    """
    detector = detector_opener(DetectorConfig(smallest_face_px=_SMALLEST_FACE_PX))()
    names, references = _references(database, detector)
    faces = detector.detect(photo)
    if not faces:
        return ()
    probes = np.stack([align(photo, each).pixels for each in faces])
    scores = unit_rows(encode(probes)) @ unit_rows(encode(references)).T
    return tuple(
        Named(face, names[int(row.argmax())], float(row.max()), bool(row.max() >= threshold))
        for face, row in zip(faces, scores, strict=True)
    )


def draw_names(photo: PixelArray, named: tuple[Named, ...]) -> PixelArray:
    """Return a copy of *photo* with a box and a caption on every face; red if nobody matches."""
    drawn = photo.copy()
    for each in named:
        box = each.detection.box
        colour = _GREEN if each.matches else _RED
        corners = (int(box.left), int(box.top)), (int(box.right), int(box.bottom))
        cv2.rectangle(drawn, *corners, colour, 2)
        caption = f"{each.name if each.matches else 'nobody'} {each.score:.2f}"
        foot = (int(box.left), max(12, int(box.top) - 5))
        cv2.putText(drawn, caption, foot, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return drawn


def _references(database: Path, detector: Detector) -> tuple[list[str], PixelArray]:
    names, crops = [], []
    for path in picture_paths(database):
        pixels = read_picture(path)
        if faces := detector.detect(pixels):
            names.append(path.stem)
            crops.append(align(pixels, faces[0]).pixels)
    if not names:
        raise DataSetError(f"no photo in {database} shows a face; expected NAME.jpg, one a person")
    return names, np.stack(crops)
