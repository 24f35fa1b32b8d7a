"""How the door is, as one JSON line on a Unix socket; who may open the socket may know it.

Numbers and names of parts only: no person, no picture, no embedding. A client connects, reads a
line and is hung up on; a slow one is left behind, and the door never waits for any.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import HardwareError
from edge.health.thermal import Heat, read_heat
from edge.health.vitals import Counts, Vitals

_ANSWER_S = 1.0
_HEAT_EVERY_S = 5.0  # vcgencmd is a process of its own
_MOST_BYTES = 64_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """What the watchdog thinks of the camera.

    Args:
        fault: its name, such as "frozen"; None while frames are captured and processed.
        troubled: whether it failed a moment ago and is not yet well again.
        reopened: how often it was opened again.
    """

    fault: str | None = None
    troubled: bool = False
    reopened: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that `janus status` shows."""

    version: str
    state: str
    counts: Counts
    camera: CameraStatus
    heat: Heat
    free_mb: int | None
    memory_mb: float | None
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return one line of JSON, without its newline."""
        return json.dumps(asdict(self), sort_keys=True)


class Reporting:
    """Puts a `Status` together whenever one is asked for.

    Args:
        version: of this program.
        vitals: what was counted.
        camera: asked for the camera's status.
        disk: the directory whose disk counts, that of the audit.
        parts: what does not change while the door runs, such as bundle and gallery: names of parts
            with their facts.
        state: asked for one word, such as "watching" or "locked out".
    """

    def __init__(
        self,
        *,
        version: str,
        vitals: Vitals,
        camera: Callable[[], CameraStatus],
        disk: Path,
        parts: Mapping[str, Mapping[str, Any]],
        state: Callable[[], str],
    ) -> None:
        self._version, self._vitals, self._camera = version, vitals, camera
        self._disk, self._parts, self._state = disk, dict(parts), state
        self._heat, self._heat_at_s = Heat(None, None), -_HEAT_EVERY_S

    def status(self) -> Status:
        """Return how the door is now."""
        now_s = time.monotonic()
        if now_s - self._heat_at_s >= _HEAT_EVERY_S:
            self._heat, self._heat_at_s = read_heat(), now_s
        return Status(
            version=self._version,
            state=self._state(),
            counts=self._vitals.counts(),
            camera=self._camera(),
            heat=self._heat,
            free_mb=_free_mb(self._disk),
            memory_mb=_memory_mb(),
            parts=self._parts,
        )


def _free_mb(directory: Path) -> int | None:
    try:
        return shutil.disk_usage(directory).free // 1_000_000
    except OSError:
        return None


def _memory_mb() -> float | None:
    """Return the resident memory of this process: the second number of proc(5) statm, in pages."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


class StatusSocket:
    """Answers each connection to *path* with one line, on a thread of its own.

    Args:
        path: of the socket; one that a dead process left behind is replaced.
        answer: asked for the line.

    Raises:
        HardwareError: if the socket cannot be made.
    """

    def __init__(self, path: Path, answer: Callable[[], str]) -> None:
        self._path, self._answer = path, answer
        self._closed = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            path.unlink(missing_ok=True)
            self._listener.bind(str(path))
            path.chmod(0o660)
            self._listener.listen(4)
        except OSError as exc:
            self._listener.close()
            raise HardwareError(
                f"[health] socket = {str(path)!r} cannot be made: {exc.strerror or exc}; name one "
                "in a directory that this user may write"
            ) from exc
        self._thread = threading.Thread(target=self._serve, name="status", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and remove the socket; may be called twice."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._listener.close()
        self._thread.join(_ANSWER_S)
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _serve(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError as exc:
                if self._closed:
                    return
                # For want of descriptors, say: the door goes on, and so does this, slowly.
                _log.warning("the status socket: %s", exc)
                time.sleep(_ANSWER_S)
                continue
            try:
                with client:
                    client.settimeout(_ANSWER_S)
                    client.sendall(self._answer().encode() + b"\n")
            except OSError as exc:  # the client's, mostly: it hung up, or reads nothing
                _log.debug("the status socket: %s", exc)
            except Exception:  # noqa: BLE001 - this thread outlives a bad answer
                _log.exception("the status could not be told")


def ask(path: Path) -> Mapping[str, Any]:
    """Return what the door that answers at *path* says of itself, as `Status` has it.

    Raises:
        HardwareError: if no door answers there.
    """
    told = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(2 * _ANSWER_S)
            asking.connect(str(path))
            while not told.endswith(b"\n") and len(told) < _MOST_BYTES:
                more = asking.recv(_MOST_BYTES)
                if not more:
                    break
                told += more
        status = json.loads(told)
    except PermissionError as exc:
        raise HardwareError(
            f"{path} may not be opened by this user; run `sudo janus status`"
        ) from exc
    except (OSError, ValueError) as exc:
        raise HardwareError(
            f"no door answers at {path}: {exc}; is it running? `systemctl status janus` says more"
        ) from exc
    if not isinstance(status, dict):
        raise HardwareError(f"what answers at {path} is no door")
    return status
