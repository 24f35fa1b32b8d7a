"""The GPIO pins of the board, by gpiozero: one pin factory for relay, inputs and signals.

Which library drives the pins is configured by name; there is no falling back to another.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edge.config import RelayConfig
from edge.errors import ConfigError, RelayError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PinDriver:
    """A gpiozero pin factory, and what it raises when the hardware refuses."""

    factory: Any
    errors: tuple[type[Exception], ...]

    def close(self) -> None:
        """Give the pins and the GPIO chip back."""
        with suppress(*self.errors):
            self.factory.close()


def open_driver(config: RelayConfig) -> PinDriver:
    """Open the pin factory that *config* names.

    Raises:
        ConfigError: if it is unknown.
        RelayError: if its library is missing or the board has no GPIO.
    """
    if config.pin_factory not in PIN_DRIVERS:
        known = ", ".join(sorted(PIN_DRIVERS))
        raise ConfigError(f"[relay] pin_factory = {config.pin_factory!r}; expected one of: {known}")
    return PIN_DRIVERS[config.pin_factory]()


def prepare(pin_factory: str) -> None:
    """Import what `open_driver` will need, so that it is quick; touch no pin, tell no error yet."""
    with suppress(ImportError, AttributeError, OSError):
        importlib.import_module(f"gpiozero.pins.{pin_factory}")


def _lgpio() -> PinDriver:
    try:
        # On Python 3.13 the package index has an empty lgpio, hence AttributeError; at import,
        # lgpio makes a pipe in $LG_WD or the working directory, hence OSError.
        lgpio = importlib.import_module("lgpio")
        pins = importlib.import_module("gpiozero.pins.lgpio")
    except (ImportError, AttributeError) as exc:
        raise RelayError(
            f"[relay] pin_factory = 'lgpio', but lgpio cannot be imported ({exc}); run: "
            "pip install 'janus-door[pi]' (Python 3.11), or apt install python3-lgpio"
        ) from exc
    except OSError as exc:
        raise RelayError(f"lgpio cannot start: {exc}; set LG_WD to a folder it may write") from exc

    def become_output(pin: Any, state: bool) -> None:  # noqa: ANN401 - gpiozero has no types
        lgpio.gpio_claim_output(pin.factory._handle, pin._number, int(state))  # noqa: SLF001

    return _open_driver(pins.LGPIOFactory, become_output, lgpio.error)


def _native() -> PinDriver:
    pins = importlib.import_module("gpiozero.pins.native")

    def become_output(pin: Any, state: bool) -> None:  # noqa: ANN401 - gpiozero has no types
        # A level written while the pin is an input is kept for the moment it becomes an output
        # (BCM2835 ARM Peripherals, section 6.1, GPSETn).
        level = "set" if state else "clear"
        offset, shift = getattr(pin, f"_{level}_offset"), getattr(pin, f"_{level}_shift")
        pin.factory.mem[offset] = 1 << shift
        pin.function = "output"

    return _open_driver(pins.NativeFactory, become_output)


def _mock() -> PinDriver:
    pins = importlib.import_module("gpiozero.pins.mock")
    _log.warning("[relay] pin_factory = 'mock': no strike is driven")
    return _open_driver(pins.MockFactory)


def _open_driver(
    open_factory: Callable[[], Any],
    become_output: Callable[[Any, bool], None] | None = None,
    *errors: type[Exception],
) -> PinDriver:
    """Open a pin factory whose pins become outputs by *become_output*, at their first level.

    gpiozero 2.0.1 makes an lgpio or native pin an output first, at the low level, and sets the
    level after that: an active-low strike would be released for an instant at every start.
    """
    from gpiozero import GPIOZeroError

    errors = (GPIOZeroError, OSError, *errors)
    try:
        factory = open_factory()
    except errors as exc:
        raise RelayError(
            f"GPIO cannot be opened: {exc}; this needs a Raspberry Pi and a user in group gpio"
        ) from exc
    if become_output is not None:
        factory.pin_class = type(
            "SteadyPin", (factory.pin_class,), {"output_with_state": become_output}
        )
    return PinDriver(factory, errors)


PIN_DRIVERS: dict[str, Callable[[], PinDriver]] = {
    "lgpio": _lgpio,
    "native": _native,
    "mock": _mock,
}
