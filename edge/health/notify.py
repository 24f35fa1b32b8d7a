"""What a service of Type=notify tells systemd: ready, alive, stopping; one datagram each.

Source: sd_notify(3). The protocol is `NAME=value` lines to the socket that $NOTIFY_SOCKET names, so
it needs no library. Nothing here waits or raises: a service manager that does not listen must not
stop the door.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger(__name__)


class Notifier:
    """Talks to the service manager, or to nobody where there is none.

    Args:
        address: of the datagram socket; a first character "@" means an abstract one. None: nobody.
        watchdog_s: the manager kills a service that was not `feed` for so long; None: it does not.
    """

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address = address
        self._socket: socket.socket | None = None
        if address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def ready(self) -> None:
        """Say that the door watches."""
        self._send("READY=1")

    def feed(self) -> None:
        """Say that the door made progress; without this it is killed after ``watchdog_s``."""
        self._send("WATCHDOG=1")

    def status(self, sentence: str) -> None:
        """Give `systemctl status` one line to show."""
        self._send("STATUS=" + " ".join(sentence.split()))

    def stopping(self) -> None:
        """Say that the door ends because it was asked to."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Give the socket back; may be called twice, and later messages go nowhere."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if self._socket is None or self._address is None:
            return
        name = self._address
        try:
            self._socket.sendto(message.encode(), "\0" + name[1:] if name[0] == "@" else name)
        except OSError as exc:
            _log.debug("the service manager was not told %r: %s", message, exc)


def notifier_from(environment: Mapping[str, str] = os.environ) -> Notifier:
    """Return the notifier that systemd's variables describe; one that tells nobody without them.

    Args:
        environment: $NOTIFY_SOCKET, $WATCHDOG_USEC (microseconds) and $WATCHDOG_PID count.
    """
    address = environment.get("NOTIFY_SOCKET") or None
    if address is not None and address[0] not in "/@":
        _log.warning("$NOTIFY_SOCKET = %r is no path and no abstract name; ignored", address)
        address = None
    return Notifier(address, watchdog_s=_watchdog_s(environment))


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return the time between feeds that is asked of this very process."""
    limit_us = environment.get("WATCHDOG_USEC", "")
    if not limit_us.isdecimal() or int(limit_us) == 0:
        return None
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for the process that started this one
    return int(limit_us) / 1e6
