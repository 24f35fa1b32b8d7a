"""Keys become entries: a FIFO with the kernel's records, and gpiozero's mock pins with wires."""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import struct
import threading
from pathlib import Path

import pytest
from gpiozero import GPIOPinInUse, OutputDevice
from gpiozero.pins.mock import MockFactory, MockPin
from hypothesis import given
from hypothesis import strategies as st

from edge.access import keypad, keypad_devices
from edge.access.keypad import GAP_S, Entry, Keypad, open_keypad
from edge.access.keypad_devices import CLEAR, ENTER, RECORD, MatrixKeys, UsbKeys
from edge.access.pins import LONGEST
from edge.config import AccessConfig, RelayConfig
from edge.errors import KeypadError
from edge.gpio import PinDriver, open_driver

ROWS, COLUMNS = (5, 6, 13, 19), (12, 16, 20)
LAYOUT = ("123", "456", "789", "*0#")
ENTER_CODE, STAR_CODE, RELEASED, REPEATED = 96, 55, 0, 2
BLOCK = {"1": 79, "2": 80, "3": 81, "4": 75, "5": 76, "6": 77, "7": 71, "8": 72, "9": 73, "0": 82}


def typed(*keys, step_s=1.0):
    entry = Entry()
    return [found for i, key in enumerate(keys) if (found := entry.press(key, i * step_s))]


def test_digits_and_enter_make_an_entry():
    assert typed(*"8305", ENTER, *"49", ENTER) == ["8305", "49"]
    assert typed(ENTER, ENTER) == []


def test_clear_begins_anew():
    assert typed(*"99", CLEAR, *"8305", ENTER) == ["8305"]


def test_digits_that_somebody_left_are_forgotten():
    entry = Entry()
    entry.press("9", 0.0)
    entry.press("8", GAP_S + 0.1)
    assert entry.press(ENTER, GAP_S + 0.2) == "8"
    assert typed(*"8305", ENTER, step_s=GAP_S) == ["8305"]


def test_an_entry_that_is_too_long_stays_wrong_and_takes_no_more_room():
    """It does not become right by losing its end."""
    (found,) = typed(*("8305" * 100), ENTER, step_s=0.01)
    assert len(found) == LONGEST + 1


@given(st.lists(st.sampled_from([*"0123456789", ENTER, CLEAR])))
def test_an_entry_is_what_was_typed_since_the_last_enter_or_clear(keys):
    expected, since = [], ""
    for key in keys:
        if key == ENTER and since:
            expected.append(since[: LONGEST + 1])
        since = "" if key in (ENTER, CLEAR) else since + key
    assert typed(*keys) == expected


def test_nothing_typed_stays_in_memory_after_use():
    entry = Entry()
    buffer = entry._digits
    for key in "8305":
        entry.press(key, 0.0)
    entry.press(ENTER, 0.0)
    assert bytes(buffer) == b""
    assert "8305" not in repr(entry) + repr(vars(entry) if hasattr(entry, "__dict__") else "")


# --- USB --------------------------------------------------------------------------------------


def record(code, value=1, kind=1):
    """One event as the kernel writes it."""
    return RECORD.pack(1, 2, kind, code, value)


@pytest.fixture
def device(tmp_path):
    """A FIFO in place of the device: its path, and a function that types."""
    path = tmp_path / "pad"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR)
    yield path, lambda *raw: os.write(end, b"".join(raw))
    os.close(end)


@pytest.fixture
def usb(device):
    keys = UsbKeys(device[0], take=lambda _: None)
    keys.open()
    yield keys
    keys.close()


def test_a_record_has_the_length_of_the_kernel_s_own():
    """16 bytes where a long has four, 24 where it has eight."""
    assert RECORD.size == 2 * struct.calcsize("l") + 8


def test_presses_count_and_releases_repeats_and_other_events_do_not(device, usb):
    _, type_in = device
    type_in(
        record(79), record(79, RELEASED), record(2), record(2, REPEATED), record(0, 0, kind=0),
        record(30), record(ENTER_CODE), record(STAR_CODE), record(0x200), record(0x20B),
    )  # fmt: skip
    assert usb.read() == ("1", "1", ENTER, CLEAR, "0", ENTER)


def test_half_a_record_waits_for_its_other_half(device, usb):
    _, type_in = device
    whole = record(79) + record(80)
    type_in(whole[:30])
    assert usb.read() == ("1",)
    type_in(whole[30:])
    assert usb.read() == ("2",)


def test_reading_waits_a_moment_only(usb):
    assert usb.read() == ()


def test_what_is_no_input_device_is_refused(device, tmp_path):
    """The real EVIOCGRAB on something else, in the kernel's words; an emulated one has others."""
    with (
        Path(os.devnull).open() as other,
        pytest.raises(OSError, match=r"ioctl|implemented") as told,
    ):
        fcntl.ioctl(other, keypad_devices._EVIOCGRAB, 1)
    with pytest.raises(KeypadError, match=f"cannot be opened: {told.value.strerror}"):
        UsbKeys(device[0]).open()
    with pytest.raises(KeypadError, match=r"ls /dev/input/by-id"):
        UsbKeys(tmp_path / "absent").open()


def test_the_thread_tells_entries_and_logs_no_digit(device, caplog):
    path, type_in = device
    entries: queue.Queue[str] = queue.Queue()
    with caplog.at_level(logging.DEBUG):
        pad = Keypad(UsbKeys(path, take=lambda _: None), tell=entries.put)
        type_in(*(record(BLOCK[each]) for each in "8305"), record(ENTER_CODE))
        assert entries.get(timeout=5) == "8305"
        pad.close()
        pad.close()
    assert not pad._thread.is_alive()
    assert "8305" not in caplog.text


def test_a_pad_that_is_pulled_out_is_opened_again(tmp_path, caplog, monkeypatch):
    """What was typed before is forgotten."""
    monkeypatch.setattr(keypad, "_REOPEN_S", 0.05)
    path = tmp_path / "pad"
    os.mkfifo(path)
    entries: queue.Queue[str] = queue.Queue()
    first = os.open(path, os.O_RDWR)
    pad = Keypad(UsbKeys(path, take=lambda _: None), tell=entries.put)
    gone = threading.Event()
    close = pad._keys.close
    monkeypatch.setattr(pad._keys, "close", lambda: (close(), gone.set()))
    os.write(first, record(BLOCK["9"]))
    path.unlink()
    os.close(first)
    assert gone.wait(5)
    assert not pad.connected
    os.mkfifo(path)
    second = os.open(path, os.O_RDWR)
    try:
        os.write(second, record(BLOCK["8"]) + record(ENTER_CODE))
        assert entries.get(timeout=5) == "8"
        assert pad.connected
    finally:
        pad.close()
        os.close(second)
    assert "is gone" in caplog.text


# --- matrix -----------------------------------------------------------------------------------


class WiredPin(MockPin):
    """A mock pin that a pressed key ties to a row that is driven low."""

    def _get_state(self):
        board = self.factory
        for row, column in board.pressed:
            other = board.pin(row)
            if column == self._number and other.function == "output" and not other._state:
                return 0
        return super()._get_state()

    def _set_function(self, value):
        super()._set_function(value)
        outputs = [each for each in ROWS if self.factory.pin(each)._function == "output"]
        self.factory.most_outputs = max(self.factory.most_outputs, len(outputs))


class Board(MockFactory):
    """gpiozero's mock pins, and the keys that are pressed as (row, column) of GPIO numbers."""

    def __init__(self):
        super().__init__(pin_class=WiredPin)
        self.pressed, self.most_outputs = set(), 0

    def press(self, keys):
        self.pressed = {
            (ROWS[i], COLUMNS[row.index(key)])
            for key in keys
            for i, row in enumerate(LAYOUT)
            if key in row
        }


@pytest.fixture
def board():
    opened = Board()
    yield opened
    opened.close()


@pytest.fixture
def matrix(board):
    from gpiozero import GPIOZeroError

    keys = MatrixKeys(PinDriver(board, (GPIOZeroError, OSError)), ROWS, COLUMNS)
    keys.open()
    yield keys
    keys.close()


def scans(matrix, count=3):
    return [key for _ in range(count) for key in matrix.read()]


@pytest.mark.parametrize("key", "1234567890*#")
def test_each_key_of_the_matrix_is_told_once_while_it_is_held(board, matrix, key):
    board.press(key)
    assert scans(matrix) == [{"*": CLEAR, "#": ENTER}.get(key, key)]


def test_a_key_pressed_twice_counts_twice(board, matrix):
    found = []
    for keys in ("5", "", "5", ""):
        board.press(keys)
        found += scans(matrix)
    assert found == ["5", "5"]


def test_a_bounce_of_one_scan_is_no_key(board, matrix):
    for keys in ("5", "", "5", ""):
        board.press(keys)
        assert matrix.read() == ()


def test_fingers_that_overlap_type_each_key_once(board, matrix):
    found = []
    for keys in ("1", "12", "2", "23", "2", "", ""):
        board.press(keys)
        found += scans(matrix, 2)
    assert found == ["1", "2"]


@pytest.mark.parametrize("keys", ["12", "21", "124", "1245"])
def test_several_keys_at_once_are_none(board, matrix, keys):
    """Three at the corners of a square look like four, so which they are cannot be told."""
    board.press(keys)
    assert scans(matrix) == []


def test_never_are_two_rows_driven_and_all_float_between_scans(board, matrix):
    board.press("147*")
    scans(matrix)
    assert board.most_outputs == 1
    assert [board.pin(each).function for each in ROWS] == ["input"] * 4
    assert [board.pin(each).pull for each in (*ROWS, *COLUMNS)] == ["up"] * 7


def test_a_pin_of_the_relay_is_never_scanned(board):
    """Whatever the configuration check let through."""
    from gpiozero import GPIOZeroError

    relay = OutputDevice(ROWS[1], pin_factory=board)
    keys = MatrixKeys(PinDriver(board, (GPIOZeroError, OSError)), ROWS, COLUMNS)
    with pytest.raises(KeypadError, match="in use"):
        keys.open()
    assert board.pin(ROWS[1]).function == "output"
    relay.close()
    keys.open()
    with pytest.raises(GPIOPinInUse):
        OutputDevice(ROWS[1], pin_factory=board)
    keys.close()
    OutputDevice(ROWS[1], pin_factory=board).close()


def test_the_keypad_is_opened_by_name(tmp_path):
    driver = open_driver(RelayConfig(pin_factory="mock"))
    assert open_keypad(AccessConfig(), driver, tell=print) is None
    pad = open_keypad(AccessConfig(keypad="matrix"), driver, tell=print)
    assert pad is not None
    pad.close()
    absent = AccessConfig(keypad="usb", keypad_device=tmp_path / "absent")
    with pytest.raises(KeypadError, match="cannot be opened"):
        open_keypad(absent, driver, tell=print)
    driver.close()
