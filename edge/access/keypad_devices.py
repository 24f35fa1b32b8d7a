"""Where keys come from: a USB number pad, or a matrix of keys on GPIO.

The pad is read as the kernel gives it: one fixed record a key (linux/input.h, `struct
input_event`). The evdev package would read the same records, but has to be compiled on each board;
twenty lines of `struct` do not. The device is grabbed, so that no console sees what is typed.

A matrix is scanned: one row at a time is pulled low, the others float, and a pressed key pulls its
column low. Two keys pressed at once never connect two driven pins, and no other pin is touched:
rows and columns are reserved, as the relay's pin is by the relay.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from edge.errors import KeypadError
from edge.gpio import PinDriver

ENTER, CLEAR = "enter", "clear"
_WAIT_S = 0.2
_SCAN_S = 0.02  # a finger holds a key for a twentieth of a second at least
_SETTLE_S = 0.0005  # a column rises by the board's pull-up, some 50 kΩ, in microseconds

# `long` twice, type, code, value: the kernel's layout on 32 and on 64 bits.
RECORD = struct.Struct("@llHHi")
_KEY_EVENT, _PRESSED = 1, 1
_EVIOCGRAB = 0x40044590  # _IOW('E', 0x90, int)
# linux/input-event-codes.h: the row above the letters, the number block, the keys of a telephone.
_CODES = (
    {2: "1", 3: "2", 4: "3", 5: "4", 6: "5", 7: "6", 8: "7", 9: "8", 10: "9", 11: "0"}
    | {79: "1", 80: "2", 81: "3", 75: "4", 76: "5", 77: "6", 71: "7", 72: "8", 73: "9", 82: "0"}
    | {0x200 + i: str(i) for i in range(10)}
    | dict.fromkeys((28, 96, 0x20B), ENTER)  # Enter, Enter of the block, #
    | dict.fromkeys((1, 14, 111, 55, 83, 0x20A), CLEAR)  # Escape, ⌫, Delete, *, the point, *
)
_MATRIX = (("1", "2", "3"), ("4", "5", "6"), ("7", "8", "9"), (CLEAR, "0", ENTER))


class Keys(Protocol):
    """A device with keys. `close` may be called twice; after it, `open` may be called again."""

    def open(self) -> None:
        """Take the device, or raise KeypadError."""

    def read(self) -> tuple[str, ...]:
        """Return what was pressed since the last call, after a fraction of a second at most."""

    def close(self) -> None:
        """Give the device back."""


def grab(descriptor: int) -> None:
    """Take the device's events away from every other program.

    Raises:
        OSError: if it is no input device, or another program has grabbed it.
    """
    fcntl.ioctl(descriptor, _EVIOCGRAB, 1)


class UsbKeys:
    """The keys of /dev/input/….

    Args:
        path: the device.
        take: what makes the open device this program's own.
    """

    def __init__(self, path: Path, *, take: Callable[[int], None] = grab) -> None:
        self._path, self._take = path, take
        self._descriptor: int | None = None
        self._rest = b""

    def open(self) -> None:
        """Take the device.

        Raises:
            KeypadError: if it is not there, not readable, or another program's.
        """
        self._rest = b""
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
            self._take(self._descriptor)
        except OSError as exc:
            self.close()
            raise KeypadError(
                f"the keypad {self._path} cannot be opened: {exc.strerror}; check the plug, "
                "[access] keypad_device (`ls /dev/input/by-id`), and that the user is in group "
                "input"
            ) from exc

    def read(self) -> tuple[str, ...]:
        """Return what was pressed since the last call.

        Raises:
            KeypadError: if the device is gone.
        """
        if self._descriptor is None:
            raise KeypadError(f"the keypad {self._path} is not open")
        try:
            ready, _, _ = select.select([self._descriptor], [], [], _WAIT_S)
            if not ready:
                return ()
            raw = os.read(self._descriptor, 64 * RECORD.size)
        except BlockingIOError:
            return ()
        except OSError as exc:
            raise self._gone(exc.strerror) from exc
        if not raw:
            raise self._gone("it gives no more")
        whole = self._rest + raw
        cut = len(whole) - len(whole) % RECORD.size
        self._rest = whole[cut:]
        return tuple(
            _CODES[code]
            for _, _, kind, code, value in RECORD.iter_unpack(whole[:cut])
            if kind == _KEY_EVENT and value == _PRESSED and code in _CODES
        )

    def close(self) -> None:
        """Give the device back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _gone(self, why: object) -> KeypadError:
        return KeypadError(
            f"the keypad {self._path} is gone: {why}; plug it in again. PINs are still asked for"
        )


class MatrixKeys:
    """Four rows and three columns of keys on GPIO.

    Args:
        driver: the pins.
        rows: GPIO numbers of 123, 456, 789, *0#.
        columns: GPIO numbers from left to right.
    """

    def __init__(self, driver: PinDriver, rows: tuple[int, ...], columns: tuple[int, ...]) -> None:
        self._driver, self._numbers = driver, (rows, columns)
        self._rows: list[Any] = []
        self._columns: list[Any] = []
        self._seen: str | None = None
        self._told: str | None = None

    def open(self) -> None:
        """Reserve the pins; let all of them float, pulled up.

        Raises:
            KeypadError: if a pin is another device's or cannot be used.
        """
        rows, columns = self._numbers
        factory = self._driver.factory
        try:
            factory.reserve_pins(self, *rows, *columns)
            self._rows = [factory.pin(number) for number in rows]
            self._columns = [factory.pin(number) for number in columns]
            for pin in (*self._rows, *self._columns):
                pin.input_with_pull("up")
        except self._driver.errors as exc:
            self.close()
            raise KeypadError(
                f"the keypad's pins cannot be used: {exc}; check [access] keypad_rows, "
                "keypad_columns and the wiring"
            ) from exc

    def read(self) -> tuple[str, ...]:
        """Return a key when two scans in a row see it alone for the first time.

        Raises:
            KeypadError: if a pin can no longer be used.
        """
        time.sleep(_SCAN_S)
        try:
            pressed = self._scan()
        except self._driver.errors as exc:
            raise KeypadError(f"the keypad's pins can no longer be used: {exc}") from exc
        if len(pressed) > 1:
            return ()  # three keys at the corners of a square look like four: a lone key counts
        key = pressed[0] if pressed else None
        steady, self._seen = key == self._seen, key
        if not steady or key == self._told:
            return ()
        self._told = key
        return () if key is None else (key,)

    def close(self) -> None:
        """Leave every pin an input and give it back."""
        with suppress(*self._driver.errors):
            for pin in (*self._rows, *self._columns):
                pin.close()
        rows, columns = self._numbers
        with suppress(*self._driver.errors):
            self._driver.factory.release_pins(self, *rows, *columns)
        self._rows, self._columns = [], []
        self._seen = self._told = None

    def _conflicts_with(self, other: object) -> bool:
        """Answer gpiozero's `reserve_pins`: these pins are shared with nobody."""
        return other is not self

    def _scan(self) -> list[str]:
        pressed = []
        for names, row in zip(_MATRIX, self._rows, strict=True):
            row.output_with_state(0)
            try:
                time.sleep(_SETTLE_S)
                pressed += [
                    name
                    for name, column in zip(names, self._columns, strict=True)
                    if not column.state
                ]
            finally:
                row.input_with_pull("up")
        return pressed
