"""Rules for every test: no network, no configuration of this machine."""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import os
import socket
from pathlib import Path

import pytest

# Before anything imports TensorFlow: after it, tflite-runtime 2.14 fails with vector::reserve.
with contextlib.suppress(ImportError):
    importlib.import_module("tflite_runtime.interpreter")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _closed_network(monkeypatch):
    """Janus works offline: a connection to anything but this machine fails the test."""
    connect = socket.socket.connect

    def connect_locally(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch):
    """The machine's own $JANUS_CONFIG must not change a test."""
    monkeypatch.delenv("JANUS_CONFIG", raising=False)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The public data sets beside the repository, where they are present."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the public data sets are not at {SHARED_DATA}; docs/data.md says where from")
    return SHARED_DATA
