"""A bundle is there complete, or it is not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from convert import package
from convert.package import write_bundle
from edge.align import ALIGNMENT
from edge.bundle import Manifest, describe_encoder, read_bundle
from edge.errors import BundleError
from edge.vocabulary import OperatingPoint

ENCODER = b"\x1c\x00\x00\x00TFL3 not a network, but bytes to be kept"


def manifest(encoder=ENCODER, name="toy", **parity):
    point = OperatingPoint(0.4, 1e-3, 0.02, 30_000, 900, "toys")
    facts = describe_encoder(encoder, embedding_size=32)
    return Manifest(
        name=name,
        alignment=ALIGNMENT,
        encoder=facts,
        operating_point=point,
        parity={"passed": 1.0, **parity},
        training={"recipe": "toy"},
        versions={"numpy": "1"},
    )


def contents(directory):
    return {each.name: each.read_bytes() for each in directory.iterdir()}


def test_edge_reads_what_was_written(tmp_path):
    write_bundle(tmp_path / "made" / "bundle", manifest(), ENCODER)
    bundle = read_bundle(tmp_path / "made" / "bundle", alignment=ALIGNMENT)
    assert (bundle.encoder, bundle.manifest) == (ENCODER, manifest())


def test_equal_inputs_give_equal_files(tmp_path):
    for name in ("one", "two"):
        write_bundle(tmp_path / name, manifest(), ENCODER)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_earlier_bundle_is_replaced(tmp_path):
    write_bundle(tmp_path / "bundle", manifest(name="old"), ENCODER)
    write_bundle(tmp_path / "bundle", manifest(name="new"), ENCODER)
    assert read_bundle(tmp_path / "bundle", alignment=ALIGNMENT).name == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["bundle"]


def test_invalid_manifest_leaves_nothing(tmp_path):
    with pytest.raises(BundleError, match="NaN"):
        write_bundle(tmp_path / "bundle", manifest(cosine=float("nan")), ENCODER)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", ["fsync", "open"])
def test_full_disk_leaves_the_earlier_bundle_as_it_was(tmp_path, monkeypatch, failing):
    write_bundle(tmp_path / "bundle", manifest(name="old"), ENCODER)
    before = contents(tmp_path / "bundle")

    def fail(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "open")), fail)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(tmp_path / "bundle", manifest(name="new"), ENCODER)
    monkeypatch.undo()
    assert contents(tmp_path / "bundle") == before
    assert [each.name for each in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("failure", "seen"),
    [(OSError(5, "Input/output error"), BundleError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_interrupted_last_rename_puts_the_earlier_bundle_back(tmp_path, monkeypatch, failure, seen):
    write_bundle(tmp_path / "bundle", manifest(name="old"), ENCODER)
    rename = Path.rename

    def fail_for_new(self, target):
        if self.name == "new":
            raise failure
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(seen):
        write_bundle(tmp_path / "bundle", manifest(name="new"), ENCODER)
    assert read_bundle(tmp_path / "bundle", alignment=ALIGNMENT).name == "old"


def test_kill_before_the_rename_leaves_no_bundle(tmp_path):
    """SIGKILL runs no clean-up: what is left behind has another name."""
    program = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(package.__file__).parents[1]), str(Path(__file__).parent)]!r}
from convert import package
from test_package import ENCODER, manifest
package._swap_in = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
package.write_bundle(package.Path({str(tmp_path / "bundle")!r}), manifest(), ENCODER)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "bundle").exists()
    assert all(each.name.startswith(".bundle.") for each in tmp_path.iterdir())


def test_directory_with_other_files_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match=r"holds thesis\.tex"):
        write_bundle(tmp_path, manifest(), ENCODER)


def test_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "bundle").write_text("")
    with pytest.raises(BundleError, match="no directory"):
        write_bundle(tmp_path / "bundle", manifest(), ENCODER)


def test_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        write_bundle(tmp_path / "file" / "bundle", manifest(), ENCODER)
