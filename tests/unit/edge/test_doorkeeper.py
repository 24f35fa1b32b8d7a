"""The doorkeeper writes down first and releases then, waits for no gate, and shuts on an error."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edge.access.calendar import Holidays
from edge.access.gate import Gate
from edge.access.pins import Cost, make_pin, with_duress
from edge.access.policy import EVERYBODY, NO_POLICY, AccessPolicy, Group
from edge.access.state import AccessStore
from edge.access.verdict import AccessReason, Moment
from edge.audit import Audit
from edge.config import AccessConfig, DoorConfig, InputsConfig
from edge.door import DoorState, Timing
from edge.door_events import Event, Happening, State
from edge.doorkeeper import Doorkeeper, timing_of
from edge.errors import AuditError, HardwareError, RelayError, ShutError
from edge.relay import HARD_CAP_S
from edge.signals import Prompt
from edge.testing import RecordingRelay
from edge.vocabulary import Box, Decision, Detection, Observation, ObservedFace, Outcome, Reason

NOBODY = Observation(0.0, ())
NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)


def decision(outcome, subject_id=None):
    return Decision(
        outcome=outcome,
        reason=Reason.MATCH if outcome is Outcome.GRANT else Reason.NO_MATCH,
        captured_at_s=0.0,
        subject_id=subject_id,
        score=0.9,
        threshold=0.5,
        frames=3,
        model_id="0" * 64,
    )


GRANT, DENY = decision(Outcome.GRANT, "ada"), decision(Outcome.DENY)


def somebody(track):
    landmarks = np.array([[60, 60], [100, 60], [80, 82], [64, 104], [96, 104]], np.float32)
    face = ObservedFace(Detection(Box(30, 30, 130, 130), landmarks, 1.0), (), (), track)
    return Observation(0.0, (face,))


class Display:
    """Remembers what was shown."""

    def __init__(self):
        self.states, self.prompts = [], []

    def show(self, state):
        if not self.states or self.states[-1] is not state:
            self.states.append(state)

    def prompt(self, prompt):
        self.prompts.append(prompt)


class Site:
    """A keeper with a real audit and a real gate, in virtual time."""

    def __init__(self, folder, **parts):
        self.now_s, self.utc = 1000.0, NOON
        self.audit = Audit(folder / "audit.sqlite")
        self.store = AccessStore(folder / "access.sqlite")
        self.relay, self.display = RecordingRelay(lambda: self.now_s), Display()
        moment = Moment(self.now_s, self.utc)
        config, policy = parts.pop("access", AccessConfig()), parts.pop("policy", NO_POLICY)
        self.gate = Gate(config, policy, self.store, at=moment, boot_id="one", names=dict)
        given = {
            "gate": self.gate,
            "clock": lambda: self.now_s,
            "calendar": lambda: self.utc,
            "display": self.display,
        }
        wired = parts.pop("has_contact", True)
        timing = Timing(release_s=3.0, cap_s=HARD_CAP_S, held_open_s=30.0, has_contact=wired)
        self.keeper = Doorkeeper(self.relay, self.audit, timing, **given | parts)

    def tell(self, *happenings):
        for what in happenings:
            self.keeper.tell(Event(self.now_s, what))

    def kinds(self):
        return [each.kind for each in self.audit.events()]

    def close(self):
        self.gate.close()
        self.audit.close()


@pytest.fixture
def site(tmp_path):
    with closing(Site(tmp_path)) as opened:
        yield opened


def test_a_grant_is_a_decision_a_release_and_only_then_a_pulse(site):
    seen = []
    release = site.relay.release
    site.relay.release = lambda for_s: (seen.append(site.kinds()), release(for_s))
    site.keeper.judge(GRANT, NOBODY)
    assert seen == [["decision", "release"]]
    facts = site.audit.events()[-1].facts
    assert (facts["cause"], facts["subject_id"], facts["release_s"]) == ("face", "ada", 3.0)
    assert site.display.states[-1] is State.RELEASED


@pytest.mark.parametrize(
    ("what", "cause"), [(Happening.EXIT, "exit"), (Happening.OPERATOR, "operator")]
)
def test_others_who_release_are_written_down_with_their_cause(site, what, cause):
    site.tell(what)
    (event,) = site.audit.events()
    assert (event.kind, event.facts["cause"], event.facts["subject_id"]) == ("release", cause, None)


def test_a_denial_releases_nothing(site):
    assert site.keeper.judge(DENY, NOBODY) is None
    assert (site.relay.releases, site.kinds()) == ([], ["decision"])


def test_without_a_record_there_is_no_release_and_the_door_is_shut(site, monkeypatch):
    def fail(*args, **kwargs):
        raise AuditError("the disk is full")

    site.tell(Happening.EXIT)
    monkeypatch.setattr(site.audit, "note", fail)
    with pytest.raises(AuditError):
        site.tell(Happening.EXIT)
    assert len(site.relay.releases) == 1
    assert not site.relay.released
    monkeypatch.undo()
    with pytest.raises(ShutError, match="was shut, as it ends or after an error"):
        site.tell(Happening.EXIT)
    with pytest.raises(ShutError, match="was shut, as it ends or after an error"):
        site.keeper.judge(GRANT, NOBODY)


def test_a_relay_that_fails_shuts_the_door(site):
    site.relay._fails = True
    with pytest.raises(RelayError):
        site.keeper.judge(GRANT, NOBODY)
    assert [event for _, event in site.relay.events] == ["lock"]


def test_a_lockdown_refuses_a_grant_and_takes_the_entry_back(site, monkeypatch):
    taken_back = []
    monkeypatch.setattr(site.gate, "turned_back", taken_back.append)
    site.tell(Happening.LOCKDOWN)
    site.keeper.judge(GRANT, NOBODY)
    assert site.relay.releases == []
    assert site.kinds() == ["door", "decision", "refused"]
    assert [each.subject_id for each in taken_back] == ["ada"]
    assert Prompt.REFUSED in site.display.prompts


def test_the_gate_hears_who_left_and_who_turned_back(site, monkeypatch):
    heard = []
    monkeypatch.setattr(site.gate, "exited", lambda at: heard.append("left"))
    monkeypatch.setattr(site.gate, "turned_back", lambda verdict: heard.append(verdict.subject_id))
    site.tell(Happening.EXIT, Happening.OPENED, Happening.CLOSED)
    site.keeper.judge(GRANT, NOBODY)
    site.now_s += 60.0
    site.keeper.tick()
    assert heard == ["left", "ada"]


@pytest.mark.parametrize("wired", [True, False])
def test_who_did_not_open_may_come_again_and_without_a_contact_nobody_knows(tmp_path, wired):
    everybody = Group("everybody", frozenset({EVERYBODY}), reentry_s=600.0)
    policy = AccessPolicy(UTC, Holidays(), (everybody,))
    with closing(Site(tmp_path, policy=policy, has_contact=wired)) as site:
        assert site.keeper.judge(GRANT, NOBODY).opens
        site.now_s += 60.0
        site.keeper.tick()
        again = site.keeper.judge(GRANT, NOBODY)
        assert again.opens == wired
        assert wired or again.reason is AccessReason.ENTERED_ALREADY


def test_too_many_strangers_lock_faces_out_and_let_people_out(site):
    for _ in range(5):
        site.keeper.judge(DENY, NOBODY)
    verdict = site.keeper.judge(GRANT, NOBODY)
    assert verdict.answer.value == "locked out"
    assert site.kinds()[-1] == "not admitted"
    site.keeper.tick()
    assert site.keeper.state.name is State.LOCKED_OUT
    assert site.relay.releases == []
    site.tell(Happening.EXIT)
    assert site.relay.releases == [3.0]


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1), timedelta(hours=1)])
def test_a_clock_that_is_set_changes_no_timer(site, jump):
    site.keeper.judge(GRANT, NOBODY)
    for _ in range(5):
        site.keeper.judge(DENY, NOBODY)
    site.utc += jump
    site.now_s += 2.9
    site.keeper.tick()
    assert site.relay.released
    site.now_s += 0.1
    site.keeper.tick()
    assert not site.relay.released
    assert site.keeper.state.name is State.LOCKED_OUT
    site.utc -= 2 * jump
    site.now_s += 28.0
    site.keeper.tick()
    assert site.keeper.state.name is State.LOCKED
    assert site.keeper.judge(GRANT, NOBODY).opens


def test_an_operator_who_resets_the_failures_ends_the_lock_out(site):
    for _ in range(50):
        site.keeper.judge(DENY, NOBODY)
        site.now_s += 1000.0
    site.keeper.tick()
    assert site.keeper.state.locked_out_until_s == float("inf")
    site.gate.operator_reset()
    site.now_s += 1.0
    site.keeper.tick()
    assert site.keeper.state.name is State.LOCKED


def test_a_pin_completes_a_face_and_duress_is_told_in_the_audit_only(tmp_path):
    access = AccessConfig(keypad="usb")
    with closing(Site(tmp_path, access=access)) as site:
        quick = Cost(memory_kib=8, passes=1)
        site.store.set_pin("ada", with_duress(make_pin("824613", cost=quick), "731592"))
        assert not site.keeper.judge(GRANT, NOBODY).opens
        assert site.display.prompts == [Prompt.PIN]
        assert not site.keeper.enter_pin("824614").opens
        assert site.relay.releases == []
        assert site.keeper.enter_pin("731592").opens
        assert site.relay.releases == [3.0]
        assert site.kinds()[-2:] == ["duress", "release"]
        assert site.audit.events()[-1].facts["subject_id"] == "ada"


def test_who_wants_out_does_not_wait_for_a_gate_that_thinks(site, monkeypatch):
    """Checking a PIN takes a second on a small computer."""
    thinking, done = threading.Event(), threading.Event()

    def think(*args, **kwargs):
        thinking.set()
        assert done.wait(10)
        raise AuditError("never mind")

    monkeypatch.setattr(site.gate, "enter_pin", think)

    def type_pin():
        with pytest.raises(AuditError):
            site.keeper.enter_pin("1")

    typing = threading.Thread(target=type_pin)
    typing.start()
    assert thinking.wait(10)
    site.tell(Happening.EXIT)
    site.keeper.tick()
    assert site.relay.releases == [3.0]
    done.set()
    typing.join(10)
    assert not typing.is_alive()


def test_in_unlocked_hours_each_visitor_is_let_in_once_and_is_no_failure(tmp_path):
    with closing(Site(tmp_path, unlocked=lambda utc: utc.hour == 12)) as site:
        for _ in range(3):
            site.keeper.judge(DENY, somebody(1))
        assert site.relay.releases == [3.0]
        for _ in range(10):
            site.now_s += 4.0
            site.keeper.judge(DENY, somebody(2))
        assert site.relay.releases == [3.0, 3.0]
        site.utc += timedelta(hours=1)
        site.now_s += 4.0
        site.keeper.judge(DENY, somebody(3))
        assert site.relay.releases == [3.0, 3.0]
        assert site.keeper.state.name is State.LOCKED


def test_threads_that_all_want_a_release_get_one_record_each(site):
    threads = [threading.Thread(target=site.tell, args=(Happening.EXIT,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert site.kinds() == ["release"] * 16
    assert len(site.relay.releases) == 16
    assert site.audit.verify() is None


def test_a_door_that_is_shut_while_another_thread_tells_it_something_stays_shut(site):
    site.tell(Happening.EXIT)
    site.keeper.shut()
    site.keeper.shut()
    assert not site.relay.released
    with pytest.raises(HardwareError):
        site.keeper.tick()


def test_timing_comes_from_the_configuration_and_the_cap_from_the_relay():
    config = DoorConfig()
    held_open_s = config.door.held_open_s
    assert timing_of(config) == Timing(3.0, HARD_CAP_S, held_open_s, has_contact=False)
    wired = replace(config, inputs=InputsConfig(contact_pin=22))
    assert timing_of(wired) == Timing(3.0, HARD_CAP_S, held_open_s)


def test_a_start_in_lockdown_lets_nobody_in(tmp_path):
    with closing(Site(tmp_path, start=DoorState(lockdown=True))) as site:
        site.keeper.judge(GRANT, NOBODY)
        site.tell(Happening.EXIT)
        assert site.relay.releases == []


def test_a_disk_that_hangs_keeps_nobody_from_locking_and_releases_nothing_later(site, monkeypatch):
    hangs, goes_on, note, failed = threading.Event(), threading.Event(), site.audit.note, []

    def hang(*args, **kwargs):
        hangs.set()
        assert goes_on.wait(10)
        return note(*args, **kwargs)

    def press():
        try:
            site.tell(Happening.EXIT)
        except HardwareError as exc:
            failed.append(exc)

    site.tell(Happening.OPERATOR)
    monkeypatch.setattr(site.audit, "note", hang)
    pressing = threading.Thread(target=press)
    pressing.start()
    assert hangs.wait(10)
    site.keeper.shut()
    assert not site.relay.released
    goes_on.set()
    pressing.join(10)
    assert len(failed) == 1
    assert site.relay.releases == [3.0]
    assert not site.relay.released
