"""One door at a time: the camera and the relay have one owner, and others can tell that it runs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edge.errors import DoorIsRunningError, HardwareError

_LOCK_FILE = "janus.lock"


@contextmanager
def sole_door(directory: Path) -> Iterator[None]:
    """Hold the lock of the door whose stores are in *directory*; the kernel frees it at any exit.

    Raises:
        HardwareError: if a door runs there, or the lock cannot be made.
    """
    file = _locked(directory)
    try:
        yield
    finally:
        file.close()


def _locked(directory: Path) -> IO[str]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (directory / _LOCK_FILE).open("w", encoding="utf-8")
    except OSError as exc:
        raise HardwareError(
            f"{directory / _LOCK_FILE} cannot be made: {exc.strerror}; check the path, its owner "
            "and the disk"
        ) from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        file.close()
        raise DoorIsRunningError(
            f"`janus run` is already running with the stores in {directory}; it holds the camera "
            "and the relay: stop it first"
        ) from exc
    return file
