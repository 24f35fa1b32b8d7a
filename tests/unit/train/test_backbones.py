"""The door's encoder: its shapes, its cost, and weights that move between sizes."""

import numpy as np
import pytest

from edge.vocabulary import CROP_SIZE_PX

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module", name="small")
def fixture_small():
    """An encoder of the same structure that is built in a moment."""
    import keras

    from train.door.backbones import residual_encoder

    keras.utils.set_random_seed(0)
    return residual_encoder(32, 8, stem_channels=4, stages=((6, "b"), (8, "n")), head_channels=8)


def test_default_encoder_keeps_to_its_budget():
    """At most 1.5 M parameters and 250 M multiply-adds."""
    from train.door.backbones import multiply_adds, residual_encoder
    from train.door.schedule import Schedule

    encoder = residual_encoder()
    assert encoder.input_shape == (None, CROP_SIZE_PX, CROP_SIZE_PX, 3)
    assert encoder.output_shape == (None, 128)
    assert encoder.count_params() <= 1_500_000
    # At the size of the last stage of the schedule, and for crop and mirror image.
    asked = residual_encoder(Schedule().sizes[-1][0])
    assert 100e6 < 2 * multiply_adds(asked) <= 250e6


def test_multiply_adds_of_one_convolution_are_counted():
    """4x4 places, 3x3 kernel, 3 to 5 channels; then a dense layer of 80 to 2."""
    import keras

    from train.door.backbones import multiply_adds

    layers = keras.layers
    net = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(5, 3, 2, "same"), layers.Flatten(), layers.Dense(2)]
    )
    assert multiply_adds(net) == 4 * 4 * 3 * 3 * 3 * 5 + 80 * 2


def test_encoder_for_smaller_crops_is_given_the_doors_crop(small):
    """Shrinking happens inside: black, grey and white stay what they are."""
    from train.door.backbones import at_door

    door = at_door(small)
    assert door.input_shape == (None, CROP_SIZE_PX, CROP_SIZE_PX, 3)
    for level in (0.0, 100.0, 255.0):
        flat = np.full((1, CROP_SIZE_PX, CROP_SIZE_PX, 3), level, np.float32)
        expected = np.asarray(small(flat[:, :32, :32], training=False))
        assert np.asarray(door(flat, training=False)) == pytest.approx(expected, abs=1e-4)


def test_door_is_given_the_mean_of_crop_and_mirror_image(tmp_path):
    """Also by the encoder that was saved and read again, which holds the weights once."""
    import keras

    from train.door.backbones import at_door, residual_encoder

    keras.utils.set_random_seed(0)  # of two channels in the head both may be dead
    encoder = residual_encoder(
        CROP_SIZE_PX, 4, stem_channels=4, stages=((4, "b"),), head_channels=8
    )
    at_door(encoder).save(tmp_path / "encoder.keras")
    door = keras.models.load_model(tmp_path / "encoder.keras")
    assert door.count_params() == encoder.count_params()
    crops = np.random.default_rng(0).uniform(0, 255, (3, *door.input_shape[1:])).astype(np.float32)
    seen, mirrored = (
        np.asarray(encoder(each, training=False)) for each in (crops, crops[:, :, ::-1])
    )
    assert not np.allclose(seen, mirrored, atol=1e-3)
    assert np.asarray(door(crops, training=False)) == pytest.approx((seen + mirrored) / 2, abs=1e-5)


def test_channels_of_equal_spread_give_the_same_embeddings(small):
    """The normalisation after the global convolution scales nothing any more."""
    import keras

    from train.door.backbones import even_out

    encoder, rng = keras.models.clone_model(small), np.random.default_rng(0)
    at = [each.name for each in encoder.layers].index("global_depthwise")
    for each in encoder.layers[at + 1].weights:
        each.assign(rng.uniform(0.2, 3.0, each.shape))
    crops = rng.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    before = np.asarray(encoder(crops, training=False))
    even_out(encoder)
    assert np.asarray(encoder(crops, training=False)) == pytest.approx(before, abs=1e-4)
    gamma, _, _, variance = (np.array(each) for each in encoder.layers[at + 1].weights)
    assert gamma / np.sqrt(variance + encoder.layers[at + 1].epsilon) == pytest.approx(1.0)


def test_resized_weights_keep_what_a_flat_face_gives(small):
    """Only the global kernel changes shape, and its sum over the face stays nearly the same."""
    from train.door.backbones import residual_encoder, resized_weights

    larger = residual_encoder(64, 8, stem_channels=4, stages=((6, "b"), (8, "n")), head_channels=8)
    held = [np.array(each) for each in small.weights]
    moved = resized_weights(held, larger)
    changed = [at for at, each in enumerate(held) if each.shape != moved[at].shape]
    assert len(changed) == 1
    before, after = held[changed[0]], moved[changed[0]]
    assert before.shape[:2] == (4, 4)
    assert after.shape[:2] == (8, 8)
    assert after.sum(axis=(0, 1)) == pytest.approx(before.sum(axis=(0, 1)), abs=1e-4)
    larger.set_weights(moved)


def test_fused_encoder_gives_the_same_and_learns_the_same_statistics(small):
    """The fast kernel is only another way to compute it."""
    from train.door.backbones import residual_encoder

    shape = {"stem_channels": 4, "stages": ((6, "b"), (8, "n")), "head_channels": 8}
    fused = residual_encoder(32, 8, fused=True, **shape)
    plain = residual_encoder(32, 8, **shape)
    plain.set_weights(fused.get_weights())
    faces = np.random.default_rng(0).uniform(0, 255, (16, 32, 32, 3)).astype(np.float32)
    for training in (False, True):
        expected = np.asarray(plain(faces, training=training))
        assert np.asarray(fused(faces, training=training)) == pytest.approx(expected, abs=1e-3)
    for one, other in zip(fused.weights, plain.weights, strict=True):
        # The fused kernel's running variance has Bessel's correction: n / (n - 1).
        assert np.array(one) == pytest.approx(np.array(other), rel=0.03, abs=1e-3)
