"""The whole conversion, refusing what must not reach a door."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("tqdm", reason="needs the workstation extra")

from convert.cli import report
from convert.conversion import Wishes, convert
from convert.encoder import check_tensors, embed_float, load_encoder
from convert.forms import form_path
from convert.layers import LayerError, layer_errors, where_lost
from convert.provenance import read_run
from convert.quantize import float_encoder, quantize_network
from convert.runtimes import embed_int8
from edge.align import ALIGNMENT
from edge.bundles.bundle import inspect_bundle, read_bundle, read_contents
from edge.bundles.signing import (
    PRIVATE_KEY_FILE,
    PUBLIC_KEY_FILE,
    Trust,
    fingerprint_of,
    make_keys,
    read_private_key,
    read_public_key,
)
from edge.config import SHIPPED_BUNDLE
from edge.errors import BundleError
from edge.tflite import installed_runtimes
from train.errors import TooFewComparisonsError

# Looked up, not imported: TensorFlow takes seconds to import, and only when a test runs.
pytestmark = [
    pytest.mark.tf,
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs the workstation extra"),
]


@pytest.fixture(scope="module")
def sabotaged(tmp_path_factory, toy_encoder):
    """An encoder in which one channel is 200 times louder than the others."""
    path = tmp_path_factory.mktemp("sabotaged") / "encoder.keras"
    toy_encoder(loudness=200.0).save(path)
    return path


def test_sabotaged_encoder_fails_with_the_layer_and_writes_nothing(sabotaged, photos, tmp_path):
    with pytest.raises(BundleError, match=r"mean cosine .* below 0\.99.* Layer loud\w*/") as caught:
        convert(read_run(sabotaged), photos, tmp_path / "bundle", Wishes(fmr=0.1))
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def forced(sabotaged, photos, tmp_path_factory):
    """The bundle of the sabotaged encoder, written all the same."""
    bundle = tmp_path_factory.mktemp("forced") / "bundle"
    wishes = Wishes(fmr=0.1, name="bad", force=True)
    assert convert(read_run(sabotaged), photos, bundle, wishes).parity.failures
    return bundle


def test_forced_bundle_says_that_it_failed(forced):
    written = json.loads((forced / "manifest.json").read_text())
    assert written["parity"]["passed"] == 0.0
    assert written["parity"]["cosine_mean"] < 0.99


def test_edge_refuses_a_bundle_that_failed(forced):
    with pytest.raises(BundleError, match="parity"):
        read_bundle(forced, alignment=ALIGNMENT, trust=Trust(allow_unsigned=True))


@pytest.fixture(scope="module")
def made(encoder, photos, tmp_path_factory):
    """A sound conversion: signed, with eyes, and with both float forms beside it."""
    directory = tmp_path_factory.mktemp("made")
    encoder.save(directory / "encoder.keras")
    make_keys(directory / "keys")
    wishes = Wishes(
        fmr=0.1,
        also=("float16", "float32"),
        eyes=inspect_bundle(SHIPPED_BUNDLE),
        key=read_private_key(directory / "keys" / PRIVATE_KEY_FILE),
    )
    bundle = directory / "bundle"
    return bundle, convert(read_run(directory / "encoder.keras"), photos, bundle, wishes)


def test_bundle_is_signed_and_carries_evidence_and_eyes(made):
    bundle, conversion = made
    key = read_public_key(bundle.parent / "keys" / PUBLIC_KEY_FILE)
    read = read_bundle(bundle, alignment=ALIGNMENT, trust=Trust({fingerprint_of(key): key}))
    assert read.evidence == conversion.evidence.map
    assert read.eyes == inspect_bundle(SHIPPED_BUNDLE).eyes
    facts = read.manifest.training["calibration"]["evidence"]
    assert 0 <= facts["cllr_least"] <= facts["cllr"] < facts["cllr_cosine"]


def test_bundle_carries_a_card_that_says_what_it_rests_on(made):
    bundle, conversion = made
    card = inspect_bundle(bundle).contents["MODEL_CARD.md"].decode()
    point = conversion.calibration.point
    assert f"Threshold: {point.threshold:.4f}. FMR {point.fmr:.3g} (95 %: up to " in card
    assert point.data_id in card
    assert "int8 against float: passed" in card
    assert "Fitted: recipe `unknown`. Pictures: unknown." in card


def test_float_forms_are_written_beside_the_bundle_and_compared(made):
    bundle, conversion = made
    sizes = {each.kind: each.bytes for each in conversion.forms}
    assert sizes["int8"] < sizes["float16"] < sizes["float32"]
    for kind in ("float16", "float32"):
        assert form_path(bundle, kind).stat().st_size == sizes[kind]
    assert not any(each.suffix == ".partial" for each in bundle.parent.iterdir())
    assert {(each.kind, each.agreement.runtime) for each in conversion.forms} == {
        (kind, runtime) for kind in sizes for runtime in installed_runtimes()
    }
    exact = [each for each in conversion.forms if each.kind == "float32"]
    assert min(each.agreement.cosine_min for each in exact) > 0.99999
    assert all(each.call_ms > 0 for each in conversion.forms)


@pytest.mark.slow
def test_equal_inputs_give_equal_bundles(made, photos, tmp_path):
    """The networks, the figures, the card and the signature, byte for byte."""
    bundle, _ = made
    key = read_private_key(bundle.parent / "keys" / PRIVATE_KEY_FILE)
    wishes = Wishes(fmr=0.1, eyes=inspect_bundle(SHIPPED_BUNDLE), key=key)
    convert(read_run(bundle.parent / "encoder.keras"), photos, tmp_path / "again", wishes)
    assert read_contents(tmp_path / "again") == read_contents(bundle)


def test_report_says_everything_that_was_measured(made):
    said = report(made[1])
    for word in ("TAR at FMR", "the lowest that these pictures support", "Cllr", "float16", "FNMR"):
        assert word in said
    assert "pictures were passed over" in said
    assert "golden set" in said


def test_manifest_says_what_was_passed_over_and_what_flips(made):
    training = inspect_bundle(made[0]).manifest.training
    assert training["calibration"]["pictures"]["looked_at"] == 42
    assert training["golden"]["data_id"].startswith(f"{made[1].pictures.name}: 7 people, 42 crops")
    for runtime in installed_runtimes():
        assert training["golden"][runtime]["comparisons"] == 42 * 41 // 2


def test_too_few_people_are_refused_before_anything_takes_long(sabotaged, photos, tmp_path):
    with pytest.raises(TooFewComparisonsError, match="takes 46 subjects"):
        convert(read_run(sabotaged), photos, tmp_path / "bundle", Wishes(fmr=1e-3))
    assert list(tmp_path.iterdir()) == []


def test_target_that_is_no_bundle_is_refused_before_anything_takes_long(sabotaged, photos):
    with pytest.raises(BundleError, match="no part of a bundle"):
        convert(read_run(sabotaged), photos, photos, Wishes(fmr=0.1))


def test_sound_network_loses_little_in_every_layer_and_none_is_accused(encoder, int8_bytes, crops):
    errors = layer_errors(float_encoder(encoder), int8_bytes, crops[:4])
    assert len(errors) == 7
    assert max(each.lost for each in errors) < 0.02
    assert where_lost(errors).startswith("No layer stands out")
    assert where_lost(()).startswith("No layer can be compared")


def test_error_that_later_layers_win_back_accuses_nobody():
    """The first is loud and harmless, the third costs what is lost in the end."""
    found = [
        LayerError(name, lost, 2.0)
        for name, lost in zip("abcd", (0.3, 0.01, 0.2, 0.2), strict=True)
    ]
    said = where_lost(found, ours=False)
    assert said.startswith("Layer c costs most: there a channel loses 20%")
    assert "of that cost c 95%, a 5%" in said
    assert "cannot be trained again here" in said


def test_missing_encoder_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"there is no .*encoder\.keras"):
        load_encoder(tmp_path)


def test_file_that_is_no_keras_model_is_refused(tmp_path):
    (tmp_path / "encoder.keras").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(BundleError, match="no Keras encoder that can be loaded"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("size", [96, 160])
def test_encoder_of_another_geometry_is_refused(tmp_path, size):
    import keras

    model = keras.Sequential([keras.Input((size, size, 3)), keras.layers.Flatten()])
    with pytest.raises(BundleError, match=rf"{size}, {size}, 3\).* an encoder maps"):
        check_tensors(model, tmp_path)


def test_encoder_with_several_outputs_is_refused(tmp_path):
    import keras

    crop = keras.Input((112, 112, 3))
    flat = keras.layers.Flatten()(crop)
    with pytest.raises(BundleError, match="an encoder maps"):
        check_tensors(keras.Model(crop, [flat, flat]), tmp_path)


def test_embeddings_that_are_zero_are_refused(toy_encoder, crops):
    import keras

    dead = toy_encoder(keras.layers.Rescaling(0.0))
    with pytest.raises(BundleError, match="zero or not finite"):
        embed_float(dead, crops[:2])


def test_parts_that_were_called_in_training_are_converted_as_they_are_at_the_door(encoder, crops):
    """A functional model remembers training=True, and obeys it where nobody says otherwise."""
    import keras

    noisy = keras.Sequential([encoder, keras.layers.Dropout(0.9)])
    pixels = keras.Input((112, 112, 3))
    model = keras.Model(pixels, noisy(pixels, training=True))
    in_float = embed_float(model, crops)
    np.testing.assert_allclose(in_float, embed_float(encoder, crops), atol=1e-6)
    in_int8 = embed_int8(quantize_network(model, crops), crops, installed_runtimes()[0])
    assert np.sum(in_float * in_int8, axis=1).min() > 0.999


def test_float_embeddings_have_unit_length(encoder, crops):
    norms = np.linalg.norm(embed_float(encoder, crops), axis=1)
    np.testing.assert_allclose(norms, 1.0, atol=1e-6)
