"""kill -9 at any step of an installation leaves the old bundle or the new one, with its gallery."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge.tflite import installed_runtimes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not installed_runtimes(), reason="no TFLite runtime is installed"),
]
TESTS = Path(__file__).parents[1]

# A child for each step: the kernel kills it just before its nth touch of the disk. The parent
# starts no interpreter, so that forking is safe.
PROGRAM = """
import os, shutil, signal, sys
from pathlib import Path
import numpy as np
from bundles import contents, write
from edge.align import ALIGNMENT
from edge.bundles.bundle import inspect_bundle
from edge.config import DetectorConfig, DoorConfig, EncoderConfig, StoreConfig
from edge.gallery import GalleryStore
from edge.bundles.installed import open_bundle, read_selection
from edge.bundles.signing import make_keys, read_private_key
from edge.stores.store import Database
from edge.bundles.upgrade import install, rollback
from edge.vocabulary import Embedding

state, tiny = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
make_keys(state / "keys")
key = read_private_key(state / "keys" / "janus-signing.key")

def bundle(name, encoder):
    whole = contents({"encoder.tflite": encoder}, key=key, alignment=ALIGNMENT, name=name)
    return write(state / name, whole)

old, new = bundle("old", tiny), bundle("new", tiny + bytes(16))
ids = {name: inspect_bundle(state / name).model_id for name in ("old", "new")}
site = state / "site"

def door():
    trusted = EncoderConfig(trusted_keys=(state / "keys" / "janus-signing.pub",))
    store = StoreConfig(site / "gallery.sqlite", site / "audit.sqlite", site / "bundles")
    # These bundles have no eyes.
    return DoorConfig(encoder=trusted, store=store, detector=DetectorConfig(backend="haar"))

TOUCHES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "sqlite3.connect"}

def in_child(act, kill_at):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    touched = 0
    def touch():
        nonlocal touched
        touched += 1
        if touched == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    def hook(event, arguments):
        written = event == "open" and isinstance(arguments[1], str) and "w" in arguments[1]
        if event in TOUCHES or written:
            touch()
    begin = Database._transaction
    def transaction(self, how):
        touch()
        return begin(self, how)
    try:
        if kill_at:
            sys.addaudithook(hook)
            Database._transaction = transaction
        act()
    except BaseException as exc:
        print(type(exc).__name__, exc, flush=True)
        os._exit(3)
    os._exit(0)

def prepare():
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir()
    assert in_child(lambda: install(door(), old), 0) == 0
    vector = np.full(16, 0.25, np.float32)
    with GalleryStore(site / "gallery.sqlite", ids["old"]) as gallery:
        pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
        gallery.enrol("Ada", [Embedding(vector, ids["old"])], crops=[pixels], alignment=ALIGNMENT)

def check():
    found = open_bundle(door())
    with GalleryStore(site / "gallery.sqlite", found.model_id) as gallery:
        assert gallery.load().matrix.shape == (1, 16), found.name
        assert gallery.people()[0].references == 1
    return found.name

for act, name in ((lambda: install(door(), new), "install"), (lambda: rollback(door()), "back")):
    for kill_at in range(1, 200):
        prepare()
        if name == "back":
            assert in_child(lambda: install(door(), new), 0) == 0
        status = in_child(act, kill_at)
        print(name, kill_at, check(), flush=True)
        # Whatever was left behind is no obstacle.
        assert in_child(lambda: install(door(), new), 0) == 0
        assert check() == "new"
        there = {each.name for each in (site / "bundles").iterdir() if each.is_dir()}
        assert len(there) <= 2, there
        if status == 0:
            break
        assert os.WIFSIGNALED(status), status
    else:
        raise SystemExit("never came to its end")
"""


def test_an_installation_that_is_killed_leaves_old_or_new(tmp_path):
    tiny = TESTS / "golden" / "tiny_encoder.tflite"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path, tiny],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{TESTS.parent}:{TESTS / 'support'}", "PATH": "/usr/bin:/bin"},
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    for action, first, last in (("install", "old", "new"), ("back", "new", "old")):
        names = [name for act, _, name in lines if act == action]
        assert len(names) > 10
        switched = names.index(last)
        assert names == [first] * switched + [last] * (len(names) - switched)
        assert switched > 5
