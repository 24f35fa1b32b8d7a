"""Augmentation: disturbs training pictures within their range, and nothing else."""

import numpy as np
import pytest

from edge.errors import ConfigError
from train.data.augment import AUGMENTATIONS, augmentation

pytestmark = pytest.mark.tf


def pictures(channels):
    rng = np.random.default_rng(0)
    return rng.uniform(20, 230, (8, 24, 20, channels)).astype(np.float32)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_changes_training_pictures_and_keeps_shape_and_range(name):
    import keras

    keras.utils.set_random_seed(0)
    seen = pictures(3)
    disturbed = np.asarray(augmentation((name,))(seen, training=True))
    assert disturbed.shape == seen.shape
    assert np.isfinite(disturbed).all()
    assert (disturbed != seen).any()
    # Noise may leave the range by its own spread; the encoder's first layer takes any float.
    assert disturbed.min() > -25
    assert disturbed.max() < 280


@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"grey"}))
def test_augmentation_takes_grey_pictures(name):
    assert np.asarray(augmentation((name,))(pictures(1), training=True)).shape == (8, 24, 20, 1)


def test_nothing_is_changed_outside_training_or_without_names():
    seen = pictures(3)
    everything = augmentation(tuple(AUGMENTATIONS))
    np.testing.assert_allclose(np.asarray(everything(seen, training=False)), seen, atol=1e-3)
    np.testing.assert_array_equal(np.asarray(augmentation(())(seen, training=True)), seen)


def test_unknown_augmentation_names_the_known_ones():
    with pytest.raises(ConfigError, match="expected some of flip, similarity"):
        augmentation(("mirror",))
