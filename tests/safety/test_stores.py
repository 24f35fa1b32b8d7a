"""What the stores promised survives full disks, read-only disks and rivals (kill -9: test_kill)."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge.audit import Audit
from edge.errors import AuditError, GalleryError
from edge.gallery import GalleryStore
from edge.stores.traces import database_files, find_traces
from edge.vocabulary import Embedding

ROOT = Path(__file__).parents[2]
MODEL = "a" * 64

# Writes until the store refuses, then prints the refusal and what it had acknowledged.
FILLING_CHILD = """
import resource, sys
from pathlib import Path
import numpy as np
from edge.audit import Audit
from edge.errors import GalleryError
from edge.gallery import GalleryStore
from edge.vocabulary import Embedding

kind, path, limit = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
embedding = Embedding(np.full(64, 0.125, np.float32), "a" * 64)
store = GalleryStore(path, "a" * 64) if kind == "gallery" else Audit(path)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
written = 0
try:
    while written < 100_000:
        if kind == "gallery":
            store.enrol(f"person {written}", [embedding] * 20)
        else:
            store.note("error", number=written, text="x" * 1000)
        written += 1
except GalleryError as exc:
    print(type(exc).__name__, exc, file=sys.stderr)
print(written)
"""


def embedding(seed=0):
    vector = np.random.default_rng(seed).standard_normal(64).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), MODEL)


def assert_sound(path):
    with closing(sqlite3.connect(path)) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert rows.execute("PRAGMA foreign_key_check").fetchall() == []


def child(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fill(kind, path, *, limit=0):
    """Write until the disk refuses; return how many writes were acknowledged and the error."""
    with child(FILLING_CHILD, kind, path, limit) as process:
        said, failed = process.communicate(timeout=120)
    assert process.returncode == 0, failed
    assert "Traceback" not in failed, failed
    return int(said), failed


def count_stored(kind, path):
    if kind == "gallery":
        with GalleryStore(path, MODEL) as store:
            store.load()
            people = store.people()
            assert {person.references for person in people} <= {20}
            return len(people)
    with Audit(path) as audit:
        assert audit.verify() is None
        return len(audit.events())


def write_once_more(kind, path):
    if kind == "gallery":
        with GalleryStore(path, MODEL) as store:
            store.enrol("one more", [embedding()] * 20)
    else:
        with Audit(path) as audit:
            audit.note("start")


@pytest.mark.parametrize("kind", ["gallery", "audit"])
def test_a_process_that_may_write_no_more_keeps_what_it_wrote(tmp_path, kind):
    """A file size limit refuses writes anywhere, also as root and without a mount."""
    path = tmp_path / "store.sqlite"
    written, failed = fill(kind, path, limit=300_000)
    assert written > 0
    assert failed.startswith("AuditError" if kind == "audit" else "GalleryError")
    assert "the disk" in failed
    assert count_stored(kind, path) == written
    assert_sound(path)
    write_once_more(kind, path)
    assert count_stored(kind, path) == written + 1


@contextmanager
def small_disk(directory, size_kb):
    """A file system of its own; only root of a machine with mounts can have one."""
    directory.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "none", str(directory)],
            check=False,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.parametrize("kind", ["gallery", "audit"])
def test_a_full_disk_is_named_and_loses_nothing(tmp_path, kind):
    """After room was made, the same store goes on."""
    with small_disk(tmp_path / "disk", 1000) as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(300_000))
        written, failed = fill(kind, disk / "store.sqlite")
        assert written > 0
        assert "the disk is full" in failed
        assert "df -h" in failed
        ballast.unlink()
        assert count_stored(kind, disk / "store.sqlite") == written
        assert_sound(disk / "store.sqlite")
        write_once_more(kind, disk / "store.sqlite")
        assert count_stored(kind, disk / "store.sqlite") == written + 1


@pytest.mark.parametrize("room_kb", [0, 40, 120, 240, 320, 400])
def test_forgetting_on_a_full_disk_is_all_or_nothing_and_says_which(tmp_path, room_kb):
    """Deletion and wiping both need room; what the message says is what is so."""
    with small_disk(tmp_path / "disk", 4000) as disk:
        path, ballast = disk / "gallery.sqlite", disk / "ballast"
        with GalleryStore(path, MODEL) as store:
            for number in range(40):
                store.enrol(f"person {number}.", [embedding(number)] * 20)
        with GalleryStore(path, model_id=None) as store:
            marks = store.marks(store.find("person 7."))
            store.names()  # makes the log beside the file, which takes room of its own
            ballast.write_bytes(bytes(max(0, _free_bytes(disk) - room_kb * 1024)))
            said = ""
            try:
                store.forget("person 7.")
            except GalleryError as exc:
                said = str(exc)
            left = {person.name for person in store.people()}
            store.load()
        assert left | {"person 7."} == {f"person {number}." for number in range(40)}
        assert ("person 7." in left) == ("the disk" in said and "opens no door" not in said)
        assert said or not find_traces(database_files(path), marks)
        assert said or room_kb > 0, "the disk was not full: the test says nothing"
        ballast.unlink()
        with GalleryStore(path, MODEL) as store:
            if "person 7." in left:
                store.forget("person 7.")
            store.load()
        assert not find_traces(database_files(path), marks)
        assert_sound(path)


def _free_bytes(directory):
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def test_a_disk_that_turned_read_only_is_named_and_loses_nothing(tmp_path):
    """As a worn SD card does; the audit refuses too, so the door stays shut."""
    with small_disk(tmp_path / "disk", 1000) as disk:
        with GalleryStore(disk / "gallery.sqlite", MODEL) as store:
            store.enrol("Ada", [embedding()])
        with Audit(disk / "audit.sqlite") as audit:
            audit.note("start")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with (
            pytest.raises(GalleryError, match="read-only"),
            GalleryStore(disk / "gallery.sqlite", MODEL) as store,
        ):
            store.enrol("Eve", [embedding(1)])
        with pytest.raises(GalleryError, match="cannot be reached: Read-only file system"):
            GalleryStore(disk / "new" / "gallery.sqlite", MODEL)
        with pytest.raises(AuditError, match="read-only"), Audit(disk / "audit.sqlite") as audit:
            audit.note("stop")
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        with GalleryStore(disk / "gallery.sqlite", MODEL) as store:
            assert [person.name for person in store.people()] == ["Ada"]
        with Audit(disk / "audit.sqlite") as audit:
            assert [event.kind for event in audit.events()] == ["start"]


def test_a_store_below_proc_is_refused(tmp_path):
    """A place where nobody can make files, not even root."""
    for path in (Path("/proc/gallery.sqlite"), Path("/proc/self/gallery.sqlite")):
        if not path.parent.exists():
            pytest.skip("there is no /proc here")
        with pytest.raises(GalleryError, match="cannot be reached"):
            GalleryStore(path, MODEL)
        with pytest.raises(AuditError, match="cannot be reached"):
            Audit(path)


def test_programs_that_begin_the_same_stores_at_once_all_succeed(tmp_path):
    """The door and `janus enrol` may start together on a new machine."""
    code = """
import sys
from pathlib import Path
import numpy as np
from edge.audit import Audit
from edge.gallery import GalleryStore
from edge.vocabulary import Embedding
sys.stdin.readline()
state, who = Path(sys.argv[1]), sys.argv[2]
with GalleryStore(state / "new" / "gallery.sqlite", "a" * 64) as store:
    store.enrol(f"person {who}", [Embedding(np.full(64, 0.125, np.float32), "a" * 64)])
with Audit(state / "new" / "audit.sqlite") as audit:
    for _ in range(5):
        audit.note("start", who=who)
"""
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(who)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in range(4)
    ]
    time.sleep(0.5)  # their imports, so that the start is a close one
    for rival in rivals:
        rival.stdin.write("go\n")
        rival.stdin.flush()
    for rival in rivals:
        _, failed = rival.communicate(timeout=60)
        assert rival.returncode == 0, failed
    with GalleryStore(tmp_path / "new" / "gallery.sqlite", MODEL) as store:
        assert [person.name for person in store.people()] == [f"person {who}" for who in range(4)]
    with Audit(tmp_path / "new" / "audit.sqlite") as audit:
        assert audit.verify() is None
        assert len(audit.events()) == 20
