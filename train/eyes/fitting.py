"""Train the eyes: the finder on composed pictures, the refiner on crops.

    run_eyes(faces, scenes, out)        → out/finder.keras
    run_landmarks(faces, scenes, out)   → out/refiner.keras

Pictures are drawn as they are needed, those of a step by the step's own number: a resumed run draws
what the whole one would have drawn. The length is told in steps, so that a slow machine gets the
same networks later. Keras computes in TensorFlow, or by KERAS_BACKEND=jax on a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from edge.vocabulary import FloatArray, PixelArray
from train.eyes.composites import Composer
from train.eyes.feeding import results
from train.eyes.loop import fit
from train.eyes.losses import finder_loss, refiner_loss
from train.eyes.material import Material, read_material
from train.eyes.mining import mine
from train.eyes.model import build_finder, build_refiner
from train.eyes.targets import Cropper, grid_targets
from train.eyes.teaching import taught
from train.eyes.warping import chance

_LOG = logging.getLogger("janus.train")

# As long as the shipped ones were fitted; what more steps would give is not known.
FINDER_STEPS, REFINER_STEPS = 11_800, 62_000
# Side, batch, smallest and largest face: small pictures teach cheaply what large faces do not
# need, so three steps of four are small.
_SMALL, _LARGE = (128, 32, 14.0, 110.0), (256, 8, 50.0, 240.0)
_SHARE_LARGE = 0.25
_REFINER_BATCH = 128

Batch = tuple[FloatArray, FloatArray]


def run_eyes(
    faces: Path,
    scenes: Path,
    out: Path,
    *,
    teacher: Path | None = None,
    steps: int = FINDER_STEPS,
    workers: int = 0,
    resume: bool = False,
    seed: int = 0,
) -> Path:
    """Train the finder and return the path of finder.keras.

    Args:
        faces: index.csv and the archives of crops.
        scenes: scenes.zip and faces.csv.
        out: directory of the run; made if missing.
        teacher: YuNet's ONNX file, to place the landmarks better than the data sets do.
        steps: of the whole fit.
        workers: processes that draw pictures; 0: this one does.
        resume: continue from the checkpoint in *out*, if there is one.
        seed: of everything drawn at random.

    Raises:
        DataSetError: if the pictures or the teacher are missing.
        DivergedError: if the loss is no longer a number.
    """
    material = _material(faces, scenes, out, teacher, workers)
    return fit(
        build_finder,
        finder_loss,
        partial(_batches, partial(_finder_batch, material, seed), steps, workers),
        out=out,
        name="finder",
        steps=steps,
        resume=resume,
        seed=seed,
    )


def run_landmarks(
    faces: Path,
    scenes: Path,
    out: Path,
    *,
    teacher: Path | None = None,
    steps: int = REFINER_STEPS,
    workers: int = 0,
    resume: bool = False,
    seed: int = 0,
) -> Path:
    """Train the refiner and return the path of refiner.keras; arguments as `run_eyes`.

    If *out* holds finder.keras, what it wrongly takes for faces is learnt as none.
    """
    material = _material(faces, scenes, out, teacher, workers)
    hard: tuple[PixelArray, ...] = ()
    finder = out / "finder.keras"
    if finder.is_file():
        # In a process of its own if there are any: what draws is forked, and Keras must not be.
        (hard,) = results(partial(_mined, finder, material), [seed], min(workers, 1))
        _LOG.info("refiner: %d false faces of the finder to learn from", len(hard))
    return fit(
        build_refiner,
        refiner_loss,
        partial(_batches, partial(_refiner_batch, material, hard, seed), steps, workers),
        out=out,
        name="refiner",
        steps=steps,
        resume=resume,
        seed=seed,
    )


def _material(faces: Path, scenes: Path, out: Path, teacher: Path | None, workers: int) -> Material:
    material = read_material(faces, scenes)
    if teacher is None:
        return material
    return taught(material, faces, scenes, teacher, out, workers=workers)


def _batches(make: Callable[[int], Batch], steps: int, workers: int, first: int) -> Iterable[Batch]:
    return results(make, range(first, steps), workers)


def _mined(finder: Path, material: Material, seed: int) -> tuple[PixelArray, ...]:
    import keras

    model = keras.models.load_model(finder, compile=False)
    return mine(model, material, np.random.default_rng(seed))


def _finder_batch(material: Material, seed: int, step: int) -> Batch:
    """Return pictures (N, S, S, 1) and, for each cell of all grids, what `finder_loss` asks for."""
    rng = np.random.default_rng((seed, step))
    composer = Composer(material, rng)
    side_px, batch, smallest, largest = _LARGE if chance(rng, _SHARE_LARGE) else _SMALL
    pictures = [composer.picture(side_px, smallest, largest) for _ in range(batch)]
    wanted = [np.concatenate([each.packed() for each in grid_targets(one)]) for one in pictures]
    return _stacked([each.grey for each in pictures]), np.stack(wanted)


def _refiner_batch(material: Material, hard: tuple[PixelArray, ...], seed: int, step: int) -> Batch:
    """Return crops (N, 64, 64, 1) and, for each, ten landmark values and whether it is a face."""
    cropper = Cropper(material, np.random.default_rng((seed, step)), hard)
    crops = [cropper.crop() for _ in range(_REFINER_BATCH)]
    wanted = np.zeros((len(crops), 11), np.float32)
    for row, each in zip(wanted, crops, strict=True):
        if each.landmarks is not None:
            row[:10], row[10] = each.landmarks, 1
    return _stacked([each.grey for each in crops]), wanted


def _stacked(pictures: list[PixelArray]) -> FloatArray:
    return np.stack(pictures).astype(np.float32)[..., np.newaxis]
