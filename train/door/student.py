"""Fit the door's encoder to a teacher's embeddings: the loop and its state.

The student sees disturbed crops and is pulled to the teacher's embedding of the clean one, its
similarities within a batch to the teacher's, and, where the label is known, to one centre a person.
Small pictures come first. Each batch is decided by its number, so a run that was stopped goes on
with the crops that it would have seen. The same code runs on any back-end of Keras.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.errors import ConfigError
from train.door.backbones import at_door, even_out, residual_encoder, resized_weights
from train.door.judging import figures
from train.door.lesson import Batch, Lesson, batches
from train.door.schedule import Schedule
from train.door.teaching import taught
from train.errors import DivergedError

if TYPE_CHECKING:
    import keras

_CHECKPOINT_S, _MEASURE_S = 120.0, 900.0
_AVERAGED_EVERY = 8  # steps: copying the weights each step would cost 4 % of the time


class Student:
    """The encoder being fitted, its optimiser, and the moving average of its weights."""

    def __init__(
        self, schedule: Schedule, size_px: int, embedding_size: int, subjects: int
    ) -> None:
        self.schedule, self.size_px = schedule, size_px
        self.embedding_size, self.subjects = embedding_size, subjects
        self.encoder = self._encoder(fitting=True)
        self.model = taught(self.encoder, schedule, subjects)
        self.average = [np.array(each) for each in self.encoder.weights]
        self.step_number = 0

    def step(self, batch: Batch, rate: float) -> float:
        """Fit one batch; return the mean loss of the last few steps."""
        self.model.optimizer.learning_rate = rate
        if self.step_number % _AVERAGED_EVERY == 0:
            self.model.reset_metrics()
        loss = self.model.train_on_batch(batch.faces.astype(np.float32), self._answers(batch))
        self.step_number += 1
        if self.step_number % _AVERAGED_EVERY == 0:
            # Young averages forget faster: they still hold the first, random weights.
            keep = min(self.schedule.average, (1 + self.step_number) / (10 + self.step_number))
            keep **= _AVERAGED_EVERY
            self.average = [
                keep * mean + (1 - keep) * np.array(variable)
                for mean, variable in zip(self.average, self.encoder.weights, strict=True)
            ]
        return float(np.ravel(loss)[0])

    def resized(self, size_px: int) -> Student:
        """Return this student for another size of picture; its memory of gradients is kept."""
        other = Student(self.schedule, size_px, self.embedding_size, self.subjects)
        own = [np.array(each) for each in self.model.weights]
        other.model.set_weights(resized_weights(own, other.model))
        other.average = resized_weights(self.average, other.encoder)
        pairs = zip(other.model.optimizer.variables, self.model.optimizer.variables, strict=True)
        for variable, held in pairs:
            if variable.shape == held.shape:
                variable.assign(np.array(held))
        other.step_number = self.step_number
        return other

    def begin_with(self, start: keras.Model) -> None:
        """Take the weights of *start*, an encoder of these widths for any size of picture.

        Raises:
            ConfigError: if it has other widths.
        """
        held = [np.array(each) for each in start.weights]
        wanted = self.encoder.weights
        # Only the side of the global depthwise kernel may differ.
        if [_channels(each) for each in held] != [_channels(each) for each in wanted]:
            raise ConfigError(
                "the encoder to start from has other widths than the schedule; give the stem, "
                "stages and head of its recipe.json by --set, or leave out --start"
            )
        self.average = resized_weights(held, self.encoder)
        self.encoder.set_weights(self.average)

    def averaged(self) -> keras.Model:
        """Return an encoder of plain layers with the moving average of the weights, for int8."""
        encoder = self._encoder(fitting=False)
        encoder.set_weights(self.average)
        even_out(encoder)
        return encoder

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        held = {f"weight{at}": np.array(each) for at, each in enumerate(self.model.weights)}
        moments = self.model.optimizer.variables
        held |= {f"moment{at}": np.array(each) for at, each in enumerate(moments)}
        held |= {f"average{at}": each for at, each in enumerate(self.average)}
        clock = np.array([self.step_number, self.size_px, self.embedding_size, self.subjects])
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
            step_number, size_px, embedding_size, subjects = (int(each) for each in held["clock"])
            student = cls(schedule, size_px, embedding_size, subjects)
            student.model.set_weights(
                [held[f"weight{at}"] for at in range(len(student.model.weights))]
            )
            for at, variable in enumerate(student.model.optimizer.variables):
                variable.assign(held[f"moment{at}"])
            student.average = [held[f"average{at}"] for at in range(len(student.average))]
        student.step_number = step_number
        return student

    def _encoder(self, *, fitting: bool) -> keras.Model:
        import keras

        return residual_encoder(
            self.size_px,
            self.embedding_size,
            stem_channels=self.schedule.stem,
            stages=self.schedule.stages,
            head_channels=self.schedule.head,
            fused=fitting and keras.config.backend() == "tensorflow",
            precision=self.schedule.precision if fitting else "float32",
        )

    def _answers(self, batch: Batch) -> object:
        return [batch.targets, batch.labels] if self.schedule.labels else batch.targets


def _channels(weight: Any) -> tuple[int, ...]:  # noqa: ANN401 - a Keras variable or an array
    shape = tuple(weight.shape)
    return shape[-2:] if len(shape) == 4 else shape  # noqa: PLR2004 - a kernel


def fit_student(
    lesson: Lesson,
    schedule: Schedule,
    out: Path,
    *,
    minutes: float | None = None,
    resume: bool = False,
    seed: int = 0,
    start: keras.Model | None = None,
) -> tuple[keras.Model, bool]:
    """Fit; keep ``encoder.keras``, ``history.jsonl`` and a checkpoint in *out*.

    Args:
        lesson: what to learn.
        schedule: how.
        out: directory of the run.
        minutes: stop after so many, to go on later; None: fit to the end.
        resume: go on from the checkpoint in *out*, if there is one.
        seed: of the weights and everything drawn.
        start: an encoder of these widths, `residual_encoder` of any size of picture, whose weights
            a new run begins with.

    Returns: the averaged encoder for the door's crop, and whether the schedule was finished.

    Raises:
        DivergedError: if the loss is not finite.
        ConfigError: if *resume* finds the checkpoint of another schedule, or *start* has other
            widths.
    """
    import keras

    keras.utils.set_random_seed(seed)
    checkpoint, steps = out / "checkpoint.npz", schedule.steps(len(lesson))
    if resume and checkpoint.is_file():
        student = Student.restored(checkpoint, schedule)
    else:
        student = _begun(lesson, schedule, start)
        (out / "history.jsonl").unlink(missing_ok=True)
    started_s = saved_s = measured_s = time.monotonic()
    ends_s = math.inf if minutes is None else started_s + 60 * minutes
    bar = tqdm(total=steps, initial=student.step_number, desc="student", unit="step", disable=None)
    with bar:
        while student.step_number < steps and time.monotonic() < ends_s:
            size_px, strength, _ = schedule.stage_at(student.step_number / steps)
            if student.size_px != size_px:
                student = student.resized(size_px)
            rest = range(student.step_number, steps)
            for batch in batches(lesson, schedule.batch, size_px, strength, rest, seed=seed):
                *stage, rate = schedule.stage_at(student.step_number / steps)
                if stage != [size_px, strength]:
                    break
                loss = student.step(batch, rate)
                if not math.isfinite(loss):
                    raise DivergedError(
                        f"the loss became {loss} at step {student.step_number}, rate {rate:g}; "
                        "lower the rate of that stage"
                    )
                bar.update()
                bar.set_postfix(size_px=size_px, loss=f"{loss:.3f}", refresh=False)
                now_s = time.monotonic()
                if now_s - saved_s > _CHECKPOINT_S:
                    student.save(checkpoint)
                    saved_s = now_s
                if now_s - measured_s > _MEASURE_S:
                    keep(student, lesson, out)
                    measured_s = time.monotonic()
                if now_s > ends_s:
                    break
    student.save(checkpoint)
    return keep(student, lesson, out), student.step_number >= steps


def _begun(lesson: Lesson, schedule: Schedule, start: keras.Model | None) -> Student:
    subjects = int(lesson.held.labels.max()) + 1
    student = Student(schedule, schedule.sizes[0][0], lesson.targets.shape[1], subjects)
    if start is not None:
        student.begin_with(start)
    return student


def keep(student: Student, lesson: Lesson, out: Path) -> keras.Model:
    """Write the averaged encoder for the door's crop, and a line of history; return it."""
    encoder = at_door(student.averaged())
    found = {"step": student.step_number, "size_px": student.size_px} | figures(encoder, lesson)
    partial = out / "partial.keras"
    encoder.save(partial)
    partial.replace(out / "encoder.keras")
    with (out / "history.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(found) + "\n")
    return encoder
