"""Digits from a keypad, heard by a thread of its own; complete entries are told, never logged."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edge.access.keypad_devices import CLEAR, ENTER, Keys, MatrixKeys, UsbKeys
from edge.access.pins import LONGEST
from edge.config import AccessConfig
from edge.errors import KeypadError
from edge.gpio import PinDriver

GAP_S = 10.0  # longer between two keys, and the second belongs to somebody else
_REOPEN_S = 2.0
_JOIN_S = 2.0

_log = logging.getLogger(__name__)


class Entry:
    """Pure: keys become an entry. What was typed is overwritten once it is used or stale."""

    def __init__(self) -> None:
        self._digits = bytearray()
        self._last_s = float("-inf")

    def press(self, key: str, at_s: float) -> str | None:
        """Take one key; return the digits at ENTER, if there are any.

        Args:
            key: "0" to "9", ENTER or CLEAR.
            at_s: monotonic seconds.
        """
        if at_s - self._last_s > GAP_S:
            self.clear()
        self._last_s = at_s
        if key == CLEAR:
            self.clear()
        elif key == ENTER:
            entered = self._digits.decode("ascii")
            self.clear()
            return entered or None
        elif len(self._digits) <= LONGEST:  # one too many is kept, so that the entry is wrong
            self._digits += key.encode("ascii")
        return None

    def clear(self) -> None:
        """Forget what was typed."""
        self._digits[:] = bytes(len(self._digits))
        self._digits.clear()


class Keypad:
    """A thread that hears keys and tells complete entries; `close` may be called twice.

    A pad that is pulled out is opened again when it is back. Until then no PIN can be entered, and
    PINs are asked for all the same: to pull the plug opens nothing.

    Args:
        keys: the device.
        tell: takes each entry, on the keypad's own thread; it must not wait.
        clock: monotonic seconds.

    Raises:
        KeypadError: if the device cannot be opened.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys, self._tell, self._clock = keys, tell, clock
        self._closing = threading.Event()
        self.connected = True
        keys.open()
        self._thread = threading.Thread(target=self._listen, name="keypad", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear nothing more, and give the device back."""
        self._closing.set()
        self._thread.join(_JOIN_S)

    def _listen(self) -> None:
        entry = Entry()
        try:
            while not self._closing.is_set():
                try:
                    self._hear(entry)
                except KeypadError as exc:
                    if self.connected:
                        _log.error("%s", exc)
                    self.connected = False
                    entry.clear()
                    self._keys.close()
                    self._closing.wait(_REOPEN_S)
        finally:
            entry.clear()
            self._keys.close()

    def _hear(self, entry: Entry) -> None:
        if not self.connected:
            self._keys.open()
            self.connected = True
            _log.info("the keypad is back")
        for key in self._keys.read():
            if (digits := entry.press(key, self._clock())) is not None:
                self._tell(digits)


def open_keypad(
    config: AccessConfig, driver: PinDriver, *, tell: Callable[[str], None]
) -> Keypad | None:
    """Open the keypad that *config* names, or return None where there is none.

    Args:
        config: [access] of the configuration.
        driver: the pins, for a matrix.
        tell: takes each complete entry; it must not wait.

    Raises:
        KeypadError: if the device cannot be opened.
    """
    if config.keypad == "usb" and config.keypad_device is not None:
        return Keypad(UsbKeys(config.keypad_device), tell=tell)
    if config.keypad == "matrix":
        keys = MatrixKeys(driver, config.keypad_rows, config.keypad_columns)
        return Keypad(keys, tell=tell)
    return None
