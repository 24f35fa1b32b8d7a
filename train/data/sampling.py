"""Who is trained on, and which pictures meet in a step: everything from a seed, nothing global.

Mated pairs are labelled 1 and non-mated pairs 0, here and in every loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge.vocabulary import FloatArray
from train.errors import DataSetError
from train.measuring.metrics import IntArray

_MANY_PAIRS = 8  # for each picture: fewer hardly share one within a batch
_MOST_GATHERED = 2048  # pictures: gathering holds a count for every two of them
_MISSING = 0.05  # of a batch's share of mated or non-mated pairs: not worth another picture
_OVERFULL = 1.05  # of a batch's share: its last picture brings more than is missing


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
    """Yield every pair once an epoch, about *batch* at a time, other batches each epoch.

    Embedding pictures is the cost of a step. Where every picture is in many pairs, those that share
    pictures meet: 128 of the AT&T article's pairs then need 26 embeddings instead of 256. Where
    pairs are few, hardly any share a picture, and chance is as good.
    """
    rng = np.random.default_rng([seed, epoch])
    count = max(1, round(len(pairs.mated) / batch))
    if len(pairs.mated) >= _MANY_PAIRS * len(subjects) and len(subjects) <= _MOST_GATHERED:
        parts = _gathered(pairs, len(subjects), count, rng)
    else:
        parts = iter(np.array_split(rng.permutation(len(pairs.mated)), count))
    for part in parts:
        chosen = pairs.part(part)
        pictures, positions = np.unique(chosen.pictures, return_inverse=True)
        yield Batch(pictures, subjects[pictures], positions.reshape(-1, 2), chosen.mated)


def _gathered(
    pairs: Pairs, pictures: int, count: int, rng: np.random.Generator
) -> Iterator[IntArray]:
    """Yield the numbers of the pairs of about *count* batches that have few pictures each.

    A batch grows by the picture that brings most pairs that are left, until it has its share of the
    mated and of the non-mated.
    """
    kinds = pairs.mated.astype(np.int64)
    one, other = pairs.pictures.T
    left = np.zeros((2, pictures, pictures), np.float32)
    np.add.at(left, (kinds, one, other), 1)
    np.add.at(left, (kinds, other, one), 1)
    mated, nonmated = np.bincount(kinds, minlength=2)[::-1] / (count * _OVERFULL)
    unused = np.arange(len(kinds))
    while unused.size:
        chance = rng.uniform(0, 0.5, pictures).astype(np.float32)
        others, mates = np.zeros((2, pictures), np.float32)
        for_mates, for_others = mated, nonmated
        while for_mates > _MISSING * mated or for_others > _MISSING * nonmated:
            worth = np.minimum(mates, for_mates) + np.minimum(others, for_others)
            at = int(np.argmax(worth + chance))
            if not worth[at]:
                at = int(np.argmax(left.any(axis=(0, 1)) + chance))
            if chance[at] < 0:
                break
            chance[at] = -np.inf  # it is in, and cannot be chosen again
            for_mates = max(for_mates - mates[at], 0)
            for_others = max(for_others - others[at], 0)
            others += left[0, at]
            mates += left[1, at]
        inside = chance < 0
        taken = inside[one[unused]] & inside[other[unused]]
        yield rng.permutation(unused[taken])
        unused = unused[~taken]
        members = np.flatnonzero(inside)
        left[:, members[:, None], members] = 0


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
