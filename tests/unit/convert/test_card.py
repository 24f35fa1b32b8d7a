"""The card of a bundle repeats what its manifest says, and says what is not known."""

from __future__ import annotations

from dataclasses import replace

from bundles import manifest

from convert.card import model_card

CALIBRATION = {"fmr_upper_95": 0.0123, "people": "everybody in it"}
RUN = {
    "recipe": "att",
    "settings": {"source": "a book"},
    "metrics": {
        "data": "40 people, 400 crops, sha256 ab",
        "honest": {"subjects": 10, "equal_error_rate": {"rate": 0.1, "low": 0.05, "high": 0.2}},
    },
    "calibration": CALIBRATION,
}


def card(**changed):
    made = replace(manifest(), **changed)
    parity = {"passed": 1.0, "cosine_mean": 0.996, "cosine_p1": 0.99} | dict(made.parity)
    return model_card(replace(made, parity=parity)).decode()


def test_card_names_run_pictures_figures_and_threshold():
    said = card(training=RUN)
    assert "recipe `att` (a book). Pictures: 40 people, 400 crops, sha256 ab." in said
    assert "on 10 people held out: EER 10.00% (5.00% to 20.00%)" in said
    assert "(95 %: up to 0.0123)" in said
    assert "People: everybody in it." in said


def test_card_says_what_is_not_known():
    said = card(training={"recipe": "sface"})
    assert "Pictures: unknown." in said
    assert "People: unknown." in said
    assert "EER" not in said


def test_card_of_a_failed_conversion_says_so():
    parity = {"passed": 0.0, "cosine_mean": 0.5, "cosine_p1": 0.1}
    assert "int8 against float: FAILED; cosine 0.5000" in card(parity=parity)


def test_equal_manifests_have_equal_cards():
    assert card(training=RUN) == card(training=RUN)
