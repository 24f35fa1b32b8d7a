"""The door strike's relay: locked at start, on every error and at exit; released only in pulses.

A pulse ends by a thread of the relay's own, so that a pipeline that hangs cannot keep the door
open, and never later than `HARD_CAP_S` after it began, whatever asks for more. A `Guard` outside
this process locks when this process no longer can.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from edge.config import RelayConfig
from edge.errors import RelayError
from edge.gpio import PinDriver, open_driver

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


class Guard(Protocol):
    """Somebody outside this process who locks when it dies or hangs during a pulse."""

    def released(self) -> None:
        """Hear that a pulse is about to begin; raise RelayError if nobody listens any more."""

    def locked(self) -> None:
        """Hear that the strike is locked; never raise."""


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


class GpioRelay:
    """A relay board on one GPIO pin.

    Args:
        driver: the pin factory in use.
        pin: GPIO number (BCM numbering).
        active_high: whether a high level releases the strike.
        guard: is told of every pulse before it begins; None where nobody guards.

    Raises:
        RelayError: if the pin cannot be driven.
    """

    def __init__(
        self, driver: PinDriver, *, pin: int, active_high: bool, guard: Guard | None = None
    ) -> None:
        from gpiozero import OutputDevice

        self.driver, self._errors, self._guard = driver, driver.errors, guard
        self._where = f"GPIO{pin}"
        self._changed = threading.Condition()
        self._pulse: Pulse | None = None
        self._closed = False
        try:
            # initial_value=False: the pin becomes an output at the locked level, see edge/gpio.py.
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
            RelayError: if the relay is closed, the duration is outside (0, `HARD_CAP_S`], nobody
                guards who should, or the pin cannot be driven; the strike is locked then, or will
                be at the end of the pulse that lasts already.
        """
        check_duration(duration_s)
        with self._changed:
            if self._closed:
                raise RelayError("the relay is closed; open it again to release the strike")
            if not self._timer.is_alive():
                raise RelayError("nothing would end the pulse: the relay's timer has died; restart")
            if self._guard is not None:
                self._guard.released()
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
            self.driver.close()
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
        if self._guard is not None:
            self._guard.locked()
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


def open_relay(
    config: RelayConfig, driver: PinDriver | None = None, *, guard: Guard | None = None
) -> GpioRelay:
    """Open the relay that *config* describes, locked.

    Args:
        config: the pin, and which level releases.
        driver: pins that are open already; left out, they are opened here. The relay closes them.
        guard: see `GpioRelay`.

    Raises:
        ConfigError: if the pin factory is unknown.
        RelayError: if its library is missing or the pin cannot be driven.
    """
    return GpioRelay(
        driver or open_driver(config), pin=config.pin, active_high=config.active_high, guard=guard
    )
