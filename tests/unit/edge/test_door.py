"""The door's machine in virtual time; docs/door.md is held against it, transition by transition."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from edge.door import GRACE_S, DoorState, Timing, advance, deadline_s
from edge.door_events import (
    Alarm,
    AlarmOver,
    AlarmRaised,
    Cause,
    Event,
    Happening,
    Lock,
    NotOpened,
    Passed,
    Refused,
    Release,
    State,
)
from edge.signals import PATTERNS, PROMPTS

PAGE = (Path(__file__).parents[3] / "docs" / "door.md").read_text(encoding="utf-8")
TIMING = Timing(release_s=3.0, cap_s=10.0, held_open_s=30.0)
H = Happening


class Play:
    """A door in virtual time that remembers what it wanted done."""

    def __init__(self, timing=TIMING, **known):
        self.state, self.timing, self.acts = DoorState(now_s=0.0, **known), timing, []

    def at(self, at_s, *happenings, until_s=math.inf):
        for what in happenings:
            self.state, acts = advance(self.state, Event(at_s, what, until_s), self.timing)
            self.acts += acts
        return self

    def took(self):
        """Return what was wanted since the last call."""
        acts, self.acts = self.acts, []
        return acts


def until_next(state):
    """Return the state's facts with every time relative to now: what decides its future.

    All but the tamper switch, which nothing else depends on.
    """

    def left(at_s):
        return None if at_s in (math.inf, -math.inf) or at_s <= state.now_s else at_s - state.now_s

    return (
        state.opening,
        state.energised,
        state.awaited is not None,
        left(state.pulse_ends_s),
        left(state.pulse_ends_s + GRACE_S) if state.awaited else None,
        left(state.opened_at_s + TIMING.held_open_s) if state.opening is State.OPEN else None,
        left(state.locked_out_until_s),
        state.lockdown,
        state.hours,
    )


@pytest.fixture(scope="module")
def every_step():
    """Every state that events, now or at the next timer, can lead to, and every step from it."""
    first = DoorState(now_s=0.0)
    known, waiting, steps = {until_next(first)}, [first], []
    while waiting:
        state = waiting.pop()
        for what in Happening:
            at_s = deadline_s(state, TIMING) if what is H.TICK else state.now_s
            if at_s is None:
                continue
            after, acts = advance(state, Event(at_s, what, until_s=at_s + 60.0), TIMING)
            steps.append((state, what, after, acts))
            if until_next(after) not in known:
                known.add(until_next(after))
                waiting.append(after)
    return steps


def test_the_diagram_has_every_transition_of_the_code_and_no_other(every_step):
    drawn = {
        (before.replace("_", " "), what, after.replace("_", " "))
        for before, after, what in re.findall(r"^    (\w+) --> (\w+): (.+)$", PAGE, re.MULTILINE)
    }
    real = {
        (before.name.value, what.value, after.name.value)
        for before, what, after, _ in every_step
        if before.name is not after.name
    }
    assert drawn == real


def test_every_state_and_every_event_occurs(every_step):
    assert {after.name for _, _, after, _ in every_step} == set(State)
    assert {what for _, what, _, _ in every_step} == set(Happening)
    assert {type(act) for *_, acts in every_step for act in acts} == {
        Release, Lock, Refused, AlarmRaised, AlarmOver, Passed, NotOpened,
    }  # fmt: skip


def test_the_table_of_who_is_let_through_is_the_codes(every_step):
    """A grant may be refused in other states too: while a lock-out lasts behind them."""
    header, rows = re.search(r"\n\| (\| locked .*?)\n\|-.*?\n((?:\|.*\n)+)", PAGE).groups()
    states = [each.strip() for each in header.strip("|").split("|")]
    drawn = {}
    for row in rows.splitlines():
        asker, *answers = [each.strip() for each in row.strip("|").split("|")]
        drawn |= {(asker, state): answer for state, answer in zip(states, answers, strict=True)}
    real = defaultdict(set)
    for before, what, _, acts in every_step:
        locked_out = (
            before.now_s < before.locked_out_until_s and before.name is not State.LOCKED_OUT
        )
        if what.value in {asker for asker, _ in drawn} and not locked_out:
            done = {Release: "release", Refused: "refuse"}
            kinds = {done[type(act)] for act in acts if type(act) in done} or {"–"}
            if what is H.APPROACH and not before.hours:
                assert kinds == {"–"}  # outside unlocked hours nobody asked for anything
                continue
            real[what.value, before.name.value] |= kinds
    assert set(real) <= set(drawn)
    assert {key: "".join(real[key] or {"–"}) for key in drawn} == drawn


def test_the_tables_of_led_and_buzzer_are_the_codes():
    def said(beats, part):
        runs = groupby(beats, key=lambda beat: getattr(beat, part))
        spans = [("on" if on else "off", sum(beat.for_s for beat in run)) for on, run in runs]
        if len(spans) == 1:
            return spans[0][0]
        return ", ".join(word if s > 60 else f"{word} {s:g} s" for word, s in spans)

    def shortest(beats):
        """Return the repeating part and how often it comes."""
        for size in range(1, len(beats) + 1):
            times, rest = divmod(len(beats), size)
            if not rest and beats[:size] * times == beats:
                return beats[:size], times
        raise AssertionError

    rows = [f"| {state.value} | {said(b, 'led')} | {said(b, 'buzzer')} | on and on |"
            for state, b in PATTERNS.items()]  # fmt: skip
    for prompt, beats in PROMPTS.items():
        part, times = shortest(beats)
        rows.append(
            f"| *{prompt.value}* | {said(part, 'led')} | {said(part, 'buzzer')} | {times} times |"
        )
    assert [row for row in rows if row not in PAGE] == []


def test_in_no_reachable_state_is_the_strike_energised_in_a_lockdown_or_past_the_cap(every_step):
    for _, what, after, acts in every_step:
        assert not (after.lockdown and after.energised)
        assert not after.energised or after.pulse_ends_s - after.pulse_began_s <= 10.0
        for act in acts:
            if isinstance(act, Release):
                assert what in (H.GRANT, H.EXIT, H.OPERATOR, H.APPROACH)
                assert 0 < act.duration_s <= 10.0


def test_a_grant_releases_for_its_time_and_locks():
    door = Play().at(1.0, H.GRANT)
    assert (door.state.name, door.took()) == (State.RELEASED, [Release(Cause.FACE, 3.0)])
    assert door.at(3.9, H.TICK).state.name is State.RELEASED
    assert (door.at(4.0, H.TICK).state.name, door.took()) == (State.LOCKED, [Lock()])
    assert door.at(5.0, H.TICK).took() == [NotOpened(Cause.FACE)]


def test_closing_the_door_locks_at_once():
    door = Play().at(0.0, H.GRANT).at(1.0, H.OPENED)
    assert door.took() == [Release(Cause.FACE, 3.0), Passed(Cause.FACE)]
    assert (door.at(1.5, H.CLOSED).state.name, door.took()) == (State.LOCKED, [Lock()])
    assert door.at(1.6, H.OPENED).took() == [AlarmRaised(Alarm.FORCED)]


def test_a_door_that_stays_open_locks_its_strike_in_time_and_raises_the_alarm_later():
    door = Play().at(0.0, H.EXIT).at(1.0, H.OPENED)
    door.took()
    assert door.at(3.0, H.TICK).took() == [Lock()]
    assert door.at(30.9, H.TICK).took() == []
    assert door.at(31.0, H.TICK).took() == [AlarmRaised(Alarm.HELD_OPEN)]
    assert door.state.name is State.HELD_OPEN
    assert door.at(99.0, H.CLOSED).took() == [AlarmOver(Alarm.HELD_OPEN)]


def test_somebody_else_who_goes_through_begins_the_time_anew():
    door = Play().at(0.0, H.EXIT).at(1.0, H.OPENED).at(40.0, H.GRANT)
    assert door.state.name is State.OPEN
    assert AlarmOver(Alarm.HELD_OPEN) in door.took()
    assert door.at(69.9, H.TICK).state.name is State.OPEN
    assert door.at(70.0, H.TICK).state.name is State.HELD_OPEN


@pytest.mark.parametrize("late_s", [0.0, 0.5, 0.99])
def test_a_door_pulled_in_the_last_moment_of_a_pulse_is_not_forced(late_s):
    door = Play().at(0.0, H.GRANT).at(3.0 + late_s, H.OPENED)
    assert door.state.name is State.OPEN
    assert Passed(Cause.FACE) in door.took()


def test_a_door_opened_without_a_release_is_forced_until_it_is_closed():
    door = Play().at(0.0, H.OPENED)
    assert (door.state.name, door.took()) == (State.FORCED, [AlarmRaised(Alarm.FORCED)])
    door.at(1.0, H.GRANT)
    assert (door.state.name, door.took()) == (State.FORCED, [Release(Cause.FACE, 3.0)])
    assert door.at(2.0, H.CLOSED).took() == [Lock(), AlarmOver(Alarm.FORCED)]


@pytest.mark.parametrize(("wired", "told"), [(True, NotOpened), (False, Passed)])
def test_without_a_contact_whoever_was_released_for_is_taken_to_have_passed(wired, told):
    play = Play(replace(TIMING, has_contact=wired)).at(1, H.EXIT)
    play.took()
    assert play.at(4 + GRACE_S, H.TICK).took() == [Lock(), told(Cause.EXIT)]


def test_a_handle_inside_forces_nothing_where_the_site_says_so():
    door = Play(replace(TIMING, forced_alarm=False)).at(0.0, H.OPENED)
    assert (door.state.name, door.took()) == (State.OPEN, [])


def test_releases_in_a_row_end_at_the_cap_from_the_first():
    door = Play()
    for at_s in range(10):
        door.at(float(at_s), H.EXIT)
    assert door.took()[-1] == Release(Cause.EXIT, 1.0)
    assert door.at(9.99, H.TICK).state.energised
    assert door.at(10.0, H.EXIT).took() == [Lock(), Release(Cause.EXIT, 3.0)]


def test_rounding_never_asks_for_more_than_the_cap():
    timing = Timing(release_s=10.0, cap_s=10.0)
    for now_s in (0.1 * i + 1e5 / 3 for i in range(1000)):
        (act,) = Play(timing).at(now_s, H.GRANT).took()
        assert act.duration_s <= 10.0


def test_a_lockdown_ends_a_pulse_and_refuses_everybody():
    door = Play().at(0.0, H.GRANT).at(1.0, H.LOCKDOWN)
    assert door.took() == [Release(Cause.FACE, 3.0), Lock()]
    door.at(2.0, H.GRANT, H.EXIT, H.OPERATOR)
    refused = [Refused(each, State.LOCKDOWN) for each in (Cause.FACE, Cause.EXIT, Cause.OPERATOR)]
    assert door.took() == refused
    assert door.at(3.0, H.OPENED).took() == [AlarmRaised(Alarm.FORCED)]
    assert door.at(4.0, H.RESUME).state.name is State.FORCED


def test_a_lock_out_refuses_faces_and_lets_people_out():
    door = Play().at(0.0, H.LOCK_OUT, until_s=30.0)
    assert door.at(1.0, H.GRANT).took() == [Refused(Cause.FACE, State.LOCKED_OUT)]
    assert door.at(2.0, H.EXIT).took() == [Release(Cause.EXIT, 3.0)]
    assert door.at(6.0, H.TICK).state.name is State.LOCKED_OUT
    assert door.at(30.0, H.GRANT).state.name is State.RELEASED


def test_a_lock_out_without_end_ends_when_an_operator_has_reset_it():
    door = Play().at(0.0, H.LOCK_OUT).at(1e9, H.GRANT)
    assert door.state.name is State.LOCKED_OUT
    assert door.at(1e9, H.LOCK_OUT_OVER, H.GRANT).state.name is State.RELEASED


def test_in_unlocked_hours_whoever_comes_is_let_in_and_nothing_is_forced():
    door = Play().at(0.0, H.APPROACH)
    assert door.took() == []
    door.at(1.0, H.HOURS_BEGIN, H.APPROACH)
    assert door.took() == [Release(Cause.HOURS, 3.0)]
    assert door.at(2.0, H.APPROACH).took() == []  # it is released already
    door.at(10.0, H.OPENED)
    assert door.state.name is State.OPEN
    assert AlarmRaised(Alarm.FORCED) not in door.took()
    door.at(10_000.0, H.TICK, H.HOURS_END)
    assert (door.state.name, door.took()) == (State.OPEN, [])
    assert door.at(10_030.0, H.TICK).state.name is State.HELD_OPEN


def test_tampering_is_told_once_and_changes_nothing_else():
    door = Play().at(0.0, H.TAMPERED, H.TAMPERED)
    assert (door.state.name, door.took()) == (State.LOCKED, [AlarmRaised(Alarm.TAMPER)])
    assert door.at(1.0, H.TAMPER_OVER, H.TAMPER_OVER).took() == [AlarmOver(Alarm.TAMPER)]


def test_an_event_that_comes_late_happens_now():
    """Two threads stamp events; the one that loses the race must not turn time back."""
    door = Play().at(100.0, H.TICK).at(99.0, H.GRANT)
    assert door.state.pulse_ends_s == 103.0


def test_timers_that_ran_out_long_ago_are_obeyed_before_the_event():
    door = Play().at(0.0, H.GRANT).at(500.0, H.OPENED)
    assert door.took() == [
        Release(Cause.FACE, 3.0), Lock(), NotOpened(Cause.FACE), AlarmRaised(Alarm.FORCED),
    ]  # fmt: skip


@pytest.mark.parametrize("release_s", [0.0, -1.0, 10.1, math.nan])
def test_a_pulse_longer_than_the_cap_cannot_be_configured(release_s):
    with pytest.raises(ValueError, match="a pulse is in"):
        Timing(release_s=release_s, cap_s=10.0)


def test_no_timer_runs_in_a_door_at_rest():
    assert deadline_s(DoorState(now_s=5.0), TIMING) is None
