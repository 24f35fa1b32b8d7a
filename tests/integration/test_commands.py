"""The program on a real site: enrol, run, look, forget; and every way of being used wrongly."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import cv2
import numpy as np
import pytest
from door_site import configure, frames, janus, portrait

from edge.align import ALIGNMENT


@pytest.fixture
def site(tmp_path):
    """A configured door whose camera shows the astronaut."""
    pytest.importorskip("skimage", reason="the portrait ships with scikit-image ([demo])")
    return configure(tmp_path, source=frames(tmp_path / "frames", 8))


def test_enrolled_person_opens_the_door_and_the_audit_remembers(site, tmp_path):
    done = janus("enrol", "Eileen", portrait(tmp_path / "photo.png", size_px=640), config=site)
    assert (done.returncode, done.stderr) == (0, "")
    done = janus("run", config=site)
    assert done.returncode == 0, done.stderr
    assert "GRANT" in done.stderr
    assert "Eileen" not in done.stderr  # the service's log holds ids, so that it can be kept
    events = [
        json.loads(line)
        for line in janus("events", "--json", config=site).stdout.split("\n")
        if line
    ]
    decisions = [each for each in events if each["kind"] == "decision"]
    assert [each["facts"]["outcome"] for each in decisions] == ["grant"]
    assert janus("events", "--verify", config=site).returncode == 0
    assert "Eileen" in janus("people", config=site).stdout
    assert janus("forget", "Eileen", "--yes", config=site).returncode == 0
    assert "Eileen" not in janus("people", config=site).stdout
    done = janus("run", config=site)
    assert "GRANT" not in done.stderr


def test_check_prints_a_line_for_each_part(site):
    done = janus("check", config=site)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = [line.split()[1] for line in done.stdout.splitlines()]
    assert parts == [
        "configuration", "model", "detector", "camera", "relay", "gallery", "decision", "access",
        "audit", "disk",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "code", "said"),
    [
        ({"camera": 'backend = "folder"\nsource = "none"'}, 5, "FAIL  camera"),
        ({"encoder": 'bundle = "none"'}, 3, "FAIL  model"),
        ({"relay": 'pin_factory = "lgpio"\npin = 17'}, 5, "FAIL  relay"),
        ({"relay": 'pin_factory = "pigpio"'}, 2, "FAIL  configuration"),
        ({"access": 'policy = "none.toml"'}, 2, "FAIL  access"),
        ({"access": 'keypad = "usb"\nkeypad_device = "none"'}, 5, "FAIL  keypad"),
        ({"access": 'keypad = "matrix"'}, 0, "ok    keypad         matrix: it can be had"),
    ],
)
def test_check_fails_with_the_branchs_code(site, tmp_path, table, code, said):
    done = janus("check", config=configure(tmp_path, source=tmp_path / "frames", **table))
    assert done.returncode == code, done.stdout
    assert said in done.stdout


def test_check_refuses_a_door_that_could_let_in_nobody(tmp_path):
    """No model can promise one in a thousand million; the sentence says what it can."""
    pytest.importorskip("skimage", reason="the portrait ships with scikit-image ([demo])")
    strict = "false_accept_per_visit = 1e-9\nfalse_accept_with_pin = 1e-9"
    site = configure(tmp_path, source=frames(tmp_path / "frames", 8), decision=strict)
    assert janus("check", config=site).returncode == 0
    assert janus("enrol", "Eileen", portrait(tmp_path / "photo.png"), config=site).returncode == 0
    done = janus("check", config=site)
    assert done.returncode == 2, done.stdout
    assert (
        "FAIL  decision       with 1 reference this model can promise one visit in " in done.stdout
    )
    assert "nobody gets in, not even with a PIN. Install a better model, or accept" in done.stdout
    assert "GRANT" not in janus("run", config=site).stderr


def picture(path, pixels):
    cv2.imwrite(str(path), pixels)
    return path


def test_refused_photos_say_why_and_enrol_nobody(site, tmp_path):
    grey = np.full((480, 640, 3), 128, np.uint8)
    two = np.hstack([cv2.imread(str(portrait(tmp_path / "p.png")))] * 2)
    one = cv2.imread(str(portrait(tmp_path / "p.png")))
    (tmp_path / "zero.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    photo = portrait(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    refused = {
        picture(tmp_path / "nobody.png", grey): "no face",
        picture(tmp_path / "two.png", two): "2 faces",
        picture(tmp_path / "dark.png", (one * 0.06).astype(np.uint8)): ("too dark", "no face"),
        picture(tmp_path / "blurred.png", cv2.GaussianBlur(one, (0, 0), 9)): (
            "too blurred",
            "no face",
        ),
        tmp_path / "zero.jpg": "empty",
        tmp_path / "text.jpg": "text.jpg",
        tmp_path / "cut.jpg": "cut.jpg",
        tmp_path / "missing.jpg": "does not exist",
    }
    for path, words in refused.items():
        done = janus("enrol", "Eileen", path, config=site)
        assert done.returncode == 6, (path, done.stderr)
        assert any(word in done.stderr for word in ([words] if isinstance(words, str) else words))
        assert done.stderr.count("\n") == 1, done.stderr
    assert "Eileen" not in janus("people", config=site).stdout


def test_second_name_for_an_enrolled_face_is_refused_unless_told_otherwise(site, tmp_path):
    photo = portrait(tmp_path / "photo.png")
    assert janus("enrol", "Eileen", photo, config=site).returncode == 0
    done = janus("enrol", "Mallory", photo, config=site)
    assert done.returncode == 6
    assert "Eileen" in done.stderr
    assert janus("enrol", "eileen", photo, config=site).returncode == 0
    assert janus("enrol", "Twin", photo, "--anyway", config=site).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after_s", [0.1, 0.5, 1.0, 2.5])
def test_signal_at_any_moment_ends_in_time_with_the_stores_intact(site, tmp_path, number, after_s):
    assert janus("run", config=site).returncode == 0  # so that there is an audit to harm
    frames(tmp_path / "frames", 300)
    # What a shell starts in the background ignores SIGINT, and so does all that it starts.
    own = signal.signal(number, signal.SIG_DFL)
    with subprocess.Popen(
        [sys.executable, "-m", "edge", "run", "--config", str(site)],
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        signal.signal(number, own)
        time.sleep(after_s)
        child.send_signal(number)
        began_s = time.monotonic()
        _, said = child.communicate(timeout=10)
    assert time.monotonic() - began_s < 4, said
    asked_for = 0 if number == signal.SIGTERM else 130
    # Before the handlers stand nothing is driven yet, and Python ends in its own ways: by the
    # signal, or with 1 where a library that is being loaded takes it for its own failure.
    assert child.returncode in ((asked_for,) if after_s > 2 else (asked_for, 1, -number))
    assert "Traceback" not in said or after_s < 2
    assert janus("events", "--verify", config=site).returncode == 0
    assert janus("check", config=site).returncode == 0


def test_signal_during_a_pulse_locks_the_strike(site, tmp_path):
    """gpiozero's mock pins tell their levels to a program of the test's own."""
    assert janus("enrol", "Eileen", portrait(tmp_path / "photo.png"), config=site).returncode == 0
    frames(tmp_path / "frames", 300)
    program = f"""
import os, signal, sys
from pathlib import Path
from edge import service
from edge.config import read_config
from edge.relay import GpioRelay
lock, release = GpioRelay.lock, GpioRelay.release
def released(self, duration_s):
    release(self, duration_s)
    print("released", self._device.pin.state, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
def locked(self):
    lock(self)
    print("locked", self._device.pin.state if not self._closed else 0, flush=True)
GpioRelay.release, GpioRelay.lock = released, locked
service.serve(read_config(Path({str(site)!r})))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("released")
    assert done.stdout.splitlines()[0].endswith(("1", "True"))
    assert done.stdout.splitlines()[-1].endswith(("0", "False"))


def test_second_door_and_the_check_beside_a_running_one(site, tmp_path):
    frames(tmp_path / "frames", 300)
    with subprocess.Popen(
        [sys.executable, "-m", "edge", "run", "--config", str(site)],
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        for line in child.stderr:
            if "first frame" in line:
                break
        second, check = janus("run", config=site), janus("check", config=site)
        child.terminate()
        child.communicate(timeout=10)
    assert (second.returncode, "already running" in second.stderr) == (5, True)
    assert check.returncode == 0
    assert check.stdout.count("in the hands of the running door") == 2


def test_large_photos_are_replayed_in_the_same_memory(site, tmp_path):
    """A phone's 12 megapixels are no camera's frame: they are shrunk, not refused."""
    folder = tmp_path / "people" / "Eileen"
    folder.mkdir(parents=True)
    small = cv2.imread(str(portrait(tmp_path / "p.png")))
    for name in "abc":
        picture(folder / f"{name}.jpg", cv2.resize(small, (4000, 3000)))
    code, resident_mib, said = measured("replay", folder.parent, "--enrol", "Eileen", "--quiet")
    assert code == 0, said
    assert resident_mib <= 200


def test_first_frame_within_two_seconds_and_without_the_workstation(site):
    """Best of three: other programs may share the machine."""
    took_s = []
    for _ in range(3):
        began_s = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "edge", "run", "--config", str(site)],
            stderr=subprocess.PIPE,
            text=True,
        )
        lines = []
        with child:
            for line in child.stderr:
                lines.append(line)
                if "first frame" in line:
                    took_s.append(time.monotonic() - began_s)
    assert len(took_s) == 3
    assert not any("tensorflow" in line or "keras" in line for line in lines)
    assert min(took_s) <= 2.0


def measured(*words):
    """Run the program; return its exit code, peak resident memory in MiB, and what it said."""
    program = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "-m", "edge", *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True
    )
    return done.returncode, int(done.stdout.splitlines()[-1]), done.stderr


def test_replay_is_deterministic_and_stays_small(site, tmp_path):
    folder = tmp_path / "people"
    frames(folder / "Eileen", 12)
    reports = []
    for name in ("a.json", "b.json"):
        code, resident_mib, said = measured(
            "replay", folder, "--enrol", "Eileen", "--report", tmp_path / name, "--quiet",
            "--config", site,
        )  # fmt: skip
        assert code == 0, said
        assert resident_mib <= 200
        reports.append((tmp_path / name).read_text())
    assert reports[0] == reports[1]
    facts = json.loads(reports[0])
    assert facts["fnir"] == {"count": 0, "of": 11, "interval": facts["fnir"]["interval"]}
    assert facts["granted_as"] == {"eileen": ["eileen"]}


def test_replay_of_the_att_faces_states_fpir_and_fnir_with_counts(shared_data, tmp_path):
    """Ten people enrolled from one picture each, thirty strangers; the rates are what they are."""
    done = janus(
        "replay", shared_data / "att-faces", "--enrol", "s3[1-9]", "--enrol", "s40",
        "--report", tmp_path / "report.json", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "FPIR" in done.stdout
    assert "FNIR" in done.stdout
    facts = json.loads((tmp_path / "report.json").read_text())
    assert (facts["frames"], facts["enrolled"]) == (390, 10)
    assert facts["fnir"]["of"] == 90
    assert 250 <= facts["fpir"]["of"] <= 300


@pytest.mark.parametrize("keep", [True, False])
def test_crops_are_kept_only_where_the_site_says_so(site, tmp_path, keep):
    if keep:
        text = site.read_text()
        site.write_text(text.replace("[store]\n", "[store]\nkeep_crops = true\n"))
    done = janus("enrol", "Eileen", portrait(tmp_path / "photo.png", size_px=640), config=site)
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "gallery.sqlite")) as rows:
        found = rows.execute("SELECT length(pixels), alignment FROM crop").fetchall()
    sealed = 12 + 112 * 112 * 3 + 16  # nonce, pixels, tag
    assert found == ([(sealed, ALIGNMENT)] if keep else [])
