"""Whatever happens to the door in whatever order, its promises hold: random lives, step by step.

The machine, the doorkeeper, the gate and the audit are the real ones; the strike is a stand-in
whose own timer is broken, so that only the door's timers can end a pulse. Time is virtual.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edge.access.gate import Gate
from edge.access.policy import NO_POLICY
from edge.access.state import AccessStore
from edge.access.verdict import Moment
from edge.audit import Audit
from edge.config import AccessConfig
from edge.door import DoorState, Timing
from edge.door_events import Event, Happening
from edge.doorkeeper import Doorkeeper
from edge.errors import AuditError, DoorError
from edge.relay import HARD_CAP_S
from edge.testing import RecordingRelay
from edge.vocabulary import Box, Decision, Detection, Observation, ObservedFace, Outcome, Reason

LATE_S = 0.1
# Where there is a disk in memory: every record is flushed, which takes most of the time.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
BEGIN = datetime(2026, 3, 28, 12, tzinfo=UTC)
TIMING = Timing(release_s=3.0, cap_s=HARD_CAP_S, held_open_s=30.0)
OPENS = {
    "face": Happening.GRANT,
    "exit": Happening.EXIT,
    "operator": Happening.OPERATOR,
    "hours": Happening.APPROACH,
}


def decision(outcome, at_s, subject_id="ada"):
    return Decision(
        outcome=outcome,
        reason=Reason.MATCH if outcome is Outcome.GRANT else Reason.NO_MATCH,
        captured_at_s=at_s,
        subject_id=subject_id if outcome is Outcome.GRANT else None,
        score=0.9,
        threshold=0.5,
        frames=3,
        model_id="0" * 64,
    )


def observation(at_s, track):
    landmarks = np.array([[60, 60], [100, 60], [80, 82], [64, 104], [96, 104]], np.float32)
    face = ObservedFace(Detection(Box(30, 30, 130, 130), landmarks, 1.0), (), (), track)
    return Observation(at_s, () if track is None else (face,))


class BreakableAudit(Audit):
    """The real audit, whose disk fills up when the test says so."""

    full = False

    def _append(self, *args):
        if self.full:
            raise AuditError("the disk is full")
        return super()._append(*args)


class Strike(RecordingRelay):
    """Counts what it is told, and looks into the audit before it obeys."""

    def __init__(self, life, **kwargs):
        super().__init__(life.now, **kwargs)
        self.life, self.began_s = life, None

    def release(self, duration_s):
        self.life.about_to_release()
        super().release(duration_s)
        self.began_s = self.life.now_s if self.began_s is None else self.began_s

    def lock(self):
        super().lock()
        self.began_s = None


class Life(RuleBasedStateMachine):
    """One door through restarts: time, people, buttons, operators, faults."""

    steps = releases = 0  # of all lives together

    def __init__(self):
        super().__init__()
        self.site = Path(tempfile.mkdtemp(prefix="janus-life-", dir=MEMORY))
        self.now_s, self.away, self.hours = 1000.0, timedelta(), False
        self.lockdown, self.allowed = False, set()
        self.recorded, self.seen_seq = 0, 0
        self.start()

    def now(self):
        return self.now_s

    def moment(self):
        return Moment(self.now_s, BEGIN + timedelta(seconds=self.now_s) + self.away)

    def start(self):
        """Begin as the service does: an audit, a locked strike, a gate, what is known."""
        self.audit = BreakableAudit(self.site / "audit.sqlite")
        self.strike = Strike(self, timer=False)
        store = AccessStore(self.site / "access.sqlite")
        self.gate = Gate(
            AccessConfig(), NO_POLICY, store, boot_id="one", names=dict, at=self.moment()
        )
        self.keeper = Doorkeeper(
            self.strike,
            self.audit,
            TIMING,
            gate=self.gate,
            clock=self.now,
            calendar=lambda: self.moment().utc,
            unlocked=lambda _: self.hours,
            start=DoorState(now_s=self.now_s, lockdown=self.lockdown),
        )

    def teardown(self):
        self.gate.close()
        self.audit.close()
        shutil.rmtree(self.site)

    def about_to_release(self):
        """Check, before the strike obeys: somebody asked, and one new record says so."""
        Life.releases += 1
        new = self.audit.events(after_seq=self.seen_seq)
        self.seen_seq = new[-1].seq if new else self.seen_seq
        causes = [each.facts["cause"] for each in new if each.kind == "release"]
        assert len(causes) == 1, causes
        assert new[-1].kind == "release"
        assert OPENS[causes[0]] in self.allowed, (causes, self.allowed)
        assert not self.lockdown

    def during(self, act, *allowed):
        """Do something to the door; only *allowed* may make it release. An error shuts it."""
        self.allowed = set(allowed)
        try:
            act()
        except DoorError:
            assert not self.strike.released
            assert self.strike.events[-1][1] == "lock"
            self.restart()
        finally:
            self.allowed = set()

    def restart(self):
        self.audit.close()
        self.gate.close()
        self.start()

    @rule(for_s=st.floats(0, 40), late_s=st.floats(0, LATE_S))
    def time_passes(self, for_s, late_s):
        """The attendant ticks at every deadline, a little late."""
        ends_s = self.now_s + for_s
        while (due_s := self.keeper.next_s()) is not None and due_s + late_s <= ends_s:
            self.now_s = max(self.now_s, due_s + late_s)
            self.nothing_is_energised_too_long()
            self.during(self.keeper.tick)
        # As often as that it ticks anyway: what was due before must not wait for the next rule.
        self.now_s = ends_s
        if self.strike.began_s is not None and due_s is not None and due_s <= ends_s:
            self.during(self.keeper.tick)

    @rule(days=st.integers(-1, 1), hours=st.integers(-1, 1), seconds=st.floats(-100, 100))
    def somebody_sets_the_clock(self, days, hours, seconds):
        self.away += timedelta(days=days, hours=hours, seconds=seconds)

    @rule(outcome=st.sampled_from(Outcome), track=st.none() | st.integers(1, 3))
    def a_frame_comes(self, outcome, track):
        allowed = {Happening.GRANT} if outcome is Outcome.GRANT else set()
        if self.hours and track is not None:
            allowed.add(Happening.APPROACH)
        seen, decided = observation(self.now_s, track), decision(outcome, self.now_s)
        self.during(lambda: self.keeper.judge(decided, seen), *allowed)

    @rule(what=st.sampled_from((Happening.OPENED, Happening.CLOSED, Happening.TAMPERED,
                                Happening.TAMPER_OVER)), late_s=st.floats(0, 5))  # fmt: skip
    def a_switch_moves(self, what, late_s):
        self.during(lambda: self.keeper.tell(Event(self.now_s - late_s, what)))

    @rule(late_s=st.floats(0, 5))
    def somebody_wants_out(self, late_s):
        event = Event(self.now_s - late_s, Happening.EXIT)
        self.during(lambda: self.keeper.tell(event), Happening.EXIT)

    @rule()
    def an_operator_releases(self):
        event = Event(self.now_s, Happening.OPERATOR)
        self.during(lambda: self.keeper.tell(event), Happening.OPERATOR)

    @rule()
    def an_operator_locks_down(self):
        self.lockdown = True
        self.during(lambda: self.keeper.tell(Event(self.now_s, Happening.LOCKDOWN)))

    @precondition(lambda self: self.lockdown)
    @rule()
    def an_operator_resumes(self):
        self.during(lambda: self.keeper.tell(Event(self.now_s, Happening.RESUME)))
        self.lockdown = self.keeper.state.lockdown

    @rule(hours=st.booleans())
    def unlocked_hours_change(self, hours):
        self.hours = hours
        self.during(self.keeper.tick)

    @rule(digits=st.sampled_from(("", "1234")))
    def somebody_types_or_presses(self, digits):
        self.during(lambda: self.keeper.enter_pin(digits) if digits else self.keeper.press_button())

    @rule()
    def the_door_stops_and_starts(self):
        self.keeper.shut()
        assert not self.strike.released
        self.during(lambda: self.keeper.tell(Event(self.now_s, Happening.EXIT)))  # nobody listens
        self.restart()

    @rule()
    def the_disk_is_full_for_a_while(self):
        self.audit.full = True
        event = Event(self.now_s, Happening.EXIT)
        self.during(lambda: self.keeper.tell(event))
        self.audit.full = False

    @rule()
    def the_relay_fails(self):
        self.strike._fails = True
        event = Event(self.now_s, Happening.OPERATOR)
        self.during(lambda: self.keeper.tell(event), Happening.OPERATOR)
        self.strike._fails = False

    @invariant()
    def a_step_was_made(self):
        Life.steps += 1

    @invariant()
    def nothing_is_energised_too_long(self):
        began_s = self.strike.began_s
        assert began_s is None or self.now_s - began_s <= HARD_CAP_S + LATE_S + 1e-6

    @invariant()
    def nothing_is_energised_in_a_lockdown(self):
        assert not (self.lockdown and self.strike.released)

    @invariant()
    def the_machine_knows_what_the_strike_does(self):
        assert self.strike.released == self.keeper.state.energised


def lives(count, steps):
    return settings(
        max_examples=count,
        stateful_step_count=steps,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def test_a_door_keeps_its_promises_in_a_few_random_lives():
    before = Life.releases
    run_state_machine_as_test(Life, settings=lives(20, 50))
    assert Life.releases > before


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_door_keeps_its_promises_for_a_hundred_thousand_steps():
    before = Life.steps
    run_state_machine_as_test(Life, settings=lives(1200, 100))  # some end early
    assert Life.steps - before >= 100_000
    print(f"{Life.steps:,} steps, {Life.releases:,} releases")
