"""The loop: it learns, resumes bit for bit, and stops at what is no number."""

import json

import cv2
import numpy as np
import pytest

from edge.errors import ConfigError
from train.datasets import read_folder
from train.errors import DivergedError
from train.evaluate import verify
from train.feed import feed_of
from train.fit import Watch, fit, seed_everything
from train.framing import frame
from train.losses import make_objective
from train.model import ENCODERS, assemble, build, embed
from train.recipes import resolve

pytestmark = pytest.mark.tf

SETTINGS = ["pairs_each=2", "batch=32", "epochs=3", "dropout=0.2", "augment=flip,light"]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Four people of five pictures: a pattern each, with noise."""
    directory = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    for person in range(4):
        pattern = cv2.resize(rng.integers(0, 255, (6, 6), np.uint8), (112, 112))
        for number in range(5):
            noisy = np.clip(pattern + rng.normal(0, 12, (112, 112)), 0, 255).astype(np.uint8)
            path = directory / f"p{person}" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), noisy)
    return frame(read_folder(directory), "whole")


def run(people, where, *settings, resume=False, stop_after=None):
    """Fit the article's net; *stop_after* kills the run after so many epochs."""
    recipe = resolve("att", ["sampling=drawn-pairs", *SETTINGS, *settings])
    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout)
    feed = feed_of(recipe, stem, people)
    objective = make_objective(recipe, feed.subjects, core)
    seen = []

    def figure(_core):
        seen.append(1)
        if stop_after is not None and len(seen) > stop_after:
            raise KeyboardInterrupt
        return float(len(seen))

    watch = Watch("figure", figure, keep_best=False)
    history = fit(core, objective, recipe, feed, watch=watch, run=where, resume=resume)
    return assemble(stem, core), history


def test_fitting_separates_people_that_are_apart(people, tmp_path):
    encoder, history = run(people, tmp_path, "epochs=8", "augment=", "dropout=")
    assert history[-1]["loss"] < history[0]["loss"] / 2
    found = verify(embed(encoder, people.pixels), people.numbers)
    assert found.equal_error_rate.rate < 0.1


@pytest.mark.parametrize(
    "settings", [(), ("loss=sigmoid-bce",), ("sampling=people", "people=3", "loss=margin-softmax")]
)
def test_killed_run_that_is_resumed_ends_with_the_same_weights(people, tmp_path, settings):
    """With dropout, augmentation and the optimiser's memory: bit for bit."""
    whole, history = run(people, tmp_path / "whole", *settings)
    with pytest.raises(KeyboardInterrupt):
        run(people, tmp_path / "killed", *settings, stop_after=1)
    resumed, again = run(people, tmp_path / "killed", *settings, resume=True)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [each["loss"] for each in history] == [each["loss"] for each in again]
    lines = (tmp_path / "killed" / "history.jsonl").read_text().splitlines()
    assert [json.loads(each)["epoch"] for each in lines] == [1, 2, 3]


def test_same_seed_gives_the_same_weights_and_another_seed_others(people, tmp_path):
    one, _ = run(people, tmp_path / "a", "epochs=1")
    same, _ = run(people, tmp_path / "b", "epochs=1")
    other, _ = run(people, tmp_path / "c", "epochs=1", "seed=1")
    assert (one.get_weights()[-2] == same.get_weights()[-2]).all()
    assert (one.get_weights()[-2] != other.get_weights()[-2]).any()


def test_checkpoint_of_other_settings_is_not_resumed(people, tmp_path):
    run(people, tmp_path, "epochs=1")
    with pytest.raises(ConfigError, match="belongs to other settings"):
        run(people, tmp_path, "epochs=2", resume=True)


def test_loss_that_is_no_number_stops_with_step_pictures_and_advice(people, tmp_path):
    with pytest.raises(DivergedError, match=r"epoch 1, step \d+.*p\d/\d.png.*learning_rate="):
        run(people, tmp_path, "margin=nan")


def test_unknown_optimizer_is_refused(people, tmp_path):
    with pytest.raises(ConfigError, match="expected one of rmsprop, adam"):
        run(people, tmp_path, "optimizer=sgd")


@pytest.mark.parametrize("name", ENCODERS)
def test_saved_encoder_takes_the_doors_crop_and_needs_no_code_of_ours(name, tmp_path):
    import keras

    stem, core = build(name, ())
    encoder = assemble(stem, core)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    crops = np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3), np.uint8)
    assert loaded.input_shape == (None, 112, 112, 3)
    np.testing.assert_allclose(embed(loaded, crops), embed(encoder, crops), rtol=1e-5, atol=1e-5)
    assert embed(loaded, crops).ndim == 2


def test_att_encoder_sees_every_second_pixel_of_the_article():
    stem, _ = build("att", ())
    picture = np.random.default_rng(0).integers(0, 255, (112, 92), np.uint8)
    crop = np.zeros((1, 112, 112, 3), np.uint8)
    crop[0, :, 10:102] = picture[..., None]
    seen = embed(stem, crop)
    assert seen.shape == (1, 56, 46, 1)
    np.testing.assert_allclose(seen[0, ..., 0], picture[::2, ::2], atol=1e-3)


def test_unknown_encoder_is_refused():
    with pytest.raises(ConfigError, match="expected one of att"):
        build("resnet", ())
