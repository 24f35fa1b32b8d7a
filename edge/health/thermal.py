"""How warm the processor is, and whether the firmware holds a Raspberry Pi back."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ZONE = Path("/sys/class/thermal/thermal_zone0/temp")
# The kernel's own record of `vcgencmd get_throttled`; its device and group are not needed for it.
THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
_ASK_S = 1.0

# Raspberry Pi documentation, "vcgencmd get_throttled".
FLAGS = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}


@dataclass(frozen=True, slots=True)
class Heat:
    """What the board says of itself.

    Args:
        temperature_c: of the processor, in degrees Celsius; None where none is measured.
        flags: sentences of `FLAGS`; None on a board that is no Raspberry Pi.
    """

    temperature_c: float | None
    flags: tuple[str, ...] | None


def read_heat(zone: Path = ZONE, throttled: Path = THROTTLED) -> Heat:
    """Return the temperature from *zone* and the flags from *throttled*, else from vcgencmd."""
    try:
        temperature_c = int(zone.read_text(encoding="ascii")) / 1000
    except (OSError, ValueError):
        temperature_c = None
    try:
        word = throttled.read_text(encoding="ascii")
    except (OSError, ValueError):
        word = _asked_firmware()
    return Heat(temperature_c, flags_of(word))


def flags_of(word: str) -> tuple[str, ...] | None:
    """Return the flags in "50005", "0x50005" or "throttled=0x50005" (hexadecimal); None in else."""
    try:
        bits = int(word.strip().removeprefix("throttled="), 16)
    except ValueError:
        return None
    return tuple(meaning for bit, meaning in FLAGS.items() if bits >> bit & 1)


def _asked_firmware() -> str:
    program = shutil.which("vcgencmd")
    if program is None:
        return ""
    try:
        asked = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=_ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout
