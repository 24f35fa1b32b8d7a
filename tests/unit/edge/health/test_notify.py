"""systemd is told, without a library and without waiting."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import pytest

from edge.health.notify import Notifier, notifier_from


@pytest.fixture
def manager(tmp_path):
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(2)
        yield listening


def test_each_message_arrives_as_one_datagram(manager):
    notifier = notifier_from({"NOTIFY_SOCKET": manager.getsockname()})
    notifier.ready()
    notifier.feed()
    notifier.status("the door\nwatches")
    notifier.stopping()
    notifier.close()
    told = [manager.recv(100) for _ in range(4)]
    assert told == [b"READY=1", b"WATCHDOG=1", b"STATUS=the door watches", b"STOPPING=1"]


def test_an_abstract_socket_is_spoken_to():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0janus-test-{os.getpid()}")
        listening.settimeout(2)
        with closing(Notifier(f"@janus-test-{os.getpid()}")) as notifier:
            notifier.ready()
        assert listening.recv(100) == b"READY=1"


def test_nobody_is_told_where_there_is_no_manager():
    notifier = notifier_from({})
    notifier.ready()
    notifier.close()
    notifier.close()
    notifier.feed()
    assert notifier.watchdog_s is None


def test_a_manager_that_has_gone_or_does_not_read_stops_nothing(tmp_path, manager):
    with closing(Notifier(str(tmp_path / "gone"))) as notifier:
        notifier.ready()
    with closing(Notifier(manager.getsockname())) as notifier:
        for _ in range(2_000):  # far more than a socket buffers
            notifier.feed()


def test_an_address_that_is_none_is_ignored_with_a_warning(caplog):
    notifier_from({"NOTIFY_SOCKET": "vsock:2:1234"}).ready()
    assert "vsock:2:1234" in caplog.text


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "4000000"}, 4.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}, 4.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_time_between_feeds_is_what_was_asked_of_this_process(environment, watchdog_s):
    assert notifier_from(environment).watchdog_s == watchdog_s
