"""Losses: mated = 1 in every one, and gradients that are finite where pictures coincide."""

from dataclasses import replace

import numpy as np
import pytest

from edge.errors import ConfigError
from train.fitting.losses import LOSSES, contrastive, euclidean, make_objective
from train.recipes import RECIPES

pytestmark = pytest.mark.tf

NO_PAIRS = np.zeros((1, 2), np.int64)
NO_LABELS = np.zeros(1, np.float32)


def objective(loss, margin=0.5, subjects=2, size=2):
    class Core:
        output_shape = (None, size)

    recipe = replace(RECIPES["att"], loss=loss, margin=margin)
    return make_objective(recipe, np.arange(subjects), Core())


def value(loss, embeddings, numbers, pairs=NO_PAIRS, mated=NO_LABELS, **settings):
    made = objective(loss, **settings)
    return float(made.loss(np.array(embeddings, np.float32), np.array(numbers), pairs, mated))


@pytest.mark.parametrize("loss", ["contrastive", "sigmoid-bce"])
def test_mated_pair_loses_more_when_far_and_a_non_mated_pair_when_near(loss):
    """The label's sense on two points: 1 is one subject, pulled together."""
    near, far = [[0.0, 0.0], [0.1, 0.0]], [[0.0, 0.0], [3.0, 0.0]]
    pair, one, zero = np.array([[0, 1]]), np.ones(1, np.float32), np.zeros(1, np.float32)
    assert value(loss, near, [0, 0], pair, one) < value(loss, far, [0, 0], pair, one)
    assert value(loss, near, [0, 1], pair, zero) > value(loss, far, [0, 1], pair, zero)


def test_contrastive_is_the_articles_formula():
    distances, mated = np.array([0.5, 0.5, 2.0], np.float32), np.array([1, 0, 0], np.float32)
    assert float(contrastive(distances, mated, 1.0)) == pytest.approx((0.25 + 0.25 + 0.0) / 3)


@pytest.mark.parametrize("loss", ["batch-hard", "semi-hard"])
def test_separated_people_lose_less_than_mixed_ones(loss):
    apart = [[1, 0], [1, 0.1], [0, 1], [0.1, 1]]
    assert value(loss, apart, [0, 0, 1, 1]) < value(loss, apart, [0, 1, 0, 1])


def test_margin_softmax_is_lowest_at_the_own_centre_and_grows_with_the_margin():
    def loss(numbers, margin):
        made = objective("margin-softmax", margin=margin)
        made.variables[0].assign(np.eye(2, dtype=np.float32))
        embeddings = np.array([[1, 0.2], [0.1, 1]], np.float32)
        return float(made.loss(embeddings, np.array(numbers), NO_PAIRS, NO_LABELS))

    assert loss([0, 1], 0.0) < loss([0, 1], 0.5) < loss([1, 0], 0.5)


def test_batch_hard_takes_the_farthest_mate_and_the_nearest_other():
    turns = np.deg2rad([0, 20, 60, 90])
    embeddings = np.stack([np.cos(turns), np.sin(turns)], axis=1)

    def chord(degrees):
        return 2 * np.sin(np.deg2rad(degrees) / 2)

    wanted = np.mean(
        [
            max(chord(20) - chord(60) + 0.5, 0),
            max(chord(20) - chord(40) + 0.5, 0),
            max(chord(30) - chord(40) + 0.5, 0),
            max(chord(30) - chord(70) + 0.5, 0),
        ]
    )
    assert value("batch-hard", embeddings, [0, 0, 1, 1]) == pytest.approx(wanted, abs=1e-5)


def test_semi_hard_takes_the_nearest_other_beyond_the_mate():
    """Anchor 0°, mate 40°: 20° is nearer than the mate, so 60° is taken, not 20°."""
    turns = np.deg2rad([0, 40, 20, 60])
    embeddings = np.stack([np.cos(turns), np.sin(turns)], axis=1)

    def chord(degrees):
        return 2 * np.sin(np.deg2rad(degrees) / 2)

    # Anchor 40°: both others are 20° away, nearer than its mate: the farthest of them is taken.
    # Subjects 1 and 2 have one picture each, so they anchor nothing.
    wanted = np.mean([chord(40) - chord(60) + 0.5, chord(40) - chord(20) + 0.5])
    found = value("semi-hard", embeddings, [0, 0, 1, 2], subjects=3)
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_finite_where_all_embeddings_coincide(loss):
    """Distance 0 has no slope, and an embedding of zeros no direction: neither may give NaN."""
    import tensorflow as tf

    made = objective(loss)
    for start in (0.0, 1.0):
        embeddings = tf.Variable(tf.fill((4, 2), start))
        with tf.GradientTape() as tape:
            loss_value = made.loss(
                embeddings,
                tf.constant([0, 0, 1, 1]),
                tf.constant([[0, 1], [0, 2]]),
                tf.constant([1.0, 0.0]),
            )
        gradient = tf.convert_to_tensor(tape.gradient(loss_value, embeddings))
        assert np.isfinite(gradient.numpy()).all()


def test_distance_is_euclidean():
    found = euclidean(np.array([[0.0, 3.0]], np.float32), np.array([[4.0, 0.0]], np.float32))
    assert float(found[0]) == pytest.approx(5.0)


def test_boundaries_are_those_of_the_losses():
    assert objective("contrastive", margin=1.0).boundary() == 0.5
    assert objective("sigmoid-bce").boundary() == pytest.approx(1.0)
    assert objective("batch-hard").boundary() is None


def test_unknown_loss_names_the_known_ones():
    with pytest.raises(ConfigError, match="contrastive, sigmoid-bce"):
        objective("hinge")
