"""Buttons, contacts and operators are heard while no frame comes, and nobody else is."""

from __future__ import annotations

import logging
import socket
import stat
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edge.attended import attended, unlocked_hours
from edge.audit import Audit
from edge.config import (
    DoorConfig,
    InputsConfig,
    LockConfig,
    RelayConfig,
    SignalsConfig,
    StoreConfig,
)
from edge.control import WORDS, ControlSocket, ask, is_locked_down, set_lockdown, socket_path
from edge.door_events import State
from edge.errors import AuditError, HardwareError, ShutError
from edge.gallery import GalleryStore
from edge.relay import open_relay

CONTACT, EXIT, LED = 5, 6, 23


def wait_until(holds, timeout_s=10.0):
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def config(tmp_path):
    return DoorConfig(
        relay=RelayConfig(pin_factory="mock"),
        inputs=InputsConfig(contact_pin=CONTACT, exit_pin=EXIT, bounce_s=0.0),
        signals=SignalsConfig(led_pin=LED),
        store=StoreConfig(gallery=tmp_path / "gallery.sqlite", audit=tmp_path / "audit.sqlite"),
    )


class Site:
    """A door without a camera, whose pins the test moves."""

    def __init__(self, keeper, relay, audit):
        self.keeper, self.relay, self.audit = keeper, relay, audit
        self.pins = relay.driver.factory

    def moves(self, pin, level):
        getattr(self.pins.pin(pin), f"drive_{level}")()

    def presses_exit(self):
        self.moves(EXIT, "low")
        self.moves(EXIT, "high")

    def kinds(self):
        with closing(Audit(self.audit._database.path)) as reader:
            return [each.kind for each in reader.events()]


@contextmanager
def opened(config, *, closed=True):
    GalleryStore(config.store.gallery, "0" * 64).close()
    with (
        closing(open_relay(config.relay)) as relay,
        closing(Audit(config.store.audit)) as audit,
    ):
        if closed:  # the mock pin follows its pull when it becomes an input; a switch does not
            pin = relay.driver.factory.pin(CONTACT)
            pin._set_pull = lambda value: setattr(pin, "_pull", value)
        with attended(config, relay, audit) as keeper:
            yield Site(keeper, relay, audit)


def test_who_wants_out_is_let_out_while_no_frame_comes(config):
    with opened(config) as site:
        site.presses_exit()
        wait_until(lambda: site.relay.released)
        assert site.kinds() == ["release"]
    assert not site.relay.released


def test_closing_the_door_locks_before_the_pulse_is_over(config):
    slow = replace(config, relay=replace(config.relay, release_s=10.0))
    with opened(slow) as site:
        site.presses_exit()
        wait_until(lambda: site.relay.released)
        site.moves(CONTACT, "high")
        wait_until(lambda: site.keeper.state.name is State.OPEN)
        site.moves(CONTACT, "low")
        wait_until(lambda: not site.relay.released, timeout_s=8)


def test_a_pulse_ends_while_no_frame_comes(config):
    short = replace(config, relay=replace(config.relay, release_s=0.2))
    with opened(short) as site:
        site.presses_exit()
        wait_until(lambda: site.keeper.state.name is State.RELEASED)
        wait_until(lambda: site.keeper.state.name is State.LOCKED)


def test_a_forced_door_is_an_alarm_while_no_frame_comes(config):
    with opened(config) as site:
        site.moves(CONTACT, "high")
        wait_until(lambda: site.kinds() == ["alarm"])
        assert site.keeper.state.name is State.FORCED


def test_a_door_that_stands_open_at_the_start_was_not_forced(config):
    with opened(config, closed=False) as site:
        time.sleep(0.6)
        assert site.keeper.state.name is State.OPEN
        assert site.kinds() == []


def test_where_the_audit_fails_the_button_opens_nothing_and_the_door_ends(config, monkeypatch):
    def fail(*args, **kwargs):
        raise AuditError("the disk is full")

    with opened(config) as site:
        monkeypatch.setattr(site.audit, "note", fail)
        site.presses_exit()
        wait_until(lambda: site.keeper._shut)
        assert not site.relay.released
        with pytest.raises(ShutError, match="was shut, as it ends or after an error"):
            site.keeper.tick()  # the pipeline asks at every frame


def test_a_door_that_ends_is_no_alarm_in_the_log(config, caplog):
    """Its threads tick on for a moment while the rest is closed."""
    caplog.set_level(logging.INFO)
    with opened(config) as site:
        site.keeper.shut()
        wait_until(lambda: "was shut, as it ends" in caplog.text)
    assert [each.levelname for each in caplog.records if "shut" in each.message] == ["INFO"]


def test_an_operator_releases_locks_down_and_resumes(config, tmp_path):
    with opened(config) as site:
        assert ask(tmp_path, "state") == "locked"
        assert ask(tmp_path, "release") == "released"
        assert site.relay.released
        assert ask(tmp_path, "lockdown") == "lockdown"
        assert not site.relay.released
        with pytest.raises(HardwareError, match="a lockdown holds"):
            ask(tmp_path, "release")
        site.presses_exit()
        wait_until(lambda: site.kinds() == ["release", "door", "refused", "refused"])
    with opened(config) as site:  # a restart ends no lockdown
        assert ask(tmp_path, "state") == "lockdown"
        assert ask(tmp_path, "resume") == "locked"
    assert not is_locked_down(tmp_path)
    assert ask(tmp_path, "state") is None


def test_a_lockdown_that_cannot_be_removed_from_the_disk_holds(config, tmp_path, monkeypatch):
    with opened(config) as site:
        ask(tmp_path, "lockdown")
        (tmp_path / "lockdown").unlink()
        (tmp_path / "lockdown").mkdir()
        with pytest.raises(HardwareError, match="cannot be removed"):
            ask(tmp_path, "resume")
        assert site.keeper.state.name is State.LOCKDOWN
    (tmp_path / "lockdown").rmdir()


def test_only_the_doors_own_user_may_open_the_socket(tmp_path):
    with closing(ControlSocket(tmp_path, lambda word: word)):
        assert stat.S_IMODE(socket_path(tmp_path).stat().st_mode) == 0o600


def test_a_socket_that_a_killed_door_left_behind_is_replaced(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path(tmp_path)))
    assert ask(tmp_path, "state") is None
    with closing(ControlSocket(tmp_path, lambda word: f"heard {word}")):
        assert [ask(tmp_path, word) for word in WORDS] == [f"heard {word}" for word in WORDS]


@pytest.mark.parametrize("said", [b"", b"unlock", b"\xff\xfe", b"x" * 5000])
def test_a_word_that_the_door_does_not_know_is_refused(tmp_path, said):
    with (
        closing(ControlSocket(tmp_path, pytest.fail)),
        socket.socket(socket.AF_UNIX) as line,
    ):
        line.connect(str(socket_path(tmp_path)))
        if said:
            line.sendall(said)
        else:
            line.shutdown(socket.SHUT_WR)
        assert line.recv(1000).startswith(b"no: the door knows state, release, lockdown, resume")


def test_a_caller_who_says_nothing_does_not_keep_others_waiting_for_long(tmp_path):
    with (
        closing(ControlSocket(tmp_path, lambda word: word)),
        socket.socket(socket.AF_UNIX) as silent,
    ):
        silent.connect(str(socket_path(tmp_path)))
        assert ask(tmp_path, "state") == "state"


def test_a_lockdown_file_is_believed_also_if_it_cannot_be_read(tmp_path):
    assert not is_locked_down(tmp_path)
    set_lockdown(tmp_path, holds=True)
    assert is_locked_down(tmp_path)
    set_lockdown(tmp_path, holds=False)
    set_lockdown(tmp_path, holds=False)
    assert not is_locked_down(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert is_locked_down(tmp_path / "loop")


def test_unlocked_hours_are_those_of_the_sites_clock(config, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text(
        '[calendar]\ntime_zone = "Europe/Berlin"\nholidays = ["12-25"]\n'
        '[group.all]\nmembers = ["*"]\n'
    )
    door = LockConfig(unlocked_hours=("mon-fri 09:00-17:00",))
    hours = unlocked_hours(replace(config, door=door, access=replace(config.access, policy=policy)))
    assert hours(datetime(2026, 3, 27, 8, 0, tzinfo=UTC))  # Friday, 9:00 in winter time
    assert not hours(datetime(2026, 3, 27, 7, 59, tzinfo=UTC))
    assert hours(datetime(2026, 3, 30, 7, 0, tzinfo=UTC))  # Monday, 9:00 in summer time
    assert not hours(datetime(2026, 3, 28, 10, 0, tzinfo=UTC))  # Saturday
    assert not hours(datetime(2026, 12, 25, 10, 0, tzinfo=UTC))  # a Friday, but a holiday


def test_a_door_that_runs_for_long_lets_go_of_old_events_every_day(config, monkeypatch):
    old = datetime(2020, 1, 1, tzinfo=UTC)
    with closing(Audit(config.store.audit, clock=lambda: old)) as audit:
        audit.note("start")
    monkeypatch.setattr("edge.attended._UPKEEP_S", 0.05)
    monkeypatch.setattr("edge.attended._IDLE_S", 0.05)
    with opened(config) as site:
        site.keeper.note("start")
        wait_until(lambda: site.kinds() == ["start", "retention"])
        with closing(Audit(config.store.audit)) as audit:
            assert audit.verify() is None


def test_an_audit_that_cannot_let_go_leaves_the_door_at_work(config, monkeypatch, caplog):
    def refuse(*_, **__):
        raise AuditError("the disk is full")

    monkeypatch.setattr("edge.attended._UPKEEP_S", 0.05)
    monkeypatch.setattr("edge.audit.Audit.retain", refuse)
    with opened(config) as site:
        wait_until(lambda: "kept for another day: the disk is full" in caplog.text)
        site.presses_exit()
        wait_until(lambda: site.relay.released)


def test_no_thread_is_left_when_the_door_ends(config):
    before = set(threading.enumerate())
    with opened(config):
        assert len(threading.enumerate()) > len(before)
    wait_until(lambda: set(threading.enumerate()) <= before)
