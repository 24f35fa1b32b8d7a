"""Failures in a row, pauses, and a clock that nobody can set."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.attempts import Attempts, Limits, Running, limits_of
from edge.config import AccessConfig

LIMITS = Limits()


def after(failures, limits=LIMITS):
    """Fail so often, each time after the pause."""
    attempts = Attempts()
    for _ in range(failures):
        attempts = Attempts(attempts.failures).failed(limits)
    return attempts


@pytest.mark.parametrize(
    ("failures", "left_s"),
    [(0, 0), (4, 0), (5, 30), (6, 60), (7, 120), (8, 240), (9, 480), (10, 900), (49, 900)],
)
def test_five_failures_bring_half_a_minute_that_doubles_up_to_a_quarter_of_an_hour(
    failures, left_s
):
    assert after(failures) == Attempts(failures, left_s)


def test_fifty_failures_take_an_operator():
    assert after(50) == Attempts(50, inf)


def test_a_failure_during_a_pause_does_not_make_it_longer():
    paused = Attempts(5, 12.5)
    assert paused.failed(LIMITS) == paused
    assert Attempts(50, inf).failed(LIMITS) == Attempts(50, inf)


@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(30, 3600), st.floats(30, 86400))
def test_a_further_failure_never_shortens_the_pause(failures, pause_after, pause_s, longest_s):
    limits = Limits(pause_after, 50, pause_s, max(pause_s, longest_s))
    assert limits.pause_of(failures) <= limits.pause_of(failures + 1)
    if failures >= pause_after:
        assert limits.pause_of(failures) >= pause_s


def test_the_same_run_of_the_machine_knows_what_passed_and_another_does_not():
    assert Running(130.0, "one").since(Running(100.0, "one")) == 30.0
    assert Running(130.0, "two").since(Running(100.0, "one")) == 0.0
    assert Running(90.0, "one").since(Running(100.0, "one")) == 0.0


def test_the_configured_limits_are_those_of_the_standard_by_default():
    """NIST SP 800-63B: at most five in a row, then at least 30 s; at most fifty in all."""
    visitor, door = limits_of(AccessConfig())
    assert visitor == door == Limits(5, 50, 30.0, 900.0)
    assert limits_of(AccessConfig(door_failures=20))[1].pause_after == 20
