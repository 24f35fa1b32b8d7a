"""PINs: weak ones are refused, the others are stored so that nobody can read them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.access import pins
from edge.access.pins import Cost, Match, make_pin, match, weakness, with_duress, with_pin
from edge.errors import ConfigError

CHEAP = Cost(memory_kib=8, passes=1)
DIGITS = st.text("0123456789", min_size=4, max_size=12)


@pytest.mark.parametrize(
    "digits",
    [
        "0000", "1111", "1234", "4321", "7890", "0987", "1212", "123123", "1221", "2580", "1987",
        "2024", "123456", "654321", "111111", "9012", "5678901234",
    ],
)  # fmt: skip
def test_a_pin_that_is_tried_early_is_refused(digits):
    assert weakness(digits) is not None
    with pytest.raises(ConfigError) as caught:
        make_pin(digits, cost=CHEAP)
    assert digits not in str(caught.value)


@pytest.mark.parametrize(
    "digits", ["", "123", "12a4", "１２３４", "-1234", "12 34", "4" + "83" * 6]
)
def test_what_is_no_pin_is_refused(digits):
    assert weakness(digits) is not None


@pytest.mark.parametrize("digits", ["8305", "4917", "580274", "730194", "1880", "918273645012"])
def test_a_pin_that_nothing_speaks_against_is_taken(digits):
    assert weakness(digits) is None


@given(DIGITS)
def test_repeated_digits_steps_and_palindromes_are_never_taken(digits):
    """By another way of counting than the code's."""
    length = len(digits)
    repeated = any(
        digits == digits[:part] * (length // part) for part in range(1, length) if not length % part
    )
    if repeated or digits in "01234567890123456789012" or digits == digits[::-1]:
        assert weakness(digits) is not None


@given(DIGITS, DIGITS)
@settings(max_examples=40, deadline=None)
def test_only_the_very_digits_match(first, second):
    if weakness(first) is None:
        stored = make_pin(first, cost=CHEAP)
        assert match(stored, first) is Match.PIN
        assert (match(stored, second) is Match.PIN) == (first == second)


def test_the_duress_pin_is_told_apart_and_has_to_differ():
    stored = with_duress(make_pin("8305", cost=CHEAP), "4917")
    assert match(stored, "8305") is Match.PIN
    assert match(stored, "4917") is Match.DURESS
    assert match(stored, "4918") is Match.NONE
    with pytest.raises(ConfigError, match="has to differ"):
        with_duress(stored, "8305")
    with pytest.raises(ConfigError, match="duress PIN already"):
        with_pin(stored, "4917")


def test_a_new_pin_leaves_the_duress_pin_as_it_was():
    changed = with_pin(with_duress(make_pin("8305", cost=CHEAP), "4917"), "7316")
    assert [match(changed, each) for each in ("8305", "7316", "4917")] == [
        Match.NONE,
        Match.PIN,
        Match.DURESS,
    ]


def test_neither_digits_nor_digest_show_in_what_is_printed():
    stored = with_duress(make_pin("8305", cost=CHEAP), "4917")
    shown = repr(stored) + str(stored)
    assert "8305" not in shown
    assert repr(stored.digest) not in shown
    assert repr(stored.salt) not in shown


def test_equal_pins_of_two_subjects_do_not_look_equal():
    one, other = make_pin("8305", cost=CHEAP), make_pin("8305", cost=CHEAP)
    assert one.salt != other.salt
    assert one.digest != other.digest


def test_every_answer_costs_one_derivation(monkeypatch):
    """How long it takes does not tell the PIN from the duress PIN, nor either from neither."""
    stored = with_duress(make_pin("8305", cost=CHEAP), "4917")
    calls = []
    derive = pins._digest
    monkeypatch.setattr(pins, "_digest", lambda *a: calls.append(1) or derive(*a))
    for digits in ("8305", "4917", "0000"):
        match(stored, digits)
    assert len(calls) == 3


def test_the_default_cost_is_that_of_the_cheat_sheet():
    """OWASP Password Storage Cheat Sheet: Argon2id with 19 MiB, two passes, one lane."""
    stored = make_pin("8305")
    assert stored.cost == Cost(19456, 2)
    assert match(stored, "8305") is Match.PIN
