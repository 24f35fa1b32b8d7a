"""Crops decoded once, and the teacher's embedding of each; a stopped run goes on with them."""

from __future__ import annotations

import csv
import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge.errors import ConfigError
from edge.vocabulary import CROP_SIZE_PX, FloatArray, PixelArray
from train.door.jitter import MARGIN_PX, WIDE_SIZE_PX
from train.errors import DataSetError
from train.measuring.metrics import unit_rows

_CORE = slice(MARGIN_PX, MARGIN_PX + CROP_SIZE_PX)


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """The rows of index.csv: archive members, subjects ('' is nobody known), typicality (NaN)."""

    files: tuple[str, ...]
    subjects: npt.NDArray[np.str_]
    typicality: FloatArray
    digest: str


def read_listing(pictures: Path) -> Listing:
    """Read index.csv.

    Raises:
        DataSetError: if it is missing, empty, or lacks a column.
    """
    path = pictures / "index.csv"
    try:
        text = path.read_text(encoding="utf-8")
        rows = list(csv.DictReader(text.splitlines()))
        return Listing(
            tuple(row["file"] for row in rows),
            np.array([row["subject"] for row in rows]),
            np.array([float(row["typicality"] or "nan") for row in rows], np.float32),
            hashlib.sha256(text.encode()).hexdigest()[:12],
        )
    except (OSError, KeyError, ValueError) as exc:
        raise DataSetError(
            f"{path} cannot be used: {exc}; expected the columns file, subject and typicality, "
            "beside SOURCE.zip archives of 144x144 crops"
        ) from exc


def cache_crops(listing: Listing, pictures: Path, cache: Path) -> PixelArray:
    """Return all crops (N, 144, 144, 3) uint8 RGB, mapped from a file that is made if missing.

    Raises:
        DataSetError: if an archive lacks a crop, or a crop has another size.
    """
    path = cache / f"crops-{listing.digest}.raw"
    shape = (len(listing.files), WIDE_SIZE_PX, WIDE_SIZE_PX, 3)
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        crops = np.memmap(partial, np.uint8, "w+", shape=shape)
        archives: dict[str, zipfile.ZipFile] = {}
        for at, name in enumerate(tqdm(listing.files, desc="crops", mininterval=1.0)):
            source = name.partition("/")[0]
            try:
                if source not in archives:
                    archives[source] = zipfile.ZipFile(pictures / f"{source}.zip")
                encoded = np.frombuffer(archives[source].read(name), np.uint8)
                crops[at] = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[:, :, ::-1]
            except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as exc:
                raise DataSetError(f"{name} is no 144x144 crop in {source}.zip: {exc}") from exc
        crops.flush()
        partial.replace(path)
    return np.memmap(path, np.uint8, "r", shape=shape)


def cache_targets(
    count: int, wide: Callable[[int], PixelArray], teacher: Path, cache: Path, name: str
) -> FloatArray:
    """Return the teacher's embeddings (N, D) float32, unit rows; those that are missing are made.

    Each is the mean of the crop's and its mirror image's. Rows not yet made are NaN in the file, so
    a run that was stopped goes on where it was.

    Args:
        count: N.
        wide: gives crop number 0 … N - 1, (144, 144, 3) uint8 RGB.
        teacher: the ONNX network.
        cache: directory of the file.
        name: tells these crops from others in the file's name.

    Raises:
        ConfigError: if onnxruntime is not installed, or the teacher is no such network.
    """
    embed = _teacher(teacher)
    made_by = hashlib.sha256(teacher.read_bytes()).hexdigest()[:12]
    path = cache / f"targets-{name}-{made_by}.npy"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        size = embed(wide(0)[_CORE, _CORE]).size
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.full((count, size), np.nan, np.float32))
        partial.replace(path)
    targets = np.load(path, mmap_mode="r+")
    missing = np.flatnonzero(np.isnan(targets[:, 0]))
    for at in tqdm(missing, desc=f"teacher, {name.partition('-')[0]}", mininterval=1.0):
        face = wide(int(at))[_CORE, _CORE]
        targets[at] = unit_rows((embed(face) + embed(face[:, ::-1]))[None])[0]
    targets.flush()
    return np.array(targets)


def _teacher(path: Path) -> Callable[[PixelArray], FloatArray]:
    """Return what embeds one 112x112 crop with the ONNX network at *path*.

    Raises:
        ConfigError: if onnxruntime is not installed, or the file is no such network.
    """
    try:
        import onnxruntime  # noqa: PLC0415 - an extra of this recipe alone
    except ImportError as exc:
        raise ConfigError(
            "a teacher needs onnxruntime, which is not installed; run: "
            "pip install 'janus-door[teacher]'"
        ) from exc
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    except Exception as exc:  # its errors share no base that it exports
        raise ConfigError(f"{path} is no ONNX network that can be loaded: {exc}") from exc
    if list(shape[1:]) != [3, CROP_SIZE_PX, CROP_SIZE_PX]:
        raise ConfigError(f"{path} takes {shape}; a teacher takes (1, 3, 112, 112)")

    def embed(face: PixelArray) -> FloatArray:
        planes = ((face.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        return np.asarray(session.run(None, {name: planes})[0][0], np.float32)

    return embed
