"""A stand-in lgpio whose lines are files: they outlive the process, as a Pi's pins may.

The folder is $FAKE_LGPIO. `level-17` is what line 17 drives, "z" when nobody drives it; `owner-17`
the process that claimed it. As on a Raspberry Pi whose kernel keeps outputs, the level of a process
that was killed stays as it was; the line itself is free for the next one to claim.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

SET_PULL_NONE, SET_PULL_UP, SET_PULL_DOWN = 128, 32, 64
RISING_EDGE, FALLING_EDGE, BOTH_EDGES = 1, 2, 3
_OUTPUT = 2
_outputs: set[int] = set()


class error(Exception):  # noqa: N801, N818 - lgpio's own name
    pass


def _file(kind: str, gpio: int) -> Path:
    return Path(os.environ["FAKE_LGPIO"]) / f"{kind}-{gpio}"


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def _claim(gpio: int) -> None:
    owner = _file("owner", gpio)
    if (
        owner.exists()
        and (was := owner.read_text())
        and int(was) != os.getpid()
        and _alive(int(was))
    ):
        raise error("GPIO busy")
    _write(owner, str(os.getpid()))


def _drive(gpio: int, level: str) -> None:
    _write(_file("level", gpio), level)
    with _file("history", gpio).open("a") as history:
        history.write(f"{time.monotonic():.3f} {os.getpid()} {level}\n")


def gpiochip_open(chip: int) -> int:
    return 0


def gpiochip_close(handle: int) -> None:
    for gpio in _outputs:
        _write(_file("owner", gpio), "")
    _outputs.clear()


def gpio_claim_input(handle: int, gpio: int, flags: int = 0) -> None:
    _claim(gpio)
    _outputs.discard(gpio)
    _drive(gpio, "z")
    _write(_file("owner", gpio), "")


def gpio_claim_output(handle: int, gpio: int, level: int = 0, flags: int = 0) -> None:
    _claim(gpio)
    _outputs.add(gpio)
    _drive(gpio, str(level))


def gpio_free(handle: int, gpio: int) -> None:
    _outputs.discard(gpio)


def gpio_write(handle: int, gpio: int, level: int) -> None:
    _drive(gpio, str(int(level)))


def gpio_read(handle: int, gpio: int) -> int:
    return int(_file("level", gpio).read_text().replace("z", "0"))


def gpio_get_mode(handle: int, gpio: int) -> int:
    return _OUTPUT if gpio in _outputs else 0


def gpio_set_debounce_micros(handle: int, gpio: int, micros: int) -> None:
    pass
