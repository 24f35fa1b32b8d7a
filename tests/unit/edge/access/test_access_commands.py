"""`janus pins` and `janus access` on a real gallery, audit and state."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge.access.attempts import Limits, Running
from edge.access.opening import boot_id
from edge.access.pins import Cost, Match, make_pin, match
from edge.access.state import DOOR, AccessStore, subject_key
from edge.audit import Audit
from edge.cli import build_parser
from edge.commands import access, pins
from edge.errors import ConfigError, GalleryError
from edge.gallery import GalleryStore
from edge.vocabulary import Embedding

ROOT = Path(__file__).parents[4]
MODEL = "a" * 64
POLICY = """
[calendar]
time_zone = "UTC"
[group.staff]
members = ["Ada"]
[group.rest]
members = ["Zoë", "Bop"]
valid_until = 2020-01-01
"""


class Terminal(io.StringIO):
    """Standard input as a person at a terminal gives it."""

    def isatty(self):
        return True


@pytest.fixture
def enrolled(tmp_path):
    """Ada and Zoë; their ids by name."""
    vector = np.random.default_rng(1).standard_normal(32).astype(np.float32)
    with GalleryStore(tmp_path / "gallery.sqlite", MODEL) as store:
        one = Embedding(vector / np.linalg.norm(vector), MODEL)
        return {name: store.enrol(name, [one]) for name in ("Ada", "Zoë")}


@pytest.fixture
def janus(tmp_path, enrolled):
    """Run a command line as `janus` does, without its last-resort error handling."""
    (tmp_path / "policy.toml").write_text(POLICY)
    config = tmp_path / "janus.toml"
    config.write_text(
        '[store]\ngallery = "gallery.sqlite"\naudit = "audit.sqlite"\n'
        '[access]\npolicy = "policy.toml"\nkeypad = "matrix"\n'
    )

    def run(*words):
        parser = build_parser((*pins.COMMANDS, *access.COMMANDS))
        arguments = parser.parse_args([*words, "--config", str(config)])
        return arguments.run(arguments)

    return run


@pytest.fixture
def type_in(monkeypatch):
    """Have a person at the terminal type these lines where they do not show."""

    def prepare(*lines):
        left = list(lines)
        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr("getpass.getpass", lambda _prompt: left.pop(0))

    return prepare


@pytest.fixture
def state(tmp_path):
    with AccessStore(tmp_path / "access.sqlite") as store:
        yield store


def notes(tmp_path):
    with Audit(tmp_path / "audit.sqlite") as audit:
        return [(each.kind, dict(each.facts)) for each in audit.events()]


def test_a_pin_is_typed_twice_stored_and_noted_without_its_digits(
    janus, type_in, enrolled, state, tmp_path
):
    type_in("8305", "8305")
    assert janus("pins", "set", "ada") == 0
    assert match(state.pin(enrolled["Ada"]), "8305") is Match.PIN
    assert notes(tmp_path) == [("pin set", {"subject_id": enrolled["Ada"]})]


def test_a_pin_that_is_weak_or_typed_differently_is_not_stored(janus, type_in, enrolled, state):
    for lines, complaint in ((("1234",), "counts up or down"), (("8305", "8306"), "two differ")):
        type_in(*lines)
        with pytest.raises(ConfigError, match=complaint):
            janus("pins", "set", "Ada")
    assert state.pin(enrolled["Ada"]) is None


def test_a_pin_is_never_read_from_a_pipe(janus, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("8305\n8305\n"))
    with pytest.raises(ConfigError, match="typed at a terminal"):
        janus("pins", "set", "Ada")


def test_a_duress_pin_comes_second_and_a_new_pin_keeps_it(janus, type_in, enrolled, state):
    type_in("4917", "4917")
    with pytest.raises(ConfigError, match="Ada has no PIN"):
        janus("pins", "set", "Ada", "--duress")
    for words, digits in (((), "8305"), (("--duress",), "4917"), ((), "7316")):
        type_in(digits, digits)
        assert janus("pins", "set", "Ada", *words) == 0
    stored = state.pin(enrolled["Ada"])
    assert [match(stored, each) for each in ("8305", "7316", "4917")] == [
        Match.NONE,
        Match.PIN,
        Match.DURESS,
    ]


def test_a_pin_is_removed_once(janus, enrolled, state, tmp_path, capsys):
    state.set_pin(enrolled["Ada"], make_pin("8305", cost=Cost(8, 1)))
    assert janus("pins", "remove", "Ada") == 0
    assert state.pin(enrolled["Ada"]) is None
    assert notes(tmp_path) == [("pin removed", {"subject_id": enrolled["Ada"]})]
    assert janus("pins", "remove", "Ada") == 1
    assert capsys.readouterr().err == "Ada has no PIN\n"


def test_nobody_unknown_gets_a_pin(janus, type_in):
    type_in("8305", "8305")
    with pytest.raises(GalleryError, match="did you mean 'Ada'"):
        janus("pins", "set", "Adda")


def test_show_says_who_may_enter_now_and_who_has_a_pin(janus, enrolled, state, capsys):
    state.set_pin(enrolled["Ada"], make_pin("8305", cost=Cost(8, 1)))
    now = Running(time.monotonic(), boot_id())
    for _ in range(5):
        state.count_failure([(DOOR, Limits()), (subject_key(enrolled["Zoë"]), Limits())], now)
    assert janus("access", "show") == 0
    head, ada, zoe = capsys.readouterr().out.splitlines()
    assert "at the door; 5 visits failed in a row; it waits" in head
    assert ada == "Ada   PIN  may enter, group staff"
    assert zoe == "Zoë        the group's last day is over  (5 wrong PINs in a row)"
    assert janus("access", "show", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["door"]["failed_visits"] == 5
    assert 0 < shown["door"]["left_s"] <= 30
    assert [(each["name"], each["groups"], each["pin"]) for each in shown["people"]] == [
        ("Ada", ["staff"], True),
        ("Zoë", ["rest"], False),
    ]


def test_show_says_when_only_an_operator_helps(janus, state, capsys):
    for _ in range(2):
        state.count_failure([(DOOR, Limits(pause_after=1, off_after=1))], Running(0.0, "x"))
    assert janus("access", "show") == 0
    assert "the face is off until `janus access reset`" in capsys.readouterr().out
    assert janus("access", "show", "--json") == 0
    assert json.loads(capsys.readouterr().out)["door"] == {
        "failed_visits": 1,
        "paused": True,
        "left_s": None,
    }


def test_reset_forgets_all_failures_or_those_of_one_and_is_noted(
    janus, enrolled, state, tmp_path, capsys
):
    now = Running(0.0, "x")
    for _ in range(5):
        state.count_failure([(DOOR, Limits()), (subject_key(enrolled["Ada"]), Limits())], now)
    assert janus("access", "reset", "Ada") == 0
    assert [each.who for each in state.failures(now)] == [DOOR]
    assert janus("access", "reset") == 0
    assert state.failures(now) == ()
    assert [each[0] for each in notes(tmp_path)] == ["access reset", "access reset"]
    assert "the failures of Ada are forgotten" in capsys.readouterr().out


def test_check_names_members_whom_nobody_enrolled(janus, capsys):
    assert janus("access", "check") == 1
    found = capsys.readouterr()
    assert found.err == "[group.rest] members: nobody named 'bop' is enrolled\n"
    assert found.out == "2 group(s): staff, rest\n"


def test_check_refuses_what_a_policy_or_this_door_cannot_do(janus, tmp_path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[group.a]\nmembers = ["Ada"]\npersons = 4\n')
    with pytest.raises(ConfigError, match="the nearest is 2"):
        janus("access", "check", str(wrong))
    wrong.write_text(
        '[group.a]\nmembers = ["Ada"]\nsecond_factor = "always"\nsecond_factor_by = "button"\n'
    )
    with pytest.raises(ConfigError, match=r"\[group.a\] asks for the button.*button_pin"):
        janus("access", "check", str(wrong))


def test_a_file_alone_can_be_checked_without_a_configuration(tmp_path, capsys):
    alone = tmp_path / "policy.toml"
    alone.write_text(POLICY)
    arguments = build_parser(access.COMMANDS).parse_args(["access", "check", str(alone)])
    assert arguments.run(arguments) == 0
    assert capsys.readouterr().out == "2 group(s): staff, rest\n"


def test_at_a_real_terminal_the_digits_do_not_show(janus, enrolled, state, tmp_path):
    """The whole program, on a pseudo-terminal."""
    operator, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "edge", "pins", "set", "Ada", "--config", tmp_path / "janus.toml"],
        cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    try:
        for prompt in (b"digits: ", b"once more: "):
            while prompt not in shown:
                shown += os.read(operator, 1024)
            os.write(operator, b"830527\n")
        while b"is set" not in shown:
            shown += os.read(operator, 1024)
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()
        os.close(operator)
    assert b"830527" not in shown
    assert match(state.pin(enrolled["Ada"]), "830527") is Match.PIN
