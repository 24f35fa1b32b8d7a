"""Visits made of photographs: one picture as a camera at a door would film a person standing there.

A rendered visit has a person's small movements (shift, size, tilt), light that drifts, a sensor's
noise, motion blur and compression. What it lacks is what makes frames of a living person differ
most: another expression, another view. So frames of rendered visits are more alike than real ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge.align import align
from edge.bundles.bundle import Bundle, inspect_bundle
from edge.config import DetectorConfig, QualityConfig
from edge.detect import Detector, open_detector
from edge.embed import Embedder, open_embedder
from edge.quality import flaws
from edge.vocabulary import FloatArray, PixelArray
from train.data.datasets import Picture

RENDERING = "v1"  # bump if any pixel of a rendered visit changes
_SIZE_PX = 280

BoolArray = npt.NDArray[np.bool_]


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
    """Return *frames* pictures of somebody who stands before a camera: (280, 280, 3) uint8 RGB.

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
        noisy = lit + drawn.normal(0, drawn.uniform(1.0, 4.0), frame.shape)
        _, file = cv2.imencode(
            ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85]
        )
        made.append(np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8))
    return made


def film(
    pictures: Sequence[Picture],
    frames: int,
    eyes: Eyes,
    *,
    seed: int,
    cache: Path | None,
    name: str,
) -> Visits:
    """Return one rendered visit of *frames* frames for each picture, from *cache* if it is there.

    Args:
        pictures: whom each visit shows.
        frames: of a visit; 1 gives the picture itself, not rendered (a reference).
        eyes: the stages.
        seed: visit i is rendered with seed + i.
        cache: folder of what was embedded before; None: nothing is kept.
        name: what the bar of progress says.
    """
    key = hashlib.sha256(
        repr(
            (RENDERING, eyes.bundle.bundle_id, frames, seed, [each.path for each in pictures])
        ).encode()
    ).hexdigest()[:16]
    kept = None if cache is None else cache / f"{name}-{key}.npz"
    subjects = tuple(each.subject for each in pictures)
    if kept is not None and kept.is_file():
        with np.load(kept) as read:
            return Visits(subjects, read["embeddings"], read["usable"])
    size = eyes.bundle.manifest.encoder.embedding_size
    embeddings = np.zeros((len(pictures), frames, size), np.float32)
    usable = np.zeros((len(pictures), frames), np.bool_)
    for visit, picture in enumerate(tqdm(pictures, desc=name, disable=None)):
        pixels = picture.load()
        shown = [pixels] if frames == 1 else render(pixels, frames, seed + visit)
        for at, frame in enumerate(shown):
            vector = embedded(frame, eyes)
            if vector is not None:
                embeddings[visit, at], usable[visit, at] = vector, True
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part.npz")
        np.savez(part, embeddings=embeddings, usable=usable)
        part.replace(kept)
    return Visits(subjects, embeddings, usable)


def embedded(pixels: PixelArray, eyes: Eyes) -> FloatArray | None:
    """Return (D,) the embedding of the face nearest the middle, or None if it is not judged."""
    found = eyes.detector.detect(pixels)
    if not found:
        return None
    middle = np.array(pixels.shape[1::-1]) / 2
    nearest = min(found, key=lambda each: float(np.linalg.norm(each.landmarks.mean(0) - middle)))
    face = align(pixels, nearest)
    return None if flaws(face, eyes.limits) else eyes.embedder.embed(face).vector
