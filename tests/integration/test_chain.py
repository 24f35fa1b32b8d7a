"""Keras on the workstation → `janus convert` → the edge: two pictures, one comparison."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tqdm", reason="needs the workstation extra")

from convert.runtimes import embed_int8
from edge.align import TEMPLATE, align
from edge.bundles.bundle import inspect_bundle
from edge.tflite import installed_runtimes
from edge.vocabulary import Box, Detection

pytestmark = [
    pytest.mark.tf,
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs the workstation extra"),
]
ROOT = Path(__file__).parents[2]


def render(person, picture):
    """Return a 112x112 picture: the person's smooth pattern, under the picture's own noise.

    With lips, and without deep shadow or blur: conversions pass over what the door passes over.
    """
    rng = np.random.default_rng(person)
    coarse = rng.uniform(70, 200, (7, 7, 3)).astype(np.float32)
    pattern = cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC)
    pattern[88:96, 40:72] *= 0.5
    noise = np.random.default_rng((person, picture)).normal(0, 16, pattern.shape)
    return np.clip(pattern + noise, 0, 255).astype(np.uint8)


# In a process of its own: with TensorFlow in this one, no other test could run tflite-runtime 2.14.
MAKE_ENCODER = """
import sys
import keras
from keras import layers

keras.utils.set_random_seed(3)
encoder = keras.Sequential(
    [
        keras.Input((112, 112, 3)),
        layers.Rescaling(1 / 127.5, -1),
        layers.Conv2D(12, 5, strides=4, padding="same", activation="relu"),
        layers.DepthwiseConv2D(7, strides=7, use_bias=False),
        layers.Flatten(),
        layers.Dense(24),
    ]
)
encoder.save(sys.argv[1])
"""
JANUS = "import sys; from edge.cli import main; sys.exit(main(sys.argv[1:]))"


def python(program, *words):
    """Run *program* in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        timeout=240,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder per person, and an encoder that nobody trained."""
    directory = tmp_path_factory.mktemp("site")
    for person in range(8):
        (directory / "photos" / f"p{person}").mkdir(parents=True)
        for picture in range(5):
            path = directory / "photos" / f"p{person}" / f"{picture}.png"
            cv2.imwrite(str(path), render(person, picture)[..., ::-1])
    (directory / "run").mkdir()
    made = python(MAKE_ENCODER, directory / "run" / "encoder.keras")
    assert made.returncode == 0, made.stderr
    return directory


def janus_convert(site, out, *more):
    """Run the command as a user does."""
    words = ["convert", site / "run", "--calibration", site / "photos", "--out", site / out, *more]
    return python(JANUS, *words)


@pytest.fixture(scope="module")
def bundle(site):
    done = janus_convert(site, "bundle", "--fmr", "0.05", "--name", "toy")
    assert done.returncode == 0, done.stderr
    for runtime in installed_runtimes():
        assert f"parity       {runtime}: cosine to float 0.99" in done.stdout
    assert "8 people, 80 mated and 700 non-mated comparisons" in done.stdout
    return site / "bundle"


@pytest.mark.parametrize("runtime", installed_runtimes())
def test_edge_tells_two_people_apart_with_the_converted_encoder(bundle, runtime):
    """`edge.embed` runs in a process without TensorFlow, as at the door."""
    read = inspect_bundle(bundle)
    in_place = Detection(Box(0.0, 0.0, 112.0, 112.0), TEMPLATE.copy(), score=1.0)
    pictures = [render(*who) for who in [(2, 90), (2, 91), (5, 90)]]
    crops = np.stack([align(each, in_place).pixels for each in pictures])
    enrolled, same, other = embed_int8(read.encoder, crops, runtime)
    threshold = read.operating_point.threshold
    assert enrolled @ same >= threshold > enrolled @ other


def test_converting_again_in_another_process_gives_the_same_bytes(bundle, site):
    done = janus_convert(site, "again", "--fmr", "0.05", "--name", "toy")
    assert done.returncode == 0, done.stderr
    for name in ("encoder.tflite", "manifest.json"):
        assert (site / "again" / name).read_bytes() == (bundle / name).read_bytes()


def test_manifest_carries_the_evidence_of_its_threshold(bundle):
    manifest = inspect_bundle(bundle).manifest
    point, evidence = manifest.operating_point, manifest.training["calibration"]
    assert (point.comparisons, point.mated) == (700, 80)
    assert point.fmr <= 0.05 < evidence["fmr_upper_95"] < 1
    assert evidence["subjects"] == 8
    assert evidence["effective_comparisons"] < 700
    assert point.data_id.startswith("photos: 8 people, 40 crops, sha256 ")
    assert manifest.parity["passed"] == 1.0
    assert manifest.parity["cosine_p1"] >= 0.97
    assert {"keras", "numpy", *installed_runtimes()} <= manifest.versions.keys()


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ((), 7, "8 subjects with 700 non-mated comparisons cannot support FMR 0.001"),
        (("--fmr", "2"), 2, "--fmr 2 is no rate"),
    ],
)
def test_what_cannot_be_is_one_line_and_an_exit_code(site, more, code, said):
    done = janus_convert(site, "none", *more)
    assert done.returncode == code
    assert said in done.stderr.splitlines()[-1]
    assert not (site / "none").exists()
