"""A bundle is read whole, verified and trusted, or refused by name."""

from __future__ import annotations

import dataclasses
import hashlib

import bundles
import pytest
from bundles import FILES, GEOMETRY, OTHER_KEY, TRUSTED, UNSIGNED, contents, rewritten, write

from edge.bundles.bundle import check_bundle, inspect_bundle, read_bundle
from edge.bundles.manifest import manifest_bytes
from edge.bundles.shipped import MANIFEST_SHA256
from edge.bundles.signing import Trust
from edge.config import SHIPPED_BUNDLE
from edge.errors import BundleError
from edge.vocabulary import EvidenceMap, OperatingPoint

NETWORKS = ("encoder.tflite", "finder.tflite", "refiner.tflite")


def read(directory, trust=TRUSTED):
    return read_bundle(directory, alignment=GEOMETRY, trust=trust)


def test_a_bundle_comes_back_as_it_was_written(tmp_path):
    bundle = read(write(tmp_path / "b", contents()))
    assert bundle.manifest == bundles.manifest()
    assert bundle.encoder == FILES["encoder.tflite"]
    assert (bundle.eyes.finder, bundle.eyes.refiner, bundle.eyes.score) == (
        FILES["finder.tflite"],
        FILES["refiner.tflite"],
        0.5,
    )
    assert (bundle.name, bundle.operating_point.threshold) == ("test", 0.4)
    assert bundle.evidence.at(0.2) == 0.5
    assert bundle.signer in TRUSTED.keys


def test_a_bundle_need_not_have_eyes(tmp_path):
    files = {"encoder.tflite": FILES["encoder.tflite"]}
    assert read(write(tmp_path / "b", contents(files))).eyes is None


def test_equal_manifests_give_equal_bytes_whatever_the_order_of_their_keys():
    one = bundles.manifest(versions={"a": "1", "b": "2"})
    other = bundles.manifest(versions={"b": "2", "a": "1"})
    assert manifest_bytes(one) == manifest_bytes(other)


def test_the_model_id_changes_with_encoder_and_alignment_and_with_nothing_else():
    first = bundles.manifest()
    encoder = FILES["encoder.tflite"]
    # The formula of schema 1: galleries that were enrolled then stay valid.
    named = f"{hashlib.sha256(encoder).hexdigest()} {GEOMETRY}"
    assert first.model_id == hashlib.sha256(named.encode()).hexdigest()
    new_eyes = FILES | {"finder.tflite": b"sharper", "MODEL_CARD.md": b"# New"}
    same = bundles.manifest(new_eyes, name="renamed", parity={"passed": 1.0})
    assert same.model_id == first.model_id
    assert bundles.manifest(FILES | {"encoder.tflite": b"other"}).model_id != first.model_id
    assert bundles.manifest(alignment="v2").model_id != first.model_id


def test_links_to_the_files_are_followed(tmp_path):
    real = write(tmp_path / "real", contents())
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in contents():
        (linked / name).symlink_to(real / name)
    assert read(linked).encoder == FILES["encoder.tflite"]


@pytest.mark.parametrize("missing", ["manifest.json", *FILES])
def test_a_missing_file_is_named(tmp_path, missing):
    directory = write(tmp_path / "b", contents())
    (directory / missing).unlink()
    with pytest.raises(BundleError, match=f"{missing} is missing"):
        read(directory)


@pytest.mark.parametrize("name", ["extra.tflite", ".hidden", "manifest.json.old"])
def test_what_the_manifest_does_not_name_is_refused(tmp_path, name):
    directory = write(tmp_path / "b", contents())
    (directory / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=f"{name} is not named"):
        read(directory)


def test_a_directory_in_a_files_place_is_refused(tmp_path):
    directory = write(tmp_path / "b", contents())
    (directory / "encoder.tflite").unlink()
    (directory / "encoder.tflite").mkdir()
    with pytest.raises(BundleError, match="no file"):
        read(directory)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "encoder.tflite"])
def test_a_huge_file_is_refused_before_it_fills_the_memory(tmp_path, name):
    directory = write(tmp_path / "b", contents())
    with (directory / name).open("r+b") as file:
        file.truncate(1 << 40)  # sparse: it takes no disk, and would take 1 TiB of memory
    with pytest.raises(BundleError, match=f"{name} is larger than"):
        read(directory)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_length_is_refused_by_name(tmp_path, name):
    directory = write(tmp_path / "b", contents() | {name: FILES[name][:-1]})
    with pytest.raises(BundleError, match=rf"{name} has .* bytes, the manifest says"):
        read(directory)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_bundle_is_refused_by_its_hash(tmp_path, name):
    directory = write(tmp_path / "b", contents() | {name: FILES[name][::-1]})
    with pytest.raises(BundleError, match=rf"{name} has sha256"):
        read(directory)


def test_files_of_two_signed_bundles_do_not_mix():
    other_files = {name: content[::-1] for name, content in FILES.items()}
    one, other = contents(), contents(other_files, name="other")
    for name in one:
        with pytest.raises(BundleError, match=name if name in FILES else r"manifest"):
            check_bundle(
                one | {name: other[name]}, SHIPPED_BUNDLE, alignment=GEOMETRY, trust=TRUSTED
            )


def test_another_geometry_is_refused_with_both_names(tmp_path):
    with pytest.raises(BundleError, match=r"a-geometry/v1.*other-geometry"):
        read_bundle(write(tmp_path / "b", contents()), alignment="other-geometry", trust=TRUSTED)


def test_eyes_of_another_geometry_are_refused(tmp_path):
    eyes = dataclasses.replace(bundles.EYES, geometry="something/else")
    with pytest.raises(BundleError, match="geometry 'something/else'"):
        read(write(tmp_path / "b", contents(eyes=eyes)))


def test_an_unsigned_bundle_is_opened_only_where_that_is_allowed(tmp_path):
    directory = write(tmp_path / "b", contents(key=None))
    with pytest.raises(BundleError, match=r"no manifest\.sig.*allow_unsigned = true"):
        read(directory)
    assert read(directory, UNSIGNED).signer is None


def test_a_key_that_is_not_trusted_opens_nothing(tmp_path):
    directory = write(tmp_path / "b", contents(key=OTHER_KEY))
    with pytest.raises(BundleError, match="does not trust"):
        read(directory)
    with pytest.raises(BundleError, match="does not trust"):  # a signature that is there counts
        read(directory, UNSIGNED)


@pytest.mark.parametrize(
    "change",
    [
        lambda sig: sig[:-1],
        lambda sig: b"",
        lambda sig: sig.upper(),
        lambda sig: sig + b"\n",
        lambda sig: sig[:-3] + bytes([sig[-3] ^ 1]) + sig[-2:],
        lambda sig: sig.replace(b"/1", b"/2"),
    ],
)
@pytest.mark.parametrize("trust", [TRUSTED, UNSIGNED])
def test_a_damaged_signature_is_refused(change, trust):
    whole = contents()
    damaged = whole | {"manifest.sig": change(whole["manifest.sig"])}
    with pytest.raises(BundleError, match=r"manifest\.sig"):
        check_bundle(damaged, SHIPPED_BUNDLE, alignment=GEOMETRY, trust=trust)


def test_a_changed_manifest_is_refused_before_it_is_parsed():
    """Nothing of what nobody vouches for reaches the JSON parser."""
    damaged = contents() | {"manifest.json": b"[" * 100_000}
    with pytest.raises(BundleError, match="does not fit"):
        check_bundle(damaged, SHIPPED_BUNDLE, alignment=GEOMETRY, trust=TRUSTED)


def test_the_pinned_manifest_needs_no_signature_and_no_other_is_exempt():
    whole = contents(key=None)
    pin = hashlib.sha256(whole["manifest.json"]).hexdigest()
    trust = Trust(pinned=frozenset({pin}))
    check_bundle(whole, SHIPPED_BUNDLE, alignment=GEOMETRY, trust=trust)
    with pytest.raises(BundleError, match=r"manifest\.sig"):
        check_bundle(contents(key=None, name="b"), SHIPPED_BUNDLE, alignment=GEOMETRY, trust=trust)


def test_the_shipped_bundle_is_the_pinned_one_and_small():
    """After a change below edge/model: scripts/ship_bundle."""
    shipped = inspect_bundle(SHIPPED_BUNDLE)
    assert shipped.bundle_id == MANIFEST_SHA256
    assert shipped.eyes is not None
    assert "MODEL_CARD.md" in shipped.contents
    assert len(shipped.encoder) <= 1_500_000
    assert sum(map(len, shipped.contents.values())) <= 2_000_000


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("schema", 1, "schema is 1, this edge reads 2"),
        ("name", "", "name is ''"),
        ("name", 7, "name is '7'; expected of type str"),
        ("files", {}, "encoder.tflite too"),
        ("files/finder.tflite", {}, r"files\.finder\.tflite\.sha256 is missing"),
        ("encoder", [], r"encoder is '\[\]'; expected of type dict"),
        ("files/encoder.tflite/sha256", "00", r"files\.encoder\.tflite\.sha256"),
        ("files/encoder.tflite/bytes", 0, r"files\.encoder\.tflite\.bytes"),
        ("files/encoder.tflite/bytes", 1 << 40, r"files\.encoder\.tflite\.bytes"),
        ("files/encoder.tflite/bytes", True, r"files\.encoder\.tflite\.bytes"),
        ("files/encoder.tflite/bytes", 2048.0, r"files\.encoder\.tflite\.bytes"),
        ("files/encoder.tflite/extra", 1, r"files\.encoder\.tflite\.extra is unknown"),
        ("files/manifest.sig", {}, "files is 'manifest.sig'"),
        ("files/a\x00b", {}, "file name without a path"),
        ("files/..", {}, "file name without a path"),
        ("encoder/input_shape", [1, 96, 96, 3], "encoder.input_shape"),
        ("encoder/input_dtype", "float32", "encoder.input_dtype"),
        ("encoder/value_range", [-1, 1], "encoder.value_range"),
        ("encoder/embedding_size", 0, "encoder.embedding_size"),
        ("encoder/extra", 1, "encoder.extra is unknown"),
        ("eyes", None, "eyes is 'None'; expected facts"),
        ("eyes/score", 1.5, "eyes.score"),
        ("eyes/score", "high", "eyes.score"),
        ("eyes/parity/x", "near", "eyes.parity.x"),
        ("eyes/unknown", 1, "eyes.unknown is unknown"),
        ("operating_point/threshold", float("nan"), "not JSON"),
        ("operating_point/threshold", float("inf"), "not JSON"),
        ("operating_point/threshold", 1.5, "operating_point.threshold"),
        ("operating_point/threshold", 1, "operating_point.threshold"),
        ("operating_point/threshold", "0.4", "operating_point.threshold"),
        ("operating_point/fmr", -0.1, "operating_point.fmr"),
        ("operating_point/fnmr", 1.1, "operating_point.fnmr"),
        ("operating_point/comparisons", 0, "operating_point.comparisons"),
        ("operating_point/mated", -1, "operating_point.mated"),
        ("operating_point/data_id", " ", "operating_point.data_id"),
        ("evidence/scores", [0.1, 0.1, 0.2], "evidence: scores rise"),
        ("evidence/scores", [0.1], "evidence: a map has two points"),
        ("evidence/scores", [0.1, 0.2, 3.0], r"evidence\.scores\.2"),
        ("evidence/scores", [0.1, 1, 2], r"evidence\.scores\.1"),
        ("evidence/log_likelihood_ratios", [0.0, 1.0, 0.5], "ratios never fall"),
        ("evidence/log_likelihood_ratios", "many", "evidence.log_likelihood_ratios"),
        ("parity/cosine_mean", "high", "parity.cosine_mean"),
        ("training/recipe", 3, "training.recipe"),
        ("versions/tensorflow", 2.21, "versions.tensorflow"),
        ("extra", 1, "extra is unknown"),
    ],
)
def test_an_impossible_field_is_named(path, value, said):
    written = rewritten(path, value)
    with pytest.raises(BundleError, match=said) as caught:
        check_bundle(contents(written=written), SHIPPED_BUNDLE, alignment=GEOMETRY, trust=TRUSTED)
    assert "manifest.json" in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "name", "alignment", "files", "encoder", "eyes", "evidence", "operating_point/fmr",
        "parity", "versions", "files/encoder.tflite/sha256",
    ],
)  # fmt: skip
def test_a_missing_field_is_named(path):
    written = rewritten(path, remove=True)
    with pytest.raises(BundleError, match=f"{path.replace('/', '.')} is missing"):
        check_bundle(contents(written=written), SHIPPED_BUNDLE, alignment=GEOMETRY, trust=TRUSTED)


WHOLE = manifest_bytes(bundles.manifest())


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
        WHOLE.replace(b"0.4", b"1e999"),
        WHOLE.replace(b'"epochs": 12', b'"epochs": 1e999'),
        WHOLE.replace(b'"epochs": 12', b'"epochs": ' + b"[" * 600 + b"]" * 600),
    ],
    ids=range(10),
)
def test_what_is_no_manifest_is_refused_even_where_unsigned_ones_are_opened(written):
    with pytest.raises(BundleError, match=r"manifest\.json"):
        check_bundle(
            contents(written=written, key=None),
            SHIPPED_BUNDLE,
            alignment=GEOMETRY,
            trust=UNSIGNED,
        )


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b"\n", b"\r\n"),
        (b'"schema"', b'"name": "x", "schema"'),
        (b"0.4", b"0.40"),
        (b"e", b"\\u0065"),
    ],
)
def test_a_manifest_that_was_written_otherwise_is_refused(there, instead):
    """Two manifests never mean the same, so a signature over the bytes is one over the meaning."""
    assert there in WHOLE
    written = WHOLE.replace(there, instead, 1)
    with pytest.raises(BundleError, match="not as `janus convert` writes it"):
        check_bundle(contents(written=written), SHIPPED_BUNDLE, alignment=GEOMETRY, trust=TRUSTED)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"operating_point": OperatingPoint(float("nan"), 0.1, 0.1, 1, 1, "x")},
        {"evidence": EvidenceMap((-2.0, 0.0), (0.0, 1.0))},
        {"parity": {"cosine": float("inf")}},
        {"training": {}},
        {"eyes": None},
    ],
)
def test_a_manifest_that_the_edge_would_refuse_cannot_be_written(changes):
    with pytest.raises(BundleError):
        manifest_bytes(bundles.manifest(**changes))


@pytest.mark.parametrize("parity", [{}, {"passed": 0.0}, {"cosine_mean": 0.999}])
def test_an_encoder_that_did_not_pass_parity_opens_no_door(tmp_path, parity):
    """`janus convert --force` writes such bundles, for looking at."""
    directory = write(tmp_path / "b", contents(parity=parity))
    with pytest.raises(BundleError, match="parity"):
        read(directory)
    assert inspect_bundle(directory).encoder == FILES["encoder.tflite"]
