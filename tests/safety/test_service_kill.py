"""The whole program, killed outright while the strike is released: locked by its sentinel."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import door_site
import pytest

from edge.audit import Audit

FAKES = Path(__file__).parents[1] / "support" / "fake_lgpio"
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def wait_until(holds, timeout_s):
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.01)


def test_janus_run_that_is_killed_during_a_pulse_leaves_a_locked_strike(tmp_path, monkeypatch):
    pytest.importorskip("skimage")
    config = door_site.configure(
        tmp_path,
        source=door_site.frames(tmp_path / "frames", 200),
        relay='pin_factory = "lgpio"\nrelease_s = 8.0',
    )
    portrait = door_site.portrait(tmp_path / "ada.png", size_px=500)
    assert door_site.janus("enrol", "Ada", portrait, config=config).returncode == 0
    board = tmp_path / "board"
    board.mkdir()
    monkeypatch.setenv("FAKE_LGPIO", str(board))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(FAKES), str(ROOT))))
    monkeypatch.setenv("LG_WD", str(board))
    monkeypatch.setenv("JANUS_CONFIG", str(config))
    level = board / "level-17"
    door = subprocess.Popen(
        [sys.executable, "-m", "edge", "run"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        wait_until(lambda: level.exists() and level.read_text() == "1", timeout_s=90)
    finally:
        door.kill()
    killed_at_s = time.monotonic()
    wait_until(lambda: level.read_text() in ("0", "z"), timeout_s=20)
    assert time.monotonic() - killed_at_s < 8.0  # long before the pulse's own end
    door.communicate()
    with closing(Audit(tmp_path / "audit.sqlite")) as audit:
        assert audit.verify() is None
        assert [each.kind for each in audit.events()].count("release") == 1
    locked = door_site.janus("lock", config=config)
    assert locked.returncode == 0, locked.stderr
    assert level.read_text() == "z"
