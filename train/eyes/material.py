"""What the eyes learn from: grey crops with their masks, whole photos, and pictures without a face.

The crops' black corners are where the source picture ended; a mask says what is picture. Every
sixteenth crop and the test part of `scenes` are left out: `bench/eyes.py` measures on them.
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge.vocabulary import FloatArray, PixelArray
from train.errors import DataSetError
from train.eyes.looks import are_turned
from train.eyes.scenes import LANDMARKS, read_scenes

CROP_SIDE_PX = 144
HELD_OUT = 16
# Pictures of scikit-image and scikit-learn without a face, by eye; the others are for the bench.
PHOTOS_TO_TRAIN = frozenset(
    [
        *("brick", "cell", "chessboard_GRAY", "clock_motion", "coins", "color", "grass"),
        *("hubble_deep_field", "ihc", "page", "retina", "phantom", "microaneurysms"),
        *("motorcycle_left", "text", "china"),
    ]
)
# Left and right change places in a mirror.
MIRRORED = [1, 0, 2, 4, 3]
_LEAST_BRIGHT = 6  # grey levels; the corners are 0, give or take the compression


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A crop: (144, 144) uint8 grey, its (144, 144) mask (0 or 255), (5, 2) landmarks."""

    grey: PixelArray
    mask: PixelArray
    landmarks: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A whole photo in grey, with (N, 5, 2) landmarks and (N,) scores of its faces."""

    grey: PixelArray
    landmarks: npt.NDArray[np.float64]
    scores: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Crops as one array, their landmarks, whole photos, and pictures without a face.

    `turned` are the places of the crops whose heads are turned away.
    """

    crops: PixelArray
    landmarks: FloatArray
    photos: tuple[Photo, ...]
    faceless: tuple[PixelArray, ...]
    turned: npt.NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        """Find the turned heads."""
        object.__setattr__(self, "turned", np.flatnonzero(are_turned(self.landmarks)))

    def face(self, rng: np.random.Generator, *, turned: bool = False) -> Face:
        """Draw a crop, of a turned head if that is asked for; every second one mirrored."""
        if turned and len(self.turned):
            at = int(rng.choice(self.turned))
        else:
            at = int(rng.integers(len(self.crops)))
        grey, landmarks = self.crops[at], self.landmarks[at].astype(np.float64)
        if rng.random() < 0.5:  # noqa: PLR2004 - every second
            grey, landmarks = mirror(grey, landmarks)
        return Face(grey, mask_of(grey), landmarks)

    def photo(self, rng: np.random.Generator) -> Photo:
        """Draw a photo, every second one mirrored."""
        drawn = self.photos[int(rng.integers(len(self.photos)))]
        if rng.random() < 0.5:  # noqa: PLR2004 - every second
            grey, landmarks = mirror(drawn.grey, drawn.landmarks)
            return Photo(grey, landmarks, drawn.scores)
        return drawn


def read_material(faces: Path, scenes: Path) -> Material:
    """Read everything into memory, about 1.2 GB for the 46,000 crops.

    Args:
        faces: holds index.csv and the archives that it names.
        scenes: holds scenes.zip and faces.csv.

    Raises:
        DataSetError: if a set is missing or damaged.
    """
    crops, landmarks = _read_crops(faces)
    photos = tuple(
        Photo(
            np.asarray(cv2.cvtColor(each.pixels, cv2.COLOR_RGB2GRAY), np.uint8),
            each.landmarks.astype(np.float64),
            each.scores,
        )
        for each in read_scenes(scenes, "train")
    )
    return Material(crops, landmarks, photos, _read_faceless())


def mirror(
    grey: PixelArray, landmarks: npt.NDArray[np.float64]
) -> tuple[PixelArray, npt.NDArray[np.float64]]:
    """Return picture and (…, 5, 2) landmarks as a mirror shows them."""
    flipped = landmarks[..., MIRRORED, :] * (-1, 1) + (grey.shape[1] - 1, 0)
    return np.ascontiguousarray(grey[:, ::-1]), flipped


def mask_of(grey: PixelArray) -> PixelArray:
    """Return 255 where a crop shows its source picture, 0 in the corners beyond it."""
    mask = np.zeros(grey.shape, np.uint8)
    bright = cv2.morphologyEx(
        (grey > _LEAST_BRIGHT).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    rows = np.flatnonzero(bright.any(axis=1))
    if len(rows):
        # The source was a rectangle, so what it shows is convex, dark hair included. The ends of
        # each row have the same hull as all of it, in a tenth of the time.
        left, right = (bright[rows, ::way].argmax(axis=1) for way in (1, -1))
        ends = [(left, rows), (grey.shape[1] - 1 - right, rows)]
        points = np.concatenate([np.column_stack(each) for each in ends]).astype(np.int32)
        cv2.fillConvexPoly(mask, cv2.convexHull(points), (255,))
    return mask


def crop_rows(directory: Path) -> list[tuple[dict[str, str], FloatArray]]:
    """Return the rows of index.csv that are for training, each with its (5, 2) landmarks.

    Raises:
        DataSetError: if the file is missing or damaged.
    """
    try:
        with (directory / "index.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for at, row in enumerate(csv.DictReader(file)) if at % HELD_OUT]
        points = [[[float(row[f"{n}_{a}"]) for a in "xy"] for n in LANDMARKS] for row in rows]
    except (OSError, KeyError, ValueError) as exc:
        raise DataSetError(
            f"{directory} does not hold crops with landmarks: {exc}; it needs index.csv and the "
            "archives that it names"
        ) from exc
    return list(zip(rows, np.array(points, np.float32), strict=True))


def _read_crops(directory: Path) -> tuple[PixelArray, FloatArray]:
    listed = crop_rows(directory)
    rows = [row for row, _ in listed]
    try:
        archives = {
            source: zipfile.ZipFile(directory / f"{source}.zip")
            for source in sorted({row["source"] for row in rows})
        }
        crops = np.empty((len(rows), CROP_SIDE_PX, CROP_SIDE_PX), np.uint8)
        for at, row in enumerate(tqdm(rows, desc="crops", unit="crop")):
            content = np.frombuffer(archives[row["source"]].read(row["file"]), np.uint8)
            decoded = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
            if decoded is None or decoded.shape != crops.shape[1:]:
                raise DataSetError(
                    f"{directory}: {row['file']} is no picture of {CROP_SIDE_PX} x {CROP_SIDE_PX} "
                    "pixels; copy the archives again"
                )
            crops[at] = decoded
    except (OSError, zipfile.BadZipFile, KeyError) as exc:
        raise DataSetError(
            f"{directory} does not hold crops: {exc}; it needs the archives that index.csv names"
        ) from exc
    return crops, np.array([landmarks for _, landmarks in listed])


def _read_faceless() -> tuple[PixelArray, ...]:
    import skimage
    import sklearn.datasets

    folders = (
        Path(skimage.__file__).parent / "data",
        Path(sklearn.datasets.__file__).parent / "images",
    )
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    read = [
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        for path in paths
        if path.stem in PHOTOS_TO_TRAIN and path.suffix in (".png", ".jpg")
    ]
    found = tuple(np.asarray(each, np.uint8) for each in read if each is not None)
    if not found:
        raise DataSetError(
            "scikit-image and scikit-learn came without their sample pictures, which are the "
            "pictures without a face; install janus-door[workstation,demo] again"
        )
    return found
