"""A bundle is there complete, or it is not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import bundles
import pytest

from convert import package
from convert.package import replace_eyes, write_bundle
from edge.bundles.bundle import inspect_bundle, read_bundle
from edge.bundles.signing import sign
from edge.errors import BundleError

FILES = bundles.FILES


def manifest(name="toy", **parity):
    return bundles.manifest(name=name, parity={"passed": 1.0, **parity})


def contents(directory):
    return {each.name: each.read_bytes() for each in directory.iterdir()}


def test_edge_reads_what_was_written(tmp_path):
    write_bundle(tmp_path / "made" / "bundle", manifest(), FILES, key=bundles.KEY)
    bundle = read_bundle(
        tmp_path / "made" / "bundle", alignment=bundles.GEOMETRY, trust=bundles.TRUSTED
    )
    assert bundle.manifest == manifest()
    assert {name: bundle.contents[name] for name in FILES} == FILES


def test_the_table_of_files_is_of_the_files_that_are_written(tmp_path):
    stale = bundles.manifest({"encoder.tflite": b"another"}, eyes=bundles.EYES)
    made = write_bundle(tmp_path / "bundle", stale, FILES)
    assert made.files == manifest().files == inspect_bundle(tmp_path / "bundle").manifest.files


def test_new_eyes_leave_the_model_id_and_take_the_signature(tmp_path):
    only = {"encoder.tflite": FILES["encoder.tflite"]}
    bundles.write(tmp_path / "bundle", bundles.contents(only))
    before = inspect_bundle(tmp_path / "bundle")
    replace_eyes(tmp_path / "bundle", bundles.EYES, b"finder", b"refiner")
    after = inspect_bundle(tmp_path / "bundle")
    assert (before.signer is None, after.signer) == (False, None)
    assert after.model_id == before.model_id
    assert (after.eyes.finder, after.eyes.refiner) == (b"finder", b"refiner")


def test_what_openssl_signs_is_what_the_edge_checks(tmp_path):
    """The signature is plain Ed25519 over the bytes of manifest.json: 64 bytes, deterministic."""
    write_bundle(tmp_path / "bundle", manifest(), FILES, key=bundles.KEY)
    written = (tmp_path / "bundle" / "manifest.json").read_bytes()
    signature = (tmp_path / "bundle" / "manifest.sig").read_bytes()
    assert signature == sign(written, bundles.KEY)
    assert signature.split()[-1].decode() == bundles.KEY.sign(written).hex()


def test_equal_inputs_give_equal_files(tmp_path):
    for name in ("one", "two"):
        write_bundle(tmp_path / name, manifest(), FILES)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_earlier_bundle_is_replaced(tmp_path):
    write_bundle(tmp_path / "bundle", manifest(name="old"), FILES)
    write_bundle(tmp_path / "bundle", manifest(name="new"), FILES)
    assert inspect_bundle(tmp_path / "bundle").name == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["bundle"]


def test_invalid_manifest_leaves_nothing(tmp_path):
    with pytest.raises(BundleError, match="NaN"):
        write_bundle(tmp_path / "bundle", manifest(cosine=float("nan")), FILES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", ["fsync", "open"])
def test_full_disk_leaves_the_earlier_bundle_as_it_was(tmp_path, monkeypatch, failing):
    write_bundle(tmp_path / "bundle", manifest(name="old"), FILES)
    before = contents(tmp_path / "bundle")

    def fail(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "open")), fail)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(tmp_path / "bundle", manifest(name="new"), FILES)
    monkeypatch.undo()
    assert contents(tmp_path / "bundle") == before
    assert [each.name for each in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("failure", "seen"),
    [(OSError(5, "Input/output error"), BundleError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_interrupted_last_rename_puts_the_earlier_bundle_back(tmp_path, monkeypatch, failure, seen):
    write_bundle(tmp_path / "bundle", manifest(name="old"), FILES)
    rename = Path.rename

    def fail_for_new(self, target):
        if self.name == "new":
            raise failure
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(seen):
        write_bundle(tmp_path / "bundle", manifest(name="new"), FILES)
    assert inspect_bundle(tmp_path / "bundle").name == "old"


def test_kill_before_the_rename_leaves_no_bundle(tmp_path):
    """SIGKILL runs no clean-up: what is left behind has another name."""
    roots = [
        str(Path(package.__file__).parents[1]),
        str(Path(__file__).parent),
        str(Path(bundles.__file__).parent),
    ]
    program = f"""
import os, signal, sys
sys.path[:0] = {roots!r}
from convert import package
from edge.stores import directory as directories
from test_package import FILES, manifest
directories._swap_in = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
package.write_bundle(package.Path({str(tmp_path / "bundle")!r}), manifest(), FILES)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "bundle").exists()
    assert all(each.name.startswith(".bundle.") for each in tmp_path.iterdir())


def test_directory_with_other_files_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match=r"holds thesis\.tex"):
        write_bundle(tmp_path, manifest(), FILES)


def test_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "bundle").write_text("")
    with pytest.raises(BundleError, match="no directory"):
        write_bundle(tmp_path / "bundle", manifest(), FILES)


def test_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        write_bundle(tmp_path / "file" / "bundle", manifest(), FILES)
