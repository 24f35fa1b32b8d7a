"""Visits made of photographs: one picture as a camera at a door would film a person standing there.

A rendered visit has a person's small movements (shift, size, tilt), light that drifts, a sensor's
noise, motion blur and compression. What it lacks is what makes frames of a living person differ
most: another expression, another view. So frames of rendered visits are more alike than real ones.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge.align import ALIGNMENT, align
from edge.bundles.bundle import Bundle, inspect_bundle
from edge.config import DetectorConfig, QualityConfig
from edge.detect import Detector, open_detector
from edge.embed import Embedder, open_embedder
from edge.quality import flaws
from edge.vocabulary import (
    CROP_SIZE_PX,
    AlignedFace,
    Box,
    Detection,
    FloatArray,
    PixelArray,
)
from train.data.datasets import Picture

RENDERING = "v2"  # bump if any pixel of a rendered visit changes
_SIZE_PX = 224
# What an encoder does not look at.
_FACE = Detection(Box(0, 0, 1, 1), np.zeros((5, 2), np.float32), 1.0)
_IN_PLACE = np.eye(2, 3, dtype=np.float32)

BoolArray = npt.NDArray[np.bool_]
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Eyes:
    """The door's stages up to the embedding."""

    bundle: Bundle
    detector: Detector
    embedder: Embedder
    limits: QualityConfig


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """What the door would have seen: (V, F, D) embeddings, and which frames pass quality (V, F)."""

    subjects: tuple[str, ...]
    embeddings: FloatArray
    usable: BoolArray


def open_eyes(directory: Path) -> Eyes:
    """Open the bundle in *directory* with the door's own limits and detector."""
    bundle = inspect_bundle(directory)
    return Eyes(
        bundle,
        open_detector(DetectorConfig(backend="janus"), eyes=bundle.eyes),
        open_embedder(bundle.encoder, bundle.model_id, threads=1),
        QualityConfig(),
    )


def render(pixels: PixelArray, frames: int, seed: int) -> list[PixelArray]:
    """Return *frames* pictures of somebody who stands before a camera: (224, 224, 3) uint8 RGB.

    Movement and light are slow (each frame keeps 0.8 of where it was), noise is new in each frame.
    """
    drawn = np.random.default_rng(seed)
    height, width = pixels.shape[:2]
    middle = (width / 2, height / 2)
    fitting = _SIZE_PX / max(width, height)
    gain, colour = drawn.uniform(0.75, 1.2), drawn.uniform(0.95, 1.05, 3)
    at = drawn.normal(0, 1, 5)  # right, down, size, tilt, light; in units of their spread
    made = []
    for _ in range(frames):
        at = 0.8 * at + 0.6 * drawn.normal(0, 1, 5)
        scale = fitting * 0.92 * (1 + 0.03 * at[2])
        place = cv2.getRotationMatrix2D(middle, float(2.5 * at[3]), float(scale))
        place[0, 2] += _SIZE_PX / 2 - middle[0] + 6.0 * at[0]
        place[1, 2] += _SIZE_PX / 2 - middle[1] + 6.0 * at[1]
        frame = cv2.warpAffine(
            pixels, place, (_SIZE_PX, _SIZE_PX), flags=cv2.INTER_AREA if fitting < 1 else 1,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        blurred = cv2.GaussianBlur(frame, (0, 0), float(drawn.uniform(0.3, 0.9)))
        lit = blurred * (gain * (1 + 0.05 * at[4]) * colour)
        noise = drawn.standard_normal(frame.shape, np.float32) * drawn.uniform(1.0, 4.0)
        noisy = lit + noise
        _, file = cv2.imencode(
            ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85]
        )
        made.append(np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8))
    return made


@dataclass(frozen=True, slots=True)
class Studio:
    """How visits are filmed: what was filmed or embedded before is read from *cache*.

    Crops need no encoder, so another one embeds those that are there already.

    Args:
        directory: of the bundle.
        seed: visit i is rendered with seed + i.
        cache: folder of crops (37 kB a frame) and embeddings.
        processes: that share the work.
    """

    directory: Path
    seed: int
    cache: Path
    processes: int

    def film(self, pictures: Sequence[Picture], frames: int, name: str) -> Visits:
        """Return one visit for each picture, as the bundle's encoder sees it.

        Args:
            pictures: whom each visit shows.
            frames: of a visit; 1 gives the picture itself, not rendered (a reference).
            name: what the bar of progress and the files in the cache say.
        """
        bundle = inspect_bundle(self.directory)
        crops, usable = self.crops(pictures, frames, name)
        key = _key(self._filmed(pictures, frames), bundle.bundle_id)
        kept = self.cache / f"{name}-{key}.embeddings.npy"
        if not kept.is_file():
            size = bundle.manifest.encoder.embedding_size
            embeddings = np.zeros((*usable.shape, size), np.float32)
            tasks = ((at, crops[at], usable[at]) for at in range(len(pictures)))
            for at, vectors in self._shared(_embedded, tasks, len(pictures), f"{name}: embedding"):
                embeddings[at] = vectors
            _save(kept, embeddings)
        return Visits(tuple(each.subject for each in pictures), np.load(kept), usable)

    def crops(
        self, pictures: Sequence[Picture], frames: int, name: str
    ) -> tuple[PixelArray, BoolArray]:
        """Return (V, F, 112, 112, 3) aligned faces, mapped from the disk, and (V, F) which pass."""
        key = _key(self._filmed(pictures, frames))
        kept = self.cache / f"{name}-{key}.crops"
        passed = self.cache / f"{name}-{key}.usable.npy"
        shape = (len(pictures), frames, CROP_SIZE_PX, CROP_SIZE_PX, 3)
        if not passed.is_file():
            self.cache.mkdir(parents=True, exist_ok=True)
            usable = np.zeros(shape[:2], np.bool_)
            crops = np.memmap(kept, np.uint8, "w+", shape=shape)
            tasks = ((at, each.load(), frames, self.seed + at) for at, each in enumerate(pictures))
            filmed = self._shared(_filmed, tasks, len(pictures), f"{name}: filming")
            for at, faces, judged in filmed:
                crops[at], usable[at] = faces, judged
            crops.flush()
            _save(passed, usable)  # last: without it the crops are made again
        return np.memmap(kept, np.uint8, "r", shape=shape), np.load(passed)

    def _filmed(self, pictures: Sequence[Picture], frames: int) -> str:
        """Return everything that the crops follow from."""
        eyes = _key(repr(inspect_bundle(self.directory).eyes))
        paths = [each.path for each in pictures]
        return repr((RENDERING, ALIGNMENT, eyes, QualityConfig(), self.seed, frames, paths))

    def _shared(
        self, work: Callable[[Any], Done], tasks: Iterator[Any], count: int, said: str
    ) -> Iterator[Done]:
        """Yield what *work* makes of each task, in no order, while a bar shows the progress."""
        context = multiprocessing.get_context("spawn")  # an interpreter may not survive a fork
        with (
            ProcessPoolExecutor(self.processes, context, _open, (self.directory,)) as pool,
            tqdm(desc=said, total=count, disable=None) as bar,
        ):
            waiting: set[Future[Done]] = set()
            while True:
                # A few at a time: a task holds the pictures of a visit.
                waiting |= {pool.submit(work, each) for each in islice(tasks, 8 - len(waiting))}
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for each in done:
                    yield each.result()
                bar.update(len(done))


_eyes: list[Eyes] = []  # of a process that shares the work


def _open(directory: Path) -> None:
    cv2.setNumThreads(1)
    _eyes.append(open_eyes(directory))


def _filmed(task: tuple[int, PixelArray, int, int]) -> tuple[int, PixelArray, BoolArray]:
    """Return the aligned faces of one visit, and which of its frames are judged."""
    at, pixels, frames, seed = task
    shown = [pixels] if frames == 1 else render(pixels, frames, seed)
    crops = np.zeros((frames, CROP_SIZE_PX, CROP_SIZE_PX, 3), np.uint8)
    usable = np.zeros(frames, np.bool_)
    for number, frame in enumerate(shown):
        face = _judged(frame, _eyes[0])
        if face is not None:
            crops[number], usable[number] = face.pixels, True
    return at, crops, usable


def _judged(pixels: PixelArray, eyes: Eyes) -> AlignedFace | None:
    """Return the face nearest the middle, or None if it is not judged."""
    found = eyes.detector.detect(pixels)
    if not found:
        return None
    middle = np.array(pixels.shape[1::-1]) / 2
    nearest = min(found, key=lambda each: float(np.linalg.norm(each.landmarks.mean(0) - middle)))
    face = align(pixels, nearest)
    return None if flaws(face, eyes.limits) else face


def _embedded(task: tuple[int, PixelArray, BoolArray]) -> tuple[int, FloatArray]:
    """Return (F, D) the embeddings of one visit; zeros for frames that are not judged."""
    at, crops, usable = task
    embedder = _eyes[0].embedder
    size = _eyes[0].bundle.manifest.encoder.embedding_size
    vectors = np.zeros((len(crops), size), np.float32)
    for number in np.flatnonzero(usable):
        face = AlignedFace(np.array(crops[number]), _IN_PLACE, _FACE)
        vectors[number] = embedder.embed(face).vector
    return at, vectors


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    """Write *array*, which appears whole or not at all."""
    part = path.with_suffix(".part.npy")
    np.save(part, array)
    part.replace(path)
