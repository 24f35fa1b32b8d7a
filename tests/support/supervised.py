"""A service manager as systemd is one for systemd/janus.service, for machines that run none.

Type=notify, WatchdogSec, abort then kill, ExecStopPost, Restart=always but for some exit codes; the
limits are read from the unit itself. tests/arm boots the real one.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

UNIT = Path(__file__).parents[2] / "systemd" / "janus.service"
WATCHES = "the door watches"
_POLL_S = 0.02


def unit_setting(name: str, path: Path = UNIT) -> str:
    """Return what the unit says after `name=`."""
    found = re.search(rf"^{name}=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{path} has no {name}"
    return found[1]


def _seconds(name: str) -> float:
    return float(unit_setting(name).removesuffix("s"))


@dataclass(frozen=True)
class Happened:
    """Something that the manager did or heard, at a time of the monotonic clock."""

    at_s: float
    what: str  # start, ready, status, abort, kill, exit, down
    fact: str = ""


class Supervisor:
    """Runs *command* until `stop`; restarts it as the unit says.

    Args:
        command: the service.
        environment: of the service and of what is run after it.
        after: run each time the service has ended, as ExecStopPost is.
        notify: path of the socket.
        log: file that takes what the service prints.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        after: Sequence[str],
        notify: Path,
        log: Path,
    ) -> None:
        self._command, self._after, self._log = command, after, log
        self._watchdog_s, self._abort_s = _seconds("WatchdogSec"), _seconds("TimeoutAbortSec")
        self._restart_s, self._stop_s = _seconds("RestartSec"), _seconds("TimeoutStopSec")
        self._final = [int(each) for each in unit_setting("RestartPreventExitStatus").split()]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(notify))
        notify.chmod(0o777)
        self._socket.settimeout(_POLL_S)
        self._environment = {
            **environment,
            "NOTIFY_SOCKET": str(notify),
            "WATCHDOG_USEC": str(round(self._watchdog_s * 1e6)),
        }
        self._changed = threading.Condition()
        self._happened: list[Happened] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._fed_s: float | None = None
        self._stops_s: float | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The service's process."""
        assert self._process is not None
        return self._process.pid

    def happened(self, since_s: float = 0.0) -> list[Happened]:
        """Return what happened at or after *since_s*."""
        with self._changed:
            return [each for each in self._happened if each.at_s >= since_s]

    def wait_for(self, *what: str, since_s: float = 0.0, timeout_s: float = 60.0) -> Happened:
        """Return the first of these that happened at or after *since_s*; good news do not count."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for each in self._happened:
                    if each.at_s >= since_s and each.what in what and each.fact != WATCHES:
                        return each
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, f"none of {what} within {timeout_s} s: {self._happened[-8:]}"
                self._changed.wait(left_s)

    def stop(self) -> int:
        """Ask the service to end, as `systemctl stop` does; return its exit code."""
        self._stopping = True
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(self._stop_s)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(30)
        self._socket.close()
        return -1 if process is None else process.wait()

    def _run(self) -> None:
        while not self._stopping:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command, env=self._environment, stdout=log, stderr=log
                )
                self._fed_s = None
                self._tell("start")
                code = self._attend(self._process)
                self._tell("exit", str(code))
                subprocess.run(self._after, env=self._environment, stdout=log, stderr=log)
            if code in self._final:
                self._tell("down", str(code))
                return
            ends_s = time.monotonic() + self._restart_s
            while time.monotonic() < ends_s and not self._stopping:
                time.sleep(_POLL_S)

    def _attend(self, process: subprocess.Popen[bytes]) -> int:
        """Listen until the process ends; abort it when it is not fed, then kill it."""
        aborted_s: float | None = None
        self._stops_s = None
        killed = False
        while (code := process.poll()) is None:
            self._listen()
            now_s = time.monotonic()
            if aborted_s is not None and not killed and now_s - aborted_s > self._abort_s:
                killed = True
                self._tell("kill")
                process.kill()
            if self._stops_s is not None:  # it has said that it ends: only that is bounded now
                if not killed and now_s - self._stops_s > self._stop_s:
                    killed = True
                    self._tell("kill")
                    process.kill()
                continue
            hungry = self._fed_s is not None and now_s - self._fed_s > self._watchdog_s
            if aborted_s is None and hungry and not self._stopping:
                aborted_s = now_s
                self._tell("abort", f"not fed for {self._watchdog_s:g} s")
                process.send_signal(signal.SIGABRT)
        self._listen()
        return code

    def _listen(self) -> None:
        try:
            told = self._socket.recv(500).decode()
        except TimeoutError:
            return
        name, _, fact = told.partition("=")
        if name in ("READY", "WATCHDOG"):
            self._fed_s = time.monotonic()
        if name == "STOPPING":
            self._stops_s = time.monotonic()
        if name in ("READY", "STATUS", "STOPPING"):
            self._tell(name.lower(), fact)

    def _tell(self, what: str, fact: str = "") -> None:
        with self._changed:
            self._happened.append(Happened(time.monotonic(), what, fact))
            self._changed.notify_all()


def environment_with(**more: str) -> dict[str, str]:
    """Return this process's environment with *more*."""
    return {**os.environ, **more}
