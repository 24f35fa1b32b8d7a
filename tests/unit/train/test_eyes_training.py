"""The eyes' training loops run, resume and leave networks that answer in the right shapes."""

from __future__ import annotations

import numpy as np
import pytest

from edge.eyes import REFINER_TEMPLATE
from train.errors import DivergedError
from train.eyes import fitting as eyes
from train.eyes.material import Material, Photo

pytestmark = [pytest.mark.tf, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("tensorflow")

_SECONDS = 1 / 60  # of a minute


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
    # Small pools: the first batches fill them, and the test waits for those.
    monkeypatch.setattr(eyes, "_SMALL", (64, 4, 14.0, 50.0, 12))
    monkeypatch.setattr(eyes, "_LARGE", (96, 2, 30.0, 80.0, 12))
    monkeypatch.setattr(eyes, "_REFINER_BATCH", 8)
    monkeypatch.setattr(eyes, "_REFINER_POOL", 24)
    return held


def test_the_finder_trains_resumes_and_is_kept(material, tmp_path, monkeypatch):
    import keras

    monkeypatch.setattr(eyes, "_SAVE_EVERY_S", 0.0)
    path = eyes.run_eyes(tmp_path, tmp_path, tmp_path / "run", minutes=_SECONDS)
    with np.load(tmp_path / "run" / "finder.checkpoint.npz") as held:
        steps, spent_s = int(held["step"]), float(held["spent_s"])
    assert steps > 0
    longer = (spent_s + 2) * _SECONDS
    eyes.run_eyes(tmp_path, tmp_path, tmp_path / "run", minutes=longer, resume=True)
    with np.load(tmp_path / "run" / "finder.checkpoint.npz") as held:
        assert int(held["step"]) > steps
    outputs = keras.models.load_model(path)(np.zeros((1, 64, 96, 1), np.float32))
    assert [tuple(each.shape) for each in outputs] == [
        *((1, 8, 12, 1), (1, 8, 12, 10)),
        *((1, 4, 6, 1), (1, 4, 6, 10)),
        *((1, 2, 3, 1), (1, 2, 3, 10)),
    ]


def test_the_refiner_trains_and_is_kept(material, tmp_path):
    import keras

    path = eyes.run_landmarks(tmp_path, tmp_path, tmp_path / "run", minutes=_SECONDS)
    model = keras.models.load_model(path)
    landmarks, score = model(np.zeros((1, 64, 64, 1), np.float32))
    assert (tuple(landmarks.shape), tuple(score.shape)) == ((1, 10), (1, 1))
    assert model.count_params() <= 150_000


def test_a_loss_that_is_no_number_stops_the_run(material, tmp_path, monkeypatch):
    monkeypatch.setattr(eyes, "refiner_loss", lambda outputs, targets: outputs[0][0, 0] * np.nan)
    with pytest.raises(DivergedError, match="refiner is nan"):
        eyes.run_landmarks(tmp_path, tmp_path, tmp_path / "run", minutes=_SECONDS)
