"""Nobody whom the encoder was fitted on helps to choose its threshold."""

from __future__ import annotations

import json

import pytest

from convert.provenance import FITTED_ON_UNKNOWN, read_run, unfitted, versions
from edge.errors import BundleError

FORTY = tuple(f"s{n}" for n in range(1, 41))


def run_with(tmp_path, *, validated, held_out):
    recipe = {"name": "att", "validated": validated, "tested": 10, "fold": 0, "seed": 0}
    (tmp_path / "encoder.keras").write_bytes(b"weights")
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    (tmp_path / "metrics.json").write_text(json.dumps({"held_out": held_out}))
    return read_run(tmp_path)


def test_people_that_the_run_validated_on_are_chosen(tmp_path):
    run = run_with(tmp_path, validated=6, held_out=FORTY[30:])
    chosen, note = unfitted(run, FORTY)
    assert len(chosen) == 6
    assert not set(chosen) & set(FORTY[30:])
    assert "validated" in note


def test_tested_people_are_chosen_with_a_note_if_nobody_was_validated_on(tmp_path):
    run = run_with(tmp_path, validated=0, held_out=FORTY[30:])
    chosen, note = unfitted(run, FORTY)
    assert chosen == FORTY[30:]
    assert "not independent" in note


def test_only_tested_people_are_chosen_if_the_split_cannot_be_made_again(tmp_path):
    """Part of the run's data: who of the others was fitted on is unknown."""
    run = run_with(tmp_path, validated=6, held_out=FORTY[30:])
    chosen, _ = unfitted(run, FORTY[:35])
    assert chosen == FORTY[30:35]


def test_everybody_is_chosen_from_other_data(tmp_path):
    run = run_with(tmp_path, validated=6, held_out=FORTY[30:])
    assert unfitted(run, ("ada", "eve")) == (None, "everybody in it")


def test_people_are_known_by_their_name_after_the_source(tmp_path):
    run = run_with(tmp_path, validated=0, held_out=["eve"])
    assert unfitted(run, ("celeba/ada", "celeba/eve"))[0] == ("celeba/eve",)


def test_encoder_without_a_run_is_of_an_unknown_recipe(tmp_path):
    (tmp_path / "encoder.keras").write_bytes(b"weights")
    for source in (tmp_path, tmp_path / "encoder.keras"):
        run = read_run(source)
        assert (run.name, run.encoder) == ("unknown", tmp_path / "encoder.keras")
        assert unfitted(run, FORTY) == (None, FITTED_ON_UNKNOWN)


def test_facts_of_a_run_fit_a_manifest_and_name_nobody(tmp_path):
    run = run_with(tmp_path, validated=6, held_out=FORTY[30:])
    facts = run.facts()
    assert facts["recipe"] == "att"
    assert facts["settings"]["tested"] == 10
    assert facts["encoder_keras_sha256"].startswith("9a129038")
    assert json.loads(json.dumps(facts)) == facts
    assert not any(name in json.dumps(facts["metrics"]) for name in FORTY[30:])


def test_people_whom_the_run_lists_as_validated_are_taken(tmp_path):
    (tmp_path / "encoder.keras").write_bytes(b"weights")
    (tmp_path / "metrics.json").write_text(json.dumps({"validated": ["ada", "fairface/7.webp"]}))
    subjects = ("celeba/ada", "celeba/eve", "fairface/7.webp", "fairface/8.webp")
    wanted, note = unfitted(read_run(tmp_path), subjects)
    assert wanted == ("celeba/ada", "fairface/7.webp")
    assert "validated on" in note


@pytest.mark.parametrize("written", ["{", "[1]"])
def test_broken_facts_are_refused_by_name(tmp_path, written):
    (tmp_path / "encoder.keras").write_bytes(b"weights")
    (tmp_path / "metrics.json").write_text(written)
    with pytest.raises(BundleError, match=r"metrics\.json"):
        read_run(tmp_path)


def test_missing_encoder_is_refused(tmp_path):
    with pytest.raises(BundleError, match="janus train"):
        read_run(tmp_path)


def test_versions_name_what_shapes_the_bytes():
    assert {"python", "numpy", "janus-door"} <= versions().keys()
