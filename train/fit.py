"""Fit one core: the loop, from top to bottom.

Everything that a step depends on is either in the checkpoint (weights, optimiser, dropout's seeds)
or drawn from (seed, epoch), so a killed run that is resumed ends with the weights of one that was
never killed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import ConfigError
from edge.vocabulary import FloatArray
from train.augment import augmentation
from train.errors import DivergedError
from train.feed import Feed
from train.losses import Objective
from train.recipes import Recipe
from train.sampling import Batch

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Watch:
    """A figure to follow while fitting, lower is better.

    ``figure(core)`` is called after each epoch; with ``keep_best`` the weights of its lowest value
    are kept at the end, else the last.
    """

    name: str
    figure: Callable[[keras.Model], float]
    keep_best: bool


def seed_everything(seed: int) -> None:
    """Make Python, numpy and TensorFlow repeatable on one machine."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    core: keras.Model,
    objective: Objective,
    recipe: Recipe,
    feed: Feed,
    *,
    watch: Watch | None,
    run: Path,
    resume: bool = False,
) -> list[dict[str, float]]:
    """Fit *core* and *objective* in place; return the history, one entry an epoch.

    *run* receives ``history.jsonl`` and ``checkpoint.npz`` after every epoch. Call
    `seed_everything` before the core is built.

    Raises:
        DivergedError: if a loss is not finite, with the step, its pictures and what to try.
        ConfigError: if *resume* finds the checkpoint of another recipe.
    """
    import tensorflow as tf
    from tqdm import tqdm  # noqa: PLC0415 - an optional extra

    optimizer = make_optimizer(recipe, feed.steps)
    fitted = [*core.trainable_variables, *objective.variables]
    optimizer.build(fitted)
    augment = augmentation(recipe.augment)
    bank = tf.constant(feed.pictures)

    numbers = tf.TensorSpec([None], tf.int64)
    signature = numbers, numbers, tf.TensorSpec([None, 2], tf.int64), tf.TensorSpec([None])

    # Batches differ in size: each picture is embedded once a step, however many pairs it is in.
    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def step(
        pictures: tf.Tensor, subjects: tf.Tensor, pairs: tf.Tensor, mated: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            seen = augment(tf.cast(tf.gather(bank, pictures), tf.float32), training=True)
            loss = objective.loss(core(seen, training=True), subjects, pairs, mated)
        gradients = tape.gradient(loss, [each.value for each in fitted])
        optimizer.apply(gradients, fitted)
        return loss

    state = [*core.variables, *objective.variables, *optimizer.variables, *augment.variables]
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / "checkpoint.npz"
    history: list[dict[str, float]] = []
    best: list[FloatArray] = []
    if resume and checkpoint.is_file():
        history, best = restore(checkpoint, state, recipe)
    bar = tqdm(
        total=recipe.epochs * feed.steps,
        initial=len(history) * feed.steps,
        desc=run.name,
        unit="step",
        mininterval=1.0,
    )
    with bar:
        for epoch in range(len(history), recipe.epochs):
            started_s, losses = time.monotonic(), []
            for number, batch in enumerate(feed.batches(epoch)):
                loss = float(step(batch.pictures, batch.subjects, batch.pairs, batch.mated))
                if not math.isfinite(loss):
                    where = f"epoch {epoch + 1}, step {number + 1}"
                    raise _diverged(where, loss, batch, feed, recipe.learning_rate)
                losses.append(loss)
                bar.update()
            entry = {"epoch": epoch + 1, "loss": float(np.mean(losses))}
            if watch is not None:
                entry[watch.name] = watch.figure(core)
                if watch.keep_best and entry[watch.name] <= _lowest(history, watch.name):
                    best = [np.array(each) for each in core.variables]
            history.append(entry | {"wall_s": time.monotonic() - started_s})
            bar.set_postfix(
                {name: f"{value:.4f}" for name, value in entry.items() if name != "epoch"}
            )
            save(checkpoint, state, recipe, history, best)
    if best:
        for variable, value in zip(core.variables, best, strict=True):
            variable.assign(value)
    return history


def make_optimizer(recipe: Recipe, steps: int) -> keras.Optimizer:
    """Return the recipe's optimiser, its rate decaying over all epochs where the recipe says so.

    Raises:
        ConfigError: if the recipe names another optimiser or decay.
    """
    import keras

    known = {"rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}
    rates = {
        "none": recipe.learning_rate,
        "cosine": keras.optimizers.schedules.CosineDecay(
            recipe.learning_rate, max(1, recipe.epochs * steps)
        ),
    }
    if recipe.optimizer not in known or recipe.decay not in rates:
        raise ConfigError(
            f"optimizer = {recipe.optimizer!r}, decay = {recipe.decay!r}; expected one of "
            f"{', '.join(known)} and one of {', '.join(rates)}"
        )
    return known[recipe.optimizer](rates[recipe.decay])


def save(
    path: Path,
    state: list[keras.Variable],
    recipe: Recipe,
    history: list[dict[str, float]],
    best: list[FloatArray],
) -> None:
    """Write the checkpoint whole or not at all, and the history beside it as JSON lines."""
    arrays = {f"state{at}": np.array(each) for at, each in enumerate(state)}
    arrays |= {f"best{at}": each for at, each in enumerate(best)}
    held = {"recipe": repr(recipe), "history": history, "best": len(best)}
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, about=np.array(json.dumps(held)), **arrays)
    partial.replace(path)
    lines = "".join(json.dumps(each) + "\n" for each in history)
    (path.parent / "history.jsonl").write_text(lines, encoding="utf-8")


def restore(
    path: Path, state: list[keras.Variable], recipe: Recipe
) -> tuple[list[dict[str, float]], list[FloatArray]]:
    """Set *state* to what the checkpoint holds; return the history and the best weights so far.

    Raises:
        ConfigError: if the checkpoint was written by another recipe.
    """
    with np.load(path) as held:
        about = json.loads(str(held["about"]))
        if about["recipe"] != repr(recipe):
            raise ConfigError(
                f"{path} belongs to other settings, so it cannot be resumed; pass those settings "
                f"again, or choose another --out. It was written by {about['recipe']}"
            )
        for at, variable in enumerate(state):
            variable.assign(held[f"state{at}"])
        return about["history"], [held[f"best{at}"] for at in range(about["best"])]


def _lowest(history: list[dict[str, float]], name: str) -> float:
    return min((each[name] for each in history), default=math.inf)


def _diverged(where: str, loss: float, batch: Batch, feed: Feed, rate: float) -> DivergedError:
    shown = ", ".join(feed.paths[at] for at in batch.pictures[:8])
    return DivergedError(
        f"the loss became {loss} at {where}; the batch's pictures: "
        f"{shown}{' …' if len(batch.pictures) > 8 else ''}. Try a lower learning rate "  # noqa: PLR2004
        f"(--set learning_rate={rate / 10:g}), and look at those pictures"
    )
