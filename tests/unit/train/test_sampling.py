"""Splits and batches: disjoint, seeded, and as the article draws them."""

import numpy as np
import pytest

from train.data.sampling import (
    att_pairs,
    drawn_pairs,
    pair_batches,
    split_pairs,
    split_subjects,
    subject_batches,
)
from train.errors import DataSetError

FORTY = tuple(f"s{each}" for each in range(1, 41))
SUBJECTS = np.repeat(np.arange(40), 10)


def test_first_fold_of_att_holds_out_s31_to_s40():
    split = split_subjects(FORTY, validated=0, tested=10)
    assert split.tested == FORTY[30:]
    assert split.fitted == FORTY[:30]


def test_four_folds_test_everybody_once():
    tested = [split_subjects(FORTY, validated=5, tested=10, fold=fold).tested for fold in range(4)]
    assert sorted(sum(tested, ())) == sorted(FORTY)


@pytest.mark.parametrize("seed", range(5))
def test_nobody_is_on_two_sides_of_a_split(seed):
    split = split_subjects(FORTY, validated=7, tested=10, fold=2, seed=seed)
    assert len(split.validated) == 7
    assert sorted(split.fitted + split.validated + split.tested) == sorted(FORTY)


def test_validated_people_follow_the_seed():
    def validated(seed):
        return split_subjects(FORTY, validated=5, tested=10, seed=seed).validated

    assert validated(1) == validated(1)
    assert validated(1) != validated(2)


@pytest.mark.parametrize(("tested", "fold"), [(39, 0), (10, 4)])
def test_split_that_leaves_too_few_people_is_refused(tested, fold):
    with pytest.raises(DataSetError, match="40 subjects"):
        split_subjects(FORTY, validated=0, tested=tested, fold=fold)


def test_article_pairs_are_as_the_article_says():
    """250 mated pairs a person of two different pictures; as many of two people, one number."""
    pairs = att_pairs(SUBJECTS, per_subject=250, seed=0)
    mated = pairs.pictures[pairs.mated == 1]
    nonmated = pairs.pictures[pairs.mated == 0]
    assert len(mated) == len(nonmated) == 10_000
    assert np.bincount(SUBJECTS[mated[:, 0]]).tolist() == [250] * 40
    assert (SUBJECTS[mated[:, 0]] == SUBJECTS[mated[:, 1]]).all()
    assert (mated[:, 0] != mated[:, 1]).all()
    assert (SUBJECTS[nonmated[:, 0]] != SUBJECTS[nonmated[:, 1]]).all()
    assert (nonmated[:, 0] % 10 == nonmated[:, 1] % 10).all()


def test_article_split_is_11250_3750_5000():
    parts = split_pairs(att_pairs(SUBJECTS, per_subject=250, seed=0), seed=0)
    assert [len(each.mated) for each in parts] == [11_250, 3_750, 5_000]
    together = np.concatenate([each.pictures for each in parts])
    whole = att_pairs(SUBJECTS, per_subject=250, seed=0).pictures
    assert sorted(map(tuple, together)) == sorted(map(tuple, whole))


def test_drawn_pairs_give_each_picture_one_of_its_subject_and_one_of_another():
    pairs = drawn_pairs(SUBJECTS, per_picture=1, seed=0)
    same = SUBJECTS[pairs.pictures[:, 0]] == SUBJECTS[pairs.pictures[:, 1]]
    assert (same == (pairs.mated == 1)).all()
    assert np.bincount(pairs.pictures[:, 0]).tolist() == [2] * 400
    assert (pairs.pictures[:, 0] != pairs.pictures[:, 1]).all()


def test_subject_with_one_picture_gets_non_mated_pairs_only():
    subjects = np.array([0, 0, 1])
    pairs = drawn_pairs(subjects, per_picture=2, seed=0)
    own = pairs.mated[pairs.pictures[:, 0] == 2]
    assert own.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("batch", [3, 128, 100_000])
@pytest.mark.parametrize("per_subject", [20, 50])  # few pairs a picture, and many
def test_epoch_holds_every_pair_once_with_its_label(per_subject, batch):
    pairs = att_pairs(SUBJECTS, per_subject=per_subject, seed=0)
    batches = list(pair_batches(pairs, SUBJECTS, batch=batch, seed=0, epoch=3))
    seen = [
        (*each.pictures[pair], label)
        for each in batches
        for pair, label in zip(each.pairs, each.mated, strict=True)
    ]
    wanted = [(*pair, label) for pair, label in zip(pairs.pictures, pairs.mated, strict=True)]
    assert sorted(seen) == sorted(wanted)


def test_batch_embeds_each_picture_once_and_few_of_them():
    pairs, _, _ = split_pairs(att_pairs(SUBJECTS, per_subject=250, seed=0), seed=0)
    batches = list(pair_batches(pairs, SUBJECTS, batch=128, seed=0, epoch=0))
    assert all(len(set(each.pictures)) == len(each.pictures) for each in batches)
    assert np.mean([len(each.pictures) for each in batches]) < 30, "two branches would embed 256"
    assert np.mean([len(each.mated) for each in batches]) == pytest.approx(128, rel=0.05)
    even = [0.4 < each.mated.mean() < 0.6 for each in batches]
    assert sum(even) >= len(batches) - 3, "both labels meet in all but the last, of what is left"


@pytest.mark.parametrize("per_subject", [20, 50])
def test_batches_follow_seed_and_epoch(per_subject):
    pairs = att_pairs(SUBJECTS, per_subject=per_subject, seed=0)

    def first(seed, epoch):
        return next(
            pair_batches(pairs, SUBJECTS, batch=64, seed=seed, epoch=epoch)
        ).pictures.tolist()

    assert first(1, 1) == first(1, 1)
    assert first(1, 1) != first(1, 2)
    assert first(1, 1) != first(2, 1)


def test_people_batches_hold_p_times_k_pictures():
    batch = next(subject_batches(SUBJECTS, people=8, pictures=4, steps=1, seed=0, epoch=0))
    assert np.unique(batch.subjects, return_counts=True)[1].tolist() == [4] * 8
    assert len(set(batch.pictures)) == 32


def test_people_batches_need_two_people_with_two_pictures():
    with pytest.raises(DataSetError, match="two subjects"):
        next(subject_batches(np.array([0, 0, 1]), people=2, pictures=2, steps=1, seed=0, epoch=0))
