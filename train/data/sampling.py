"""Who is trained on, and which pictures meet in a step: everything from a seed, nothing global.

Mated pairs are labelled 1 and non-mated pairs 0, here and in every loss.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge.vocabulary import FloatArray
from train.errors import DataSetError
from train.measuring.metrics import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of pictures: ``pictures`` (K, 2) numbers into the crops; ``mated`` (K,) 1.0 or 0.0."""

    pictures: IntArray
    mated: FloatArray

    def part(self, chosen: IntArray) -> Pairs:
        """Return the pairs whose numbers are *chosen*, in that order."""
        return Pairs(self.pictures[chosen], self.mated[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One step's pictures, each once, and the pairs between them.

    ``pictures`` (U,) are numbers into the crops, ``subjects`` (U,) who they show; ``pairs`` (B, 2)
    are positions in ``pictures``, ``mated`` (B,) their labels. Losses over whole batches (triplet,
    margin softmax) take the subjects and leave the pairs empty.
    """

    pictures: IntArray
    subjects: IntArray
    pairs: IntArray
    mated: FloatArray


@dataclass(frozen=True, slots=True)
class Split:
    """Disjoint subjects: fitted on, watched while fitting, and never seen until the end."""

    fitted: tuple[str, ...]
    validated: tuple[str, ...]
    tested: tuple[str, ...]


def split_subjects(
    subjects: tuple[str, ...], *, validated: int, tested: int, fold: int = 0, seed: int = 0
) -> Split:
    """Split *subjects*: the fold's *tested* from the end of the list, *validated* by seed.

    Fold 0 of the 40 AT&T subjects with 10 tested is s31 … s40, as the measurement in the
    project's record has it; fold 1 is s21 … s30, and so on.

    Raises:
        DataSetError: if fewer than two subjects are left to fit on, or the fold does not exist.
    """
    last = len(subjects) - fold * tested
    if last - tested < 0 or len(subjects) - tested - validated < 2:  # noqa: PLR2004
        raise DataSetError(
            f"{len(subjects)} subjects cannot give fold {fold} with {tested} tested, {validated} "
            "validated and two fitted; lower `tested` or `validated`, or add people"
        )
    held = subjects[last - tested : last]
    others = [each for each in subjects if each not in held]
    order = np.random.default_rng(seed).permutation(len(others))
    watched = {others[at] for at in order[:validated]}
    return Split(
        tuple(each for each in others if each not in watched),
        tuple(each for each in others if each in watched),
        tuple(held),
    )


def att_pairs(subjects: IntArray, *, per_subject: int, seed: int) -> Pairs:
    """Draw pairs as the AT&T article does.

    For each subject *per_subject* mated pairs of two different pictures; as many non-mated pairs
    in all, of two subjects with the same picture number.

    Args:
        subjects: (N,) numbers 0 … S-1, each subject's pictures in order.
        per_subject: 250 in the article.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    people = [np.flatnonzero(subjects == each) for each in np.unique(subjects)]
    mated = [
        rng.choice(pictures, 2, replace=False) for pictures in people for _ in range(per_subject)
    ]
    nonmated = []
    for _ in range(len(mated)):
        one, other = rng.choice(len(people), 2, replace=False)
        number = rng.integers(min(people[one].size, people[other].size))
        nonmated.append((people[one][number], people[other][number]))
    labels = np.repeat(np.array([1, 0], np.float32), len(mated))
    return Pairs(np.array([*mated, *nonmated]), labels)


def drawn_pairs(subjects: IntArray, *, per_picture: int, seed: int) -> Pairs:
    """Pair each picture *per_picture* times with another of its subject and one of another's.

    Pictures of subjects with one picture get non-mated pairs only.
    """
    rng = np.random.default_rng(seed)
    mated, nonmated = [], []
    for at, subject in enumerate(subjects):
        same = np.flatnonzero(subjects == subject)
        same = same[same != at]
        others = np.flatnonzero(subjects != subject)
        for _ in range(per_picture):
            if same.size:
                mated.append((at, rng.choice(same)))
            nonmated.append((at, rng.choice(others)))
    labels = [1.0] * len(mated) + [0.0] * len(nonmated)
    return Pairs(np.array(mated + nonmated), np.array(labels, np.float32))


def split_pairs(pairs: Pairs, *, seed: int) -> tuple[Pairs, Pairs, Pairs]:
    """Split by pair as the AT&T article does: 75 / 25, then 25 % of the first for validation.

    The same pictures occur on all sides, so figures on the third part flatter the net.
    """
    order = np.random.default_rng(seed).permutation(len(pairs.mated))
    tested = len(order) // 4
    validated = (len(order) - tested) // 4
    return (
        pairs.part(order[tested + validated :]),
        pairs.part(order[tested : tested + validated]),
        pairs.part(order[:tested]),
    )


def split_pictures(subjects: IntArray, *, seed: int) -> tuple[IntArray, IntArray]:
    """Split by picture, as articles with train/ and test/ folders do: 3 of 4 of each subject.

    Returns:
        The numbers of the pictures fitted on, and of those tested: other pictures, same people.
    """
    rng = np.random.default_rng(seed)
    fitted, tested = [], []
    for subject in np.unique(subjects):
        pictures = rng.permutation(np.flatnonzero(subjects == subject))
        kept = -(-3 * len(pictures) // 4)
        fitted += list(pictures[:kept])
        tested += list(pictures[kept:])
    return np.sort(np.array(fitted, np.int64)), np.sort(np.array(tested, np.int64))


def pair_batches(
    pairs: Pairs, subjects: IntArray, *, batch: int, seed: int, epoch: int
) -> Iterator[Batch]:
    """Yield every pair once an epoch, about *batch* at a time, with few pictures in each batch.

    Embedding pictures is the cost of a step, so pairs that share them should meet. The pictures
    fall into random groups, other ones each epoch; the groups are the points of a finite plane, and
    a batch holds the pairs along one of its lines. Any two points lie on exactly one line, so every
    pair has one batch: 125 of the AT&T article's pairs then need 44 embeddings instead of 250.
    """
    rng = np.random.default_rng([seed, epoch])
    order = plane_order(len(pairs.mated) / batch)
    group = rng.permutation(len(subjects)) % order**2
    first, second = group[pairs.pictures].T
    line = line_through(order)[first, second]
    shuffled = rng.permutation(len(line))
    for each in rng.permutation(order**2 + order):
        chosen = pairs.part(shuffled[line[shuffled] == each])
        if chosen.mated.size:
            pictures, positions = np.unique(chosen.pictures, return_inverse=True)
            yield Batch(pictures, subjects[pictures], positions.reshape(-1, 2), chosen.mated)


def plane_order(lines: float) -> int:
    """Return the order of a plane with about so many lines: one of order q has q² + q."""
    known = (2, 3, 5, 7, 9, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79)
    return min(known, key=lambda order: abs(math.log((order**2 + order) / lines)))


@functools.cache
def line_through(order: int) -> IntArray:
    """Return (q², q²): the line through each two points of the affine plane of *order* q.

    Points are (x, y), lines y = slope * x + height and x = constant, over the field of q elements:
    numbers modulo q where q is a prime, and a + b * i modulo 3 for the nine of a + 3 * b.
    """
    numbers = np.arange(order)
    if order == 9:  # noqa: PLR2004 - the one order here that is no prime
        field = numbers % 3 + 1j * (numbers // 3)
        products, sums = np.multiply.outer(field, field), np.add.outer(field, field)
        times, plus = (
            (each.real % 3 + 3 * (each.imag % 3)).astype(int) for each in (products, sums)
        )
    else:
        times, plus = (each(numbers[:, None], numbers) % order for each in (np.multiply, np.add))
    through = np.zeros((order**2, order**2), np.int64)
    lines = [
        numbers * order + plus[times[slope], height] for slope in numbers for height in numbers
    ]
    lines += [constant * order + numbers for constant in numbers]
    for number, points in enumerate(lines):
        through[np.ix_(points, points)] = number
    # A pair within one group may go to any line through it; these spread evenly.
    own = np.arange(order**2)
    through[own, own] = through[own, np.roll(own, -1)]
    return through


def subject_batches(
    subjects: IntArray, *, people: int, pictures: int, steps: int, seed: int, epoch: int
) -> Iterator[Batch]:
    """Yield P×K batches: *pictures* of each of *people* subjects, drawn without repeats if it can.

    Raises:
        DataSetError: if no two subjects have two pictures.
    """
    rng = np.random.default_rng([seed, epoch])
    # One sort: a search for each of 22,000 subjects would keep an epoch waiting for seconds.
    order = np.argsort(subjects, kind="stable")
    owned = np.split(order, np.flatnonzero(np.diff(subjects[order])) + 1)
    owned = [each for each in owned if each.size > 1]
    if len(owned) < 2:  # noqa: PLR2004
        raise DataSetError("batches need two subjects with two pictures each; add pictures")
    none = np.empty((0, 2), np.int64)
    for _ in range(steps):
        chosen = rng.permutation(len(owned))[:people]
        drawn = np.concatenate(
            [rng.choice(owned[at], pictures, replace=owned[at].size < pictures) for at in chosen]
        )
        yield Batch(drawn, subjects[drawn], none, np.empty(0, np.float32))
