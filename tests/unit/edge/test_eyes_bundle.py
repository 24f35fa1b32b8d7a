"""The eyes' bundle is read whole and verified, or refused by name."""

from __future__ import annotations

import dataclasses
import json

import pytest

from edge.errors import BundleError
from edge.eyes_bundle import (
    GEOMETRY,
    EyesManifest,
    describe_network,
    eyes_manifest_bytes,
    read_eyes,
)

FINDER, REFINER = b"finds" * 100, b"places" * 50


def manifest(**changes):
    plain = EyesManifest(
        name="test",
        geometry=GEOMETRY,
        finder=describe_network("finder.tflite", FINDER),
        refiner=describe_network("refiner.tflite", REFINER),
        score=0.5,
        parity={"finder_moved": 0.004},
        training={"photos": 1500},
        versions={"tensorflow": "2.21.0"},
    )
    return dataclasses.replace(plain, **changes)


def write(directory, *, written=None, finder=FINDER, refiner=REFINER):
    (directory / "manifest.json").write_bytes(written or eyes_manifest_bytes(manifest()))
    (directory / "finder.tflite").write_bytes(finder)
    (directory / "refiner.tflite").write_bytes(refiner)
    return directory


def test_a_whole_bundle_gives_the_bytes_that_were_hashed(tmp_path):
    eyes = read_eyes(write(tmp_path))
    assert (eyes.finder, eyes.refiner) == (FINDER, REFINER)
    assert eyes.manifest == manifest()


@pytest.mark.parametrize("which", ["finder", "refiner"])
@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b"x" + b[1:]])
def test_a_network_that_was_changed_is_refused_by_name(tmp_path, which, change):
    content = {"finder": FINDER, "refiner": REFINER}[which]
    write(tmp_path, **{which: change(content)})
    with pytest.raises(BundleError, match=f"{which}.tflite .* the manifest says"):
        read_eyes(tmp_path)


@pytest.mark.parametrize("missing", ["manifest.json", "finder.tflite", "refiner.tflite"])
def test_a_missing_file_is_named(tmp_path, missing):
    (write(tmp_path) / missing).unlink()
    with pytest.raises(BundleError, match=missing):
        read_eyes(tmp_path)


def test_swapped_networks_are_refused(tmp_path):
    write(tmp_path, finder=REFINER, refiner=FINDER)
    with pytest.raises(BundleError, match="the manifest says"):
        read_eyes(tmp_path)


def test_eyes_of_another_geometry_are_refused(tmp_path):
    written = eyes_manifest_bytes(manifest(geometry="something/else"))
    with pytest.raises(BundleError, match="geometry 'something/else'"):
        read_eyes(write(tmp_path, written=written))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("score", 1.5),
        ("score", "high"),
        ("finder.file", "../finder.tflite"),
        ("refiner.sha256", "abc"),
        ("finder.bytes", 0),
        ("schema", 2),
        ("unknown", 1),
        ("parity.x", "near"),
    ],
)
def test_an_impossible_field_is_named(tmp_path, path, value):
    tree = json.loads(eyes_manifest_bytes(manifest()))
    *parents, last = path.split(".")
    at = tree
    for parent in parents:
        at = at[parent]
    at[last] = value
    written = (json.dumps(tree, indent=2, sort_keys=True) + "\n").encode()
    with pytest.raises(BundleError, match=path.replace(".", r"\.")):
        read_eyes(write(tmp_path, written=written))


def test_an_edited_form_is_refused(tmp_path):
    written = eyes_manifest_bytes(manifest()).replace(b"  ", b" ")
    with pytest.raises(BundleError, match="edited"):
        read_eyes(write(tmp_path, written=written))
