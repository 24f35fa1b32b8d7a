"""Every fault that the door is proved against, and one trial of it on the real service.

Before the fault the room is empty; with it Ada comes, who is enrolled, so that a wrong release can
happen. The trial ends when the door opens for her again, or was seen to stay shut as it should.
`tests/safety/test_faults.py` demands what `bench/faults.py` prints.
"""

from __future__ import annotations

import os
import resource
import secrets
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import astronaut
import cv2
import door_site
import numpy as np
from supervised import Supervisor, environment_with

from edge.audit import Audit, Event

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parents[1]
STRIKE = 17
NOTICED_S = 5.0
LOCKED_S = 6.0  # a pulse that lasts when the process dies; with WatchdogSec, if it is only stopped
TRIES_S = 120.0  # for a trial to go on: start-ups on a machine that is busy with something else


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Args:
        name: stage or dependency, and what it does.
        begin: does it.
        end: undoes it; by default the file `fault` is emptied.
        outcome: "restart", "reopen" (the camera, in process), "goes on", or "stays down".
        hold_s: how long it lasts after it was noticed.
        audit: kind and some facts of an event that must be in the audit afterwards.
        tables: of the configuration, instead of the usual ones.
        says: what the log must say.
        during_pulse: begin only once the strike is released.
        opens: whether Ada may be let in while the fault lasts.
        place: a file system for the stores; None: an ordinary folder.
        obedient: even as root the door may do only what the files' permissions allow.
        read_only_root: everything but the site's folder is on a read-only file system.
    """

    name: str
    begin: Callable[[Site], None]
    end: Callable[[Site], None] = lambda site: site.say("fault", "")
    outcome: str = "restart"
    hold_s: float = 0.0
    audit: tuple[str, Mapping[str, object]] | None = None
    tables: Mapping[str, str] = field(default_factory=dict)
    says: str = ""
    during_pulse: bool = False
    opens: bool = False
    place: str | None = None
    obedient: bool = False
    read_only_root: bool = False


@dataclass(frozen=True)
class Trial:
    """What one fault led to; times in seconds."""

    noticed_s: float | None  # from its beginning
    noticed_by: str
    lasted_s: float
    again_s: float | None  # from its end until the strike was released for Ada
    locked_after_s: float  # from its beginning; 0: the strike was locked
    wrong_releases: int
    starts: int
    events: tuple[Event, ...]
    releases: int  # of the strike
    log: str


class Site:
    """A folder with a configured door in it, and whoever manages it."""

    def __init__(self, folder: Path, fault: Fault, enrolled: Path) -> None:
        self.folder, self.fault = folder, fault
        self.store, self.board = folder / "store", folder / "board"
        for each in (self.store, self.board):
            each.mkdir()
        for name, text in (("fault", ""), ("scene", "nobody"), ("input-27", "0")):
            self.say(name, text)
        self.config = door_site.configure(
            folder, source=folder, **(self._tables() | dict(fault.tables))
        )
        self.enrolled = enrolled
        self.log = folder / "log"
        self.log.touch()

    def _tables(self) -> dict[str, str]:
        stores = ("gallery", "audit")
        lines = [f'{name} = "{self.store}/{name}.sqlite"' for name in stores]
        lines += [f'bundles = "{self.store}/bundles"', f'snapshots = "{self.store}/snapshots"']
        return {
            "camera": 'backend = "opencv"\nsource = "0"',
            "relay": f'pin_factory = "lgpio"\npin = {STRIKE}\nrelease_s = 1.0',
            "inputs": "contact_pin = 27",
            "signals": "led_pin = 22",
            "store": "\n".join(lines),
            "health": f'socket = "{self.folder}/status.sock"\nreopen_s = 20',
        }

    def say(self, name: str, text: str) -> None:
        """Leave word for the door, in place: it holds the file open."""
        with (self.folder / name).open("r+b" if (self.folder / name).exists() else "wb") as file:
            file.write(text.ljust(40).encode("ascii"))

    def fill(self) -> None:
        """Put the enrolled gallery and its key into the stores."""
        shutil.copytree(self.enrolled, self.store, dirs_exist_ok=True)
        # A file system that is aborted loses what a copy left in memory; the door's own are synced.
        subprocess.run(["sync", "-f", self.store], check=True)

    @contextmanager
    def managed(self) -> Iterator[Supervisor]:
        """Run the door under a manager; nothing of it is left afterwards."""
        places = os.pathsep.join(map(str, (SUPPORT / "fake_lgpio", SUPPORT, ROOT)))
        environment = environment_with(
            JANUS_CONFIG=str(self.config),
            FAULTY_SITE=str(self.folder),
            FAULTY_PICTURES=str(self.enrolled.parent / "pictures.npy"),
            FAKE_LGPIO=str(self.board),
            LG_WD=str(self.board),
            PYTHONPATH=places,
            PYTHONFAULTHANDLER="1",
            PYTHONDONTWRITEBYTECODE="1",
        )
        command = [sys.executable, str(SUPPORT / "faulty_door.py")]
        if self.fault.read_only_root:
            keep = shlex.join(["mount", "--bind", str(self.folder), str(self.folder)])
            script = f'{keep} && mount -o remount,bind,ro / && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", script, "sh", *command]
        if self.fault.obedient:
            command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
        self.manager = Supervisor(
            command,
            environment=environment,
            after=[sys.executable, "-m", "edge", "lock"],
            notify=self.folder / "notify",
            log=self.log,
        )
        try:
            yield self.manager
        finally:
            self.manager.stop()

    def releases(self) -> list[tuple[float, float]]:
        """Return when the strike was released and locked again; the last may still last."""
        try:
            lines = (self.board / f"history-{STRIKE}").read_text(encoding="ascii").splitlines()
        except OSError:
            return []
        found: list[tuple[float, float]] = []
        released_s: float | None = None
        for line in lines:
            at, _, level = line.split()
            if level == "1" and released_s is None:
                released_s = float(at)
            elif level != "1" and released_s is not None:
                found.append((released_s, float(at)))
                released_s = None
        return found if released_s is None else [*found, (released_s, float("inf"))]

    def released_after(self, since_s: float, timeout_s: float) -> float:
        """Return when the strike was released next."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            for began_s, _ in self.releases():
                if began_s >= since_s:
                    return began_s
            assert time.monotonic() < deadline_s, (
                f"{self.fault.name}: not released again\n{self.log.read_text()[-3000:]}"
            )
            time.sleep(0.02)

    def sentinel(self) -> int:
        """Return the process of the door's sentinel."""
        children = Path(f"/proc/{self.manager.pid}/task/{self.manager.pid}/children").read_text()
        for child in children.split():
            if b"edge.sentinel" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        raise AssertionError("the door has no sentinel")

    def events(self) -> tuple[Event, ...]:
        """Return every event of an audit whose chain holds."""
        with Audit(self.store / "audit.sqlite", create=False) as audit:
            broken = audit.verify()
            assert broken is None, broken
            return audit.events()


def draw(path: Path, *, small: bool = False) -> Path:
    """Write eight pictures of an empty room and of Ada in it, with noise; *small*: of her head."""
    noise, pictures = np.random.default_rng(0), []
    for variant in range(8):
        seen = astronaut.frame(64 + variant % 3)
        if small:
            seen = cv2.resize(seen[0:220, 190:410], (160, 160), interpolation=cv2.INTER_AREA)
        for base in (np.full_like(seen, 110), seen):
            grain = noise.integers(-3, 4, base.shape, np.int16)
            pictures.append(np.clip(base + grain, 0, 255).astype(np.uint8))
    np.save(path, np.stack([pictures[0::2], pictures[1::2]]))
    return path


@contextmanager
def enrolled_store() -> Iterator[Path]:
    """Give a folder with Ada enrolled: what every trial begins with."""
    with tempfile.TemporaryDirectory() as folder:
        place, store = Path(folder), Path(folder) / "store"
        store.mkdir()
        config = door_site.configure(
            place,
            source=place,
            store=f'gallery = "{store}/gallery.sqlite"\naudit = "{store}/audit.sqlite"',
        )
        picture = door_site.portrait(place / "ada.png", size_px=500)
        done = door_site.janus("enrol", "Ada", picture, config=config)
        assert done.returncode == 0, done.stderr
        (store / "janus.lock").unlink(missing_ok=True)
        draw(place / "pictures.npy")
        place.chmod(0o755)
        yield store


@contextmanager
def mounted(kind: str | None, place: Path, image: Path) -> Iterator[None]:
    """Mount a small file system of its own at *place*; needs root."""
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], check=True)
    elif kind == "ext4":
        with image.open("wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield
    finally:
        if kind is not None:
            subprocess.run(["umount", "-l", place], check=True)


def try_fault(fault: Fault, enrolled: Path) -> Trial:
    """Run the real service, let *fault* happen, and return what came of it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        site = Site(folder, fault, enrolled)
        stack.enter_context(mounted(fault.place, site.store, folder / "image"))
        site.fill()
        with site.managed() as manager:
            manager.wait_for("ready", timeout_s=TRIES_S)
            if fault.during_pulse:
                site.say("scene", "ada")
                site.released_after(0.0, TRIES_S)
            before = len(site.releases())
            began_s = time.monotonic()
            fault.begin(site)
            site.say("scene", "ada")
            noticed_s, by = _noticed(site, manager, began_s)
            time.sleep(fault.hold_s)
            during = [each for each in site.releases() if each[0] >= began_s]
            fault.end(site)
            ended_s = time.monotonic()
            again_s = None
            if fault.outcome != "stays down":
                since_s = began_s if fault.outcome == "goes on" else ended_s
                again_s = max(0.0, site.released_after(since_s, TRIES_S) - ended_s)
                _wait_until_locked(site)
        releases = site.releases()
        late = [end for begin, end in releases if begin < began_s < end]
        return Trial(
            noticed_s=noticed_s,
            noticed_by=by,
            lasted_s=ended_s - began_s,
            again_s=again_s,
            locked_after_s=max((each - began_s for each in late), default=0.0),
            wrong_releases=0 if fault.opens else len(during),
            starts=sum(each.what == "start" for each in manager.happened()),
            events=site.events(),
            releases=len(releases) if before >= 0 else 0,
            log=site.log.read_text(errors="replace"),
        )


def _noticed(site: Site, manager: Supervisor, since_s: float) -> tuple[float | None, str]:
    """Wait until the fault was noticed; return after how long, and by whom."""
    match site.fault.outcome:
        case "restart" | "stays down":
            first = manager.wait_for(
                "exit", "abort", "stopping", "status", since_s=since_s, timeout_s=TRIES_S
            )
            ended = manager.wait_for("exit", since_s=since_s, timeout_s=TRIES_S)
            by = "WatchdogSec" if first.what == "abort" else f"exit {ended.fact}"
            first = min(first, ended, key=lambda each: each.at_s)
            if site.fault.outcome == "stays down":
                manager.wait_for("down", since_s=since_s, timeout_s=TRIES_S)
            return first.at_s - since_s, by
        case "reopen":
            deadline_s = time.monotonic() + TRIES_S
            while time.monotonic() < deadline_s:
                for each in manager.happened(since_s):
                    assert each.what != "exit", f"it ended: {each}"
                    if each.what == "status" and "opening it again" in each.fact:
                        return each.at_s - since_s, each.fact.partition(";")[0]
                time.sleep(0.02)
            raise AssertionError(f"{site.fault.name}: nothing was opened again")
        case _:
            if site.fault.opens:
                site.released_after(since_s, TRIES_S)
            return None, "–"


def _wait_until_locked(site: Site) -> None:
    deadline_s = time.monotonic() + TRIES_S
    while site.releases()[-1][1] == float("inf"):
        assert time.monotonic() < deadline_s, "the strike stays released"
        time.sleep(0.02)


# --- what can go wrong ------------------------------------------------------------------------


def _told(words: str) -> Callable[[Site], None]:
    return lambda site: site.say("fault", words)


def _signalled(number: int) -> Callable[[Site], None]:
    return lambda site: os.kill(site.manager.pid, number)


def _nothing(_: Site) -> None:
    pass


def _pause(site: Site) -> None:
    """Stop it for longer than any stage may stall, but not for so long that the manager aborts."""
    os.kill(site.manager.pid, signal.SIGSTOP)
    time.sleep(3.4)
    os.kill(site.manager.pid, signal.SIGCONT)


def _fill_disk(site: Site) -> None:
    with (site.store / "ballast").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def _fill_disk_nearly(site: Site) -> None:
    free = shutil.disk_usage(site.store).free
    (site.store / "ballast").write_bytes(bytes(free - 3_000_000))


def _empty_disk(site: Site) -> None:
    (site.store / "ballast").unlink(missing_ok=True)


def _abort_file_system(site: Site) -> None:
    """Make it read-only under the door's hands, as a failing card does."""
    subprocess.run(["mount", "-o", "remount,abort", site.store], check=True, capture_output=True)


def _mount_again(site: Site) -> None:
    """Repair it: unmounted altogether, between two attempts of the door, for it is kept as it was
    while anybody has a file of it open.
    """
    deadline_s = time.monotonic() + TRIES_S
    while subprocess.run(["umount", site.store], capture_output=True).returncode:
        assert time.monotonic() < deadline_s, "the file system stays in use"
        time.sleep(0.05)
    subprocess.run(["e2fsck", "-fy", site.folder / "image"], capture_output=True)
    subprocess.run(["mount", "-o", "loop", site.folder / "image", site.store], check=True)


def _forbid(site: Site) -> None:
    """Take the stores away from the door, as a careless chmod does."""
    site.store.chmod(0)


def _forbid_and_kill(site: Site) -> None:
    _forbid(site)
    os.kill(site.manager.pid, signal.SIGKILL)


def _allow(site: Site) -> None:
    site.store.chmod(0o700)


def _exhaust_descriptors(site: Site) -> None:
    pid = site.manager.pid
    opened = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (opened, hard))


def _exhaust_memory(site: Site) -> None:
    pid = site.manager.pid
    size_kb = next(
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmSize")
    )
    resource.prlimit(pid, resource.RLIMIT_AS, (size_kb * 1024, size_kb * 1024))
    site.say("fault", "memory garbage")


def _hold_audit(site: Site) -> None:
    """Another program holds the audit's lock."""
    site.holder = sqlite3.connect(site.store / "audit.sqlite", isolation_level=None)
    site.holder.execute("BEGIN IMMEDIATE")


def _let_audit_go(site: Site) -> None:
    site.holder.close()


def _spoilt_at_start(name: str) -> Callable[[Site], None]:
    """Kill the door, and leave garbage where it will look."""

    def spoil(site: Site) -> None:
        os.kill(site.manager.pid, signal.SIGKILL)
        path = site.store / name
        for each in (path, *path.parent.glob(f"{path.name}-*")):
            each.rename(each.with_name(f"kept-{each.name}"))
        path.write_bytes(secrets.token_bytes(20_000))

    return spoil


def _mended(name: str) -> Callable[[Site], None]:
    def mend(site: Site) -> None:
        (site.store / name).unlink()
        for kept in site.store.glob(f"kept-{name}*"):
            kept.rename(kept.with_name(kept.name.removeprefix("kept-")))

    return mend


def _lost(name: str) -> Callable[[Site], None]:
    def lose(site: Site) -> None:
        path = site.store / name
        for each in (path, *path.parent.glob(f"{path.name}-*")):
            each.rename(each.with_name(f"kept-{each.name}"))

    return lose


def _found(name: str) -> Callable[[Site], None]:
    def find(site: Site) -> None:
        path = site.store / name
        for each in (path, *path.parent.glob(f"{path.name}-*")):
            each.unlink(missing_ok=True)
        for kept in site.store.glob(f"kept-{name}*"):
            kept.rename(kept.with_name(kept.name.removeprefix("kept-")))

    return find


def _spoil_config(site: Site) -> None:
    with site.config.open("a") as file:
        file.write("\n[doro]\nhinge = 1\n")
    os.kill(site.manager.pid, signal.SIGKILL)


def _spoil_bundle(site: Site) -> None:
    with site.config.open("a") as file:
        file.write(f'\n[encoder]\nbundle = "{site.folder}/nowhere"\n')
    os.kill(site.manager.pid, signal.SIGKILL)


def _kill_sentinel(site: Site) -> None:
    os.kill(site.sentinel(), signal.SIGKILL)


def _stop_sentinel(site: Site) -> None:
    site.stopped = site.sentinel()
    os.kill(site.stopped, signal.SIGSTOP)


def _stop_sentinel_and_kill(site: Site) -> None:
    _stop_sentinel(site)
    os.kill(site.manager.pid, signal.SIGKILL)


def _end_sentinel(site: Site) -> None:
    os.kill(site.stopped, signal.SIGKILL)


def _remove_status_socket(site: Site) -> None:
    (site.folder / "status.sock").unlink()


_STALLED = ("watchdog", {"fault": "stalled"})
_KILLED = ("start", {"previous": "killed"})
_STAGES = ("detect", "track", "align", "quality", "embed", "match", "decide", "gate", "gallery")
_SNAPSHOTS = {"privacy": 'snapshots = "all"\nsnapshot_room_mb = 10'}


def _stage_faults() -> Iterator[Fault]:
    for stage in _STAGES:
        yield Fault(f"{stage}: raises", _told(f"{stage} raise"), audit=("stop", {}))
        # The log says where: `told` is the function in which a stage of faulty_door.py hangs.
        yield Fault(f"{stage}: stalls", _told(f"{stage} stall"), audit=_STALLED, says=" in told\n")
        if stage == "match":  # scores that are no cosines speak for nobody
            yield Fault("match: garbage", _told("match garbage"), outcome="goes on", hold_s=2)
        elif stage != "gallery":
            yield Fault(f"{stage}: garbage", _told(f"{stage} garbage"), audit=("stop", {}))


FAULTS = (
    Fault("camera: raises", _told("camera raise"), outcome="reopen", hold_s=1,
          audit=("camera", {"fault": "no_frame"})),
    Fault("camera: hangs", _told("camera stall"), outcome="reopen", hold_s=0.5,
          audit=("camera", {"fault": "no_frame"})),
    Fault("camera: garbage", _told("camera garbage"), outcome="reopen", hold_s=1,
          audit=("camera", {"fault": "no_frame"})),
    Fault("camera: unplugged for 6 s", _told("camera disappear"), outcome="reopen", hold_s=6,
          audit=("camera", {"fault": "no_frame"})),
    Fault("camera: gone for good", _told("camera disappear"), hold_s=1,
          tables={"health": "reopen_s = 2"}, audit=("error", {"error": "CameraError"})),
    Fault("camera: frozen", _told("camera frozen"), outcome="reopen", hold_s=0.5,
          audit=("camera", {"fault": "frozen"})),
    Fault("camera: four old pictures in turn", _told("camera loop"), outcome="reopen", hold_s=0.5,
          audit=("camera", {"fault": "frozen"})),
    Fault("camera: black", _told("camera black"), outcome="reopen", hold_s=0.5,
          audit=("camera", {"fault": "black"})),
    *_stage_faults(),
    Fault("processor: slow, 0.4 s a frame more", _told("detect slow"), outcome="goes on",
          opens=True),
    Fault("audit: raises", _told("audit raise")),
    # What hangs is what would say so: the next start does.
    Fault("audit: stalls", _told("audit stall"), audit=_KILLED),
    Fault("audit: locked by another program", _hold_audit, _let_audit_go, hold_s=4),
    Fault("audit: garbage", _spoilt_at_start("audit.sqlite"), _mended("audit.sqlite"), hold_s=5,
          audit=_KILLED),
    Fault("audit: gone", _lost("audit.sqlite"), _found("audit.sqlite")),
    Fault("gallery: garbage", _spoilt_at_start("gallery.sqlite"), _mended("gallery.sqlite"),
          hold_s=5, audit=_KILLED),
    Fault("gallery: gone", _lost("gallery.sqlite"), _found("gallery.sqlite"), hold_s=5),
    Fault("snapshots: raise", _told("snapshots raise"), outcome="goes on", opens=True,
          tables=_SNAPSHOTS),
    Fault("relay: raises", _told("relay raise")),
    Fault("relay: hangs", _told("relay stall"), audit=_STALLED),
    Fault("contact: raises", _told("contact raise")),
    # Until it is noticed the line goes on, and Ada may enter.
    Fault("contact: hangs", _told("contact stall"), opens=True,
          audit=("watchdog", {"fault": "deaf"})),
    Fault("LED: raises", _told("led raise"), outcome="goes on", opens=True),
    Fault("LED: hangs", _told("led stall"), outcome="goes on", opens=True),
    Fault("sentinel: killed", _kill_sentinel),
    Fault("sentinel: stopped", _stop_sentinel, _end_sentinel, outcome="goes on", opens=True),
    Fault("sentinel: stopped, door killed in a pulse", _stop_sentinel_and_kill, _end_sentinel,
          during_pulse=True, audit=_KILLED, tables={"relay": (
              f'pin_factory = "lgpio"\npin = {STRIKE}\nrelease_s = 9.0')}),
    Fault("status socket: gone", _remove_status_socket, _nothing, outcome="goes on", opens=True),
    Fault("interpreter: held in native code", _told("interpreter stall"), audit=_KILLED),
    Fault("interpreter: crashes", _told("interpreter crash"), audit=_KILLED),
    Fault("process: stopped", _signalled(signal.SIGSTOP), _nothing, audit=_KILLED),
    Fault("process: stopped for 3.4 s", _pause, _nothing, outcome="goes on", opens=True),
    Fault("process: stopped in a pulse", _signalled(signal.SIGSTOP), _nothing, audit=_KILLED,
          during_pulse=True),
    Fault("process: killed", _signalled(signal.SIGKILL), _nothing, audit=_KILLED),
    Fault("process: killed in a pulse", _signalled(signal.SIGKILL), _nothing, audit=_KILLED,
          during_pulse=True, tables={"relay": (
              f'pin_factory = "lgpio"\npin = {STRIKE}\nrelease_s = 9.0')}),
    Fault("disk: nearly full", _fill_disk_nearly, _empty_disk, outcome="goes on", opens=True,
          place="tmpfs", tables=_SNAPSHOTS, says="no snapshots are kept for now"),
    Fault("disk: full", _fill_disk, _empty_disk, hold_s=6, place="tmpfs", tables=_SNAPSHOTS),
    Fault("disk: read-only after an error", _abort_file_system, _mount_again, hold_s=4,
          place="ext4"),
    Fault("root file system: read-only", _nothing, outcome="goes on", opens=True,
          read_only_root=True),
    Fault("permissions: revoked at a restart", _forbid_and_kill, _allow, hold_s=4, obedient=True,
          audit=_KILLED),
    Fault("permissions: revoked while it runs", _forbid, _allow, hold_s=4, obedient=True),
    Fault("descriptors: none left", _exhaust_descriptors, _nothing, outcome="goes on", opens=True),
    Fault("memory: none left", _exhaust_memory),
    Fault("configuration: garbage at a restart", _spoil_config, _nothing, outcome="stays down"),
    Fault("bundle: gone at a restart", _spoil_bundle, _nothing, outcome="stays down"),
)  # fmt: skip


def slack() -> float:
    """Return how much longer everything may take while the machine is busy with something else."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def demand(fault: Fault, trial: Trial, *, slack: float = 1.0) -> None:
    """Demand that *trial* ended as *fault* should; the message says what did not."""
    told = f"{fault.name}: noticed {trial.noticed_s} s by {trial.noticed_by}\n{trial.log[-3000:]}"
    assert trial.wrong_releases == 0, f"released {trial.wrong_releases} times; {told}"
    assert trial.locked_after_s <= LOCKED_S * slack, (
        f"locked after {trial.locked_after_s} s; {told}"
    )
    assert trial.noticed_s is None or trial.noticed_s <= NOTICED_S * slack, told
    if fault.outcome in ("goes on", "reopen"):
        assert trial.starts == 1, f"started {trial.starts} times; {told}"
    kinds = [event.kind for event in trial.events]
    # The record comes first, so one more of them may be than the relay obeyed; never one less.
    assert kinds.count("release") >= trial.releases, (
        f"{trial.releases} releases, {kinds.count('release')} in the audit; {told}"
    )
    if fault.audit is not None:
        kind, facts = fault.audit
        found = [e for e in trial.events if e.kind == kind and facts.items() <= e.facts.items()]
        assert found, f"the audit does not say {fault.audit}: {kinds}; {told}"
    assert fault.says in trial.log, f"the log does not say {fault.says!r}; {told}"
