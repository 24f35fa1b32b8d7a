"""The real service under a manager: ready, fed by progress, asked, ended by its guard."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from door_site import configure

from edge.audit import Audit
from edge.health.status import ask
from edge.health.watchdog import Fault

READY_S = 60  # on a busy machine; bench/ has the time

LIMITS = "stall_s = 1.0\nfrozen_s = 1.0\nblack_s = 1.0\nreopen_s = 30"

pytestmark = pytest.mark.slow


@pytest.fixture
def manager(tmp_path):
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(READY_S)
        yield listening


@pytest.fixture
def site(tmp_path):
    """A door with a device, quick to notice."""
    return configure(
        tmp_path,
        source=tmp_path,
        camera='backend = "opencv"\nsource = "0"\ntimeout_s = 1.0',
        health=f'socket = "{tmp_path}/status.sock"\n' + LIMITS,
    )


# The real service, with the device replaced: each scene is a program of its own.
SCENE = """
import sys, threading, time
import numpy as np
from edge import service
from edge.config import read_config
from edge.errors import CameraError
from edge.live import LiveCamera
from pathlib import Path

class Device:
    advice = "look at the test"
    scene, noise = sys.argv[2], np.random.default_rng(0)
    began_s = time.monotonic()
    opened = 0
    def open(self):
        Device.opened += 1
        self.last = self.noise.integers(0, 255, (120, 160, 3), np.uint8)
    def read(self):
        time.sleep(0.05)
        late = Device.opened == 1 and time.monotonic() - Device.began_s > 3
        if late and self.scene == "fails":
            raise CameraError("the cable was pulled")
        if late and self.scene == "frozen":
            return self.last.copy()
        if late and self.scene == "black":
            return self.noise.integers(0, 3, (120, 160, 3), np.uint8)
        if late and self.scene == "hangs":
            threading.Event().wait()
        self.last = self.noise.integers(0, 255, (120, 160, 3), np.uint8)
        return self.last.copy()
    def close(self):
        pass

service.open_camera = lambda config: LiveCamera(Device(), timeout_s=config.timeout_s)
if sys.argv[2] == "stalls":
    detect = service.open_detector
    def stalling(*words, **named):
        detector = detect(*words, **named)
        class Stalls:
            def detect(self, pixels):
                if time.monotonic() - Device.began_s > 3:
                    threading.Event().wait()
                return detector.detect(pixels)
        return Stalls()
    service.open_detector = stalling
service.serve(read_config(Path(sys.argv[1])))
"""


@contextmanager
def door(site, scene, manager):
    """Run the scene, and kill what is left of it at the end."""
    environment = {**os.environ, "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "4000000"}
    with subprocess.Popen(
        [sys.executable, "-c", SCENE, str(site), scene],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def hear(manager, wanted):
    """Return what was told until *wanted* came."""
    told = []
    while wanted not in told:
        told.append(manager.recv(300).decode())
    return told


def audited(site):
    """Every event, of a chain that holds."""
    with Audit(site.parent / "audit.sqlite", create=False) as audit:
        assert audit.verify() is None
        return [(event.kind, event.facts) for event in audit.events()]


def test_it_is_ready_fed_and_says_when_it_stops(site, manager):
    with door(site, "well", manager) as running:
        hear(manager, "READY=1")
        hear(manager, "WATCHDOG=1")
        status = ask(site.parent / "status.sock")
        running.send_signal(signal.SIGTERM)
        hear(manager, "STOPPING=1")
        assert running.wait(10) == 0
    assert status["counts"]["frames"] > 0
    assert set(status["counts"]["stages"]) >= {"detect", "frame"}
    assert status["camera"]["fault"] is None


@pytest.mark.parametrize(
    ("scene", "fault"),
    [
        ("fails", Fault.NO_FRAME),
        ("hangs", Fault.NO_FRAME),
        ("frozen", Fault.FROZEN),
        ("black", Fault.BLACK),
    ],
)
def test_a_lost_camera_is_opened_again_while_the_door_stays_and_the_audit_says_so(
    site, manager, scene, fault
):
    with door(site, scene, manager) as running:
        hear(manager, "READY=1")
        hear(manager, f"STATUS={fault.value}; opening it again")
        hear(manager, "WATCHDOG=1")
        ends_s = time.monotonic() + READY_S
        status = {"camera": {"reopened": 0}, "counts": {"frames": 0}}
        while not (status["camera"]["reopened"] and status["camera"]["fault"] is None):
            assert time.monotonic() < ends_s
            status = ask(site.parent / "status.sock")
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0
    assert ("camera", {"fault": fault.name.lower()}) in audited(site)


def test_a_stage_that_stalls_ends_the_program_and_the_audit_says_so(site, manager):
    with door(site, "stalls", manager) as running:
        hear(manager, "READY=1")
        assert running.wait(READY_S) == 5
        assert "a frame is not being processed to its end" in running.stderr.read()
    assert ("watchdog", {"fault": "stalled"}) in audited(site)
