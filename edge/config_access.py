"""The table of who may enter when, and of what follows failures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.config_reading import key
from edge.errors import ConfigError


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """Who may enter when, PINs, and what follows failures."""

    policy: Path | None = key(
        None, "policy file (docs/access.md); left out: everybody enrolled, at any time"
    )
    state: Path | None = key(
        None, "PINs, failures and entries (SQLite); left out: access.sqlite beside the gallery"
    )
    keypad: str = key(
        "none",
        "none, usb (a number pad as /dev/input/…) or matrix (rows and columns on GPIO)",
        choices=("none", "usb", "matrix"),
    )
    keypad_device: Path | None = key(
        None, "usb only: such as /dev/input/by-id/usb-…-event-kbd; no other program gets its keys"
    )
    keypad_rows: tuple[int, ...] = key(
        (5, 6, 13, 19), "matrix only: GPIO numbers (BCM) of the rows 123, 456, 789, *0#"
    )
    keypad_columns: tuple[int, ...] = key(
        (12, 16, 20), "matrix only: GPIO numbers (BCM) of the columns, left to right"
    )
    typing_s: float = key(
        20.0, "time to enter the PIN or press the button, after the face", least=5, most=120
    )
    second_person_s: float = key(
        30.0, "time for the second person to be recognised", least=5, most=300
    )
    visitor_failures: int = key(
        5,
        "failures in a row of one visitor, or wrong PINs of a subject, until a pause",
        least=1,
        most=5,
    )
    door_failures: int = key(
        5, "failed visits in a row, of anybody, until the door pauses", least=1, most=50
    )
    face_off_failures: int = key(
        50, "failed visits in a row until only an operator helps", least=5, most=50
    )
    pause_s: float = key(
        30.0, "the first pause; it doubles with each further failure", least=30, most=3600
    )
    longest_pause_s: float = key(900.0, "where the doubling ends", least=30, most=86400)


def check_access(access: AccessConfig) -> None:
    """Refuse keys that are each possible, but not together.

    Raises:
        ConfigError: with both keys and their values.
    """
    if (access.keypad == "usb") != (access.keypad_device is not None):
        raise ConfigError(
            f"[access] keypad = {access.keypad!r} with keypad_device = "
            f"{str(access.keypad_device)!r}; usb needs the device (`ls /dev/input/by-id`), the "
            "others take none"
        )
    pins = (*access.keypad_rows, *access.keypad_columns)
    if access.keypad == "matrix":
        if (len(access.keypad_rows), len(access.keypad_columns)) != (_ROWS, _COLUMNS):
            raise ConfigError(
                f"[access] keypad_rows = {list(access.keypad_rows)}, keypad_columns = "
                f"{list(access.keypad_columns)}; a keypad has {_ROWS} rows and {_COLUMNS} columns"
            )
        if not all(0 <= pin <= _LAST_GPIO for pin in pins):
            raise ConfigError(
                f"[access] keypad_rows and keypad_columns are {list(pins)}; expected GPIO numbers "
                f"from 0 to {_LAST_GPIO}"
            )
    if access.longest_pause_s < access.pause_s:
        raise ConfigError(
            f"[access] longest_pause_s = {access.longest_pause_s:g} is less than pause_s = "
            f"{access.pause_s:g}; the nearest is {access.pause_s:g}"
        )
    if access.face_off_failures < access.door_failures:
        raise ConfigError(
            f"[access] face_off_failures = {access.face_off_failures} is less than door_failures = "
            f"{access.door_failures}; the nearest is {access.door_failures}"
        )


_ROWS, _COLUMNS = 4, 3
_LAST_GPIO = 27  # of the header; the relay's bound is wider for boards with an expander
