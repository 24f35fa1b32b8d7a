"""A runtime that fails is reported, whichever way it fails."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("tqdm", reason="needs the workstation extra")

from convert.embedding_worker import as_aligned
from convert.runtimes import embed_int8
from edge.align import TEMPLATE, align
from edge.errors import BundleError
from edge.tflite import installed_runtimes

CROPS = np.zeros((1, 112, 112, 3), np.uint8)
RUNTIME = installed_runtimes()[0]


def test_bytes_that_are_no_network_are_refused_with_the_edges_words():
    with pytest.raises(BundleError, match=f"{RUNTIME} cannot run the encoder: .* no TFLite file"):
        embed_int8(b"no network at all", CROPS, RUNTIME)


def test_runtime_that_crashes_does_not_take_the_conversion_with_it(tmp_path, monkeypatch):
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    with pytest.raises(BundleError, match=f"{RUNTIME} died of signal 11"):
        embed_int8(b"", CROPS, RUNTIME)


def test_worker_that_fails_without_a_word_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BundleError, match="see the lines above"):
        embed_int8(b"", CROPS, RUNTIME)


def test_aligned_crop_is_what_aligning_it_again_gives():
    """Landmarks at the template's places make the identity."""
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    face = as_aligned(crop.copy())
    np.testing.assert_array_equal(face.detection.landmarks, TEMPLATE)
    np.testing.assert_array_equal(align(crop, face.detection).pixels, face.pixels)
