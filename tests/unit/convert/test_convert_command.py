"""`janus convert`: which arguments go together, and what is said."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("tqdm", reason="needs the workstation extra")

from convert.cli import _FORMS, COMMANDS
from convert.forms import FORMS, form_path, write_form
from convert.runtimes import embed_int8
from edge.errors import BundleError, ConfigError
from edge.tflite import installed_runtimes

needs_tensorflow = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="needs the workstation extra"
)


def run(*words):
    (command,) = COMMANDS
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*map(str, words)]))


def test_encoder_of_others_needs_a_preset_and_a_run_has_none(tmp_path):
    rest = ("--calibration", tmp_path, "--out", tmp_path / "out")
    for words in (("--from-onnx", "a.onnx"), ("runs/att", "--preset", "sface")):
        with pytest.raises(ConfigError, match="--preset goes with"):
            run(*words, *rest)


def test_one_source_is_needed_and_no_more(tmp_path, capsys):
    rest = ("--calibration", tmp_path, "--out", tmp_path / "out")
    for words in (
        (),
        ("runs/att", "--from-onnx", "a.onnx"),
        ("--from-onnx", "a", "--from-tflite", "b"),
    ):
        with pytest.raises(SystemExit):
            run(*words, *rest)
    capsys.readouterr()


def test_unknown_form_is_refused_with_those_that_there_are(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("runs/att", "--calibration", tmp_path, "--out", tmp_path / "out", "--also", "int4")
    assert "'int4' is none of float16, float32" in capsys.readouterr().err
    assert FORMS == _FORMS


@needs_tensorflow
def test_rate_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no rate"):
        run("runs/att", "--calibration", tmp_path, "--out", tmp_path / "out", "--fmr", "2")


@pytest.mark.tf
@needs_tensorflow
def test_nothing_moves_on_standard_error_where_it_is_no_terminal(int8_bytes, crops, capfd):
    for runtime in installed_runtimes():
        embed_int8(int8_bytes, crops[:3], runtime)
    assert "crop" not in capfd.readouterr().err


def test_form_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(BundleError, match="cannot be written"):
        write_form(tmp_path / "none" / "bundle.float16.tflite", b"bytes")
    write_form(form_path(tmp_path / "bundle", "float16"), b"bytes")
    assert [each.name for each in tmp_path.iterdir()] == ["bundle.float16.tflite"]
    assert np.fromfile(tmp_path / "bundle.float16.tflite", np.uint8).size == 5
