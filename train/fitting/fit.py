"""Fit one core: the loop, from top to bottom.

Everything that a step depends on is either in the checkpoint (weights, optimiser, dropout's seeds)
or drawn from (seed, epoch), so a killed run that is resumed ends with the weights of one that was
never killed.
"""

from __future__ import annotations

import logging
import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import ConfigError
from train.data.augment import augmentation
from train.data.sampling import Batch
from train.errors import DivergedError
from train.fitting import checkpoint
from train.fitting.checkpoint import CHECKPOINT_FILE, Past
from train.fitting.feed import Feed
from train.fitting.losses import Objective
from train.fitting.progress import TENSORBOARD, Bar, Curves
from train.fitting.step import make_step
from train.fitting.strategy import Team, one_process, shared_statistics
from train.recipes import Recipe

if TYPE_CHECKING:
    import keras

_LOG = logging.getLogger("janus.train")


@dataclass(frozen=True, slots=True)
class Watch:
    """A figure to follow while fitting, lower is better.

    ``figure(core)`` is called after each epoch. With ``keep_best`` the weights of its lowest value
    are kept at the end, else the last, and the recipe's ``patience`` ends the fit early.
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
    team: Team | None = None,
    tensorboard: bool = False,
) -> list[dict[str, float]]:
    """Fit *core* and *objective* in place; return the history, one entry an epoch.

    *run* receives ``history.jsonl`` and ``checkpoint.npz`` after every epoch, and ``tensorboard/``
    if asked. Call `seed_everything` before the core is built, and build core and objective within
    the scope of *team* (default: one process, one device); only its chief writes files.

    Raises:
        DivergedError: if a loss is not finite, with the step, its pictures and what to try.
        ConfigError: if *run* holds a checkpoint and *resume* is not set, if that is of another
            recipe, or if the workers differ in their pictures or settings.
        WorkerLostError: if another worker stopped.
    """
    team = team or one_process()
    with team.scope():
        optimizer = make_optimizer(recipe, feed.steps)
        optimizer.build([*core.trainable_variables, *objective.variables])
        augment = augmentation(recipe.augment)
    _check_same(team, feed, recipe)
    step = make_step(
        core,
        objective,
        optimizer=optimizer,
        augment=augment,
        pictures=feed.pictures,
        team=team,
    )
    state = [*core.variables, *objective.variables, *optimizer.variables, *augment.variables]
    past = _begin(team, run, state, recipe, resume=resume)
    history = past.history
    curves = Curves(run / TENSORBOARD if tensorboard and team.chief else None)
    bar = Bar(run.name, steps=feed.steps, epochs=recipe.epochs, done=len(history), shown=team.chief)
    with bar, shared_statistics(core, team):
        while len(history) < recipe.epochs and not _has_ended(history, watch, recipe.patience):
            epoch, started_s, losses = len(history), time.monotonic(), []
            for number, batch in enumerate(feed.batches(epoch)):
                loss = step(batch)
                if not math.isfinite(loss):
                    where = f"epoch {epoch + 1}, step {number + 1}"
                    raise _diverged(where, loss, batch, feed, recipe.learning_rate)
                losses.append(loss)
                bar.step(loss)
            entry = {"epoch": epoch + 1, "loss": float(np.mean(losses))}
            if watch is not None:
                # Processors differ in the last bit, and all workers must end in the same epoch.
                figure = watch.figure(core) if team.chief else 0.0
                entry[watch.name] = float(team.from_chief(np.array(figure)))
                if watch.keep_best and entry[watch.name] <= _lowest(history, watch.name):
                    past.best = [np.array(each) for each in core.variables]
            history.append(entry | {"wall_s": time.monotonic() - started_s})
            bar.epoch(entry)
            curves.epoch(entry, float(np.asarray(optimizer.learning_rate)))
            if team.chief:
                checkpoint.save(run, state, recipe, past)
    if len(history) < recipe.epochs:
        _LOG.info("ended after epoch %d: no better for %d epochs", len(history), recipe.patience)
    if past.best:
        for variable, value in zip(core.variables, past.best, strict=True):
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


def _begin(
    team: Team, run: Path, state: list[keras.Variable], recipe: Recipe, *, resume: bool
) -> Past:
    """Return what the chief's checkpoint holds, with *state* set to it; a new past without one.

    Raises:
        ConfigError: if there is one, and nobody said to go on: hours of fitting would be lost.
    """
    held = b""
    if team.chief:
        run.mkdir(parents=True, exist_ok=True)
        if (run / CHECKPOINT_FILE).is_file():
            if not resume:
                raise ConfigError(
                    f"{run} holds the checkpoint of a run; go on with --resume, or choose another "
                    "--out"
                )
            held = (run / CHECKPOINT_FILE).read_bytes()
    held = team.bytes_from_chief(held)
    return checkpoint.restore(held, state, recipe, run) if held else Past()


def _check_same(team: Team, feed: Feed, recipe: Recipe) -> None:
    """Refuse workers that would fit on other pictures or by other settings than the chief.

    Raises:
        ConfigError: if this worker's differ from the chief's.
    """
    own = zlib.crc32(
        repr((recipe, feed.subjects.tolist())).encode(), zlib.crc32(feed.pictures.data)
    )
    if int(team.from_chief(np.array(own, np.int64))) != own:
        raise ConfigError(
            f"this worker's {len(feed.paths)} pictures or its settings are not the chief's; give "
            "every worker the same --data (as --frames cuts it), --recipe, --set and --seed"
        )


def _has_ended(history: Sequence[dict[str, float]], watch: Watch | None, patience: int) -> bool:
    """Return whether the watched figure has not fallen for *patience* epochs (0: never)."""
    if watch is None or not watch.keep_best or patience == 0 or not history:
        return False
    figures = [each[watch.name] for each in history]
    return len(figures) - 1 - figures.index(min(figures)) >= patience


def _lowest(history: Sequence[dict[str, float]], name: str) -> float:
    return min((each[name] for each in history), default=math.inf)


def _diverged(where: str, loss: float, batch: Batch, feed: Feed, rate: float) -> DivergedError:
    shown = ", ".join(feed.paths[at] for at in batch.pictures[:8])
    return DivergedError(
        f"the loss became {loss} at {where}; the batch's pictures: "
        f"{shown}{' …' if len(batch.pictures) > 8 else ''}. Try a lower learning rate "  # noqa: PLR2004
        f"(--set learning_rate={rate / 10:g}), and look at those pictures"
    )
