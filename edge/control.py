"""What an operator tells the running door, over a Unix socket that only the door's user may open.

A lockdown is also a file beside the audit: it outlives the program and the machine, until an
operator resumes. Whether the door runs or not, the command `janus door` does the same.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edge.errors import DoorError, HardwareError
from edge.stores.directory import sync_directory

LOCKDOWN, RESUME, RELEASE, STATE = "lockdown", "resume", "release", "state"
WORDS = (STATE, RELEASE, LOCKDOWN, RESUME)
_SOCKET, _LOCKDOWN_FILE = "door.sock", "lockdown"
_ANSWER_S = 5.0
_LISTEN_S = 1.0
_MOST_BYTES = 1000
_REFUSED = "no: "
_log = logging.getLogger(__name__)


def socket_path(directory: Path) -> Path:
    """Return the socket of the door whose stores are in *directory*."""
    return directory / _SOCKET


def is_locked_down(directory: Path) -> bool:
    """Tell whether a lockdown holds; if that cannot be told, one does.

    A file that cannot be looked for is no reason to open.
    """
    try:
        (directory / _LOCKDOWN_FILE).lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def set_lockdown(directory: Path, *, holds: bool) -> None:
    """Begin or end a lockdown on the disk; it is there, or gone, when this returns.

    Raises:
        HardwareError: if the file cannot be made or removed.
    """
    file = directory / _LOCKDOWN_FILE
    try:
        if holds:
            file.touch(mode=0o600)
        else:
            file.unlink(missing_ok=True)
        sync_directory(directory)
    except OSError as exc:
        raise HardwareError(
            f"{file} cannot be {'made' if holds else 'removed'}: {exc.strerror}; check its owner "
            "and the disk"
        ) from exc


class ControlSocket:
    """Takes one word a connection and answers with one line; `close` may be called twice.

    Args:
        directory: of the stores.
        obey: does what a word of `WORDS` says and returns the answer; may raise DoorError.

    Raises:
        HardwareError: if the socket cannot be made.
    """

    def __init__(self, directory: Path, obey: Callable[[str], str]) -> None:
        self._path, self._obey, self._closed = socket_path(directory), obey, False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)  # of a door that was killed: this is the sole one
            self._listener.bind(str(self._path))
            self._path.chmod(0o600)
            self._listener.listen(4)
        except OSError as exc:
            self._listener.close()
            raise HardwareError(
                f"{self._path} cannot be made: {exc.strerror or exc}; check the directory's owner, "
                "and that its name is not too long"
            ) from exc
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        if not self._closed:
            self._closed = True
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
            self._thread.join(_LISTEN_S)
            self._listener.close()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._closed:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            with caller, suppress(OSError):
                caller.settimeout(_LISTEN_S)
                caller.sendall(self._answer(caller.recv(_MOST_BYTES)).encode() + b"\n")

    def _answer(self, said: bytes) -> str:
        word = said.decode("utf-8", "replace").strip()
        if word not in WORDS:
            return f"{_REFUSED}the door knows {', '.join(WORDS)}"
        try:
            return self._obey(word)
        except DoorError as exc:
            _log.error("operator's %s: %s", word, exc)
            return f"{_REFUSED}{exc}"


def ask(directory: Path, word: str) -> str | None:
    """Tell the running door *word* and return its answer, or None if no door runs.

    Raises:
        HardwareError: if the door refuses, does not answer, or belongs to another user.
    """
    path = socket_path(directory)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_ANSWER_S)
            line.connect(str(path))
            line.sendall(word.encode())
            answer = line.recv(_MOST_BYTES).decode("utf-8", "replace").strip()
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as exc:
        raise HardwareError(
            f"the door does not answer at {path}: {exc.strerror or exc}; run this as the user of "
            "the door (root, or `sudo -u janus`)"
        ) from exc
    if not answer or answer.startswith(_REFUSED):
        raise HardwareError(answer.removeprefix(_REFUSED) or "the door ended before it answered")
    return answer
