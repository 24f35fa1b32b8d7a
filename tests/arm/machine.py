"""Boot the virtual ARM computer of `make_machine`, and hold the door's relay line to its promises.

    sudo tests/arm/make_machine && python tests/arm/machine.py [--work DIR]

A stock Debian arm64 kernel and systemd start janus.service from the installed package. Its relay is
line 5 of a PL061, and the emulator itself notes every change of that line. The camera is vivid,
which shows what is played to it. Time in the machine is counted by instructions, not by this
computer's clock (`-icount`), so that a busy host makes the test longer and not another one.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LINE = 5
DIRECTION = "0x400"  # PL061's GPIODIR
RELEASE_S = 3.0
PI_4 = "0xc03114"  # the board's revision, without which gpiozero drives no pin
QEMU = [
    "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "1", "-m", "1024",
    "-icount", "shift=0", "-display", "none", "-msg", "timestamp=on", "-nodefaults",
]  # fmt: skip


class Machine:
    """The virtual computer.

    Args:
        work: what `make_machine` made; the disk is copied, so that each run begins the same.
    """

    def __init__(self, work: Path) -> None:
        self._work, self._trace = work, work / "line.log"
        self._trace.unlink(missing_ok=True)
        shutil.copy(work / "disk", work / "disk.run")
        shell = work / "shell"
        shell.unlink(missing_ok=True)
        subprocess.run([QEMU[0], "-M", f"virt,dumpdtb={work}/dtb", *QEMU[3:]], check=True)
        subprocess.run(
            ["fdtput", "-p", "-t", "x", f"{work}/dtb", "/system", "linux,revision", PI_4],
            check=True,
        )
        self._process = subprocess.Popen(
            [
                *QEMU, "-dtb", f"{work}/dtb",
                "-kernel", f"{work}/vmlinuz", "-initrd", f"{work}/initrd",
                "-append", "console=ttyAMA0 panic=5", "-serial", f"file:{work}/console.log",
                "-drive", f"file={work}/disk.run,format=raw,if=none,id=disk,cache=unsafe",
                "-device", "virtio-blk-device,drive=disk",
                "-device", "virtio-serial-device",
                "-chardev", f"socket,id=shell,path={shell},server=on,wait=off",
                "-device", "virtserialport,chardev=shell,name=shell",
                "-trace", "enable=pl061_set_output", "-trace", "enable=pl061_write",
                "-D", str(self._trace),
            ]
        )  # fmt: skip
        while not shell.exists():
            time.sleep(0.1)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(shell))
        self._log = (work / "shell.log").open("wb", buffering=0)
        self._boot_id = ""

    def changes(self) -> list[int]:
        """Return the levels that the line took, one after the other; it begins at 0.

        What each write to the chip's registers came to counts, but for the direction: a PL061
        keeps what a line was told when it was an output last, so its driver writes the level at
        once after that. A Pi's chip takes the level first.
        """
        levels, level, register = [0], 0, ""
        said = self._trace.read_text() if self._trace.exists() else ""
        for to, output in re.findall(rf"offset (0x\w+)|output {LINE} to (\d)", said):
            if output:
                level = int(output)
                continue
            if register != DIRECTION:
                levels.append(level)
            register = to
        levels.append(level)
        return [new for old, new in itertools.pairwise(levels) if new != old]

    def sh(self, command: str, timeout_s: float = 3600) -> str:
        """Run *command* as root in the machine and return what it says."""
        mark = f"@@{time.monotonic_ns()}"
        self._socket.sendall(f"{{ {command}\n}} 2>&1; echo {mark} $?\n".encode())
        self._socket.settimeout(timeout_s)
        said = ""
        while not re.search(rf"{mark} \d+\n", said.replace("\r", "")):
            said += self._heard()
        said, code = said.replace("\r", "").rsplit(mark, 1)
        if code.strip() != "0":
            raise SystemExit(f"FAILED in the machine ({code.strip()}): {command}\n{said}")
        return said.strip()

    def boot(self, timeout_s: float = 3600) -> None:
        """Wait until the shell of another boot than the last one answers."""
        ends_s = time.monotonic() + timeout_s
        self._socket.settimeout(20)
        said = ""
        while not (ids := set(re.findall(r"@@boot ([0-9a-f-]{36})", said)) - {self._boot_id}):
            if time.monotonic() > ends_s or self._process.poll() is not None:
                raise SystemExit(f"the machine did not boot; see {self._work}/console.log")
            # What is sent before the shell listens is lost, or fills the way to it.
            with suppress(TimeoutError):
                self._socket.sendall(b"echo @@boot $(cat /proc/sys/kernel/random/boot_id)\n")
                said += self._heard()
        (self._boot_id,) = ids

    def _heard(self) -> str:
        heard = self._socket.recv(65536)
        self._log.write(heard)
        return heard.decode(errors="replace")

    def close(self) -> None:
        """Switch it off."""
        self._process.kill()
        self._process.wait()


def check(holds: bool, what: str) -> None:
    """Print *what* was seen; stop where it is not as promised."""
    print(
        f"{time.monotonic() - _BEGAN_S:5.0f} s  {'ok  ' if holds else 'FAIL'}  {what}", flush=True
    )
    if not holds:
        raise SystemExit(1)


_BEGAN_S = time.monotonic()
_PID = "$(systemctl show -p MainPID --value janus)"
_READY = "timeout 300 sh -c 'until systemctl is-active -q janus; do sleep 0.2; done'"


def boots(machine: Machine, what: str, changes: Sequence[int] = ()) -> None:
    """Systemd starts the installed service, as its own user; the line came to *changes* in all."""
    machine.boot()
    machine.sh(_READY)
    started, ready = (
        int(machine.sh(f"systemctl show janus -P {each}TimestampMonotonic"))
        for each in ("ExecMainStart", "ActiveEnter")
    )
    user = machine.sh(f"ps -o user= -p {_PID}")
    level = machine.sh("line")
    check(
        (machine.changes(), user, level) == (list(changes), "janus", "out lo"),
        f"{what}: ready {(ready - started) / 1e6:.1f} s after its start, as {user}; "
        f"line {level}, and not released by it",
    )


def grants(machine: Machine) -> None:
    """Who is enrolled and stands before the camera releases the strike, once, for `RELEASE_S`."""
    before = machine.changes()
    machine.sh("sleep 5")
    check(machine.changes() == before, "nobody before the camera: the line does not move")
    said = machine.sh("show 8 & timeout 60 line hi; timeout 60 line lo; wait; sleep 3")
    released_s, locked_s = map(float, said.split()[-2:])
    check(
        machine.changes() == [*before, 1, 0] and abs(locked_s - released_s - RELEASE_S) < 0.5,
        f"a visit: one release, of {locked_s - released_s:.2f} s",
    )


def survives(machine: Machine, signal: str, most_s: float) -> None:
    """A door that is killed or stopped during a pulse is locked by others, and comes back."""
    before = machine.changes()
    old = machine.sh(f"echo {_PID}")
    # What the kernel says of a line ends with its owner, whatever the level.
    machine.sh(
        f"show 60 & timeout 60 line hi; kill -{signal} {_PID}; sleep {most_s}; pkill v4l2-ctl; wait"
    )
    changes = machine.changes()
    check(
        changes == [*before, 1, 0],
        f"kill -{signal} during a release: locked within {most_s:g} s",
    )
    machine.sh(f"timeout 300 sh -c 'until [ {_PID} != {old} ]; do sleep 0.2; done'; " + _READY)
    check(machine.changes() == changes, f"kill -{signal}: started again, the line did not move")


def stays_shut_without_audit(machine: Machine) -> None:
    """On a full disk no release goes without its record: none at all once none can be written."""
    machine.sh("sleep 6")
    machine.sh(
        "fallocate -l $(df --output=avail -B1 / | tail -n 1) /fill; sync; "
        "setpriv --reuid=janus dd if=/dev/zero of=/var/lib/janus/fill bs=4k 2>/dev/null; "
        "df / | tail -n 1"
    )
    machine.sh("show 8; sleep 3")
    said = machine.sh("journalctl -u janus --no-pager | tail -n 20")
    # A log that was emptied at a restart still has its blocks: some records fit in them.
    check(
        recorded_releases(machine) == machine.changes().count(1),
        f"a full disk: no release without its record\n{said}",
    )
    before = machine.changes()
    machine.sh("rm /fill /var/lib/janus/fill; " + _READY)
    machine.sh("sleep 6; show 8; sleep 5")
    check(machine.changes() == [*before, 1, 0], "room again: a visit releases once")


def recorded_releases(machine: Machine) -> int:
    """Count the releases that the audit knows of."""
    return int(machine.sh('janus events --json --last 1000 | grep -c \'"kind": "release"\''))


def main() -> None:
    """Go through everything, and leave the logs in the work folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/janus-arm"))  # noqa: S108
    machine = Machine(parser.parse_args().work / "machine")
    try:
        boots(machine, "boot")
        grants(machine)
        survives(machine, "KILL", 1.0)
        survives(machine, "STOP", 6.0)
        stays_shut_without_audit(machine)
        before = machine.changes()
        machine.sh("(show 60 &) ; timeout 60 line hi; (sleep 0.1; systemctl reboot) &")
        boots(machine, "reboot during a release", [*before, 1, 0])
        releases = recorded_releases(machine)
        check(
            releases == machine.changes().count(1),
            f"the audit knows of each of the {releases} releases, and its chain verifies: "
            + machine.sh("janus check | grep audit"),
        )
    finally:
        machine.close()


if __name__ == "__main__":
    main()
