"""Teach the door's encoder what a larger face encoder says of the same crops.

Once: crops are decoded, and the teacher's embedding of each (mean of the crop and its mirror image)
is kept; a run that was stopped makes what is missing. Then `train.door.student` fits the encoder.
"""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge.errors import ConfigError
from edge.vocabulary import CROP_SIZE_PX, FloatArray, PixelArray
from train.datasets import LEAST_TYPICAL
from train.door.jitter import MARGIN_PX, WIDE_SIZE_PX
from train.door.student import Held, Lesson, Schedule, fit_student
from train.errors import DataSetError
from train.metrics import IntArray, unit_rows

_CORE = slice(MARGIN_PX, MARGIN_PX + CROP_SIZE_PX)
_HELD_SUBJECTS, _HELD_STRANGERS, _HELD_EACH = 40, 1000, 20
_LABELLED_EACH, _UNKNOWN = 24, 1500
_MINUTES = 90.0


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """The rows of index.csv: archive members, subjects ('' is nobody known), typicality (NaN)."""

    files: tuple[str, ...]
    subjects: npt.NDArray[np.str_]
    typicality: FloatArray
    digest: str


def run_door(
    pictures: Path,
    teacher: Path,
    out: Path,
    *,
    minutes: float | None = None,
    resume: bool = False,
    seed: int = 0,
    schedule: Schedule | None = None,
) -> None:
    """Fit the door's encoder; leave ``encoder.keras`` and ``metrics.json`` in *out*.

    Args:
        pictures: directory of index.csv and the archives of 144x144 crops that it lists.
        teacher: ONNX face encoder, (1, 3, 112, 112) RGB, (x - 127.5) / 128, compared by cosine.
        out: directory of the run, with the cache of crops and targets in it.
        minutes: of fitting, caches and measuring not counted (default: 90).
        resume: go on from the checkpoint in *out*, if there is one.
        seed: of the people held out, the weights and everything drawn.
        schedule: default: the one that the shipped encoder was fitted by.

    Raises:
        DataSetError: if the listing or an archive is missing or unreadable.
        ConfigError: if onnxruntime is not installed, or the teacher is no such network.
        DivergedError: if the loss is not finite.
    """
    out.mkdir(parents=True, exist_ok=True)
    listing = read_listing(pictures)
    crops = cache_crops(listing, pictures, out / "cache")
    targets = cache_targets(crops, teacher, out / "cache", listing.digest)
    held = hold_out(listing, seed)
    lesson = Lesson(crops, targets, held)
    budget_s = 60 * (_MINUTES if minutes is None else minutes)
    figures = fit_student(lesson, schedule or Schedule(), out, budget_s, resume=resume, seed=seed)
    print(json.dumps(figures, indent=2))
    people = sorted(set(listing.subjects[held.known]))
    strangers = [listing.files[row] for row in held.strangers]
    _write_json(out / "metrics.json", figures | {"validated": [*map(str, people), *strangers]})
    facts = {"name": "door", "seed": seed, "minutes": budget_s / 60, "teacher": teacher.name}
    _write_json(out / "recipe.json", facts | asdict(schedule or Schedule()))


def _write_json(path: Path, facts: Mapping[str, object]) -> None:
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


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


def cache_targets(crops: PixelArray, teacher: Path, cache: Path, digest: str) -> FloatArray:
    """Return the teacher's embeddings (N, D) float32, unit rows; those that are missing are made.

    Rows not yet made are NaN in the file, so a run that was stopped goes on where it was.

    Raises:
        ConfigError: if onnxruntime is not installed, or the teacher is no such network.
    """
    embed = _teacher(teacher)
    made_by = hashlib.sha256(teacher.read_bytes()).hexdigest()[:12]
    path = cache / f"targets-{digest}-{made_by}.npy"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        size = embed(crops[0][_CORE, _CORE]).size
        np.save(path, np.full((len(crops), size), np.nan, np.float32))
    targets = np.load(path, mmap_mode="r+")
    missing = np.flatnonzero(np.isnan(targets[:, 0]))
    for at in tqdm(missing, desc="teacher", mininterval=1.0):
        face = crops[at][_CORE, _CORE]
        targets[at] = unit_rows((embed(face) + embed(face[:, ::-1]))[None])[0]
    targets.flush()
    return np.array(targets)


def hold_out(listing: Listing, seed: int) -> Held:
    """Hold 40 people and 1000 strangers out of fitting: subjects, never single pictures.

    Raises:
        DataSetError: if nobody would be left to fit on.
    """
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.unique(listing.subjects[listing.subjects != ""]))
    watched = names[:_HELD_SUBJECTS]
    if len(names) <= _HELD_SUBJECTS:
        raise DataSetError(f"{len(names)} people are too few: {_HELD_SUBJECTS} are held out")
    nameless = rng.permutation(np.flatnonzero(listing.subjects == ""))
    strangers, unknown = nameless[:_HELD_STRANGERS], nameless[_HELD_STRANGERS:][:_UNKNOWN]
    kept = ~np.isin(listing.subjects, watched)
    kept[strangers] = False
    return Held(
        np.flatnonzero(kept),
        *_typical(listing, names[_HELD_SUBJECTS:], _LABELLED_EACH, rng),
        np.sort(unknown),
        *_typical(listing, watched, _HELD_EACH, rng),
        np.sort(strangers),
    )


def _typical(
    listing: Listing, names: npt.NDArray[np.str_], each: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Return up to *each* rows of every name whose labels can be trusted, and whose they are."""
    rows: list[int] = []
    people: list[int] = []
    for number, name in enumerate(names):
        own = np.flatnonzero((listing.subjects == name) & (listing.typicality >= LEAST_TYPICAL))
        chosen = rng.permutation(own)[:each]
        rows += list(chosen)
        people += [number] * len(chosen)
    return np.array(rows), np.array(people)


def _teacher(path: Path) -> Callable[[PixelArray], FloatArray]:
    """Return what embeds one 112x112 crop with the ONNX network at *path*.

    Raises:
        ConfigError: if onnxruntime is not installed, or the file is no such network.
    """
    try:
        import onnxruntime  # noqa: PLC0415 - an extra of this recipe alone
    except ImportError as exc:
        raise ConfigError(
            "a teacher needs onnxruntime, which is not installed; run: pip install onnxruntime"
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
