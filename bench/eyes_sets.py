"""The pictures that `bench/eyes.py` measures on, each with its reference faces and groups."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.pictures.picture import read_picture
from edge.vocabulary import FloatArray, PixelArray
from train.eyes.scenes import LANDMARKS, read_scenes

# Every sixteenth crop is left out of training (train/eyes/fitting.py).
HELD_OUT = 16
# scikit-image's and scikit-learn's pictures without a face, by eye; training uses the first.
PHOTOS_SEEN = [
    "brick",
    "cell",
    "chessboard_GRAY",
    "clock_motion",
    "coins",
    "color",
    "grass",
    "hubble_deep_field",
    "ihc",
    "page",
    "retina",
    "phantom",
    "microaneurysms",
    "motorcycle_left",
    "text",
    "china",
]
PHOTOS_UNSEEN = [
    "chelsea",
    "coffee",
    "gravel",
    "moon",
    "rocket",
    "horse",
    "motorcycle_right",
    "chessboard_RGB",
    "flower",
]
LEAST_SCENE_FACE_PX = 40


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture.

    Args:
        name: of the picture.
        pixels: (H, W, 3) uint8 RGB.
        targets: (N, 5, 2) landmarks that must be found, or None: YuNet's face nearest the centre.
        others: (M, 5, 2) landmarks of faces that may be found.
        groups: what the picture counts for, such as "ethnicity Black".
    """

    name: str
    pixels: PixelArray
    targets: FloatArray | None
    others: FloatArray = field(default_factory=lambda: np.zeros((0, 5, 2), np.float32))
    groups: tuple[str, ...] = ()


def samples(name: str, data: Path, limit: int) -> Iterator[Sample]:
    """Yield at most *limit* pictures of the set *name*, spread evenly over it."""
    return SETS[name](data, limit)


def _lfw(data: Path, limit: int) -> Iterator[Sample]:
    with zipfile.ZipFile(data / "lfw-pairs.zip") as photos:
        names = sorted(each for each in photos.namelist() if each.endswith(".webp"))
        for name in _spread(names, limit):
            yield Sample(name, decoded(photos.read(name)), None)


def _scenes(data: Path, limit: int) -> Iterator[Sample]:
    for at, scene in enumerate(read_scenes(data / "scenes", "test")):
        if at >= limit:
            return
        wide = scene.boxes[:, 2] - scene.boxes[:, 0] >= LEAST_SCENE_FACE_PX
        yield Sample(scene.name, scene.pixels, scene.landmarks[wide], scene.landmarks[~wide])


def _frll(data: Path, limit: int) -> Iterator[Sample]:
    for path in _spread(sorted((data / "frll").glob("*/*.jpg")), limit):
        yield Sample(str(path), read_picture(path), None, groups=(path.stem.split("_")[0],))


def _att(data: Path, limit: int) -> Iterator[Sample]:
    for path in _spread(sorted((data / "att-faces").glob("s*/*.pgm")), limit):
        yield Sample(str(path), read_picture(path), None)


def _crops(data: Path, limit: int) -> Iterator[Sample]:
    with (data / "faces" / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::HELD_OUT]
    archives: dict[str, zipfile.ZipFile] = {}
    for row in _spread(rows, limit):
        source = row["source"]
        archive = archives.setdefault(source, zipfile.ZipFile(data / "faces" / f"{source}.zip"))
        points = [[float(row[f"{each}_{axis}"]) for axis in "xy"] for each in LANDMARKS]
        columns = ("source", "age", "gender", "ethnicity")
        groups = tuple(f"{column} {row[column]}" for column in columns if row[column])
        yield Sample(
            row["file"],
            decoded(archive.read(row["file"])),
            np.array([points], np.float32),
            groups=groups,
        )


def _photos(wanted: list[str], limit: int) -> Iterator[Sample]:
    import skimage
    import sklearn.datasets

    folders = (
        Path(skimage.__file__).parent / "data",
        Path(sklearn.datasets.__file__).parent / "images",
    )
    none = np.zeros((0, 5, 2), np.float32)
    found = [each for folder in folders for each in sorted(folder.glob("*")) if each.stem in wanted]
    for path in found[:limit]:
        if path.suffix in (".png", ".jpg"):
            yield Sample(path.name, read_picture(path), none)


SETS = {
    "lfw": _lfw,
    "scenes": _scenes,
    "frll": _frll,
    "att": _att,
    "crops": _crops,
    "photos unseen": lambda _data, limit: _photos(PHOTOS_UNSEEN, limit),
    "photos seen": lambda _data, limit: _photos(PHOTOS_SEEN, limit),
}


# Pictures in each, about: enough to spread a sample over it.
SIZES = {"lfw": 7701, "scenes": 1000, "frll": 204, "att": 400, "crops": 2873}


def decoded(content: bytes) -> PixelArray:
    """Return the (H, W, 3) uint8 RGB picture in *content*."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise ValueError("an archive holds a file that is no picture; copy it again")
    return np.asarray(pixels, dtype=np.uint8)


def _spread(items: list[Any], limit: int) -> list[Any]:
    step = max(1, len(items) // limit)
    return items[::step][:limit] if limit < len(items) else items
