"""The package: what dpkg puts where, and what it runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from wheelhouse import write_wheelhouse

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    directory = tmp_path_factory.mktemp("deb")
    wheels = write_wheelhouse(directory / "wheels")
    built = [ROOT / "scripts" / "deb", wheels, directory / "dist"]
    subprocess.run(built, check=True, capture_output=True)
    package = directory / "dist" / "janus-door_0.1.0_arm64.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", package, directory / "tree"], check=True)
    return directory / "tree"


def test_it_carries_units_wheels_and_the_program_s_own_installer(unpacked):
    for placed in (
        "usr/lib/systemd/system/janus.service",
        "usr/lib/systemd/system/dev-janus\\x2dcamera.device.d/janus.conf",
        "usr/lib/sysusers.d/janus.conf",
        "usr/lib/udev/rules.d/70-janus.rules",
        "usr/bin/janus",
        "usr/share/janus/install.sh",
        "usr/share/janus/wheels/SHA256SUMS",
        "usr/share/doc/janus-door/copyright",
    ):
        assert (unpacked / placed).is_file(), placed
    assert not (unpacked / "etc").exists()  # the site's configuration is never dpkg's
    assert not (unpacked / "usr/local").exists()


def test_its_control_file_is_filled_in(unpacked):
    control = (unpacked / "DEBIAN" / "control").read_text()
    assert "Version: 0.1.0\n" in control
    assert "Architecture: arm64\n" in control
    assert "@" not in control.replace("janus-door@localhost", "")


def test_what_its_scripts_call_is_in_it_and_understands_the_options(unpacked):
    for script in ("postinst", "prerm"):
        (call,) = [
            line.split()
            for line in (unpacked / "DEBIAN" / script).read_text().splitlines()
            if "install.sh" in line
        ]
        options = [word.replace("/usr/share", f"{unpacked}/usr/share") for word in call]
        tried = [*options, "--dry-run", "--root", unpacked / "elsewhere"]
        done = subprocess.run(tried, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"{unpacked}/elsewhere/opt/janus" in done.stdout
        assert "usr/local" not in done.stdout
        assert "apt-get" not in done.stdout
