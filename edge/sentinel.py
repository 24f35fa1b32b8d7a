"""A second process that locks the strike when the door's own process dies or hangs during a pulse.

A process that is killed outright (SIGKILL, out of memory, a crash in a native library) runs none of
its own code again, and Linux may leave its pin as it was. The sentinel hears of every pulse through
a pipe before it begins. If the pipe closes without a farewell, the door has died: the sentinel
takes the pin and locks. If a pulse outlasts the relay's own cap, the door hangs: the sentinel kills
it first, since a pin has one owner. It imports all that it needs beforehand, and waits.

A service manager should run `janus lock` after the door as well: it is there when both have died.
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from edge.config import RelayConfig
from edge.errors import DoorError, RelayError
from edge.gpio import prepare
from edge.relay import HARD_CAP_S, open_relay

# How long a pulse may outlast the cap before its process counts as hanging.
LATE_S = 0.1
_READY, _RELEASED, _LOCKED, _FAREWELL = b"!", b"+", b"-", b"."
_START_S = 20.0  # a Pi's slow card, at boot
_FAREWELL_S = 2.0
_CLAIM_S = 10.0  # the kernel frees a dead process's pins once the process is gone altogether
_RETRY_S = 0.02
_log = logging.getLogger(__name__)


class Sentinel:
    """The door's end of the pipe, see `edge.relay.Guard`; `close` may be called twice.

    Args:
        config: the pin, and which level releases.

    Raises:
        RelayError: if the second process does not start.
    """

    def __init__(self, config: RelayConfig) -> None:
        self._telling = threading.Lock()
        self._pulsing = False
        command = [sys.executable, "-m", "edge.sentinel", str(config.pin), config.pin_factory]
        try:
            self._process = subprocess.Popen(
                [*command, "high" if config.active_high else "low"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": _path()},
                start_new_session=True,  # Ctrl-C is for the door, which then says farewell
                bufsize=0,
            )
        except OSError as exc:
            raise RelayError(f"the sentinel cannot be started: {exc.strerror}; {_ADVICE}") from exc

    def wait_until_ready(self) -> None:
        """Wait until the sentinel listens; meanwhile the relay can be opened.

        Raises:
            RelayError: if it does not start.
        """
        said = b""
        if self._process.stdout is not None:
            descriptor = self._process.stdout.fileno()
            readable, _, _ = select.select([descriptor], [], [], _START_S)
            said = os.read(descriptor, 1) if readable else b""
        if said != _READY:
            raise RelayError(f"the sentinel does not start within {_START_S:g} s; {_ADVICE}")

    def released(self) -> None:
        """Tell that a pulse is about to begin or to grow.

        Raises:
            RelayError: if the sentinel has died: nobody would lock for a door that is killed.
        """
        with self._telling:
            if self._pulsing:
                return
            self._pulsing = True
            try:
                self._tell(_RELEASED)
            except OSError as exc:
                raise RelayError(
                    "the sentinel has died: nobody would lock if the door were killed now; start "
                    "the door again"
                ) from exc

    def locked(self) -> None:
        """Tell that the strike is locked."""
        with self._telling, suppress(OSError):
            if self._pulsing:
                self._pulsing = False
                self._tell(_LOCKED)

    def close(self) -> None:
        """Say farewell, after the relay is locked, and wait for the sentinel to go."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None or stdin.closed:
            return
        with self._telling, suppress(OSError):
            self._tell(_FAREWELL)
        with suppress(OSError):
            stdin.close()
        stdout.close()
        try:
            self._process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, word: bytes) -> None:
        if self._process.stdin is None or self._process.stdin.closed:
            raise BrokenPipeError
        self._process.stdin.write(word)


def _path() -> str:
    """Return where Python finds this package, wherever the door was started from."""
    places = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(each for each in places if each)


_ADVICE = "run `janus check`, and look at the memory and the number of processes"


def watch(words: int, parent: int) -> bool:
    """Listen to the door until it ends or hangs; return whether the strike is to be locked.

    Args:
        words: the file descriptor on which the door speaks.
        parent: its process, which is killed if a pulse outlasts the cap.
    """
    ends_s: float | None = None
    while True:
        left_s = None if ends_s is None else max(0.0, ends_s - time.monotonic())
        readable, _, _ = select.select([words], [], [], left_s)
        if not readable:
            _log.critical("a pulse outlasts %g s: the door hangs, and is killed", HARD_CAP_S)
            with suppress(ProcessLookupError):
                os.kill(parent, signal.SIGKILL)
            return True
        word = os.read(words, 1)
        if word == _RELEASED:
            ends_s = time.monotonic() + HARD_CAP_S + LATE_S
        elif word == _LOCKED:
            ends_s = None
        else:
            return word != _FAREWELL


def lock(config: RelayConfig, *, patience_s: float = _CLAIM_S) -> None:
    """Take the pin, lock the strike, and give the pin back.

    Args:
        config: the pin, and which level releases.
        patience_s: how long to try again while the pin is in use.

    Raises:
        RelayError: if the pin cannot be taken in time.
    """
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            # An opened relay is a locked one.
            with closing(open_relay(config)):
                return
        except RelayError:
            if time.monotonic() >= deadline_s:
                raise
            time.sleep(_RETRY_S)


def main(argv: Sequence[str] | None = None) -> int:
    """Be the second process; return 0, or 5 if the strike could not be locked."""
    parser = argparse.ArgumentParser(prog="edge.sentinel")
    parser.add_argument("pin", type=int)
    parser.add_argument("pin_factory")
    parser.add_argument("level", choices=("high", "low"))
    arguments = parser.parse_args(argv)
    config = RelayConfig(
        pin=arguments.pin,
        active_high=arguments.level == "high",
        pin_factory=arguments.pin_factory,
    )
    logging.basicConfig(format="%(levelname)s sentinel: %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        # A service manager tells every process to stop; the door's farewell ends this one.
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    prepare(config.pin_factory)
    os.write(sys.stdout.fileno(), _READY)
    if not watch(sys.stdin.fileno(), parent):
        return 0
    try:
        lock(config)
    except DoorError as exc:
        _log.critical("%s", exc)
        return exc.exit_code
    _log.critical("the door died without locking; GPIO%d is locked now", config.pin)
    return 0


if __name__ == "__main__":
    sys.exit(main())
