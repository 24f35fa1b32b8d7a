"""The eyes' training loops run, resume and leave networks that answer in the right shapes."""

from __future__ import annotations

import numpy as np
import pytest

from edge.refiner import REFINER_TEMPLATE
from train.errors import DivergedError
from train.eyes import fitting as eyes
from train.eyes import loop
from train.eyes.losses import refiner_loss
from train.eyes.material import Material, Photo

pytestmark = [pytest.mark.tf, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("tensorflow")


@pytest.fixture
def material(monkeypatch):
    """Noise with landmarks, in place of the 46,000 crops."""
    rng = np.random.default_rng(0)
    template = ((REFINER_TEMPLATE - 32) * 2 + 72).astype(np.float32)
    photo = Photo(
        rng.integers(0, 255, (200, 160)).astype(np.uint8),
        template[np.newaxis].astype(np.float64),
        np.array([0.9], np.float32),
    )
    held = Material(
        rng.integers(30, 220, (4, 144, 144)).astype(np.uint8),
        np.stack([template] * 4),
        (photo,),
        (rng.integers(0, 255, (180, 220)).astype(np.uint8),),
    )
    monkeypatch.setattr(eyes, "read_material", lambda *_: held)
    monkeypatch.setattr(eyes, "_SMALL", (64, 4, 14.0, 50.0))
    monkeypatch.setattr(eyes, "_LARGE", (96, 2, 30.0, 80.0))
    monkeypatch.setattr(eyes, "_REFINER_BATCH", 8)
    return held


def test_the_finder_trains_and_is_kept(material, tmp_path):
    import keras

    path = eyes.run_eyes(tmp_path, tmp_path, tmp_path / "run", steps=6)
    outputs = keras.models.load_model(path)(np.zeros((1, 64, 96, 1), np.float32))
    assert [tuple(each.shape) for each in outputs] == [
        *((1, 8, 12, 1), (1, 8, 12, 10)),
        *((1, 4, 6, 1), (1, 4, 6, 10)),
        *((1, 2, 3, 1), (1, 2, 3, 10)),
    ]


def test_the_refiner_trains_and_is_kept(material, tmp_path):
    import keras

    path = eyes.run_landmarks(tmp_path, tmp_path, tmp_path / "run", steps=3)
    model = keras.models.load_model(path)
    landmarks, score = model(np.zeros((1, 64, 64, 1), np.float32))
    assert (tuple(landmarks.shape), tuple(score.shape)) == ((1, 10), (1, 1))
    assert model.count_params() <= 225_000


def test_a_run_that_was_cut_off_ends_where_a_whole_one_does(material, tmp_path, monkeypatch):
    import keras

    def weights(path):
        return np.concatenate(
            [each.ravel() for each in keras.models.load_model(path).get_weights()]
        )

    monkeypatch.setattr(loop, "_SAVE_EVERY", 4)
    whole = weights(eyes.run_landmarks(tmp_path, tmp_path, tmp_path / "whole", steps=8))
    drawn = eyes._refiner_batch

    def stopped(material, hard, seed, step):
        if step == 6:
            raise KeyboardInterrupt
        return drawn(material, hard, seed, step)

    monkeypatch.setattr(eyes, "_refiner_batch", stopped)
    with pytest.raises(KeyboardInterrupt):
        eyes.run_landmarks(tmp_path, tmp_path, tmp_path / "cut", steps=8)
    monkeypatch.setattr(eyes, "_refiner_batch", drawn)
    cut = weights(eyes.run_landmarks(tmp_path, tmp_path, tmp_path / "cut", steps=8, resume=True))
    np.testing.assert_allclose(cut, whole, atol=1e-3)


def test_processes_that_draw_change_nothing(material):
    one, other = (
        list(eyes._batches(lambda step: eyes._refiner_batch(material, (), 0, step), 3, workers, 0))
        for workers in (0, 2)
    )
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left[0], right[0])
        np.testing.assert_array_equal(left[1], right[1])


def test_crops_without_a_face_have_no_say_about_landmarks():
    wanted = np.zeros((2, 11), np.float32)
    wanted[0, 10] = 1
    found = np.zeros((2, 11), np.float32)
    told = float(refiner_loss(wanted, found))
    found[1, :10] = 5
    assert float(refiner_loss(wanted, found)) == pytest.approx(told)
    found[0, :10] = 5
    assert float(refiner_loss(wanted, found)) > told + 1


def test_a_loss_that_is_no_number_stops_the_run(material, tmp_path, monkeypatch):
    monkeypatch.setattr(eyes, "refiner_loss", lambda wanted, found: found[0, 0] * np.nan)
    with pytest.raises(DivergedError, match="refiner is nan"):
        eyes.run_landmarks(tmp_path, tmp_path, tmp_path / "run", steps=2)
