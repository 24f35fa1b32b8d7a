"""A bundle is read whole and verified, or refused by name."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest

from edge.bundle import (
    Manifest,
    describe_encoder,
    manifest_bytes,
    read_bundle,
)
from edge.errors import BundleError
from edge.vocabulary import OperatingPoint

GEOMETRY = "a-geometry/v1"
ENCODER = bytes(range(256)) * 8


def manifest(**changes):
    plain = Manifest(
        name="test",
        alignment=GEOMETRY,
        encoder=describe_encoder(ENCODER, embedding_size=16),
        operating_point=OperatingPoint(0.4, 1e-3, 0.05, 30_000, 900, "made up"),
        parity={"cosine_mean": 0.998, "cosine_min": 0.97, "passed": 1.0},
        training={"recipe": "att", "epochs": 12, "subjects": ["a", "b"], "seed": None},
        versions={"tensorflow": "2.21.0"},
    )
    return dataclasses.replace(plain, **changes)


def write(directory, *, tree=None, written=None, encoder=ENCODER):
    """Write a bundle; *tree* replaces the manifest's JSON, *written* its bytes."""
    directory.mkdir(exist_ok=True)
    if tree is not None:
        written = (json.dumps(tree, indent=2, sort_keys=True) + "\n").encode()
    (directory / "manifest.json").write_bytes(written or manifest_bytes(manifest()))
    (directory / "encoder.tflite").write_bytes(encoder)
    return directory


def tree_with(path, value=None, *, remove=False):
    """Return a valid manifest's JSON with one field changed."""
    tree = json.loads(manifest_bytes(manifest()))
    *parents, last = path.split(".")
    at = tree
    for parent in parents:
        at = at[parent]
    if remove:
        del at[last]
    else:
        at[last] = value
    return tree


def test_a_bundle_comes_back_as_it_was_written(tmp_path):
    bundle = read_bundle(write(tmp_path / "b"), alignment=GEOMETRY)
    assert bundle.manifest == manifest()
    assert bundle.encoder == ENCODER
    assert (bundle.name, bundle.operating_point.threshold) == ("test", 0.4)


def test_equal_manifests_give_equal_bytes_whatever_the_order_of_their_keys():
    one = manifest(versions={"a": "1", "b": "2"})
    other = manifest(versions={"b": "2", "a": "1"})
    assert manifest_bytes(one) == manifest_bytes(other)


def test_the_model_id_changes_with_encoder_and_alignment_and_with_nothing_else(tmp_path):
    def model_id(folder, encoder=ENCODER, alignment=GEOMETRY, **changes):
        facts = describe_encoder(encoder, embedding_size=16)
        written = manifest_bytes(manifest(encoder=facts, alignment=alignment, **changes))
        directory = write(tmp_path / folder, written=written, encoder=encoder)
        return read_bundle(directory, alignment=alignment).model_id

    first = model_id("1")
    assert len(first) == 64
    assert model_id("2", name="renamed", parity={"passed": 1.0}) == first
    assert model_id("3", encoder=b"other") != first
    assert model_id("4", alignment="v2") != first


def test_links_to_the_files_are_followed(tmp_path):
    real = write(tmp_path / "real")
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("manifest.json", "encoder.tflite"):
        (linked / name).symlink_to(real / name)
    assert read_bundle(linked, alignment=GEOMETRY).encoder == ENCODER


@pytest.mark.parametrize("missing", ["manifest.json", "encoder.tflite"])
def test_a_missing_file_is_named(tmp_path, missing):
    directory = write(tmp_path / "b")
    (directory / missing).unlink()
    with pytest.raises(BundleError, match=f"{missing} is missing"):
        read_bundle(directory, alignment=GEOMETRY)


def test_a_directory_in_a_files_place_is_refused(tmp_path):
    directory = write(tmp_path / "b")
    (directory / "encoder.tflite").unlink()
    (directory / "encoder.tflite").mkdir()
    with pytest.raises(BundleError, match="no file"):
        read_bundle(directory, alignment=GEOMETRY)


@pytest.mark.parametrize("name", ["manifest.json", "encoder.tflite"])
def test_a_huge_file_is_refused_before_it_fills_the_memory(tmp_path, name):
    directory = write(tmp_path / "b")
    with (directory / name).open("r+b") as file:
        file.truncate(1 << 40)  # sparse: it takes no disk, and would take 1 TiB of memory
    with pytest.raises(BundleError, match=f"{name} is larger than"):
        read_bundle(directory, alignment=GEOMETRY)


def test_an_encoder_of_another_length_is_refused(tmp_path):
    directory = write(tmp_path / "b", encoder=ENCODER[:-1])
    with pytest.raises(BundleError, match=r"encoder\.tflite has 2,047 bytes.*2,048"):
        read_bundle(directory, alignment=GEOMETRY)


def test_an_encoder_of_another_bundle_is_refused_by_its_hash(tmp_path):
    directory = write(tmp_path / "b", encoder=ENCODER[::-1])
    with pytest.raises(BundleError, match=r"encoder\.tflite has sha256"):
        read_bundle(directory, alignment=GEOMETRY)


def test_another_geometry_is_refused_with_both_names(tmp_path):
    with pytest.raises(BundleError, match=r"a-geometry/v1.*other-geometry"):
        read_bundle(write(tmp_path / "b"), alignment="other-geometry")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("schema", 2, "schema is 2, this edge reads 1"),
        ("name", "", "name is ''"),
        ("name", 7, "name is '7'; expected of type str"),
        ("encoder", [], r"encoder is '\[\]'; expected of type dict"),
        ("encoder.file", "../encoder.tflite", "encoder.file"),
        ("encoder.file", "/etc/passwd", "encoder.file"),
        ("encoder.file", "..", "encoder.file"),
        ("encoder.file", "a\x00b", "encoder.file"),
        ("encoder.sha256", "00", "encoder.sha256"),
        ("encoder.bytes", 0, "encoder.bytes"),
        ("encoder.bytes", 1 << 40, "encoder.bytes"),
        ("encoder.bytes", True, "encoder.bytes"),
        ("encoder.bytes", 2048.0, "encoder.bytes"),
        ("encoder.input_shape", [1, 96, 96, 3], "encoder.input_shape"),
        ("encoder.input_dtype", "float32", "encoder.input_dtype"),
        ("encoder.value_range", [-1, 1], "encoder.value_range"),
        ("encoder.embedding_size", 0, "encoder.embedding_size"),
        ("encoder.extra", 1, "encoder.extra is unknown"),
        ("operating_point.threshold", float("nan"), "not JSON"),
        ("operating_point.threshold", float("inf"), "not JSON"),
        ("operating_point.threshold", 1.5, "operating_point.threshold"),
        ("operating_point.threshold", 1, "operating_point.threshold"),
        ("operating_point.threshold", "0.4", "operating_point.threshold"),
        ("operating_point.fmr", -0.1, "operating_point.fmr"),
        ("operating_point.fnmr", 1.1, "operating_point.fnmr"),
        ("operating_point.comparisons", 0, "operating_point.comparisons"),
        ("operating_point.mated", -1, "operating_point.mated"),
        ("operating_point.data_id", " ", "operating_point.data_id"),
        ("parity.cosine_mean", "high", "parity.cosine_mean"),
        ("training.recipe", 3, "training.recipe"),
        ("versions.tensorflow", 2.21, "versions.tensorflow"),
        ("extra", 1, "extra is unknown"),
    ],
)
def test_an_impossible_field_is_named(tmp_path, path, value, said):
    directory = write(tmp_path / "b", tree=tree_with(path, value))
    with pytest.raises(BundleError, match=said) as caught:
        read_bundle(directory, alignment=GEOMETRY)
    assert "manifest.json" in str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["name", "alignment", "encoder", "encoder.sha256", "operating_point.fmr", "parity", "versions"],
)
def test_a_missing_field_is_named(tmp_path, path):
    directory = write(tmp_path / "b", tree=tree_with(path, remove=True))
    with pytest.raises(BundleError, match=f"{path} is missing"):
        read_bundle(directory, alignment=GEOMETRY)


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"schema": ' + b"9" * 5000 + b"}",
        manifest_bytes(manifest()).replace(b"0.4", b"1e999"),
        manifest_bytes(manifest()).replace(b'"epochs": 12', b'"epochs": 1e999'),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path, written):
    (tmp_path / "manifest.json").write_bytes(written)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_bundle(tmp_path, alignment=GEOMETRY)


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b"\n", b"\r\n"),
        (b'"schema"', b'"name": "x", "schema"'),
        (b"0.4", b"0.40"),
        (b"e", b"\\u0065"),
    ],
)
def test_a_manifest_that_was_written_otherwise_is_refused(tmp_path, there, instead):
    """Two manifests never mean the same, so a hash over it will be worth signing."""
    written = manifest_bytes(manifest())
    assert there in written
    directory = write(tmp_path / "b", written=written.replace(there, instead, 1))
    with pytest.raises(BundleError, match="not as `janus convert` writes it"):
        read_bundle(directory, alignment=GEOMETRY)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"operating_point": OperatingPoint(float("nan"), 0.1, 0.1, 1, 1, "x")},
        {"parity": {"cosine": float("inf")}},
        {"training": {}},
    ],
)
def test_a_manifest_that_the_edge_would_refuse_cannot_be_written(changes):
    with pytest.raises(BundleError):
        manifest_bytes(manifest(**changes))


def test_no_damage_crashes_the_reader_or_changes_the_encoder(tmp_path):
    """500 mutations: BundleError, or another valid manifest about the very same encoder.

    Only a signature can tell that a threshold or a name was changed by one who knows how.
    """
    chance = random.Random(20261122)
    originals = {
        "manifest.json": manifest_bytes(manifest()),
        "encoder.tflite": ENCODER,
    }
    directory = write(tmp_path / "b")
    accepted = 0
    for _ in range(500):
        name = chance.choice(sorted(originals))
        damaged = mutate(originals[name], chance)
        (directory / name).write_bytes(damaged)
        try:
            bundle = read_bundle(directory, alignment=GEOMETRY)
        except BundleError:
            pass
        else:
            assert bundle.encoder == ENCODER
            if damaged != originals[name]:
                assert name == "manifest.json"
                assert bundle.manifest != manifest()
                accepted += 1
        (directory / name).write_bytes(originals[name])
    assert accepted < 100


def mutate(content, chance):
    kind = chance.randrange(4)
    at = chance.randrange(len(content))
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
    if kind == 2:
        return content[:at] + content[at + chance.randrange(1, 9) :]
    return content[:at] + chance.randbytes(chance.randrange(1, 9)) + content[at:]


@pytest.mark.parametrize("parity", [{}, {"passed": 0.0}, {"cosine_mean": 0.999}])
def test_an_encoder_that_did_not_pass_parity_opens_no_door(tmp_path, parity):
    """`janus convert --force` writes such bundles, for looking at."""
    directory = write(tmp_path / "b", written=manifest_bytes(manifest(parity=parity)))
    with pytest.raises(BundleError, match="parity"):
        read_bundle(directory, alignment=GEOMETRY)
