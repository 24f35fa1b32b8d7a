"""Train the eyes: the finder on composed pictures, the refiner on crops.

    run_eyes(faces, scenes, out, minutes=60)        → out/finder.keras
    run_landmarks(faces, scenes, out, minutes=25)   → out/refiner.keras

Both draw their pictures as they go, keep a pool to draw again from (a mirrored or differently lit
copy costs a tenth of a new one), and are resumable. Time is the computer's own for this process, so
that a busy machine gets the same networks later.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.vocabulary import FloatArray, PixelArray
from train.errors import DivergedError
from train.eyes.composites import Composer
from train.eyes.losses import finder_loss, refiner_loss
from train.eyes.material import read_material
from train.eyes.mining import mine
from train.eyes.model import build_finder, build_refiner
from train.eyes.targets import Crop, Cropper, GridTarget, grid_targets
from train.eyes.warping import chance

_LOG = logging.getLogger("janus.train")
_PEAK_RATE, _LAST_RATE = 3e-3, 1e-5
_WARM_UP_STEPS = 100
_MOST_AVERAGED = 0.998  # share of the running mean of the weights that a step keeps
_SAVE_EVERY_S = 120.0

# Side, batch, smallest and largest face, pool: small pictures teach cheaply what large faces do not
# need, so three steps of four are small.
_SMALL, _LARGE = (128, 32, 14.0, 110.0, 2400), (256, 8, 50.0, 240.0, 500)
_SHARE_LARGE = 0.25
_NEW_OF_FINDER, _NEW_OF_REFINER = 6, 8  # one of so many is new
_REFINER_BATCH, _REFINER_POOL = 128, 40_000

Example = tuple[PixelArray, Any]


def run_eyes(
    faces: Path,
    scenes: Path,
    out: Path,
    *,
    minutes: float = 60.0,
    resume: bool = False,
    seed: int = 0,
) -> Path:
    """Train the finder and return the path of finder.keras.

    Args:
        faces: index.csv and the archives of crops.
        scenes: scenes.zip and faces.csv.
        out: directory of the run; made if missing.
        minutes: of one processor.
        resume: continue from the checkpoint in *out*, if there is one.
        seed: of everything drawn at random.

    Raises:
        DataSetError: if the pictures are missing.
        DivergedError: if the loss is no longer a number.
    """
    rng = np.random.default_rng((seed, int(resume)))  # a resumed run must not repeat its start
    composer = Composer(read_material(faces, scenes), rng)
    pools: tuple[list[Example], list[Example]] = ([], [])

    def draw() -> tuple[FloatArray, Any]:
        large = chance(rng, _SHARE_LARGE)
        side_px, batch, smallest, largest, most = _LARGE if large else _SMALL

        def new() -> Example:
            picture = composer.picture(side_px, smallest, largest)
            return picture.grey, grid_targets(picture)

        drawn = _drawn(
            rng,
            pools[large],
            new,
            batch=batch,
            most=most,
            new_of=_NEW_OF_FINDER,
            mirrored=_mirrored_targets,
        )
        answers = zip(*(targets for _, targets in drawn), strict=True)
        return _stacked(drawn), [
            tuple(
                np.stack([getattr(each, name) for each in grid])
                for name in ("face", "counts", "offsets", "weights")
            )
            for grid in answers
        ]

    return _run(
        build_finder,
        finder_loss,
        draw,
        out=out,
        name="finder",
        minutes=minutes,
        resume=resume,
        seed=seed,
    )


def run_landmarks(
    faces: Path,
    scenes: Path,
    out: Path,
    *,
    minutes: float = 25.0,
    resume: bool = False,
    seed: int = 0,
) -> Path:
    """Train the refiner and return the path of refiner.keras; arguments as `run_eyes`.

    If *out* holds finder.keras, what it wrongly takes for faces is learnt as none.
    """
    rng = np.random.default_rng((seed, int(resume)))  # a resumed run must not repeat its start
    material = read_material(faces, scenes)
    hard: tuple[PixelArray, ...] = ()
    if (out / "finder.keras").is_file():
        import keras

        hard = mine(keras.models.load_model(out / "finder.keras"), material, rng)
        _LOG.info("refiner: %d false faces of the finder to learn from", len(hard))
    cropper = Cropper(material, rng, hard)
    pool: list[Example] = []

    def new() -> Example:
        crop = cropper.crop()
        return crop.grey, crop.landmarks

    def draw() -> tuple[FloatArray, Any]:
        drawn = _drawn(
            rng,
            pool,
            new,
            batch=_REFINER_BATCH,
            most=_REFINER_POOL,
            new_of=_NEW_OF_REFINER,
            mirrored=_mirrored_crop,
        )
        nothing = np.zeros(10, np.float32)
        wanted = np.stack([nothing if each is None else each for _, each in drawn])
        face = np.array([each is not None for _, each in drawn], np.float32)
        return _stacked(drawn), (wanted, face)

    return _run(
        build_refiner,
        refiner_loss,
        draw,
        out=out,
        name="refiner",
        minutes=minutes,
        resume=resume,
        seed=seed,
    )


def _drawn(
    rng: np.random.Generator,
    pool: list[Example],
    new: Callable[[], Example],
    *,
    batch: int,
    most: int,
    new_of: int,
    mirrored: Callable[[Example], Example],
) -> list[Example]:
    """Return a batch: new examples, which enter the pool, and changed ones from it."""
    fresh = max(1, batch // new_of) if len(pool) >= most // new_of else batch
    drawn = [new() for _ in range(fresh)]
    for each in drawn:
        if len(pool) < most:
            pool.append(each)
        else:
            pool[int(rng.integers(most))] = each
    while len(drawn) < batch:
        grey, answer = pool[int(rng.integers(len(pool)))]
        if chance(rng, 0.5):
            grey, answer = mirrored((grey, answer))
        if chance(rng, 0.6):
            lit = (grey.astype(np.float32) - 127) * np.exp(rng.normal(0, 0.2)) + 127
            grey = np.clip(lit + rng.normal(0, 15), 0, 255).astype(np.uint8)
        drawn.append((grey, answer))
    return drawn


def _stacked(drawn: list[Example]) -> FloatArray:
    return np.stack([grey for grey, _ in drawn]).astype(np.float32)[..., np.newaxis]


def _mirrored_targets(example: Example) -> Example:
    grey, targets = example
    found: tuple[GridTarget, ...] = targets
    return np.ascontiguousarray(grey[:, ::-1]), tuple(each.mirrored() for each in found)


def _mirrored_crop(example: Example) -> Example:
    crop = Crop(*example).mirrored()
    return crop.grey, crop.landmarks


def _run(
    build: Callable[..., Any],
    loss_of: Callable[[Sequence[Any], Sequence[Any]], Any],
    draw: Callable[[], tuple[FloatArray, Any]],
    *,
    out: Path,
    name: str,
    minutes: float,
    resume: bool,
    seed: int,
) -> Path:
    """Fit one network for so many minutes of this process; keep the mean of its last weights."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    model = build(fused=True)
    weights = model.trainable_variables
    averaged = [tf.Variable(each) for each in model.variables]
    optimizer = keras.optimizers.AdamW(_PEAK_RATE, weight_decay=1e-4, beta_2=0.99, clipnorm=5.0)
    optimizer.build(weights)
    everything = [*model.variables, *optimizer.variables, *averaged]
    checkpoint = out / f"{name}.checkpoint.npz"
    spent_s, step = _restored(checkpoint, everything) if resume else (0.0, 0)

    @tf.function  # type: ignore[untyped-decorator]
    def train_step(pictures: Any, targets: Any, keep: Any) -> Any:  # noqa: ANN401
        with tf.GradientTape() as tape:
            loss = loss_of(model(pictures, training=True), targets)
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        for mean, now in zip(averaged, model.variables, strict=True):
            mean.assign(keep * mean + (1 - keep) * now)
        return loss

    began_s, saved_s, losses = time.process_time() - spent_s, spent_s, []
    while (share := spent_s / (60 * minutes)) < 1:
        rate = _PEAK_RATE * 0.5 * (1 + math.cos(math.pi * share)) + _LAST_RATE
        optimizer.learning_rate.assign(rate * min(1.0, (step + 1) / _WARM_UP_STEPS))
        pictures, targets = draw()
        keep = min(_MOST_AVERAGED, (1 + step) / (10 + step))
        losses.append(float(train_step(pictures, targets, tf.constant(keep))))
        if not math.isfinite(losses[-1]):
            raise DivergedError(
                f"the loss of the {name} is {losses[-1]} at step {step}; run again with another "
                "seed"
            )
        step, spent_s = step + 1, time.process_time() - began_s
        if spent_s - saved_s > _SAVE_EVERY_S:
            _LOG.info("%s: %.0f min, step %d, loss %.4f", name, spent_s / 60, step, np.mean(losses))
            _save(checkpoint, everything, spent_s, step)
            saved_s, losses = spent_s, []
    plain = build()
    plain.set_weights([each.numpy() for each in averaged])
    plain.save(out / f"{name}.keras")
    return out / f"{name}.keras"


def _save(path: Path, variables: Sequence[Any], spent_s: float, step: int) -> None:
    """Write a checkpoint; a crash leaves the one before."""
    partial = path.with_suffix(".part.npz")
    values = {f"v{at}": each.numpy() for at, each in enumerate(variables)}
    np.savez(partial, spent_s=spent_s, step=step, **values)
    partial.replace(path)


def _restored(path: Path, variables: Sequence[Any]) -> tuple[float, int]:
    """Return the seconds and steps of a checkpoint, and give its values to *variables*."""
    if not path.is_file():
        return 0.0, 0
    with np.load(path) as held:
        for at, each in enumerate(variables):
            each.assign(held[f"v{at}"])
        return float(held["spent_s"]), int(held["step"])
