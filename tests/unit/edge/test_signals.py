"""LED and buzzer play the door's state on gpiozero's mock pins, and never disturb the door."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from edge.config import RelayConfig, SignalsConfig
from edge.door_events import State
from edge.errors import RelayError
from edge.gpio import open_driver
from edge.signals import PATTERNS, PROMPTS, NoSignals, Prompt, Signals, open_signals

LED, BUZZER = 23, 24


def wait_until(holds, timeout_s=10.0):
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def driver():
    opened = open_driver(RelayConfig(pin_factory="mock"))
    yield opened
    opened.close()


@pytest.fixture
def signals(driver):
    with closing(open_signals(driver, SignalsConfig(led_pin=LED, buzzer_pin=BUZZER))) as opened:
        yield opened


def levels(driver, pin):
    return [state.state for state in driver.factory.pin(pin).states]


def test_a_locked_door_blinks_shortly_and_is_silent(driver, signals):
    wait_until(lambda: levels(driver, LED)[:3] == [False, True, False])
    assert levels(driver, BUZZER) == [False]


def test_a_release_beeps_once_and_shines(driver, signals):
    signals.show(State.RELEASED)
    wait_until(lambda: levels(driver, BUZZER) == [False, True, False])
    assert driver.factory.pin(LED).state


def test_showing_the_same_state_again_does_not_begin_its_pattern_again(driver, signals):
    signals.show(State.RELEASED)
    wait_until(lambda: levels(driver, BUZZER) == [False, True, False])
    for _ in range(5):
        signals.show(State.RELEASED)
    time.sleep(0.05)
    assert levels(driver, BUZZER) == [False, True, False]


def test_a_prompt_is_played_once_and_then_the_state_again(driver, signals):
    signals.show(State.OPEN)
    signals.prompt(Prompt.REFUSED)
    wait_until(lambda: levels(driver, BUZZER) == [False, *(True, False) * 3])
    wait_until(lambda: driver.factory.pin(LED).state)
    time.sleep(0.3)
    assert driver.factory.pin(LED).state


def test_a_new_state_ends_a_prompt(driver, signals):
    signals.prompt(Prompt.PIN)
    signals.show(State.OPEN)
    count = len(levels(driver, LED))
    time.sleep(0.5)
    assert len(levels(driver, LED)) <= count + 2


def test_closing_switches_both_off_and_may_be_repeated(driver, signals):
    signals.show(State.FORCED)
    wait_until(lambda: driver.factory.pin(BUZZER).state)
    signals.close()
    signals.close()
    assert not signals._thread.is_alive()
    assert not driver.factory.pin(LED).state
    assert not driver.factory.pin(BUZZER).state


def test_a_pin_that_fails_ends_the_signals_and_nothing_else(driver, signals, monkeypatch, caplog):
    def refuse(value):
        raise OSError(5, "Input/output error")

    wait_until(lambda: len(levels(driver, LED)) > 1)
    monkeypatch.setattr(driver.factory.pin(LED), "_set_state", refuse)
    signals.show(State.FORCED)
    wait_until(lambda: not signals._thread.is_alive())
    assert "the door goes on without" in caplog.text
    signals.show(State.LOCKED)
    signals.prompt(Prompt.PIN)


def test_without_pins_there_is_nothing_to_open(driver):
    nothing = open_signals(driver, SignalsConfig())
    assert isinstance(nothing, NoSignals)
    nothing.show(State.OPEN)
    nothing.prompt(Prompt.PIN)
    nothing.close()


def test_one_of_the_two_is_enough(driver):
    with closing(open_signals(driver, SignalsConfig(buzzer_pin=BUZZER))) as opened:
        opened.show(State.HELD_OPEN)
        wait_until(lambda: driver.factory.pin(BUZZER).state)


def test_a_pin_that_is_taken_is_named(driver, signals):
    with pytest.raises(RelayError, match=r"GPIO24 cannot be driven.*\[signals\] buzzer_pin"):
        Signals(driver, SignalsConfig(led_pin=25, buzzer_pin=BUZZER))


def test_every_state_and_every_prompt_has_a_pattern_of_its_own():
    assert set(PATTERNS) == set(State)
    assert set(PROMPTS) == set(Prompt)
    everything = [*PATTERNS.values(), *PROMPTS.values()]
    assert len(set(everything)) == len(everything)
