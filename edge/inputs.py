"""Door contact, request to exit, tamper switch, and the button of the second factor.

Each lies between its pin and ground, and the board pulls the pin up. Contact and tamper switch are
closed while all is well, so that a cut wire reads as an open door and an open case; the buttons are
closed when pressed, and a button that sticks asks once. Edges become events with their own
monotonic time. What the edges of a switch may have missed, `reread` finds: it compares levels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edge.config import InputsConfig
from edge.door_events import Event, Happening
from edge.errors import RelayError
from edge.gpio import PinDriver

# What it means that a switch closes, and that it opens.
_SWITCHES = {
    "contact_pin": (Happening.CLOSED, Happening.OPENED),
    "tamper_pin": (Happening.TAMPER_OVER, Happening.TAMPERED),
}
_DOUBT_S = 0.2
_ADVICE = "check [inputs], the wiring, and that no other program uses the pin"


class Inputs:
    """What is wired of the four; `close` may be called twice.

    Args:
        driver: the pins.
        config: where they are wired.
        tell: takes each event, on a thread of the driver's; it must not wait.
        pressed: called when the second factor's button is pressed; it must not wait.
        clock: monotonic seconds.

    Raises:
        RelayError: if a pin cannot be read.
    """

    def __init__(
        self,
        driver: PinDriver,
        config: InputsConfig,
        *,
        tell: Callable[[Event], None],
        pressed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver, self._config, self._clock = driver, config, clock
        self._doubt_s = config.bounce_s + _DOUBT_S
        self._devices: dict[str, Any] = {}
        self._told: dict[str, bool] = {}  # switch → whether it is closed, as was told last
        self._doubted_since_s: dict[str, float] = {}

        def teller(key: str, *, closed: bool) -> Callable[[], None]:
            def on_edge() -> None:
                self._told[key] = closed
                tell(self._event(key, closed=closed))

            return on_edge

        try:
            self._open("exit_pin", lambda: tell(Event(clock(), Happening.EXIT)))
            self._open("button_pin", pressed)
            for key in _SWITCHES:
                self._open(key, teller(key, closed=True), teller(key, closed=False))
        except RelayError:
            self.close()
            raise

    def at_start(self) -> tuple[Event, ...]:
        """Return what contact and tamper switch say, once.

        Raises:
            RelayError: if a pin cannot be read.
        """
        self._told = {key: self._is_closed(key) for key in _SWITCHES if key in self._devices}
        return tuple(self._event(key, closed=closed) for key, closed in self._told.items())

    def reread(self) -> tuple[Event, ...]:
        """Return what no edge told: a level other than the last one told, and for a while.

        Raises:
            RelayError: if a pin can no longer be read.
        """
        now_s, events = self._clock(), []
        for key, told in tuple(self._told.items()):
            closed = self._is_closed(key)
            if closed == told:
                self._doubted_since_s.pop(key, None)
            elif now_s - self._doubted_since_s.setdefault(key, now_s) >= self._doubt_s:
                del self._doubted_since_s[key]
                self._told[key] = closed
                events.append(self._event(key, closed=closed))
        return tuple(events)

    def close(self) -> None:
        """Hear nothing more, and give the pins back."""
        self._told.clear()
        for device in self._devices.values():
            with suppress(*self._driver.errors):
                device.close()
        self._devices.clear()

    def _event(self, key: str, *, closed: bool) -> Event:
        closes, opens = _SWITCHES[key]
        return Event(self._clock(), closes if closed else opens)

    def _is_closed(self, key: str) -> bool:
        """Read one switch; to ground it reads as active while it is closed."""
        try:
            return bool(self._devices[key].is_active)
        except self._driver.errors as exc:
            raise RelayError(f"[inputs] {key} can no longer be read: {exc}; {_ADVICE}") from exc

    def _open(
        self, key: str, on_close: Callable[[], None], on_open: Callable[[], None] | None = None
    ) -> None:
        """Open one pin, if it is wired."""
        from gpiozero import DigitalInputDevice

        pin = getattr(self._config, key)
        if pin is None:
            return
        try:
            device = DigitalInputDevice(
                pin,
                pull_up=True,
                bounce_time=self._config.bounce_s or None,
                pin_factory=self._driver.factory,
            )
            self._devices[key] = device
            device.when_activated = on_close
            if on_open is not None:
                device.when_deactivated = on_open
        except self._driver.errors as exc:
            raise RelayError(f"GPIO{pin} cannot be read as {key}: {exc}; {_ADVICE}") from exc
