"""Whole photos with the faces that YuNet found in them (`scenes`): read, and split for ever."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.vocabulary import FloatArray, PixelArray
from train.errors import DataSetError

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
_TEST_PHOTOS = 1000
_SPLIT_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One photo: (H, W, 3) uint8 RGB, and its faces.

    `boxes` is (N, 4) left, top, right, bottom; `landmarks` (N, 5, 2); `scores` (N,), YuNet's.
    """

    name: str
    pixels: PixelArray
    boxes: FloatArray
    landmarks: FloatArray
    scores: FloatArray


def read_scenes(directory: Path, part: str) -> Iterator[Scene]:
    """Yield the photos of *part* in name order.

    Args:
        directory: holds scenes.zip and faces.csv.
        part: `train` or `test`; a photo belongs to one of them for ever.

    Raises:
        DataSetError: if the files are missing or damaged.
    """
    try:
        with (
            zipfile.ZipFile(directory / "scenes.zip") as photos,
            (directory / "faces.csv").open(newline="", encoding="utf-8") as file,
        ):
            faces: dict[str, list[dict[str, str]]] = {}
            for row in csv.DictReader(file):
                faces.setdefault(row["file"], []).append(row)
            names = sorted(each for each in photos.namelist() if each.endswith(".webp"))
            for name in split(names, part):
                yield _scene(name, photos.read(name), faces.get(name, []))
    except (OSError, zipfile.BadZipFile, KeyError) as exc:
        raise DataSetError(
            f"{directory} does not hold whole photos: {exc}; it needs scenes.zip and faces.csv"
        ) from exc


def split(names: list[str], part: str) -> list[str]:
    """Return those of *names* that belong to *part*, in their order: 1,000 are for the test."""
    drawn = np.random.default_rng(_SPLIT_SEED).permutation(len(names))
    tested = set(drawn[:_TEST_PHOTOS].tolist())
    return [name for at, name in enumerate(names) if (at in tested) == (part == "test")]


def _scene(name: str, content: bytes, rows: list[dict[str, str]]) -> Scene:
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if decoded is None:
        raise DataSetError(f"scenes.zip: {name} is no picture; copy the file again")
    edges = ("left", "top", "right", "bottom")
    points = [f"{each}_{axis}" for each in LANDMARKS for axis in "xy"]
    return Scene(
        name,
        np.asarray(decoded, dtype=np.uint8),
        _columns(rows, edges).reshape(-1, 4),
        _columns(rows, points).reshape(-1, 5, 2),
        _columns(rows, ["score"]).reshape(-1),
    )


def _columns(rows: list[dict[str, str]], names: tuple[str, ...] | list[str]) -> FloatArray:
    return np.array([[float(row[each]) for each in names] for row in rows], dtype=np.float32)
