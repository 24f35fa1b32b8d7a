"""The kit prepares any card of Raspberry Pi OS, once, and the first boot installs the door once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from wheelhouse import write_wheelhouse

ROOT = Path(__file__).parents[2]
CALL = "/boot/firmware/janus/firstboot.sh"
CMDLINE = "console=tty1 root=PARTUUID=35684e8a-02 rootfstype=ext4 fsck.repair=yes rootwait quiet\n"

# As Raspberry Pi Imager writes them, shortened.
FIRSTRUN = """#!/bin/bash

set +e

/usr/lib/raspberrypi-sys-mods/imager_custom set_hostname door
rm -f /boot/firstrun.sh
sed -i 's| systemd.run.*||g' /boot/cmdline.txt
exit 0
"""
USER_DATA = """#cloud-config
hostname: door
runcmd:
  - [ systemctl, enable, --now, ssh ]
  - [ rfkill, unblock, wifi ]
"""


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    directory = tmp_path_factory.mktemp("kit")
    wheels = write_wheelhouse(directory / "wheels")
    built = [ROOT / "scripts" / "flash_kit", wheels, directory / "dist"]
    subprocess.run(built, check=True, capture_output=True)
    return directory / "dist" / "janus-flash-0.1.0"


@pytest.fixture
def boot(tmp_path):
    (tmp_path / "cmdline.txt").write_text(CMDLINE)
    (tmp_path / "config.txt").write_text("camera_auto_detect=1\n")
    return tmp_path


def prepare(kit, boot):
    """Prepare the card twice: the second time must change nothing."""
    for _ in range(2):
        done = subprocess.run([kit / "prepare.sh", boot], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (boot / "janus" / "firstboot.sh").is_file()
    assert (boot / "janus" / "wheels" / "SHA256SUMS").is_file()
    assert not list(boot.glob("*.new"))
    return done.stdout


def test_bookworm_as_it_comes_runs_the_kit_from_the_kernel_command_line(kit, boot):
    assert "(cmdline.txt)" in prepare(kit, boot)
    (line,) = (boot / "cmdline.txt").read_text().splitlines()
    assert line.startswith(CMDLINE.strip() + " ")
    assert line.count(f"systemd.run={CALL} ") == 1
    assert line.endswith("systemd.unit=kernel-command-line.target")


def test_bookworm_with_settings_of_the_imager_runs_it_after_those(kit, boot):
    (boot / "firstrun.sh").write_text(FIRSTRUN)
    assert "(firstrun.sh)" in prepare(kit, boot)
    lines = (boot / "firstrun.sh").read_text().splitlines()
    assert lines.count(f"bash {CALL} || true") == 1
    assert lines.index(f"bash {CALL} || true") == lines.index("rm -f /boot/firstrun.sh") - 1
    assert [line for line in lines if CALL not in line] == FIRSTRUN.splitlines()
    assert (boot / "cmdline.txt").read_text() == CMDLINE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (USER_DATA, USER_DATA.replace("runcmd:\n", f"runcmd:\n  - [bash, {CALL}, start]\n")),
        (
            "#cloud-config\n# nothing\n",
            f"#cloud-config\n# nothing\n\nruncmd:\n- [bash, {CALL}, start]\n",
        ),
        ("", f"#cloud-config\n\nruncmd:\n- [bash, {CALL}, start]\n"),
    ],
)
def test_trixie_runs_it_by_cloud_init_beside_the_commands_that_are_there(kit, boot, before, after):
    (boot / "user-data").write_text(before)
    assert "(cloud-init)" in prepare(kit, boot)
    assert (boot / "user-data").read_text() == after


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("user-data", "#cloud-config\nruncmd: [[ls]]\n", "runcmd on one line"),
        ("firstrun.sh", "#!/bin/bash\necho my own\n", "not as the Imager writes it"),
    ],
)
def test_what_it_does_not_understand_is_left_alone_with_advice(kit, boot, name, content, said):
    (boot / name).write_text(content)
    done = subprocess.run([kit / "prepare.sh", boot], capture_output=True, text=True)
    assert done.returncode == 1
    assert said in done.stderr
    assert (boot / name).read_text() == content


def test_a_directory_that_is_no_card_is_refused(kit, tmp_path):
    done = subprocess.run([kit / "prepare.sh", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "is no boot partition" in done.stderr
    assert list(tmp_path.iterdir()) == []


def first_boot(boot, root, *words):
    return subprocess.run(
        ["bash", boot / "janus" / "firstboot.sh", *words],
        env={**os.environ, "JANUS_ROOT": str(root)},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemctl") is None, reason="needs systemd's programs")
def test_the_first_boot_installs_the_site_s_own_configuration_once(kit, boot, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "etc").mkdir()
    prepare(kit, boot)
    # What runs is where the running system has the partition; here it is elsewhere.
    cmdline = (boot / "cmdline.txt").read_text().replace("/boot/firmware", str(boot))
    (boot / "cmdline.txt").write_text(cmdline)
    (boot / "janus" / "janus.toml").write_text("# of this site\n")
    done = first_boot(boot, root)
    assert done.returncode == 0, (boot / "janus" / "log.txt").read_text()
    assert (root / "opt/janus/current/bin/janus").exists()
    assert (root / "etc/janus/janus.toml").read_text() == "# of this site\n"
    assert (boot / "cmdline.txt").read_text() == CMDLINE
    assert not (boot / "janus" / "wheels").exists()
    installed = list((root / "opt/janus/releases").iterdir())
    assert first_boot(boot, root).returncode == 0
    assert list((root / "opt/janus/releases").iterdir()) == installed


def test_a_first_boot_that_fails_is_not_repeated_and_leaves_its_reason_on_the_card(
    kit, boot, tmp_path_factory
):
    prepare(kit, boot)
    cmdline = (boot / "cmdline.txt").read_text().replace("/boot/firmware", str(boot))
    (boot / "cmdline.txt").write_text(cmdline)
    next((boot / "janus" / "wheels").glob("janus_door-*")).write_bytes(b"half")
    assert first_boot(boot, tmp_path_factory.mktemp("root")).returncode == 1
    assert "damaged or incomplete" in (boot / "janus" / "log.txt").read_text()
    assert (boot / "cmdline.txt").read_text() == CMDLINE
