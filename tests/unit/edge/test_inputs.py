"""Contacts and buttons on gpiozero's mock pins: each edge an event, each missed edge found."""

from __future__ import annotations

from contextlib import closing

import pytest

from edge.config import InputsConfig, RelayConfig
from edge.door_events import Event, Happening
from edge.errors import RelayError
from edge.gpio import open_driver
from edge.inputs import Inputs

CONTACT, EXIT, TAMPER, BUTTON = 5, 6, 13, 19
ALL = InputsConfig(contact_pin=CONTACT, exit_pin=EXIT, tamper_pin=TAMPER, button_pin=BUTTON)


class Wires:
    """Mock pins, with inputs that listen to them."""

    def __init__(self, config=ALL):
        self.driver = open_driver(RelayConfig(pin_factory="mock"))
        self.now_s, self.told, self.presses = 100.0, [], 0
        self.inputs = Inputs(
            self.driver,
            config,
            tell=self.told.append,
            pressed=self.press,
            clock=lambda: self.now_s,
        )

    def press(self):
        self.presses += 1

    def closes(self, pin):
        self.driver.factory.pin(pin).drive_low()

    def opens(self, pin):
        self.driver.factory.pin(pin).drive_high()

    def close(self):
        self.inputs.close()
        self.driver.close()


@pytest.fixture
def wires():
    with closing(Wires()) as opened:
        yield opened


def test_each_edge_is_an_event_with_its_own_time(wires):
    wires.closes(CONTACT)
    wires.now_s += 1.5
    wires.opens(CONTACT)
    wires.closes(TAMPER)
    wires.opens(TAMPER)
    assert wires.told == [
        Event(100.0, Happening.CLOSED),
        Event(101.5, Happening.OPENED),
        Event(101.5, Happening.TAMPER_OVER),
        Event(101.5, Happening.TAMPERED),
    ]


def test_the_exit_button_asks_when_pressed_and_not_when_let_go(wires):
    wires.closes(EXIT)
    wires.opens(EXIT)
    wires.closes(EXIT)
    assert [each.what for each in wires.told] == [Happening.EXIT] * 2


def test_the_second_factors_button_is_no_exit_button(wires):
    wires.closes(BUTTON)
    assert (wires.presses, wires.told) == (1, [])


def test_every_input_is_pulled_up_so_that_a_cut_wire_is_an_open_door(wires):
    assert {wires.driver.factory.pin(each).pull for each in (CONTACT, EXIT, TAMPER)} == {"up"}
    assert {each.what for each in wires.inputs.at_start()} == {
        Happening.OPENED,
        Happening.TAMPERED,
    }


def test_what_is_so_at_the_start_is_told_once(wires):
    wires.closes(CONTACT)
    wires.closes(TAMPER)
    said = {each.what for each in wires.inputs.at_start()}
    assert said == {Happening.CLOSED, Happening.TAMPER_OVER}
    wires.now_s += 10.0
    assert wires.inputs.reread() == ()


def lose_the_edges(wires, pin):
    """Let the pin change without anybody hearing of it, as a driver that slept would."""
    wires.driver.factory.pin(pin)._when_changed = None


def test_a_level_that_no_edge_told_is_found_after_a_while_and_told_once(wires):
    wires.closes(CONTACT)
    wires.inputs.at_start()
    lose_the_edges(wires, CONTACT)
    wires.opens(CONTACT)
    assert wires.inputs.reread() == ()
    wires.now_s += 0.1
    assert wires.inputs.reread() == ()
    wires.now_s += 0.2
    (found,) = wires.inputs.reread()
    assert found.what is Happening.OPENED
    wires.now_s += 10.0
    assert wires.inputs.reread() == ()


def test_a_contact_that_bounces_is_not_believed(wires):
    """Reading the raw level amid a bounce must not cry that the door was forced."""
    wires.closes(CONTACT)
    wires.inputs.at_start()
    lose_the_edges(wires, CONTACT)
    for _ in range(20):
        wires.opens(CONTACT)
        assert wires.inputs.reread() == ()
        wires.now_s += 0.2
        wires.closes(CONTACT)
        assert wires.inputs.reread() == ()
        wires.now_s += 0.2


def test_what_is_not_wired_is_not_opened():
    with closing(Wires(InputsConfig(exit_pin=EXIT))) as wires:
        assert wires.inputs.at_start() == ()
        assert wires.inputs.reread() == ()
        assert len(wires.inputs._devices) == 1


def test_a_pin_that_is_taken_is_named_and_the_others_are_given_back(wires):
    with pytest.raises(RelayError, match=r"GPIO5 cannot be read as contact_pin.*check"):
        Inputs(
            wires.driver,
            InputsConfig(contact_pin=CONTACT, exit_pin=26),
            tell=wires.told.append,
            pressed=wires.press,
        )
    again = Inputs(
        wires.driver, InputsConfig(exit_pin=26), tell=wires.told.append, pressed=wires.press
    )
    again.close()
    again.close()


def test_a_closed_input_tells_nothing(wires):
    wires.inputs.close()
    wires.closes(CONTACT)
    wires.closes(EXIT)
    assert wires.told == []
    assert wires.inputs.reread() == ()
