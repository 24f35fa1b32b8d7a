"""Better landmarks to learn from: the mean of six looks of YuNet in place of the data set's one.

The landmarks in `faces/index.csv` are one look each, 7 % of the eye distance from the mean of
many; those of six looks that differ from picture to picture err independently, so that a
network that is taught by many pictures learns the mean of them all.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edge.vocabulary import FloatArray, PixelArray
from train.errors import DataSetError
from train.eyes.feeding import results
from train.eyes.looks import LOOKS, Looker, error_of, is_same, some_looks
from train.eyes.material import Material, crop_rows
from train.eyes.scenes import read_scenes

_LEAST_SEEN_PX = 8.0  # eye distance; below, a look is worth no more than the data set's
_AT_A_TIME = 128
_TAUGHT_FILE = "taught.npz"


def taught(
    material: Material, faces: Path, scenes: Path, model: Path, out: Path, *, workers: int = 0
) -> Material:
    """Return *material* with the landmarks of several looks of the *model*.

    They are kept in *out*, so that another run does not look again: 46,000 crops take an hour of
    one processor. A face that the looks lose keeps the landmarks that it has.

    Args:
        material: as `read_material` reads it from *faces* and *scenes*.
        faces: index.csv and the archives of crops.
        scenes: scenes.zip and faces.csv.
        model: YuNet's ONNX file.
        out: directory of the run.
        workers: processes that look.

    Raises:
        DataSetError: if the model or the pictures are missing or damaged.
    """
    try:
        # Other looks teach other landmarks.
        digest = hashlib.sha256(model.read_bytes() + repr(LOOKS).encode()).hexdigest()
    except OSError as exc:
        raise DataSetError(f"--teacher {model} cannot be read: {exc}") from exc
    kept = out / _TAUGHT_FILE
    if not kept.is_file() or str(np.load(kept)["digest"]) != digest:
        _look(faces, scenes, model, kept, digest, workers=workers)
    with np.load(kept) as held:
        crops, photos, counts = held["crops"], held["photos"], held["counts"]
    if len(crops) != len(material.crops) or len(counts) != len(material.photos):
        raise DataSetError(f"{kept} is of other pictures; remove it, or name another --out")
    bounds = np.split(photos.astype(np.float64), np.cumsum(counts)[:-1])
    return replace(
        material,
        landmarks=crops,
        photos=tuple(
            replace(photo, landmarks=landmarks)
            for photo, landmarks in zip(material.photos, bounds, strict=True)
        ),
    )


def _look(faces: Path, scenes: Path, model: Path, kept: Path, digest: str, *, workers: int) -> None:
    """Look at every crop and photo of the training part, and keep what is seen."""
    rows = crop_rows(faces)
    crops = list(
        results(
            _CropLooks(faces, model, rows),
            range(0, len(rows), _AT_A_TIME),
            workers,
            "looks at crops",
        )
    )
    every = [(each.pixels, each.landmarks) for each in read_scenes(scenes, "train")]
    photos = list(results(_PhotoLooks(model, every), range(len(every)), workers, "at photos"))
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".part.npz")
    np.savez(
        partial,
        digest=digest,
        crops=np.concatenate(crops),
        photos=np.concatenate(photos),
        counts=[len(each) for each in photos],
    )
    partial.replace(kept)


class _CropLooks:
    """Looks at `_AT_A_TIME` crops from one on."""

    def __init__(
        self, faces: Path, model: Path, rows: list[tuple[dict[str, str], FloatArray]]
    ) -> None:
        self._faces, self._model, self._rows = faces, model, rows

    def __call__(self, first: int) -> FloatArray:
        looker, archives = Looker(self._model), {}
        found = []
        for at, (row, known) in enumerate(self._rows[first : first + _AT_A_TIME], first):
            source = row["source"]
            if source not in archives:
                archives[source] = zipfile.ZipFile(self._faces / f"{source}.zip")
            content = np.frombuffer(archives[source].read(row["file"]), np.uint8)
            pixels = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR_RGB), np.uint8)
            found.append(_seen(looker, pixels, known[np.newaxis], at)[0])
        return np.array(found, np.float32)


class _PhotoLooks:
    """Looks at one photo."""

    def __init__(self, model: Path, photos: list[tuple[PixelArray, FloatArray]]) -> None:
        self._model, self._photos = model, photos

    def __call__(self, at: int) -> FloatArray:
        pixels, known = self._photos[at]
        return _seen(Looker(self._model), pixels, known, at) if len(known) else known


def _seen(looker: Looker, pixels: PixelArray, known: FloatArray, seed: int) -> FloatArray:
    """Return the (N, 5, 2) landmarks of the *known* faces as six looks see them."""
    faces = [
        each.landmarks for each in looker.faces(pixels, some_looks(np.random.default_rng(seed)))
    ]
    placed = known.copy()
    for at, face in enumerate(known):
        same = [each for each in faces if is_same(each, face)]
        if same and np.hypot(*(face[1] - face[0])) >= _LEAST_SEEN_PX:
            placed[at] = min(same, key=lambda each: error_of(each, face))
    return placed
