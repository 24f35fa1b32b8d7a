"""Pure: the states of the door, its timers, and what each event makes of them.

No clock, no I/O: every event brings its time, in monotonic seconds, so that nothing that happens
to the calendar changes a timer. A state is a handful of facts (is a pulse running, does the contact
say open, is there a lockdown …); `DoorState.name` is the word for them. docs/door.md draws every
transition, and a test holds the drawing against this file.

The door releases in pulses only, and re-locks when the contact closes. A lockdown ends every pulse
and begins none, whoever asks. A lock-out refuses faces only: leaving is a matter of safety.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.door_events import (
    Act,
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

# Between the latch leaving the strike and the contact noticing: a door that is pulled in the last
# moment of a pulse is not forced.
GRACE_S = 1.0

_NEVER_S = float("-inf")


_CAUSES = {
    Happening.GRANT: Cause.FACE,
    Happening.EXIT: Cause.EXIT,
    Happening.OPERATOR: Cause.OPERATOR,
    Happening.APPROACH: Cause.HOURS,
}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long, in seconds, and what is wired.

    Args:
        release_s: a pulse.
        cap_s: the longest that pulses may grow together, from the first one's beginning.
        held_open_s: the longest that the door may stand open without an alarm.
        forced_alarm: whether a door that opens by itself is an alarm: not where a handle inside
            opens it without a request.
        has_contact: whether anything tells that the door opens; if not, whoever was released for
            is taken to have passed.
    """

    release_s: float
    cap_s: float
    held_open_s: float = 30.0
    forced_alarm: bool = True
    has_contact: bool = True

    def __post_init__(self) -> None:
        """Refuse a pulse that is longer than the cap (NaN included)."""
        if not 0 < self.release_s <= self.cap_s:
            raise ValueError(f"a pulse is in (0, {self.cap_s:g}] s; got {self.release_s:g}")


@dataclass(frozen=True, slots=True)
class DoorState:
    """Everything that the door remembers; times are monotonic seconds.

    ``opening`` is OPEN, HELD_OPEN or FORCED while the contact says open, else None. ``awaited``
    is the cause of a release after which nobody has opened yet, up to `GRACE_S` after its end.
    """

    now_s: float = _NEVER_S
    opening: State | None = None
    opened_at_s: float = _NEVER_S
    energised: bool = False
    awaited: Cause | None = None
    pulse_began_s: float = _NEVER_S
    pulse_ends_s: float = _NEVER_S
    locked_out_until_s: float = _NEVER_S
    lockdown: bool = False
    hours: bool = False
    tampered: bool = False

    @property
    def name(self) -> State:
        """The one word for the state; a lockdown goes before a door that stands open."""
        if self.lockdown:
            return State.LOCKDOWN
        if self.opening is not None:
            return self.opening
        if self.energised:
            return State.RELEASED
        return State.LOCKED_OUT if self.now_s < self.locked_out_until_s else State.LOCKED


def advance(state: DoorState, event: Event, timing: Timing) -> tuple[DoorState, tuple[Act, ...]]:
    """Return the state after *event*, and what is to be done, in order.

    Timers that ran out before the event are obeyed first. Time never goes back: an event that is
    older than what is known (two threads, one door) happens now.
    """
    now_s = max(state.now_s, event.at_s)
    acts: list[Act] = []
    while (due_s := deadline_s(state, timing)) is not None and due_s <= now_s:
        state = _expire(replace(state, now_s=max(state.now_s, due_s)), timing, acts)
    state = replace(state, now_s=now_s)
    if event.what in _CAUSES:
        state = _ask(state, _CAUSES[event.what], timing, acts)
    elif event.what in _CHANGES:
        state = _CHANGES[event.what](state, event, timing, acts)
    return state, tuple(acts)


def deadline_s(state: DoorState, timing: Timing) -> float | None:
    """Return when the next timer runs out, or None if none is running."""
    due = []
    if state.energised:
        due.append(state.pulse_ends_s)
    elif state.awaited is not None:
        due.append(state.pulse_ends_s + GRACE_S)
    if state.opening is State.OPEN and not state.hours:
        due.append(state.opened_at_s + timing.held_open_s)
    if state.now_s < state.locked_out_until_s < float("inf"):
        due.append(state.locked_out_until_s)
    return min(due, default=None)


def _expire(state: DoorState, timing: Timing, acts: list[Act]) -> DoorState:
    """Obey every timer that has run out at ``state.now_s``; a lock-out ends by itself."""
    now_s = state.now_s
    if state.energised and now_s >= state.pulse_ends_s:
        acts.append(Lock())
        state = replace(state, energised=False)
    if state.awaited is not None and not state.energised and now_s >= state.pulse_ends_s + GRACE_S:
        acts.append((NotOpened if timing.has_contact else Passed)(state.awaited))
        state = replace(state, awaited=None)
    held = state.opening is State.OPEN and not state.hours
    if held and now_s >= state.opened_at_s + timing.held_open_s:
        acts.append(AlarmRaised(Alarm.HELD_OPEN))
        state = replace(state, opening=State.HELD_OPEN)
    return state


def _ask(state: DoorState, cause: Cause, timing: Timing, acts: list[Act]) -> DoorState:
    """Release the strike for *cause*, or refuse."""
    if cause is Cause.HOURS and (
        not state.hours or state.energised or state.opening is not None or state.lockdown
    ):
        return state  # nobody asked for anything: somebody only stands there
    locked_out = state.now_s < state.locked_out_until_s and cause is Cause.FACE
    if state.lockdown or locked_out:
        acts.append(Refused(cause, State.LOCKDOWN if state.lockdown else State.LOCKED_OUT))
        return state
    now_s = state.now_s
    began_s = state.pulse_began_s if state.energised else now_s
    wanted_s = now_s + timing.release_s
    ends_s = min(max(state.pulse_ends_s, wanted_s), began_s + timing.cap_s)
    # Rounding must not make the longest pulse a hair longer than the cap.
    acts.append(Release(cause, min(ends_s - now_s, timing.cap_s)))
    if state.opening is State.HELD_OPEN:
        acts.append(AlarmOver(Alarm.HELD_OPEN))
    if state.opening in (State.OPEN, State.HELD_OPEN):  # somebody else goes through: begin anew
        state = replace(state, opening=State.OPEN, opened_at_s=now_s)
    return replace(
        state,
        energised=True,
        awaited=cause if state.opening is None else None,
        pulse_began_s=began_s,
        pulse_ends_s=ends_s,
    )


def _opened(state: DoorState, _: Event, timing: Timing, acts: list[Act]) -> DoorState:
    if state.opening is not None:
        return state
    if state.awaited is not None:
        acts.append(Passed(state.awaited))
    expected = state.awaited is not None or state.hours or not timing.forced_alarm
    if not expected:
        acts.append(AlarmRaised(Alarm.FORCED))
    opening = State.OPEN if expected else State.FORCED
    return replace(state, opening=opening, opened_at_s=state.now_s, awaited=None)


def _closed(state: DoorState, _: Event, __: Timing, acts: list[Act]) -> DoorState:
    if state.opening is None:
        return state
    if state.energised:
        acts.append(Lock())
    if state.opening is State.HELD_OPEN:
        acts.append(AlarmOver(Alarm.HELD_OPEN))
    if state.opening is State.FORCED:
        acts.append(AlarmOver(Alarm.FORCED))
    return replace(state, opening=None, energised=False, awaited=None)


def _tampered(state: DoorState, _: Event, __: Timing, acts: list[Act]) -> DoorState:
    if not state.tampered:
        acts.append(AlarmRaised(Alarm.TAMPER))
    return replace(state, tampered=True)


def _tamper_over(state: DoorState, _: Event, __: Timing, acts: list[Act]) -> DoorState:
    if state.tampered:
        acts.append(AlarmOver(Alarm.TAMPER))
    return replace(state, tampered=False)


def _hours_begin(state: DoorState, _: Event, __: Timing, acts: list[Act]) -> DoorState:
    if state.opening is State.HELD_OPEN:
        acts.append(AlarmOver(Alarm.HELD_OPEN))
        state = replace(state, opening=State.OPEN)
    return replace(state, hours=True)


def _hours_end(state: DoorState, _: Event, __: Timing, ___: list[Act]) -> DoorState:
    if state.hours and state.opening is State.OPEN:  # time to close it begins now
        state = replace(state, opened_at_s=state.now_s)
    return replace(state, hours=False)


def _lock_out(state: DoorState, event: Event, _: Timing, __: list[Act]) -> DoorState:
    return replace(state, locked_out_until_s=event.until_s)


def _lock_out_over(state: DoorState, _: Event, __: Timing, ___: list[Act]) -> DoorState:
    return replace(state, locked_out_until_s=_NEVER_S)


def _lock_down(state: DoorState, _: Event, __: Timing, acts: list[Act]) -> DoorState:
    if state.energised:
        acts.append(Lock())
    return replace(state, lockdown=True, energised=False, awaited=None)


def _resume(state: DoorState, _: Event, __: Timing, ___: list[Act]) -> DoorState:
    return replace(state, lockdown=False)


_CHANGES = {
    Happening.OPENED: _opened,
    Happening.CLOSED: _closed,
    Happening.TAMPERED: _tampered,
    Happening.TAMPER_OVER: _tamper_over,
    Happening.HOURS_BEGIN: _hours_begin,
    Happening.HOURS_END: _hours_end,
    Happening.LOCK_OUT: _lock_out,
    Happening.LOCK_OUT_OVER: _lock_out_over,
    Happening.LOCKDOWN: _lock_down,
    Happening.RESUME: _resume,
}
