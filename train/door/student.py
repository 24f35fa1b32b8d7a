"""Fit the door's encoder to a teacher's embeddings: the loop, its state, and its figures.

The student sees disturbed crops and is pulled to the teacher's embedding of the clean one, and its
similarities within a batch to the teacher's. Small pictures come first. The schedule follows time
spent, not steps: whatever the machine is shared with, a run ends when it was asked to, and a run
that is killed goes on from its last checkpoint, two minutes old at most.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from edge.errors import ConfigError
from edge.vocabulary import CROP_SIZE_PX, FloatArray, PixelArray
from train.door.backbones import at_door, fold, residual_encoder, resized_weights
from train.door.jitter import MARGIN_PX, disturb
from train.door.whitening import whitening
from train.errors import DivergedError, TooFewComparisonsError
from train.metrics import IntArray, compare_all, tar_at_fmr, unit_rows

_CHECKPOINT_S, _MEASURE_S = 120.0, 600.0
_LONGEST_STEP_S = 10.0  # a machine that slept has not trained
_AVERAGED_EVERY = 8  # steps: copying the weights each step would cost 4 % of the time
_QUEUED = 6


@dataclass(frozen=True, slots=True)
class Schedule:
    """What decides a run besides crops, teacher and seed; a *share* is time spent over time given.

    Args:
        batch: crops a step.
        rate, decay: AdamW's highest learning rate (warm-up, then cosine) and weight decay.
        relation: weight of the squared error between student's and teacher's similarities.
        sizes: side of the crops in pixels, strength of their disturbance, and until which share.
        average: what the moving average of the weights keeps of itself, a step.
        whitening: share of equal spread in the covariance whitened at the end; 1 only centres.
    """

    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.02
    relation: float = 10.0
    sizes: tuple[tuple[int, float, float], ...] = ((64, 0.5, 0.6), (64, 0.65, 1.0))
    average: float = 0.997
    whitening: float = 0.3

    def rate_at(self, share: float) -> float:
        """Return the learning rate at *share* of the time."""
        warm, rest = min(1.0, share / 0.02 + 0.05), max(0.0, share - 0.02) / 0.98
        return self.rate * warm * (0.5 + 0.5 * math.cos(math.pi * min(rest, 1.0))) + 1e-6

    def size_at(self, share: float) -> tuple[int, float]:
        """Return side in pixels and strength of the disturbance at *share* of the time."""
        for size_px, strength, until in self.sizes:
            if share < until:
                return size_px, strength
        return self.sizes[-1][:2]


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Row numbers: crops to fit on, those whose label is sure, and who; then what is held out.

    ``labelled``, ``labels`` and ``unknown`` (nobody named them) are of crops fitted on; ``known``,
    ``people`` and ``strangers`` (nobody named them) of crops held out.
    """

    fitted: IntArray
    labelled: IntArray
    labels: IntArray
    unknown: IntArray
    known: IntArray
    people: IntArray
    strangers: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Crops (N, 144, 144, 3) uint8 RGB, the teacher's unit embeddings (N, D), and who is held."""

    crops: PixelArray
    targets: FloatArray
    held: Held


class Student:
    """The encoder being fitted, its optimiser, the moving average of its weights, and its clock."""

    def __init__(self, schedule: Schedule, size_px: int, embedding_size: int) -> None:
        import keras

        self.schedule, self.size_px, self.embedding_size = schedule, size_px, embedding_size
        self.encoder = residual_encoder(size_px, embedding_size, fused=True)
        self.optimizer = keras.optimizers.AdamW(
            schedule.rate, beta_2=0.99, weight_decay=schedule.decay
        )
        self.optimizer.exclude_from_weight_decay(var_names=["gamma", "beta"])
        self.optimizer.build(self.encoder.trainable_variables)
        self.average = [np.array(each) for each in self.encoder.weights]
        self.steps, self.spent_s = 0, 0.0
        self._step = self._compiled()

    def step(self, faces: PixelArray, targets: FloatArray, rate: float) -> float:
        """Fit one batch (B, S, S, 3) to the teacher's (B, D); return the loss."""
        self.optimizer.learning_rate.assign(rate)
        loss = float(self._step(faces, targets))
        self.steps += 1
        if self.steps % _AVERAGED_EVERY == 0:
            # Young averages forget faster: they still hold the first, random weights.
            keep = min(self.schedule.average, (1 + self.steps) / (10 + self.steps))
            keep **= _AVERAGED_EVERY
            self.average = [
                keep * mean + (1 - keep) * np.asarray(variable)
                for mean, variable in zip(self.average, self.encoder.weights, strict=True)
            ]
        return loss

    def resized(self, size_px: int) -> Student:
        """Return this student for another size of picture; its memory of gradients is kept."""
        other = Student(self.schedule, size_px, self.embedding_size)
        own = [np.array(each) for each in self.encoder.weights]
        other.encoder.set_weights(resized_weights(own, other.encoder))
        other.average = resized_weights(self.average, other.encoder)
        pairs = zip(other.optimizer.variables, self.optimizer.variables, strict=True)
        for variable, held in pairs:
            if variable.shape == held.shape:
                variable.assign(held)
        other.steps, other.spent_s = self.steps, self.spent_s
        return other

    def averaged(self) -> Any:  # noqa: ANN401 - a keras.Model, and keras is untyped
        """Return an encoder of plain layers with the moving average of the weights."""
        encoder = residual_encoder(self.size_px, self.embedding_size)
        encoder.set_weights(self.average)
        return encoder

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        held = {f"weight{at}": np.array(each) for at, each in enumerate(self.encoder.weights)}
        held |= {f"moment{at}": np.array(v) for at, v in enumerate(self.optimizer.variables)}
        held |= {f"average{at}": each for at, each in enumerate(self.average)}
        clock = np.array([self.steps, self.spent_s, self.size_px, self.embedding_size])
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, clock=clock, schedule=np.array(repr(self.schedule)), **held)
        partial.replace(path)

    @classmethod
    def restored(cls, path: Path, schedule: Schedule) -> Student:
        """Read what `save` wrote.

        Raises:
            ConfigError: if it was written by another schedule.
        """
        with np.load(path) as held:
            if str(held["schedule"]) != repr(schedule):
                raise ConfigError(f"{path} was written by {held['schedule']}; choose another --out")
            steps, spent_s, size_px, embedding_size = held["clock"]
            student = cls(schedule, int(size_px), int(embedding_size))
            for at, variable in enumerate(student.encoder.weights):
                variable.assign(held[f"weight{at}"])
            for at, variable in enumerate(student.optimizer.variables):
                variable.assign(held[f"moment{at}"])
            student.average = [held[f"average{at}"] for at in range(len(student.average))]
        student.steps, student.spent_s = int(steps), float(spent_s)
        return student

    def _compiled(self) -> Callable[[PixelArray, FloatArray], Any]:
        import tensorflow as tf

        encoder, optimizer, schedule = self.encoder, self.optimizer, self.schedule
        fitted = encoder.trainable_variables

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def step(faces: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                raw = encoder(tf.cast(faces, tf.float32), training=True)
                unit = tf.math.l2_normalize(raw, axis=1)
                apart = tf.reduce_mean(1.0 - tf.reduce_sum(unit * targets, axis=1))
                off = tf.matmul(unit, unit, transpose_b=True)
                off -= tf.matmul(targets, targets, transpose_b=True)
                loss = apart + schedule.relation * tf.reduce_mean(tf.square(off))
            gradients = tape.gradient(loss, [each.value for each in fitted])
            gradients, _ = tf.clip_by_global_norm(gradients, 5.0)
            optimizer.apply(gradients, fitted)
            return loss

        compiled: Callable[[PixelArray, FloatArray], Any] = step
        return compiled


def fit_student(
    lesson: Lesson,
    schedule: Schedule,
    out: Path,
    budget_s: float,
    *,
    resume: bool = False,
    seed: int = 0,
) -> dict[str, float]:
    """Fit for *budget_s*; keep ``encoder.keras``, ``history.jsonl`` and a checkpoint in *out*.

    Returns: the last figures, as `figures`.

    Raises:
        DivergedError: if the loss is not finite.
        ConfigError: if *resume* finds the checkpoint of another schedule.
    """
    import keras

    keras.utils.set_random_seed(seed)
    checkpoint = out / "checkpoint.npz"
    if resume and checkpoint.is_file():
        student = Student.restored(checkpoint, schedule)
    else:
        student = Student(schedule, schedule.size_at(0.0)[0], lesson.targets.shape[1])
        (out / "history.jsonl").unlink(missing_ok=True)
    saved_s = measured_s = time.monotonic()
    with tqdm(total=round(budget_s), desc="student", unit="s", mininterval=1.0) as bar:
        while student.spent_s < budget_s:
            size_px, strength = schedule.size_at(student.spent_s / budget_s)
            if student.size_px != size_px:
                student = student.resized(size_px)
            with batches(lesson, schedule.batch, size_px, strength, (seed, student.steps)) as feed:
                before_s = time.monotonic()
                for faces, targets in feed:
                    share = student.spent_s / budget_s
                    if share >= 1.0 or schedule.size_at(share) != (size_px, strength):
                        break
                    loss = student.step(faces, targets, schedule.rate_at(share))
                    if not math.isfinite(loss):
                        raise DivergedError(
                            f"the loss became {loss} at step {student.steps}; lower `rate`"
                        )
                    now_s = time.monotonic()
                    student.spent_s += min(now_s - before_s, _LONGEST_STEP_S)
                    bar.n = round(min(student.spent_s, budget_s))
                    bar.set_postfix(step=student.steps, loss=f"{loss:.3f}", refresh=False)
                    if now_s - saved_s > _CHECKPOINT_S:
                        student.save(checkpoint)
                        saved_s = now_s
                    if now_s - measured_s > _MEASURE_S:
                        keep(student, lesson, out)
                        measured_s = time.monotonic()
                    before_s = time.monotonic()
    student.save(checkpoint)
    keep(student, lesson, out)
    return keep(student, lesson, out, whitened=True)


@contextmanager
def batches(
    lesson: Lesson, batch: int, size_px: int, strength: float, seed: tuple[int, ...]
) -> Iterator[Iterator[tuple[PixelArray, FloatArray]]]:
    """Give endless batches (B, S, S, 3) uint8 and targets (B, D), disturbed in another thread."""
    ready: queue.Queue[tuple[PixelArray, FloatArray]] = queue.Queue(_QUEUED)
    ended = threading.Event()

    def work() -> None:
        rng = np.random.default_rng(seed)
        order = np.empty(0, np.int64)
        while not ended.is_set():
            while order.size < batch:
                order = np.concatenate([order, rng.permutation(lesson.held.fitted)])
            chosen, order = order[:batch], order[batch:]
            faces = [disturb(rng, lesson.crops[at], size_px, strength=strength) for at in chosen]
            filled = (np.stack(faces), lesson.targets[chosen])
            while not ended.is_set():
                try:
                    ready.put(filled, timeout=0.2)
                    break
                except queue.Full:
                    continue

    worker = threading.Thread(target=work, daemon=True, name="batches")
    worker.start()
    try:
        yield iter(ready.get, None)
    finally:
        ended.set()
        worker.join()


def keep(
    student: Student, lesson: Lesson, out: Path, *, whitened: bool = False
) -> dict[str, float]:
    """Write the averaged encoder for the door's crop and a line of history; return the figures."""
    encoder = student.averaged()
    if whitened:
        held = lesson.held
        labelled, unknown = (
            embed_rows(encoder, lesson, rows) for rows in (held.labelled, held.unknown)
        )
        fold(encoder, *whitening(labelled, held.labels, unknown, student.schedule.whitening))
    found = {"step": student.steps, "spent_s": round(student.spent_s)} | figures(encoder, lesson)
    partial = out / "partial.keras"
    at_door(encoder).save(partial)
    partial.replace(out / "encoder.keras")
    with (out / "history.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(found) + "\n")
    return found


def embed_rows(encoder: Any, lesson: Lesson, rows: IntArray) -> FloatArray:  # noqa: ANN401 - a keras.Model
    """Return the embeddings (R, D) of undisturbed crops, shrunk as the door's encoder does it."""
    size_px = encoder.input_shape[1]
    core = slice(MARGIN_PX, MARGIN_PX + CROP_SIZE_PX)
    parts = []
    for at in range(0, len(rows), 64):
        faces = [
            cv2.resize(lesson.crops[row][core, core], (size_px,) * 2) for row in rows[at:][:64]
        ]
        parts.append(np.asarray(encoder(np.stack(faces).astype(np.float32), training=False)))
    return np.concatenate(parts)


def figures(encoder: Any, lesson: Lesson) -> dict[str, float]:  # noqa: ANN401 - a keras.Model
    """Return mean cosine to the teacher, and TAR on people held out where their count allows it."""
    held = lesson.held
    rows = np.concatenate([held.known, held.strangers])
    unit = unit_rows(embed_rows(encoder, lesson, rows))
    agreement = (unit * lesson.targets[rows]).sum(axis=1)
    known = len(held.known)
    found = {
        "cosine_people": float(agreement[:known].mean()),
        "cosine_strangers": float(agreement[known:].mean()),
    }
    compared = compare_all(unit[:known], held.people)
    visits = (unit[:known] @ unit[known:].T).ravel()
    for fmr in (1e-2, 1e-3):
        for name, nonmated in (("people", compared.nonmated), ("strangers", visits)):
            try:
                found[f"tar_{name}_{fmr:g}"] = tar_at_fmr(compared.mated, nonmated, fmr)
            except TooFewComparisonsError:
                continue
    return found
