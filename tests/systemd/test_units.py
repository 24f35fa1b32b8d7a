"""The units: well-formed, locked up, quick to notice, and true to what the program expects."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.config import DoorConfig
from edge.health.guard import INTERVAL_S
from edge.stores.keyfile import CREDENTIAL

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
MOST_EXPOSURE = 1.5
DETECTED_S = 5.0

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or not Path("/usr/lib/systemd/system").is_dir(),
    reason="systemd is not installed",
)


@pytest.fixture
def installed(tmp_path):
    """A scratch root in which the units are where install.sh puts them."""
    placed = [UNITS / "install.sh", "--place", "--root", tmp_path]
    subprocess.run(placed, check=True, capture_output=True)
    # The targets that every unit is ordered after by default.
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    assert (tmp_path / "opt/janus/backup").is_file()
    program = tmp_path / "opt/janus/current/bin/janus"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return tmp_path


def verify(root):
    units = [each.name for each in UNITS.iterdir() if each.suffix in (".service", ".timer")]
    assert len(units) == 4
    asked = ["systemd-analyze", f"--root={root}", "verify", *units]
    return subprocess.run(asked, capture_output=True, text=True)


def directives(name="janus.service"):
    """Every (key, value) of a unit, in order."""
    lines = (UNITS / name).read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if re.match(r"[A-Z]\w*=", line)]


def value(key):
    return dict(directives())[key]


@needs_analyze
def test_the_exposure_of_the_door_is_low():
    for name in ("janus.service", "janus-backup.service"):
        asked = ["systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / name]
        told = subprocess.run(asked, capture_output=True, text=True).stdout
        exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", told)[1])
        assert exposure <= MOST_EXPOSURE, told


@needs_analyze
def test_the_units_verify_without_a_word(installed):
    done = verify(installed)
    assert (done.returncode, done.stderr) == (0, "")


@needs_analyze
def test_the_check_above_would_find_a_mistake(installed):
    """`verify` exits 0 on unknown keys; only its standard error tells."""
    unit = installed / "usr/local/lib/systemd/system/janus.service"
    unit.write_text(unit.read_text().replace("[Service]", "[Service]\nRestartSometimes=yes"))
    assert "RestartSometimes" in verify(installed).stderr


def test_a_stop_of_any_kind_is_noticed_within_five_seconds():
    health, camera = DoorConfig().health, DoorConfig().camera
    watchdog_s = float(value("WatchdogSec").removesuffix("s"))
    abort_s = float(value("TimeoutAbortSec").removesuffix("s"))
    assert watchdog_s + abort_s <= DETECTED_S
    # The program notices first, and can say why.
    assert max(health.stall_s, health.frozen_s, health.black_s) + INTERVAL_S < watchdog_s
    assert camera.timeout_s < watchdog_s


def test_the_strike_is_locked_after_whatever_ended_the_door():
    assert value("ExecStopPost").endswith("bin/janus lock")
    assert value("ExecStart").split()[0] == value("ExecStopPost").lstrip("-").split()[0]


def test_the_storage_key_is_the_credential_that_the_program_asks_for():
    assert value("LoadCredential") == CREDENTIAL


def test_the_status_socket_is_in_the_runtime_directory():
    assert DoorConfig().health.socket.parent == Path("/run") / value("RuntimeDirectory")


def test_the_stores_are_in_the_state_directory_which_is_closed_to_others():
    store = DoorConfig().store
    state = Path("/var/lib") / value("StateDirectory")
    assert {store.gallery.parent, store.audit.parent, store.bundles.parent} == {state}
    assert value("StateDirectoryMode") == "0700"


def test_every_device_is_explained_in_the_unit_and_in_the_document():
    lines = (UNITS / "janus.service").read_text().splitlines()
    document = (ROOT / "docs" / "service.md").read_text()
    allowed = [number for number, line in enumerate(lines) if line.startswith("DeviceAllow=")]
    assert allowed
    for number in allowed:
        assert lines[number - 1].startswith("#"), lines[number]
        device = lines[number].removeprefix("DeviceAllow=").split()[0].removeprefix("char-")
        assert device in document


def test_the_unit_asks_for_nothing_that_bookworm_does_not_know():
    """Bookworm has systemd 252: these came later, and would be ignored there."""
    later = {"RestartSteps", "RestartMaxDelaySec", "ImportCredential", "SurviveFinalKillSignal"}
    assert {key for key, _ in directives()} & later == set()


def test_the_nightly_backup_keeps_fourteen_and_tells_the_ledger_of_those_that_go(tmp_path):
    """The real script, with a program that notes what it is asked."""
    script = (UNITS / "janus-backup").read_text()
    program = tmp_path / "janus"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {tmp_path}/calls\n'
        'case "$*" in\n'
        f'*--list) for f in {tmp_path}/door-*; do echo "id-${{f##*/}}  2026-01-01  $f"; done ;;\n'
        '*--passphrase-file*) shift $(($# - 1)); echo sealed > "$1" ;;\n'
        "esac\n"
    )
    program.chmod(0o755)
    for night in range(10, 26):
        (tmp_path / f"door-202601{night}T033000Z.janus").write_text("sealed\n")
    script = script.replace("/opt/janus/current/bin/janus", str(program))
    script = script.replace("/var/backups/janus", str(tmp_path))
    environment = {"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": "/run/credentials/x"}
    subprocess.run(["sh", "-c", script], env=environment, check=True)
    left = sorted(each.name for each in tmp_path.glob("door-*"))
    assert len(left) == 14
    assert left[0] == "door-20260113T033000Z.janus"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].startswith(
        f"backup --passphrase-file /run/credentials/x/janus-backup-passphrase {tmp_path}/door-2"
    )
    gone = [call for call in calls if "--gone" in call]
    assert gone == [f"backup --gone id-door-202601{night}T033000Z.janus" for night in (10, 11, 12)]


def test_the_timers_start_units_that_exist():
    for timer in UNITS.glob("*.timer"):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.read(timer)
        unit = parser.get("Timer", "Unit", fallback=timer.with_suffix(".service").name)
        assert (UNITS / unit).is_file()
