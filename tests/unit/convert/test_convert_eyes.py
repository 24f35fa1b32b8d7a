"""The eyes' networks become a bundle that the edge opens, or are refused."""

from __future__ import annotations

import numpy as np
import pytest
from bundles import FILES, contents, write

from edge.bundles.bundle import inspect_bundle
from edge.config import DetectorConfig
from edge.detect import open_detector
from edge.errors import BundleError
from edge.refiner import REFINER_TEMPLATE
from train.eyes.material import Material, Photo

pytestmark = [pytest.mark.tf, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("tensorflow")


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A run of two networks as they are before training, and noise to convert them with."""
    from convert import eyes
    from train.eyes.model import build_finder, build_refiner

    rng = np.random.default_rng(0)
    template = ((REFINER_TEMPLATE - 32) * 2 + 72).astype(np.float32)
    held = Material(
        rng.integers(30, 220, (4, 144, 144)).astype(np.uint8),
        np.stack([template] * 4),
        (
            Photo(
                rng.integers(0, 255, (200, 160)).astype(np.uint8),
                template[np.newaxis].astype(np.float64),
                np.array([0.9], np.float32),
            ),
        ),
        (rng.integers(0, 255, (180, 220)).astype(np.uint8),),
    )
    monkeypatch.setattr(eyes, "read_material", lambda *_: held)
    monkeypatch.setattr(eyes, "_PICTURES", 4)
    monkeypatch.setattr(eyes, "_CROPS", 8)
    directory = tmp_path / "run"
    directory.mkdir()
    finder, refiner = build_finder(), build_refiner()
    finder.save(directory / "finder.keras")
    refiner.save(directory / "refiner.keras")
    return directory


@pytest.fixture
def bundle(tmp_path):
    """A signed bundle without eyes."""
    files = {"encoder.tflite": FILES["encoder.tflite"]}
    return write(tmp_path / "bundle", contents(files))


def test_a_finder_that_has_learnt_nothing_is_refused(run, tmp_path, bundle):
    from convert.eyes import convert_eyes, holds_eyes

    assert holds_eyes(run)
    with pytest.raises(BundleError, match="has not learnt"):
        convert_eyes(run, tmp_path, bundle)
    assert inspect_bundle(bundle).eyes is None


def test_eyes_need_a_bundle_with_an_encoder(run, tmp_path):
    from convert.eyes import convert_eyes

    with pytest.raises(BundleError, match="eyes become part of a bundle"):
        convert_eyes(run, tmp_path, tmp_path / "nothing")


def test_the_edge_opens_what_was_converted(run, tmp_path, monkeypatch, bundle):
    import keras

    from convert import eyes

    finder = keras.models.load_model(run / "finder.keras")
    for stride in (8, 16, 32):  # now it sees faces everywhere
        kernel, bias = finder.get_layer(f"score_{stride}").get_weights()
        finder.get_layer(f"score_{stride}").set_weights([kernel, bias + 8])
    finder.save(run / "finder.keras")
    # Parity of untrained networks means nothing.
    monkeypatch.setattr(eyes, "_LIMITS", dict.fromkeys(eyes._LIMITS, 1e6))
    before = inspect_bundle(bundle).model_id
    facts = eyes.convert_eyes(run, tmp_path, bundle)
    made = inspect_bundle(bundle)
    assert made.manifest.eyes == facts
    assert (made.model_id, made.signer) == (before, None)  # galleries stay, the signature goes
    detector = open_detector(DetectorConfig(backend="janus"), eyes=made.eyes)
    detector.detect(np.zeros((480, 640, 3), np.uint8))
