"""What the status LED and the buzzer say: one pattern a state, and a few for a moment.

A pattern is a table of steps; docs/door.md shows the same table, and a test compares them. LED and
buzzer tell no more than the door's state: nothing here decides, and nothing here can fail the door.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, unique
from itertools import cycle
from typing import Any, Protocol

from edge.config import SignalsConfig
from edge.door_events import State
from edge.errors import RelayError
from edge.gpio import PinDriver

_JOIN_S = 1.0
_log = logging.getLogger(__name__)


@unique
class Prompt(Enum):
    """What is said for a moment to one who stands before the door."""

    REFUSED = "refused"
    PIN = "enter the PIN"
    BUTTON = "press the button"
    SECOND_PERSON = "a second person, please"


@dataclass(frozen=True, slots=True)
class Beat:
    """One step of a pattern: LED and buzzer on or off, for so many seconds."""

    led: bool
    buzzer: bool
    for_s: float


_REST_S = 3600.0  # a pattern of one step: it simply stays
_ON, _OFF = Beat(True, False, 0.1), Beat(False, False, 0.1)

# Repeated for as long as the state lasts. A locked door blinks too: a dark LED is a dead door.
PATTERNS: dict[State, tuple[Beat, ...]] = {
    State.LOCKED: (Beat(True, False, 0.05), Beat(False, False, 2.95)),
    State.RELEASED: (Beat(True, True, 0.15), Beat(True, False, _REST_S)),
    State.OPEN: (Beat(True, False, _REST_S),),
    State.HELD_OPEN: (Beat(True, True, 0.5), Beat(False, False, 0.5)),
    State.FORCED: (Beat(True, True, 0.1), Beat(False, True, 0.1)),
    State.LOCKED_OUT: (Beat(True, False, 1.0), Beat(False, False, 1.0)),
    State.LOCKDOWN: (_ON, _OFF, _ON, Beat(False, False, 1.7)),
}
# Played once; then the pattern of the state goes on.
PROMPTS: dict[Prompt, tuple[Beat, ...]] = {
    Prompt.REFUSED: (Beat(True, True, 0.1), _OFF) * 3,
    Prompt.PIN: (Beat(True, False, 0.3), Beat(False, False, 0.3)) * 8,
    Prompt.BUTTON: (Beat(True, False, 0.6), Beat(False, False, 0.2)) * 6,
    Prompt.SECOND_PERSON: (_ON, _OFF, _ON, Beat(False, False, 0.5)) * 6,
}


class Display(Protocol):
    """Whoever shows the door's state; neither call may raise or wait."""

    def show(self, state: State) -> None:
        """Show *state* from now on."""

    def prompt(self, prompt: Prompt) -> None:
        """Show *prompt* once, then the state again."""


class NoSignals:
    """Neither LED nor buzzer is wired."""

    def show(self, state: State) -> None:
        """Show nothing."""

    def prompt(self, prompt: Prompt) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Close nothing."""


class Signals:
    """The LED and the buzzer, played by a thread of their own; `close` may be called twice.

    Args:
        driver: the pins.
        config: where they are wired.

    Raises:
        RelayError: if a pin cannot be driven.
    """

    def __init__(self, driver: PinDriver, config: SignalsConfig) -> None:
        from gpiozero import LED, Buzzer

        self._errors = driver.errors
        self._changed = threading.Condition()
        self._state = State.LOCKED
        self._prompt: Prompt | None = None
        self._turn = 0  # grows with every change, so that a pattern knows when to end
        self._closed = False
        self._devices: list[Any] = []
        self._led = self._open(LED, config.led_pin, "led_pin", driver)
        self._buzzer = self._open(Buzzer, config.buzzer_pin, "buzzer_pin", driver)
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
        self._thread.start()

    def show(self, state: State) -> None:
        """Show *state* from now on."""
        with self._changed:
            if state is not self._state:
                self._state, self._prompt = state, None
                self._turn += 1
                self._changed.notify()

    def prompt(self, prompt: Prompt) -> None:
        """Show *prompt* once, then the state again."""
        with self._changed:
            self._prompt = prompt
            self._turn += 1
            self._changed.notify()

    def close(self) -> None:
        """Switch both off and give the pins back."""
        with self._changed:  # the thread touches the pins only while it holds this, and not again
            self._closed = True
            self._turn += 1
            self._changed.notify()
            for device in self._devices:
                with suppress(*self._errors):
                    device.off()
                with suppress(*self._errors):
                    device.close()
            self._devices.clear()
        self._thread.join(_JOIN_S)

    def _open(self, kind: Any, pin: int | None, key: str, driver: PinDriver) -> Any:  # noqa: ANN401 - gpiozero has no types
        if pin is None:
            return None
        try:
            device = kind(pin, pin_factory=driver.factory)
        except self._errors as exc:
            for each in self._devices:
                each.close()
            raise RelayError(
                f"GPIO{pin} cannot be driven: {exc}; check [signals] {key} and the wiring"
            ) from exc
        self._devices.append(device)
        return device

    def _run(self) -> None:
        with self._changed:
            try:
                while not self._closed:
                    self._play(self._turn)
            except self._errors as exc:
                _log.error("LED and buzzer are given up: %s; the door goes on without", exc)

    def _play(self, turn: int) -> None:
        """Play what is to be shown until it is over, or something else is to be shown."""
        prompt = self._prompt
        beats = cycle(PATTERNS[self._state]) if prompt is None else iter(PROMPTS[prompt])
        for beat in beats:
            for device, on in ((self._led, beat.led), (self._buzzer, beat.buzzer)):
                if device is not None:
                    device.value = on
            self._changed.wait_for(lambda: self._turn != turn, beat.for_s)
            if self._turn != turn:
                return
        self._prompt = None


def open_signals(driver: PinDriver, config: SignalsConfig) -> Signals | NoSignals:
    """Open what is wired.

    Raises:
        RelayError: if a pin cannot be driven.
    """
    if config.led_pin is None and config.buzzer_pin is None:
        return NoSignals()
    return Signals(driver, config)
