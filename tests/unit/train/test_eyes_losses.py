"""What the losses of finder and refiner punish, and what they must not."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf
pytest.importorskip("tensorflow")

CELLS = 4
FACE, COUNTS, WEIGHT = 0, 1, 2


def wanted(*faces, weight=0.5):
    """Return targets of one picture in which every cell counts and *faces* are faces."""
    target = np.zeros((1, CELLS, 13), np.float32)
    target[..., COUNTS] = 1
    target[0, list(faces), FACE] = 1
    target[0, list(faces), WEIGHT] = weight
    return target


def found(*sure, logit=8.0):
    """Return answers that are sure of a face in the cells *sure*, and sure of none elsewhere."""
    answer = np.zeros((1, CELLS, 11), np.float32)
    answer[..., 0] = -logit
    answer[0, list(sure), 0] = logit
    return answer


def loss(target, answer):
    from train.eyes.losses import finder_loss

    return float(finder_loss(target, answer))


def test_the_right_answer_costs_nothing():
    assert loss(wanted(1), found(1)) < 1e-4
    assert loss(wanted(), found()) < 1e-4  # no face at all: nothing is divided by zero


def test_a_missed_face_and_a_false_one_cost():
    assert loss(wanted(1), found()) > 0.5
    assert loss(wanted(1), found(1, 2)) > 0.5


def test_a_cell_that_does_not_count_costs_nothing_whatever_it_says():
    target = wanted(1)
    target[0, 2, COUNTS] = 0
    assert loss(target, found(1, 2)) == pytest.approx(loss(target, found(1)), abs=1e-5)


def test_landmarks_away_from_faces_cost_nothing():
    answer = found(1)
    answer[0, [0, 2, 3], 1:] = 7
    assert loss(wanted(1), answer) == pytest.approx(loss(wanted(1), found(1)), abs=1e-6)


def test_landmarks_cost_as_far_as_they_are_off_in_sizes_of_the_face():
    """Of a face half as large, that is of twice the weight, the same offset is twice as wrong."""
    base = loss(wanted(1), found(1))
    answer = found(1)
    answer[0, 1, 1] = 0.4
    # 0.2 of a face, less the half of 3 % below which an error is quadratic, times its share.
    assert loss(wanted(1, weight=0.5), answer) - base == pytest.approx(1.2 * 0.185, abs=1e-3)
    assert loss(wanted(1, weight=1.0), answer) - base == pytest.approx(1.2 * 0.385, abs=1e-3)


def test_an_error_within_what_the_reference_is_unsure_of_costs_little():
    base = loss(wanted(1), found(1))
    answer = found(1)
    answer[0, 1, 1] = 0.02  # 1 % of the face
    assert loss(wanted(1), answer) - base == pytest.approx(1.2 * 0.01**2 / 0.06, rel=0.05)


def test_a_doubtful_cell_costs_more_than_a_sure_one_by_more_than_its_entropy():
    """Focal: four thousand easy cells must not outweigh the hard ones."""
    sure, doubtful = (loss(wanted(), found(logit=each)) for each in (4.0, 0.0))
    entropy = [np.log1p(np.exp(-each)) for each in (4.0, 0.0)]
    assert doubtful / sure > 100 * entropy[1] / entropy[0]


def misplaced(across, away=0.1):
    """Return the refiner's loss of a face whose eyes are *across* units apart, all *away* off."""
    from train.eyes.losses import refiner_loss

    target = np.zeros((1, 11), np.float32)
    target[0, 2], target[0, 10] = across, 1
    answer = target.copy()
    answer[0, 0:10:2] += away
    answer[0, 10] = 20  # sure that it is a face
    return float(refiner_loss(target, answer))


def test_the_refiner_errs_in_the_eye_distances_of_the_face_itself():
    assert misplaced(0.5) == pytest.approx(2 * 0.1 / 0.5, rel=1e-3)
    assert misplaced(0.4) == pytest.approx(2 * 0.1 / 0.4, rel=1e-3)


def test_a_profile_counts_no_more_than_two_faces():
    template = 17.6 / 32
    assert misplaced(0.01) == pytest.approx(2 * misplaced(template), rel=1e-3)
