"""What is measured of an encoder, against small cases worked out by hand, and what is refused."""

import json

import numpy as np
import pytest

from edge.errors import ConfigError
from train.data.datasets import Index, Picture, read_lfw, read_lfw_pairs
from train.errors import DataSetError
from train.measuring.evaluate import honest_lines, open_set, verify
from train.measuring.groups import group_lines, measure_groups, read_column
from train.measuring.lfw import lfw_lines, measure_lfw
from train.measuring.metrics import Interval, compare_all, equal_error_rate, tar_at_fmr
from train.measuring.resampling import Redraws, never_certain


def at_angles(*degrees):
    """Return unit vectors in a plane: the score of two is the cosine of the angle between."""
    turns = np.deg2rad(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def blurred(people=8, each=6, spread=0.4):
    rng = np.random.default_rng(1)
    numbers = np.repeat(np.arange(people), each)
    centres = rng.normal(size=(people, 16))
    noisy = centres[numbers] + spread * rng.normal(size=(people * each, 16))
    return noisy.astype(np.float32), numbers


def test_open_set_search_of_three_people_worked_out_by_hand():
    """Ada at 0° twice, Eve at 30° twice, Zoe at 90° twice; threshold cos 45°.

    A gallery of two: {Ada, Eve} lets in no Zoe (60° away); {Ada, Zoe} lets both pictures of Eve in
    as Ada (30°); {Eve, Zoe} both of Ada as Eve. Everybody enrolled is found at 0°. So the draws
    without Zoe give 0 of 2 errors and the others 2 of 2, in 20 draws of equal chance.
    """
    embeddings, numbers = at_angles(0, 0, 30, 30, 90, 90), np.array([0, 0, 1, 1, 2, 2])
    found = open_set(
        embeddings, numbers, gallery=2, rate="x", threshold=float(np.cos(np.pi / 4)), seed=0
    )
    assert (found.stranger_searches, found.mated_searches) == (20 * 2, 20 * 2)
    assert found.fnir.rate == 0.0
    rng, without_zoe = np.random.default_rng(0), 0
    for _ in range(20):
        people = rng.permutation(3)[:2]
        [rng.choice([0, 1]) for _ in people]  # which picture is enrolled
        without_zoe += 2 not in people
    assert found.fpir.rate == pytest.approx(1 - without_zoe / 20)
    assert 0 < without_zoe < 20


def test_open_set_person_nearer_to_another_is_not_found():
    """Ada at 0° and 20°, Eve at 30° twice, both enrolled.

    Enrolled at 0°, Ada comes at 20° and is taken for Eve (10° away). Enrolled at 20°, she comes at
    0° and is found. Eve is always found: FNIR is half the share of draws with Ada at 0°.
    """
    embeddings, numbers = at_angles(0, 20, 30, 30), np.array([0, 0, 1, 1])
    found = open_set(embeddings, numbers, gallery=2, rate="x", threshold=0.0, seed=0)
    assert (found.stranger_searches, found.mated_searches) == (0, 40)
    assert np.isnan(found.fpir.rate)
    rng, at_0 = np.random.default_rng(0), 0
    for _ in range(20):
        chosen = {int(person): int(rng.choice([0, 1])) for person in rng.permutation(2)}
        at_0 += chosen[0] == 0
    assert found.fnir.rate == pytest.approx(at_0 / 40)


def test_resampled_curves_of_everybody_once_are_the_measured_ones():
    embeddings, numbers = blurred(spread=1.0)
    compared = compare_all(embeddings, numbers)
    fmr, fnmr = Redraws(compared, 8, seed=0).curves(np.arange(8))
    crossing = np.argmin(np.abs(fmr - fnmr))
    measured = equal_error_rate(compared.mated, compared.nonmated)
    assert (fmr[crossing] + fnmr[crossing]) / 2 == pytest.approx(measured, abs=2e-3)
    accepted = 1 - fnmr[np.argmax(fmr <= 0.1)]
    assert accepted == pytest.approx(tar_at_fmr(compared.mated, compared.nonmated, 0.1), abs=0.02)


def test_resampled_curves_count_a_person_as_often_as_drawn():
    """The slow way, that copies comparisons, is the reference."""
    embeddings, numbers = blurred(spread=1.0)
    compared, drawn = compare_all(embeddings, numbers), np.array([0, 0, 1, 2, 2, 5, 7, 7])
    again = compared.redrawn(drawn)
    fmr, fnmr = Redraws(compared, 8, seed=0).curves(drawn)
    for threshold in (-0.2, 0.1, 0.4):
        at = round((threshold + 1) * 1e4)
        assert fmr[at] == pytest.approx(np.mean(again.nonmated >= threshold), abs=2e-3)
        assert fnmr[at] == pytest.approx(np.mean(again.mated < threshold), abs=2e-3)


def test_every_true_accept_rate_has_an_interval_around_it():
    embeddings, numbers = blurred(people=30, each=4, spread=1.0)
    found = verify(embeddings, numbers)
    assert set(found.tar) == {"0.1", "0.01"}
    for each in found.tar.values():
        assert 0.0 <= each.low < each.rate < each.high <= 1.0
    narrow = verify(*blurred(people=90, each=4, spread=1.0)).tar["0.1"]
    assert narrow.high - narrow.low < found.tar["0.1"].high - found.tar["0.1"].low
    assert any("95 % intervals over people" in each for each in honest_lines(found))
    json.dumps(found.as_dict(), allow_nan=False)


def test_nobody_wrong_is_no_proof_that_nobody_ever_is():
    assert never_certain(Interval(0.0, 0.0, 0.0), 10).high == pytest.approx(0.3085, abs=1e-4)
    assert never_certain(Interval(1.0, 1.0, 1.0), 10).low == pytest.approx(0.6915, abs=1e-4)
    assert never_certain(Interval(0.1, 0.05, 0.2), 10) == Interval(0.1, 0.05, 0.2)


def test_false_matches_by_group_worked_out_by_hand():
    """Strangers with one picture each: `near` holds one pair at 0°, all others are 90° apart."""
    apart = np.eye(40, dtype=np.float32)
    embeddings = apart[[0, 0, *range(2, 10), *range(10, 20), *range(20, 30), *range(30, 40)]]
    numbers = np.arange(40)
    groups = ["near"] * 10 + ["far"] * 10 + ["far"] * 10 + [""] * 10
    found = measure_groups(embeddings, numbers, groups, column="age", threshold=0.5)
    # All groups together: 1 of 45 + 190 = 235, so 30 * 235 comparisons would be needed.
    assert found.false_matches == ()
    assert any("near: 45 comparisons of 10 people; needs 7,050" in each for each in found.refused)
    assert any("FNMR: nobody has a second picture" in each for each in found.refused)


def test_groups_are_reported_worst_first_with_counts():
    embeddings, numbers = blurred(people=60, each=5, spread=0.3)
    rng = np.random.default_rng(2)
    embeddings[150:] += rng.normal(size=(150, 16)) * 0.5  # the second half: noisier pictures
    groups = ["clear"] * 150 + ["noisy"] * 150
    found = measure_groups(embeddings, numbers, groups, column="camera", threshold=0.7)
    assert [each.group for each in found.false_non_matches] == ["noisy", "clear"]
    worst = found.false_non_matches[0]
    assert (worst.comparisons, worst.people) == (30 * 10, 30)
    assert worst.errors == round(worst.rate.rate * 300)
    assert worst.rate.low < worst.rate.rate < worst.rate.high
    scores = compare_all(embeddings[:150], numbers[:150])
    found = measure_groups(embeddings, numbers, groups, column="camera", threshold=0.3)
    clear = next(each for each in found.false_matches if each.group == "clear")
    assert clear.errors == int((scores.nonmated >= np.float32(0.3)).sum())
    assert clear.comparisons == scores.nonmated.size
    lines = group_lines(found)
    assert next(at for at, each in enumerate(lines) if "noisy" in each) > 0
    json.dumps(found.as_dict())


def test_group_of_too_few_people_is_refused_by_name():
    embeddings, numbers = blurred(people=40, each=6, spread=0.8)
    groups = ["many"] * 222 + ["few"] * 18
    found = measure_groups(embeddings, numbers, groups, column="age", threshold=0.5)
    assert {each.group for each in found.false_non_matches} == {"many"}
    assert any("FNMR of few" in each and "3 people" in each for each in found.refused)


def pictures(*paths):
    return Index(tuple(Picture(each, each.split("/")[0], "here", lambda: None) for each in paths))


def test_group_column_comes_from_the_index(tmp_path):
    (tmp_path / "index.csv").write_text("file,age,gender\na/1.png,young,F\nb/1.png,old,\n")
    index = pictures("a/1.png", "b/1.png", "c/1.png")
    assert read_column(tmp_path, index, "age") == ["young", "old", ""]
    assert read_column(tmp_path, index, "age,gender") == ["young, F", "", ""]
    assert read_column(tmp_path, index, "source") == ["here"] * 3
    with pytest.raises(ConfigError, match=r"no column 'height'; its columns are file, age"):
        read_column(tmp_path, index, "height")


def test_group_without_an_index_says_what_to_write(tmp_path):
    with pytest.raises(ConfigError, match="write one with the columns file and age"):
        read_column(tmp_path, pictures("a/1.png"), "age")


PATHS = ["A/A_0001.webp", "A/A_0002.webp", "B/B_0001.webp", "B/B_0002.webp"]
FOLDS = [
    ("A_0001", "A_0002", True, 0),
    ("A_0001", "B_0001", False, 0),
    ("B_0001", "B_0002", True, 1),
    ("A_0002", "B_0002", False, 1),
]


def test_lfw_pair_without_a_face_is_wrong_in_the_accuracy_and_no_match_in_the_rates():
    embeddings = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]]
    found = measure_lfw(embeddings, PATHS, FOLDS)
    assert (found.accuracy.rate, found.missing) == (1.0, 0)
    found = measure_lfw(embeddings[1:], PATHS[1:], FOLDS)
    assert (found.missing, found.missing_mated) == (2, 1)
    assert found.accuracy.rate <= 0.5
    assert found.area_under_roc == pytest.approx((2 + 0 + 0.5) / 4)  # -1 and 1 against -1 and 0
    assert "no match in the other rates" in "\n".join(lfw_lines(found))


def test_lfw_rates_follow_the_rule_of_30():
    """3,000 non-mated pairs support FMR 1e-2 and not 1e-3: both are said."""
    rng = np.random.default_rng(0)
    people, pairs, paths, rows = 600, [], [], []
    for person in range(people):
        centre = rng.normal(size=32)
        for number in (1, 2):
            paths.append(f"P{person}/P{person}_{number:04d}.webp")
            rows.append(centre + 0.6 * rng.normal(size=32))
        pairs.append((f"P{person}_0001", f"P{person}_0002", True, person % 10))
        pairs += [
            (f"P{person}_0001", f"P{(person + step) % people}_0002", False, person % 10)
            for step in range(1, 6)
        ]
    found = measure_lfw(np.array(rows, np.float32), paths, pairs)
    assert set(found.tar) == {"0.01"}
    assert found.tar["0.01"].low < found.tar["0.01"].rate <= found.tar["0.01"].high
    assert any("cannot support FMR 0.001; need 30,000" in each for each in found.refused)


def test_lfw_is_read_from_a_folder_too(tmp_path):
    import cv2

    for name in ("Ada_Lovelace", "Eve"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / f"{name}_0001.png"), np.zeros((9, 9, 3), np.uint8))
    index = read_lfw(tmp_path)
    assert {each.source for each in index.pictures} == {"lfw"}
    assert index.subjects == ("Ada_Lovelace", "Eve")


def test_pairs_file_that_is_none_says_so(tmp_path):
    (tmp_path / "pairs.txt").write_text("Ada 1 2\n")
    with pytest.raises(DataSetError, match=r"no pairs\.txt of LFW"):
        read_lfw_pairs(tmp_path / "pairs.txt")
