"""Better landmarks to learn from: the mean of six looks of YuNet in place of the data set's one.

The landmarks in `faces/index.csv` are one look each, 7 % of the eye distance from the mean of
many; those of six looks that differ from picture to picture err independently, so that a
network that is taught by many pictures learns the mean of them all. Those of crops are then moved
to where YuNet would have seen them in a whole picture (`train.eyes.surroundings`).
"""

from __future__ import annotations

import logging
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edge.geometry import moved
from edge.vocabulary import FloatArray, PixelArray
from train.errors import DataSetError
from train.eyes.feeding import results
from train.eyes.looks import Looker, error_of, fingerprint, is_same, size_of, some_looks
from train.eyes.material import Material, crop_rows
from train.eyes.scenes import read_scenes
from train.eyes.surroundings import cut, fitted

_LOG = logging.getLogger("janus.train")
_LEAST_SEEN_PX = 8.0  # eye distance; below, a look is worth no more than the data set's
_LEAST_CUT_PX = 24.0  # face size; smaller ones would be enlarged more than any crop is
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
        digest = fingerprint(model)
    except OSError as exc:
        raise DataSetError(f"--teacher {model} cannot be read: {exc}") from exc
    kept = out / _TAUGHT_FILE
    if not kept.is_file() or str(np.load(kept)["digest"]) != digest:
        _look(faces, scenes, model, kept, digest, workers=workers)
    with np.load(kept) as held:
        crops, photos, counts, cuts = (held[each] for each in ("crops", "photos", "counts", "cuts"))
    if len(crops) != len(material.crops) or len(counts) != len(material.photos):
        raise DataSetError(f"{kept} is of other pictures; remove it, or name another --out")
    around = fitted(cuts[:, 0], cuts[:, 1])
    if around is None:
        _LOG.warning(
            "only %d faces of whole photos show what YuNet sees otherwise in crops: landmarks are "
            "taught as the crops show them",
            len(cuts),
        )
    bounds = np.split(photos.astype(np.float64), np.cumsum(counts)[:-1])
    return replace(
        material,
        landmarks=crops if around is None else around.seen(crops),
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
        photos=np.concatenate([placed for placed, _ in photos]),
        counts=[len(placed) for placed, _ in photos],
        cuts=np.concatenate([pairs for _, pairs in photos]),
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
    """Looks at one photo, and at its faces cut as crops are: see `_cuts`."""

    def __init__(self, model: Path, photos: list[tuple[PixelArray, FloatArray]]) -> None:
        self._model, self._photos = model, photos

    def __call__(self, at: int) -> tuple[FloatArray, FloatArray]:
        pixels, known = self._photos[at]
        looker = Looker(self._model)
        placed = _seen(looker, pixels, known, at) if len(known) else known
        return placed, _cuts(looker, pixels, known, placed, at)


def _cuts(
    looker: Looker, pixels: PixelArray, known: FloatArray, placed: FloatArray, seed: int
) -> FloatArray:
    """Return (N, 2, 5, 2): faces as seen in crops of them and as *placed*, in crop pixels.

    They are cut where they are *known* to be, by one look, as the data set's crops are: cut where
    they are *placed*, all would lie in the same place, and that is what would be learnt.
    """
    pairs = []
    for face, better in zip(known, placed, strict=True):
        if size_of(face) < _LEAST_CUT_PX:
            continue
        crop, move = cut(pixels, face)
        in_photo = moved(better, move)
        in_crop = _seen(looker, crop, in_photo[np.newaxis], seed)[0]
        if not np.array_equal(in_crop, in_photo):  # what the looks lose stays where it was
            pairs.append((in_crop, in_photo))
    return np.array(pairs, np.float32).reshape(-1, 2, 5, 2)


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
