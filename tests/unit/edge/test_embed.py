"""The int8 encoder in both runtimes, against arithmetic written out by hand."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.embed import TfliteEmbedder, open_embedder
from edge.errors import BundleError, ConfigError
from edge.tflite import Network, Quantization, dequantize, installed_runtimes, quantize
from edge.vocabulary import AlignedFace, Box, Detection

GOLDEN = Path(__file__).parents[2] / "golden"
TINY = (GOLDEN / "tiny_encoder.tflite").read_bytes()
RUNTIMES = pytest.mark.parametrize("runtime", installed_runtimes())


def tiny_module():
    """Import the script that made the tiny encoder; tests are no package."""
    spec = importlib.util.spec_from_file_location("make_tiny", GOLDEN / "make_tiny_encoder.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tiny = tiny_module()


def face(pixels):
    detection = Detection(Box(0, 0, 1, 1), np.zeros((5, 2), np.float32), 1.0)
    return AlignedFace(pixels, np.zeros((2, 3), np.float32), detection)


def black():
    return np.zeros((112, 112, 3), np.uint8)


@given(
    values=arrays.arrays(np.float32, 20, elements=st.floats(-1.25, 1.25, width=32)),
    zero_point=st.integers(-3, 3),
)
def test_quantising_and_back_is_within_half_a_step(values, zero_point):
    step = Quantization(scale=0.01, zero_point=zero_point)
    inside = np.clip(values, (-127 - zero_point) * 0.01, (126 - zero_point) * 0.01)
    back = dequantize(quantize(inside, step), step)
    assert np.abs(back - inside).max() <= 0.01 / 2 + 1e-6


def test_quantising_rounds_shifts_and_saturates():
    values = np.array([0.0, 0.49, 0.51, -0.51, 1000.0, -1000.0], np.float32)
    assert quantize(values, Quantization(1.0, 3)).tolist() == [3, 3, 4, 2, 127, -128]


def test_dequantising_does_not_overflow_int8():
    levels = np.array([-128, 127], np.int8)
    assert dequantize(levels, Quantization(0.5, 127)).tolist() == [-127.5, 0.0]


@RUNTIMES
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_embedding_is_what_the_weights_say(runtime, seed):
    """Cosine 0.99 or more to the float arithmetic: int8 of a known network, not of a memory."""
    pixels = tiny.squares(seed + 1000)
    embedding = open_embedder(TINY, "m", runtime=runtime).embed(face(pixels))
    wanted = tiny.features(pixels)
    assert embedding.vector @ (wanted / np.linalg.norm(wanted)) > 0.99
    assert np.linalg.norm(embedding.vector) == pytest.approx(1.0, abs=1e-6)
    assert (embedding.vector.dtype, embedding.vector.shape) == (np.float32, (16,))
    assert embedding.model_id == "m"


@RUNTIMES
def test_an_embedding_outlives_the_next_one(runtime):
    """Nothing returned may look into the interpreter's memory."""
    embedder = open_embedder(TINY, "m", runtime=runtime)
    first = embedder.embed(face(tiny.squares(1)))
    before = first.vector.copy()
    second = embedder.embed(face(tiny.squares(2)))
    np.testing.assert_array_equal(first.vector, before)
    assert not np.array_equal(first.vector, second.vector)
    np.testing.assert_array_equal(embedder.embed(face(tiny.squares(1))).vector, before)


@pytest.mark.skipif(len(installed_runtimes()) < 2, reason="needs both TFLite runtimes")
def test_both_runtimes_agree():
    """They differ by one int8 step at most a feature (docs: runtimes)."""
    one, other = (open_embedder(TINY, "m", runtime=name) for name in installed_runtimes())
    for seed in range(5):
        crop = face(tiny.squares(seed))
        assert one.embed(crop).vector @ other.embed(crop).vector > 0.999


def test_auto_takes_the_first_installed_runtime():
    embedder = open_embedder(TINY, "m")
    assert embedder._network.runtime_module.startswith(installed_runtimes()[0].replace("-", "_"))


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime"])
def test_a_named_runtime_that_is_missing_says_what_to_install(monkeypatch, runtime):
    monkeypatch.setattr("edge.tflite.installed_runtimes", tuple)
    with pytest.raises(ConfigError, match=f"{runtime}.*not installed.*pip install"):
        open_embedder(TINY, "m", runtime=runtime)


def test_no_runtime_at_all_says_what_to_install(monkeypatch):
    monkeypatch.setattr("edge.tflite.installed_runtimes", tuple)
    with pytest.raises(ConfigError, match="pip install ai-edge-litert"):
        open_embedder(TINY, "m")


def test_only_the_older_runtime_installed_is_what_auto_takes(monkeypatch):
    if "tflite-runtime" not in installed_runtimes():
        pytest.skip("tflite-runtime is not installed (no wheel above Python 3.11)")
    monkeypatch.setattr("edge.tflite.installed_runtimes", lambda: ("tflite-runtime",))
    embedder = open_embedder(TINY, "m")
    assert embedder._network.runtime_module == "tflite_runtime.interpreter"


def test_an_unknown_runtime_is_refused():
    with pytest.raises(ConfigError, match="'tensorrt'; expected auto, ai-edge-litert"):
        open_embedder(TINY, "m", runtime="tensorrt")


@pytest.mark.parametrize("error", [ImportError("no such symbol"), SystemError("exception set")])
def test_a_runtime_that_does_not_start_is_a_configuration_error(monkeypatch, error):
    """tflite-runtime beside numpy 2 is installed, and ends in a SystemError."""

    class Broken:
        def __init__(self, **_):
            raise error

    broken = type("module", (), {"Interpreter": Broken})
    monkeypatch.setattr("edge.tflite.importlib.import_module", lambda name: broken)
    with pytest.raises(ConfigError, match=f"does not start .{error}"):
        open_embedder(TINY, "m")


@RUNTIMES
@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x00" * 5000, b"not a model", TINY[4:]])
def test_bytes_that_are_no_model_never_reach_the_runtime(runtime, content):
    with pytest.raises(BundleError, match="no TFLite file"):
        open_embedder(content, "m", runtime=runtime)


@pytest.mark.skipif(
    "ai-edge-litert" not in installed_runtimes(), reason="tflite-runtime 2.14 checks nothing"
)
@pytest.mark.parametrize(
    "content",
    [TINY[:8], TINY[:2000], TINY[:-50], TINY[:8] + b"\xff" * 2000, TINY[:8] + bytes(4000)],
)
def test_a_broken_model_with_the_right_first_bytes_is_a_bundle_error(content):
    """In a process of its own: a crash must fail this test, not end the run."""
    program = (
        "import sys; from edge.embed import open_embedder; from edge.errors import BundleError\n"
        "try: open_embedder(sys.stdin.buffer.read(), 'm', runtime='ai-edge-litert')\n"
        "except BundleError as exc: print(exc)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        input=content,
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert b"convert the model again" in run.stdout


class StubInterpreter:
    """An interpreter whose tensors and answers a test chooses."""

    def __init__(self, *, inputs=None, outputs=None, levels=None, error=None):
        self.inputs = [tensor((1, 112, 112, 3))] if inputs is None else inputs
        self.outputs = [tensor((1, 4), index=1)] if outputs is None else outputs
        self.levels, self.error = levels, error

    def get_input_details(self):
        return self.inputs

    def get_output_details(self):
        return self.outputs

    def set_tensor(self, index, levels):
        self.seen = levels

    def invoke(self):
        if self.error:
            raise self.error

    def get_tensor(self, index):
        return np.array([self.levels], np.int8)


def tensor(shape, *, index=0, dtype=np.int8, scales=(1.0,), zero_points=(-128,)):
    return {
        "index": index,
        "shape": np.array(shape),
        "dtype": dtype,
        "quantization_parameters": {
            "scales": np.array(scales, np.float32),
            "zero_points": np.array(zero_points),
        },
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": []},
        {"inputs": [tensor((1, 112, 112, 3))] * 2},
        {"outputs": [tensor((1, 4)), tensor((1, 4))]},
        {"inputs": [tensor((1, 96, 96, 3))]},
        {"inputs": [tensor((1, 3, 112, 112))]},
        {"outputs": [tensor((1, 4, 1))]},
        {"outputs": [tensor((2, 4))]},
        {"outputs": [tensor((1, 0))]},
        {"inputs": [tensor((1, 112, 112, 3), dtype=np.float32, scales=(), zero_points=())]},
        {"inputs": [tensor((1, 112, 112, 3), dtype=np.uint8)]},
        {"outputs": [tensor((1, 4), dtype=np.float32)]},
        {"outputs": [tensor((1, 4), scales=(0.1, 0.2), zero_points=(0, 0))]},
        {"outputs": [tensor((1, 4), scales=(0.0,))]},
        {"outputs": [tensor((1, 4), scales=(np.nan,))]},
        {"outputs": [tensor((1, 4), scales=(np.inf,))]},
        {"outputs": [tensor((1, 4), zero_points=(200,))]},
    ],
)
def test_other_tensors_than_the_edge_feeds_are_refused(wrong):
    with pytest.raises(BundleError, match="convert the model again"):
        TfliteEmbedder(Network(StubInterpreter(**wrong), "encoder"), "m")


def test_a_collapsed_network_is_an_error_and_not_an_embedding():
    embedder = TfliteEmbedder(Network(StubInterpreter(levels=[-128] * 4), "encoder"), "m")
    with pytest.raises(BundleError, match="zero for every feature"):
        embedder.embed(face(black()))


def test_a_failing_interpreter_is_a_bundle_error():
    embedder = TfliteEmbedder(
        Network(StubInterpreter(error=RuntimeError("node 3 failed")), "encoder"), "m"
    )
    with pytest.raises(BundleError, match="node 3 failed"):
        embedder.embed(face(black()))


def test_every_pixel_value_is_quantised_as_the_formula_says():
    stub = StubInterpreter(
        inputs=[tensor((1, 112, 112, 3), scales=(0.7,), zero_points=(-20,))], levels=[1, 2, 3, 4]
    )
    pixels = (np.arange(112 * 112 * 3) % 256).astype(np.uint8).reshape(112, 112, 3)
    TfliteEmbedder(Network(stub, "encoder"), "m").embed(face(pixels))
    wanted = quantize(pixels.astype(np.float32), Quantization(float(np.float32(0.7)), -20))
    np.testing.assert_array_equal(stub.seen, wanted[np.newaxis])
    assert stub.seen.dtype == np.int8


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TensorFlow's converter warns about itself
def test_the_committed_model_is_what_its_script_makes():
    pytest.importorskip("tensorflow")
    crop = face(tiny.squares(5))
    made = open_embedder(tiny.build(embedding_size=16), "m").embed(crop)
    committed = open_embedder(TINY, "m").embed(crop)
    assert made.vector @ committed.vector > 0.9999


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TensorFlow's converter warns about itself
@pytest.mark.parametrize("wrong", [{"io_type": "float32"}, {"size_px": 56}])
def test_a_real_model_of_another_kind_is_refused(wrong):
    pytest.importorskip("tensorflow")
    with pytest.raises(BundleError, match="convert the model again"):
        open_embedder(tiny.build(**wrong), "m")
