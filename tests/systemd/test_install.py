"""The installer, against a scratch root: what it places, keeps, replaces and removes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from wheelhouse import write_wheelhouse

ROOT = Path(__file__).parents[2]
INSTALLER = ROOT / "systemd" / "install.sh"

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg") is None or shutil.which("systemctl") is None,
    reason="needs a Debian with systemd's programs (dpkg, systemctl, systemd-sysusers)",
)


def install(root, *options):
    return subprocess.run(
        [INSTALLER, "--root", root, *options],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def tree(root):
    """Every file below *root* but the program's own, with its content."""
    return {
        str(each.relative_to(root)): each.read_bytes()
        for each in root.rglob("*")
        if each.is_file() and "opt/janus/releases" not in str(each)
    }


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    return write_wheelhouse(tmp_path_factory.mktemp("wheels") / "house")


@pytest.fixture(scope="module")
def newer_wheels(tmp_path_factory):
    return write_wheelhouse(tmp_path_factory.mktemp("wheels") / "house", "0.2.0")


def program_version(root):
    called = [root / "opt/janus/current/bin/janus", "config"]
    return subprocess.run(called, capture_output=True, text=True, check=True).stdout.split()[2]


@pytest.mark.slow
def test_it_installs_again_upgrades_downgrades_and_keeps_what_the_site_wrote(
    tmp_path, wheels, newer_wheels
):
    """One root through its whole life, for a virtual environment takes seconds to make."""
    (tmp_path / "etc").mkdir()
    done = install(tmp_path, "--offline", wheels)
    assert done.returncode == 0, done.stderr
    fresh = tree(tmp_path)
    units = "usr/local/lib/systemd/system"
    for placed in (
        f"{units}/janus.service",
        f"{units}/janus-retry.timer",
        f"{units}/janus-backup.service",
        f"{units}/janus-backup.timer",
        f"{units}/dev-janus\\x2dcamera.device.d/janus.conf",
        "usr/local/lib/udev/rules.d/70-janus.rules",
        "usr/local/lib/tmpfiles.d/janus.conf",
        "usr/local/bin/janus",
        "etc/janus/janus.toml",
        "etc/janus/janus.toml.example",
    ):
        assert placed in fresh
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants/janus.service"
    assert wants.is_symlink()
    assert b"janus:" in fresh["etc/passwd"]
    assert {"gpio", "video"} <= {
        line.split(":")[0] for line in fresh["etc/group"].decode().splitlines() if "janus" in line
    }
    if os.getuid() == 0:
        assert (tmp_path / "var/lib/janus").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "etc/janus/janus.toml").stat().st_mode & 0o777 == 0o640

    done = install(tmp_path, "--offline", wheels)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path) == fresh  # again: nothing else

    (tmp_path / "etc/janus/janus.toml").write_text("# the site's own\n")
    (tmp_path / "var/lib/janus").mkdir(parents=True, exist_ok=True)
    (tmp_path / "var/lib/janus/gallery.sqlite").write_bytes(b"people")
    for house, version in ((newer_wheels, "0.2.0:"), (wheels, "0.1.0:")):
        done = install(tmp_path, "--offline", house)
        assert done.returncode == 0, done.stderr
        assert program_version(tmp_path) == version
        kept = tree(tmp_path)
        assert kept["etc/janus/janus.toml"] == b"# the site's own\n"
        assert kept["var/lib/janus/gallery.sqlite"] == b"people"
        assert version.encode() in kept["etc/janus/janus.toml.example"]
    # The one before stays, for the door that still runs on it; older ones go.
    assert len(list((tmp_path / "opt/janus/releases").iterdir())) == 2

    # An upgrade whose encoder does not start is not put in force.
    broken = write_wheelhouse(
        tmp_path / "broken", "0.3.0", service="raise ImportError('numpy 2 beside numpy 1')\n"
    )
    done = install(tmp_path, "--offline", broken)
    assert done.returncode != 0
    assert "numpy 2 beside numpy 1" in done.stderr
    assert program_version(tmp_path) == "0.1.0:"
    assert len(list((tmp_path / "opt/janus/releases").iterdir())) == 2
    shutil.rmtree(tmp_path / "broken")

    done = install(tmp_path, "--uninstall")
    assert done.returncode == 0, done.stderr
    left = {name for name in tree(tmp_path) if "janus" in name}
    assert left == {
        "etc/janus/janus.toml",
        "etc/janus/janus.toml.example",
        "var/lib/janus/gallery.sqlite",
    }
    assert not wants.is_symlink()
    assert not (tmp_path / "opt/janus").exists()

    done = install(tmp_path, "--uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    assert {name for name in tree(tmp_path) if "janus" in name} == set()


def test_a_damaged_wheelhouse_is_refused_before_anything_is_changed(tmp_path, wheels):
    damaged = tmp_path / "house"
    shutil.copytree(wheels, damaged)
    next(damaged.glob("janus_door-*.whl")).write_bytes(b"half")
    root = tmp_path / "root"
    done = install(root, "--offline", damaged)
    assert done.returncode == 1
    assert "is damaged or incomplete; copy it again" in done.stderr
    assert tree(root) == {}
    assert not (root / "opt/janus/current").is_symlink()


def test_a_dry_run_says_what_it_would_do_and_does_nothing(tmp_path, wheels):
    for options in (("--offline", wheels), (), ("--uninstall", "--purge")):
        done = install(tmp_path / "root", "--dry-run", *options)
        assert done.returncode == 0, done.stderr
        assert str(tmp_path / "root") in done.stdout
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--purge",), "--purge goes with --uninstall"),
        (("--offline",), "needs a directory"),
        (("--offline", "nowhere"), "there is no such directory"),
        (("--twice",), "unknown option --twice"),
    ],
)
def test_wrong_options_say_what_is_wrong(tmp_path, options, said):
    done = install(tmp_path / "root", *options)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "root").exists()


def test_help_shows_every_option():
    done = subprocess.run([INSTALLER, "--help"], capture_output=True, text=True, check=True)
    accepted = {
        word
        for line in INSTALLER.read_text().splitlines()
        if line.strip().startswith("--") and line.strip().endswith(";;")
        for word in [line.strip().split(")")[0]]
    }
    assert accepted
    assert [word for word in accepted if word not in done.stdout] == []


def test_every_script_passes_shellcheck():
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed: pip install 'janus-door[dev]'")
    scripts = [
        each
        for folder in ("systemd", "packaging", "scripts")
        for each in sorted((ROOT / folder).rglob("*"))
        if each.is_file()
        and each.read_bytes().startswith((b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash"))
    ]
    assert INSTALLER in scripts
    done = subprocess.run([shellcheck, *scripts], capture_output=True, text=True)
    assert done.stdout == ""
    assert done.returncode == 0
