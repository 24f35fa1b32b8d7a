"""The door strike's relay: locked at start, on every error and at exit; released only in pulses.

A pulse ends by a thread of the relay's own, so that a pipeline that hangs cannot keep the door
open, and never later than `HARD_CAP_S` after it began, whatever asks for more.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from edge.config import RelayConfig
from edge.errors import ConfigError, RelayError

HARD_CAP_S = 10.0

_RETRY_S = 0.5
_JOIN_S = 1.0
_log = logging.getLogger(__name__)


@runtime_checkable
class Relay(Protocol):
    """The strike: released for a while, or locked. `lock` and `close` may be called at any time."""

    @property
    def released(self) -> bool:
        """True while the strike is released."""

    def release(self, duration_s: float) -> None:
        """Release the strike for *duration_s* seconds from now, in (0, `HARD_CAP_S`]."""

    def lock(self) -> None:
        """Lock the strike now."""

    def close(self) -> None:
        """Lock the strike and give the hardware back."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """One release of the strike, in monotonic seconds."""

    began_at_s: float
    ends_at_s: float

    def extended(self, now_s: float, duration_s: float) -> Pulse:
        """Return this pulse until *duration_s* from now: never shorter, never past the hard cap."""
        wanted_s = max(self.ends_at_s, now_s + duration_s)
        return Pulse(self.began_at_s, min(wanted_s, self.began_at_s + HARD_CAP_S))


def check_duration(duration_s: float) -> None:
    """Refuse a pulse outside (0, `HARD_CAP_S`], NaN included.

    Raises:
        RelayError: with the value and the bounds.
    """
    if not 0 < duration_s <= HARD_CAP_S:
        raise RelayError(
            f"the strike cannot be released for {duration_s:g} s; expected more than 0 and at "
            f"most {HARD_CAP_S:g} s, see [relay] release_s"
        )


@dataclass(frozen=True, slots=True)
class PinDriver:
    """A gpiozero pin factory, and what it raises when the hardware refuses."""

    factory: Any
    errors: tuple[type[Exception], ...]

    def close(self) -> None:
        """Give the pins and the GPIO chip back."""
        with suppress(*self.errors):
            self.factory.close()


class GpioRelay:
    """A relay board on one GPIO pin.

    Args:
        driver: the pin factory in use.
        pin: GPIO number (BCM numbering).
        active_high: whether a high level releases the strike.

    Raises:
        RelayError: if the pin cannot be driven.
    """

    def __init__(self, driver: PinDriver, *, pin: int, active_high: bool) -> None:
        from gpiozero import OutputDevice

        self._driver, self._errors = driver, driver.errors
        self._where = f"GPIO{pin}"
        self._changed = threading.Condition()
        self._pulse: Pulse | None = None
        self._closed = False
        try:
            # initial_value=False: the pin becomes an output at the locked level, see _open_driver.
            self._device = OutputDevice(
                pin, active_high=active_high, initial_value=False, pin_factory=driver.factory
            )
        except self._errors as exc:
            driver.close()
            raise RelayError(f"{self._where} cannot be driven: {exc}; {_ADVICE}") from exc
        self._timer = threading.Thread(target=self._end_pulses, name="relay", daemon=True)
        self._timer.start()
        atexit.register(self.close)

    @property
    def released(self) -> bool:
        """True while the strike is released, or may be because locking it failed."""
        return self._pulse is not None

    def release(self, duration_s: float) -> None:
        """Release the strike for *duration_s* seconds from now.

        During a pulse this prolongs it, up to `HARD_CAP_S` from the pulse's own beginning.

        Raises:
            RelayError: if the relay is closed, the duration is outside (0, `HARD_CAP_S`], or the
                pin cannot be driven; the strike is locked then.
        """
        check_duration(duration_s)
        with self._changed:
            if self._closed:
                raise RelayError("the relay is closed; open it again to release the strike")
            if not self._timer.is_alive():
                raise RelayError("nothing would end the pulse: the relay's timer has died; restart")
            now_s = time.monotonic()
            pulse = self._pulse or Pulse(now_s, now_s)
            self._pulse = pulse.extended(now_s, duration_s)
            self._changed.notify()  # first: once the strike is released, its end is certain
            try:
                self._device.on()
            except self._errors as exc:
                self._lock()
                raise RelayError(f"{self._where} cannot be driven: {exc}; {_ADVICE}") from exc

    def lock(self) -> None:
        """Lock the strike now; nothing happens if it is locked or the relay is closed.

        Raises:
            RelayError: if the pin cannot be driven; the timer keeps trying.
        """
        with self._changed:
            if not self._closed and not self._lock():
                raise RelayError(f"{self._where} cannot be locked; {_ADVICE}")

    def close(self) -> None:
        """Lock the strike, end the timer and give the pin back; may be called twice."""
        with self._changed:
            if self._closed:
                return
            self._lock()
            self._closed = True
            self._changed.notify()
            with suppress(*self._errors):
                self._device.close()
            self._driver.close()
        atexit.unregister(self.close)
        self._timer.join(_JOIN_S)

    def _lock(self) -> bool:
        """Lock with the condition held; on failure the pulse stays, so that the timer retries."""
        try:
            self._device.off()
        except self._errors as exc:
            _log.critical("%s cannot be locked: %s; %s", self._where, exc, _ADVICE)
            now_s = time.monotonic()
            began_at_s = self._pulse.began_at_s if self._pulse else now_s
            self._pulse = Pulse(began_at_s, now_s + _RETRY_S)
            self._changed.notify()
            return False
        self._pulse = None
        return True

    def _end_pulses(self) -> None:
        with self._changed:
            while not self._closed:
                if self._pulse is None:
                    self._changed.wait()
                    continue
                left_s = self._pulse.ends_at_s - time.monotonic()
                if left_s > 0:
                    self._changed.wait(left_s)
                    continue
                try:
                    self._lock()
                except Exception:  # noqa: BLE001 - see below
                    # Whatever the driver raises: a timer that dies leaves the strike released.
                    _log.critical("%s cannot be locked; trying again", self._where, exc_info=True)
                    self._changed.wait(_RETRY_S)


_ADVICE = "check [relay] pin, the wiring, and that no other program uses the pin"


def open_relay(config: RelayConfig) -> GpioRelay:
    """Open the relay that *config* describes, locked.

    Raises:
        ConfigError: if the pin factory is unknown.
        RelayError: if its library is missing or the pin cannot be driven.
    """
    if config.pin_factory not in PIN_DRIVERS:
        known = ", ".join(sorted(PIN_DRIVERS))
        raise ConfigError(f"[relay] pin_factory = {config.pin_factory!r}; expected one of: {known}")
    return GpioRelay(
        PIN_DRIVERS[config.pin_factory](), pin=config.pin, active_high=config.active_high
    )


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
