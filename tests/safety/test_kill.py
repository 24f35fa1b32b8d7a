"""kill -9 at 1,000 random moments of enrolling, deciding, noting, forgetting, rotating, retaining.

A nursery imports everything once and forks a child for each life; the child says before and after
each call what it does, and dies at a random moment. After each death the stores are opened as the
door opens them, which brings the write-ahead log back, and held against what was acknowledged.
Decisions go through the doorkeeper, gate and relay, to lines that outlive a process (the stand-in
lgpio), with a sentinel beside it: forked, for a Python that starts takes longer than a life.

A killed process leaves the kernel's cache as it is, so the stores lie in memory where there is
room: the moments then fall between the calls, not into waits for a disk. That what was committed
is on the medium when the power goes is SQLite's `synchronous=FULL`, which the unit tests assert.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from edge.audit import Audit
from edge.gallery import GalleryStore
from edge.stores.keyfile import KeyFile
from edge.stores.traces import database_files, find_traces

ROOT = Path(__file__).parents[2]
FAKES = ROOT / "tests" / "support" / "fake_lgpio"
MODEL = "a" * 64
# A life ends so soon after its child has said so many lines, two for each call; a call takes about
# a millisecond. Counted in lines, the moments are as random on a slow machine as on a fast one.
MOST_LINES, LONGEST_PAUSE_S = 24, 0.003

NURSERY = """
import os, signal, sys, threading, time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from edge.access.gate import Gate
from edge.access.opening import boot_id, moment_now
from edge.access.policy import NO_POLICY
from edge.access.state import AccessStore
from edge.audit import Audit
from edge.config import AccessConfig, RelayConfig
from edge.door import Timing
from edge.doorkeeper import Doorkeeper
from edge.gallery import GalleryStore
from edge.gpio import prepare
from edge.relay import HARD_CAP_S, open_relay
from edge.sentinel import Sentinel, lock, watch
from edge.stores.rotation import rotate
from edge.vocabulary import Decision, Embedding, Observation, Outcome, Reason

state = Path(sys.argv[1])
MODEL = "a" * 64
RELAY = RelayConfig(pin_factory="lgpio")
DECIDED = (Outcome.GRANT, Reason.MATCH)
prepare(RELAY.pin_factory)

class ForkedSentinel(Sentinel):
    def __init__(self, pipe):
        reading, writing = os.pipe()
        door = os.getpid()
        if os.fork() == 0:
            os.close(writing)
            try:
                if watch(reading, door):
                    lock(RELAY)
                    os.write(pipe, b"locked\\n")
            except BaseException as exc:
                os.write(pipe, f"failed {exc!r}\\n".encode())
            os._exit(0)
        os.close(reading)
        self._telling, self._pulsing = threading.Lock(), False
        self._process = SimpleNamespace(stdin=os.fdopen(writing, "wb", buffering=0))

def open_keeper(audit, sentinel):
    gate = Gate(
        AccessConfig(), NO_POLICY, AccessStore(state / "access.sqlite"),
        at=moment_now(), boot_id=boot_id(), names=dict,
    )
    timing = Timing(release_s=0.02, cap_s=HARD_CAP_S)
    return Doorkeeper(open_relay(RELAY, guard=sentinel), audit, timing, gate=gate)

def embedding(random):
    vector = random.standard_normal(128).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), MODEL)

def live(life, pipe):
    def say(*words):
        os.write(pipe, (" ".join(map(str, words)) + "\\n").encode())
    random = np.random.default_rng(life)
    say("opening", os.getpid())
    sentinel = ForkedSentinel(pipe)
    gallery = state / "gallery.sqlite"
    with GalleryStore(gallery, MODEL) as store, Audit(state / "audit.sqlite") as audit:
        keeper = open_keeper(audit, sentinel)
        say("opened")
        for person in store.people()[30:32]:  # so that the gallery stays small
            marks = "".join(each.hex() for each in store.marks(person))
            _, its_life, number = person.name.rstrip(".").split()
            say("forgetting", f"{its_life}.{number}", marks)
            store.forget(person.name)
            say("forgot", f"{its_life}.{number}", marks)
        for number in range(1_000_000):
            name = f"person {life} {number}."
            say("noting")
            say("noted", audit.note("enrol", life=life, number=number), life, number)
            say("enrolling", f"{life}.{number}")
            store.enrol(name, [embedding(random), embedding(random)], consent="signed")
            say("enrolled", f"{life}.{number}")
            what = (Outcome.DENY, Reason.NO_MATCH) if number % 4 == 3 else DECIDED
            seen = Decision(*what, 1.5, "0a1b2c3d", 0.8, 0.4, number, MODEL)
            say("deciding")
            keeper.judge(seen, Observation(1.5, ()))
            say("decided", audit.decision_seq, life, number)
            if number % 2:
                marks = "".join(each.hex() for each in store.marks(store.find(name)))
                say("forgetting", f"{life}.{number}", marks)
                store.forget(name)
                say("forgot", f"{life}.{number}", marks)
            if number % 3 == 2 and life % 3 == 0:
                say("rotating")
                rotate(gallery, None, None)
                say("rotated")
            if number % 3 == 0 and life % 3 == 1:
                say("retaining")
                audit.retain(since_utc=datetime.now(UTC))
                say("retained")

for line in sys.stdin:
    life, lines, pause_s = line.split()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            live(int(life), writing)
        except BaseException as exc:
            os.write(writing, f"failed {exc!r}\\n".encode())
        os._exit(1)
    os.close(writing)
    said = b""
    while said.count(b"\\n") < int(lines) and (part := os.read(reading, 65536)):
        said += part
    time.sleep(float(pause_s))
    os.kill(child, signal.SIGKILL)
    while part := os.read(reading, 65536):
        said += part
    os.close(reading)
    _, status = os.waitpid(child, 0)
    sys.stdout.write(said.decode() + f"dead {os.waitstatus_to_exitcode(status)}\\n")
    sys.stdout.flush()
"""


class Expectation:
    """What was acknowledged so far, held against the stores and the strike after each death."""

    def __init__(self, state):
        self.gallery, self.audit = state / "gallery.sqlite", state / "audit.sqlite"
        self.access, self.board = state / "access.sqlite", state / "board"
        self.died_released = self.last_seq = 0
        self.enrolled, self.forgotten = set(), set()
        self.recorded, self.newest = {}, 1
        self.cut_short = Counter()

    def learn(self, said):
        """Take in what one child said; return the person whom it was forgetting as it died."""
        marks = []
        for verb, *words in said:
            if verb == "enrolled":
                self.enrolled.add(words[0])
            elif verb == "forgot":
                self.forgotten.add(words[0])
                marks.append(bytes.fromhex(words[1]))
            elif verb in {"noted", "decided"}:
                seq, life, number = map(int, words)
                self.recorded[seq] = (verb, life, number)
            assert verb != "failed", words
        last = said[-1] if said else ["nothing"]
        self.cut_short[last[0]] += last[0].endswith("ing")
        return marks, last[1] if last[0] == "forgetting" else None

    def check(self, said):
        self.check_strike(said)
        marks, in_doubt = self.learn([words for words in said if words != ["locked"]])
        self.check_gallery(marks, in_doubt)
        self.check_audit()
        if self.access.exists():
            assert_sound(self.access)

    def check_strike(self, said):
        """Whatever the door was doing: locked, and no pulse without a record of its own."""
        history = self.board / "history-17"
        known = bool(said) and history.exists()
        rows = [each.split() for each in history.read_text().splitlines()] if known else []
        history.unlink(missing_ok=True)  # a later life may have the same process number
        driven = [level for _, who, level in rows if who == said[0][1]]
        if not driven:
            return
        assert ["locked"] in said
        assert (self.board / "level-17").read_text() in ("0", "z")
        self.died_released += driven[-1] == "1"
        with Audit(self.audit) as audit:
            events = audit.events(after_seq=self.last_seq)
        if events and events[0].seq == self.last_seq + 1:  # retention took none of them
            recorded = [event.kind for event in events].count("release")
            assert driven.count("1") <= recorded <= driven.count("1") + 1

    def check_gallery(self, marks, in_doubt):
        if not self.gallery.exists():
            assert not self.enrolled
            return
        with GalleryStore(self.gallery, MODEL) as store:
            people = {}
            for person in store.people():
                _, life, number = person.name.rstrip(".").split()
                people[f"{life}.{number}"] = person
            assert store.load().matrix.shape[0] == 2 * len(people)
        if in_doubt is not None and in_doubt not in people:
            self.forgotten.add(in_doubt)  # killed inside `forget`: either is true
        assert self.enrolled - self.forgotten <= people.keys(), "an acknowledged person is lost"
        assert not self.forgotten & people.keys(), "somebody who was forgotten is back"
        assert {(each.references, each.consent) for each in people.values()} <= {(2, "signed")}
        self.enrolled -= self.forgotten
        assert find_traces(database_files(self.gallery), marks) == ()
        assert_sound(self.gallery)
        keys = KeyFile(self.gallery.with_name("storage.key")).read()
        assert 1 <= len(keys) <= 2

    def check_audit(self):
        if not self.audit.exists():
            assert not self.recorded
            return
        with Audit(self.audit) as audit:
            assert audit.verify() is None
            first = audit.first_seq()
            after = max(first, min(self.recorded, default=self.newest)) - 1
            stored = {event.seq: event for event in audit.events(after_seq=after)}
        self.newest = max(self.newest, *self.recorded, 0)
        self.last_seq = max(stored, default=0)
        assert self.last_seq >= self.newest, "the end was cut off"
        for seq, (verb, life, number) in self.recorded.items():
            if seq < first:
                continue  # retention took it
            facts = stored[seq].facts
            if verb == "noted":
                assert (facts["life"], facts["number"]) == (life, number)
            else:
                outcome = "deny" if number % 4 == 3 else "grant"
                assert (facts["outcome"], facts["frames"]) == (outcome, number)
        self.recorded = {}  # from here on, the chain vouches for them
        assert_sound(self.audit)


def assert_sound(path):
    with closing(sqlite3.connect(path)) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert rows.execute("PRAGMA foreign_key_check").fetchall() == []


def live_and_die(nursery, life, lines, pause_s):
    """Return what the child completed saying, as words."""
    nursery.stdin.write(f"{life} {lines} {pause_s}\n")
    nursery.stdin.flush()
    said = []
    while not (line := nursery.stdout.readline()).startswith("dead"):
        assert line, "the nursery ended"
        said.append(line.split())
    assert line.split() == ["dead", "-9"], said[-1:]
    return said


@pytest.fixture
def state():
    memory = Path("/dev/shm")  # noqa: S108
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="janus-kill-", dir=place) as directory:
        yield Path(directory)


@pytest.mark.parametrize("kills", [15, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_kill_9_at_any_moment_loses_nothing_that_was_acknowledged(state, kills):
    """No half record, nobody lost, nobody back, no key of the forgotten, a chain, a locked door."""
    choose = random.Random(20261124)
    expected = Expectation(state)
    expected.board.mkdir()
    board = {"FAKE_LGPIO": str(expected.board), "LG_WD": str(expected.board)}
    path = os.pathsep.join((str(FAKES), str(ROOT)))
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY, str(state)],
        cwd=ROOT,
        env={**os.environ, **board, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as nursery:
        for life in range(kills):
            lines, pause_s = choose.randint(0, MOST_LINES), choose.uniform(0, LONGEST_PAUSE_S)
            expected.check(live_and_die(nursery, life, lines, pause_s))
        nursery.stdin.close()
    print(dict(expected.cut_short), f"{expected.died_released} died with the strike released")
    assert sum(expected.cut_short.values()) > kills / 2, "hardly anything was cut short"
    if kills >= 1000:
        assert expected.died_released >= 20
        for verb in ("opening", "noting", "enrolling", "deciding", "forgetting"):
            assert expected.cut_short[verb] >= 20, expected.cut_short
        for verb in ("rotating", "retaining"):
            assert expected.cut_short[verb] >= 3, expected.cut_short
