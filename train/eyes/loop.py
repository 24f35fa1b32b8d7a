"""The loop that fits a network of the eyes: resumable, on whatever Keras computes with."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.vocabulary import FloatArray
from train.errors import DivergedError

_LOG = logging.getLogger("janus.train")
_PEAK_RATE, _LAST_SHARE = 3e-3, 1 / 300  # of the learning rate; what is left of it at the end
_WARM_UP_STEPS = 100
_AVERAGED = 0.998  # share of the running mean of the weights that a step keeps
_SAVE_EVERY = 1000  # steps

Batches = Callable[[int], Iterable[tuple[FloatArray, FloatArray]]]


def fit(
    build: Callable[..., Any],
    loss_of: Callable[[Any, Any], Any],
    batches: Batches,
    *,
    out: Path,
    name: str,
    steps: int,
    resume: bool,
    seed: int,
) -> Path:
    """Fit one network; keep the running mean of its weights as *out*/*name*.keras.

    Args:
        build: returns the network; with ``fused=True`` as TensorFlow trains it fastest on a CPU.
        loss_of: of (N, …, C) targets and the outputs, which are joined: see `_joined`.
        batches: pictures and targets from a step on.
        out: directory of the run; made if missing.
        name: of the network.
        steps: of the whole fit.
        resume: continue from the checkpoint in *out*, if there is one.
        seed: of the first weights.

    Raises:
        DivergedError: if the loss is no longer a number.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / f"{name}.checkpoint.npz"
    first = _step_of(checkpoint) if resume else 0
    # The processes that draw are forked at the first batch; Keras must not be loaded before.
    drawn = iter(batches(first))
    ready = next(drawn, None)

    import keras

    keras.utils.set_random_seed(seed)
    on_tensorflow = keras.backend.backend() == "tensorflow"
    model = build(fused=on_tensorflow)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - _WARM_UP_STEPS), _LAST_SHARE, warmup_target=_PEAK_RATE,
        warmup_steps=_WARM_UP_STEPS,
    )  # fmt: skip
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=1e-4, beta_2=0.99, clipnorm=5.0, use_ema=True, ema_momentum=_AVERAGED
    )
    trained = keras.Model(model.inputs, _joined(model.outputs))
    trained.compile(optimizer, loss=loss_of, jit_compile=not on_tensorflow)
    optimizer.build(trained.trainable_variables)
    everything = [*trained.variables, *optimizer.variables]
    if first:
        _restore(checkpoint, everything)

    losses = []
    for step in range(first, steps):
        pictures, wanted = ready if ready is not None else next(drawn)
        ready = None
        trained.reset_metrics()
        losses.append(float(trained.train_on_batch(pictures, wanted)))
        if not math.isfinite(losses[-1]):
            raise DivergedError(
                f"the loss of the {name} is {losses[-1]} at step {step}; run again with another "
                "seed"
            )
        if (step + 1) % _SAVE_EVERY == 0:
            _LOG.info("%s: step %d of %d, loss %.4f", name, step + 1, steps, np.mean(losses))
            _save(checkpoint, everything, step + 1)
            losses = []
    optimizer.finalize_variable_values(trained.trainable_variables)
    plain = build()
    plain.set_weights(model.get_weights())
    plain.save(out / f"{name}.keras")
    return out / f"{name}.keras"


def _joined(outputs: Sequence[Any]) -> Any:  # noqa: ANN401 - keras is untyped
    """Return a network's outputs as one: Keras gives a loss one output at a time.

    (N, 10) and (N, 1) become (N, 11). Grids of (N, R, C, 1) and (N, R, C, 10) become (N, cells, 11)
    with those of the first grid first.
    """
    from keras import layers

    flat = [
        each if len(each.shape) == 2 else layers.Reshape((-1, each.shape[-1]))(each)  # noqa: PLR2004
        for each in outputs
    ]
    pairs = [layers.Concatenate()(flat[at : at + 2]) for at in range(0, len(flat), 2)]
    return pairs[0] if len(pairs) == 1 else layers.Concatenate(axis=1)(pairs)


def _save(path: Path, variables: Sequence[Any], step: int) -> None:
    """Write a checkpoint; a crash leaves the one before."""
    partial = path.with_suffix(".part.npz")
    values = {f"v{at}": np.asarray(each.value) for at, each in enumerate(variables)}
    np.savez(partial, step=step, **values)
    partial.replace(path)


def _step_of(path: Path) -> int:
    """Return the step of a checkpoint, 0 if there is none."""
    if not path.is_file():
        return 0
    with np.load(path) as held:
        return int(held["step"])


def _restore(path: Path, variables: Sequence[Any]) -> None:
    """Give the values of a checkpoint to *variables*."""
    with np.load(path) as held:
        for at, each in enumerate(variables):
            each.assign(held[f"v{at}"])
