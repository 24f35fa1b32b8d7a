"""What the student is taught: crops, the teacher's answers, who is held out, and the batches."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edge.vocabulary import FloatArray, PixelArray
from train.data.datasets import LEAST_TYPICAL
from train.door.caches import Listing
from train.door.jitter import disturb
from train.door.mixing import Mixtures
from train.errors import DataSetError
from train.measuring.metrics import IntArray

_HELD_SUBJECTS, _HELD_STRANGERS, _HELD_EACH = 40, 1000, 20
_AHEAD = 6  # batches


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Row numbers of the listing: crops to fit on, and crops held out.

    ``labels`` (one for each crop to fit on) numbers its person from 0, or is -1 where nobody knows
    or the label is doubtful. ``known`` crops of ``people`` (numbers) and of ``strangers``, whom
    nobody named, are held out.
    """

    fitted: IntArray
    labels: IntArray
    known: IntArray
    people: IntArray
    strangers: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Everything to learn from; *mixtures* come after the crops to fit on in every order.

    Args:
        crops: (N, 144, 144, 3) uint8 RGB, in the listing's order.
        targets: (N, D) the teacher's unit embeddings of them.
        held: who is fitted on and who is not.
        mixtures: of crops to fit on.
        mixed_targets: (M, D) the teacher's unit embeddings of the mixtures.
    """

    crops: PixelArray
    targets: FloatArray
    held: Held
    mixtures: Mixtures
    mixed_targets: FloatArray

    def __len__(self) -> int:
        """Count the crops of one pass."""
        return len(self.held.fitted) + len(self.mixed_targets)

    def wide(self, at: int) -> PixelArray:
        """Return crop number *at* of a pass, undisturbed (144, 144, 3)."""
        own = len(self.held.fitted)
        if at < own:
            face: PixelArray = self.crops[self.held.fitted[at]]
            return face
        return self.mixtures.wide(self.crops, at - own)

    def answers(self, chosen: IntArray) -> tuple[FloatArray, IntArray]:
        """Return targets (B, D) and labels (B,), -1 for nobody, of crops number *chosen*."""
        own = len(self.held.fitted)
        is_own = chosen < own
        rows = np.where(is_own, chosen, 0)
        labels = np.where(is_own, self.held.labels[rows], -1)
        targets = self.targets[self.held.fitted[rows]]
        targets[~is_own] = self.mixed_targets[chosen[~is_own] - own]
        return targets, labels


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Disturbed faces (B, S, S, 3) uint8 RGB, targets (B, D) and labels (B,)."""

    faces: PixelArray
    targets: FloatArray
    labels: IntArray


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
    strangers = nameless[:_HELD_STRANGERS]
    kept = ~np.isin(listing.subjects, watched)
    kept[strangers] = False
    fitted = np.flatnonzero(kept)
    numbers = {name: at for at, name in enumerate(np.sort(names[_HELD_SUBJECTS:]))}
    # A comparison with NaN is false: who is unknown has no typicality, and no number.
    labels = [
        numbers[name] if sure else -1
        for name, sure in zip(
            listing.subjects[fitted], listing.typicality[fitted] >= LEAST_TYPICAL, strict=True
        )
    ]
    known, people = _typical(listing, watched, rng)
    return Held(fitted, np.array(labels), known, people, np.sort(strangers))


def _typical(
    listing: Listing, names: npt.NDArray[np.str_], rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Return up to 20 rows of every name whose labels can be trusted, and whose they are."""
    rows: list[int] = []
    people: list[int] = []
    for number, name in enumerate(names):
        own = np.flatnonzero((listing.subjects == name) & (listing.typicality >= LEAST_TYPICAL))
        chosen = rng.permutation(own)[:_HELD_EACH]
        rows += list(chosen)
        people += [number] * len(chosen)
    return np.array(rows), np.array(people)


def batches(
    lesson: Lesson, batch: int, size_px: int, strength: float, steps: range, *, seed: int
) -> Iterator[Batch]:
    """Yield the batches of *steps*, each decided by its number and *seed*, made ahead in threads.

    A pass is every crop once in an order of its own; what does not fill a batch is left out.
    """
    each_pass = max(1, len(lesson) // batch)

    @lru_cache(maxsize=2)
    def order(number: int) -> IntArray:
        return np.random.default_rng((seed, number)).permutation(len(lesson))

    def make(step: int) -> Batch:
        chosen = order(step // each_pass)[step % each_pass * batch :][:batch]
        rng = np.random.default_rng((seed, step, 1))
        faces = [disturb(rng, lesson.wide(at), size_px, strength=strength) for at in chosen]
        return Batch(np.stack(faces), *lesson.answers(chosen))

    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 2) - 1)) as pool:
        try:
            for step in steps:
                waiting.append(pool.submit(make, step))
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()
