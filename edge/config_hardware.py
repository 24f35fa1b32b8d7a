"""The tables of what is wired to the door: camera, relay, contact, buttons, LED, buzzer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from edge.access.calendar import parse_span
from edge.config_access import AccessConfig
from edge.config_reading import key
from edge.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """Where frames come from."""

    backend: str = key(
        "picamera2",
        "picamera2 (Pi camera), opencv (USB, RTSP, film file) or folder (pictures in name order)",
        choices=("picamera2", "opencv", "folder"),
    )
    source: str = key(
        "0", "opencv: device number, /dev/video*, rtsp:// URL or film file; folder: its path"
    )
    width_px: int = key(640, "frame width in pixels", least=160, most=4096)
    height_px: int = key(480, "frame height in pixels", least=120, most=4096)
    frame_rate_hz: float = key(15.0, "frames a second asked of the camera", least=1, most=120)
    timeout_s: float = key(
        3.0, "longest wait for a frame before it is an error", least=0.2, most=60
    )
    rotate_deg: int = key(0, "turn each frame clockwise by so much", choices=(0, 90, 180, 270))


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """The relay of the door strike."""

    pin: int = key(17, "GPIO number (BCM numbering)", least=0, most=53)
    active_high: bool = key(True, "true: a high level releases the strike")
    release_s: float = key(3.0, "seconds that the strike stays released", least=0.1, most=10.0)
    pin_factory: str = key(
        "lgpio", "gpiozero's pin factory; mock drives nothing", choices=("lgpio", "native", "mock")
    )


@dataclass(frozen=True, slots=True)
class LockConfig:
    """What the lock is, and when the door is in order."""

    fails: str = key(
        "secure",
        "without power the lock is locked (secure: a strike) or open (safe: a magnet)",
        choices=("secure", "safe"),
    )
    held_open_s: float = key(
        30.0, "seconds that the door may stand open without an alarm", least=1, most=3600
    )
    forced_alarm: bool = key(
        True, "false: a handle inside opens the door without a request, so that is no alarm"
    )
    unlocked_hours: tuple[str, ...] = key(
        (), 'when anybody may enter, such as "mon-fri 09:00-17:00"'
    )


@dataclass(frozen=True, slots=True)
class InputsConfig:
    """Contacts and buttons, each between its pin and ground; a pin left out is not wired."""

    contact_pin: int | None = key(
        None, "GPIO number of the door contact, closed while the door is", least=0, most=53
    )
    exit_pin: int | None = key(
        None, "GPIO number of the request-to-exit button, closed when pressed", least=0, most=53
    )
    tamper_pin: int | None = key(
        None, "GPIO number of the case's switch, closed while the case is", least=0, most=53
    )
    button_pin: int | None = key(
        None, "GPIO number of the second factor's button, closed when pressed", least=0, most=53
    )
    bounce_s: float = key(0.05, "seconds for which a level must hold", least=0, most=1)


@dataclass(frozen=True, slots=True)
class SignalsConfig:
    """The status LED and the buzzer; a pin left out is not wired."""

    led_pin: int | None = key(None, "GPIO number of the status LED", least=0, most=53)
    buzzer_pin: int | None = key(None, "GPIO number of the buzzer", least=0, most=53)


def check_wiring(
    relay: RelayConfig, inputs: InputsConfig, signals: SignalsConfig, access: AccessConfig
) -> None:
    """Refuse two things on one pin.

    Raises:
        ConfigError: with both keys and the pin.
    """
    taken = {relay.pin: "[relay] pin"}
    used = [*_pins("inputs", inputs), *_pins("signals", signals)]
    if access.keypad == "matrix":
        used += [("[access] keypad_rows", pin) for pin in access.keypad_rows]
        used += [("[access] keypad_columns", pin) for pin in access.keypad_columns]
    for where, pin in used:
        if pin in taken:
            raise ConfigError(
                f"{where} = {pin} is {taken[pin]} already; each needs a pin of its own, see "
                "docs/wiring.md"
            )
        taken[pin] = where


def check_lock(door: LockConfig, inputs: InputsConfig) -> None:
    """Refuse hours that are none, and a magnet that nobody inside can switch off.

    Raises:
        ConfigError: with the key and its value.
    """
    for hours in door.unlocked_hours:
        parse_span("[door] unlocked_hours", hours)
    if door.fails == "safe" and inputs.exit_pin is None:
        raise ConfigError(
            "[door] fails = 'safe' without [inputs] exit_pin: a magnet has no handle, so a door "
            "with one needs a button inside; wire it and name its pin"
        )


def _pins(name: str, table: InputsConfig | SignalsConfig) -> Iterator[tuple[str, int]]:
    """Yield each key of a table that names a pin in use, with the pin."""
    for described in fields(table):
        pin = getattr(table, described.name)
        if described.name.endswith("_pin") and pin is not None:
            yield f"[{name}] {described.name}", pin
