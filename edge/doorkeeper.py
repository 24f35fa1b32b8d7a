"""Keeps the door: what the machine in edge/door.py wants done is audited, then done.

Frames come from one thread, contacts and buttons from another, operators from a third. They take
turns: whoever tells the door something holds one lock until all that follows from it is done, so
the machine, the audit and the relay see one thing after the other. The gate has a lock of its own,
for checking a PIN takes long, and whoever wants out must not wait for that.

Every release has one record of its own in the audit, "release", written before the relay is told.
On any error the door is shut: the strike is locked, and nothing releases it again before a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from edge.access.gate import Answer, Gate, Moment, Verdict
from edge.audit import Audit, utc_now
from edge.config import DoorConfig
from edge.door import DoorState, Timing, advance, deadline_s
from edge.door_events import (
    Act,
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
)
from edge.errors import ShutError
from edge.gatehouse import Gatehouse
from edge.relay import HARD_CAP_S, Relay
from edge.signals import Display, NoSignals, Prompt
from edge.vocabulary import Decision, Observation, Outcome

Answered = TypeVar("Answered")

# How long a thread that hangs in the audit may keep another from locking in turn.
_SHUT_S = 1.0

_PROMPTS = {
    Answer.REFUSE: Prompt.REFUSED,
    Answer.NEEDS_PIN: Prompt.PIN,
    Answer.NEEDS_BUTTON: Prompt.BUTTON,
    Answer.NEEDS_SECOND_PERSON: Prompt.SECOND_PERSON,
}


def timing_of(config: DoorConfig) -> Timing:
    """Return how long the configured door is released, and may stand open."""
    return Timing(
        release_s=config.relay.release_s,
        cap_s=HARD_CAP_S,
        held_open_s=config.door.held_open_s,
        forced_alarm=config.door.forced_alarm,
        has_contact=config.inputs.contact_pin is not None,
    )


class Doorkeeper:
    """The one who tells the relay.

    Args:
        relay: the strike.
        audit: takes a record before each release.
        timing: how long a pulse lasts, and how long the door may stand open.
        gate: weighs who was recognised; None lets in whoever is granted (replay, demo).
        display: shows the state to people.
        clock: monotonic seconds, the same that frames and inputs are stamped with.
        calendar: the time of day, with a time zone; timers never ask it.
        unlocked: tells whether a time of day is within the unlocked hours.
        start: what is known of the door at the beginning.
    """

    def __init__(
        self,
        relay: Relay,
        audit: Audit,
        timing: Timing,
        *,
        gate: Gate | None = None,
        display: Display | None = None,
        clock: Callable[[], float] = time.monotonic,
        calendar: Callable[[], datetime] = utc_now,
        unlocked: Callable[[datetime], bool] = lambda _: False,
        start: DoorState | None = None,
    ) -> None:
        self.relay, self.audit = relay, audit
        self._timing, self._display = timing, display or NoSignals()
        self._clock, self._calendar, self._unlocked = clock, calendar, unlocked
        self._state = start or DoorState()
        self._gate = Gatehouse(gate, lambda: Moment(self._clock(), self._calendar()))
        self._telling = threading.RLock()  # machine, audit and relay; the gate has its own
        self._shut = False
        self._admitted: str | None = None  # the subject whom the last grant let in
        self._for_gate: list[Act] = []
        self._approached: int | None = None

    @property
    def state(self) -> DoorState:
        """What the door is now."""
        return self._state

    def next_s(self) -> float | None:
        """Return when a timer of the door runs out, in its clock's seconds; None: none is set."""
        return deadline_s(self._state, self._timing)

    def judge(self, decision: Decision, observation: Observation) -> Verdict | None:
        """Act on what one frame came to; return what the gate said, if it was asked.

        Raises:
            DoorError: if audit, gate or relay fail, or the door was shut; the strike is locked.
        """
        self.tick()
        self._approach(observation)
        if decision.outcome is Outcome.WAIT:
            return None
        with self._telling:
            self._must(lambda: self.audit.record(decision))
        visitor = observation.faces[0].track if observation.faces else None
        return self._obey(self._gate.weigh(decision, visitor, free=self._state.hours))

    def enter_pin(self, digits: str) -> Verdict | None:
        """Take a PIN from the keypad; slow, so never on the thread of the exit button.

        Raises:
            DoorError: as `judge` does.
        """
        return self._obey(self._gate.enter_pin(digits))

    def press_button(self) -> Verdict | None:
        """Take a press of the second factor's button.

        Raises:
            DoorError: as `judge` does.
        """
        return self._obey(self._gate.press_button())

    def tell(self, event: Event) -> DoorState:
        """Let *event* happen to the door, and do at once what follows from it.

        Raises:
            DoorError: if audit or relay fail, or the door was shut; the strike is locked.
        """
        with self._telling:
            self._must(lambda: self._advance(event))
            state = self._state
        self._follow_up()
        return state

    def tick(self) -> None:
        """Let time pass; to be called every second or so, and at `next_s`.

        Raises:
            DoorError: as `tell` does.
        """
        now_s = self._clock()
        hours = self._unlocked(self._calendar())
        if hours != self._state.hours:
            what = Happening.HOURS_BEGIN if hours else Happening.HOURS_END
            self.tell(Event(now_s, what))
        until_s = self._gate.lockout_until_s(now_s)
        if until_s > now_s:
            self.tell(Event(now_s, Happening.LOCK_OUT, until_s))
        elif self._state.locked_out_until_s > now_s:
            self.tell(Event(now_s, Happening.LOCK_OUT_OVER))
        self.tell(Event(now_s, Happening.TICK))

    def note(self, kind: str, **facts: str | float | None) -> None:
        """Write down an event of the service, in turn with all others.

        Raises:
            AuditError: if it is not on the disk.
        """
        with self._telling:
            self.audit.note(kind, **facts)

    def in_turn(self, act: Callable[[], Answered]) -> Answered:
        """Return what *act* does with the audit while nobody tells the door anything; be short."""
        with self._telling:
            return act()

    def shut(self) -> None:
        """Lock the strike and release it no more; may be called at any time, more than once.

        Raises:
            RelayError: if it cannot be locked; the relay keeps trying.
        """
        self._shut = True
        waited = self._telling.acquire(timeout=_SHUT_S)
        try:
            self.relay.lock()
        finally:
            if waited:
                self._telling.release()

    def save(self) -> None:
        """Let the gate write down how long its timers still run; an error is only logged."""
        self._gate.save()

    # --- the machine --------------------------------------------------------------------------

    def _advance(self, event: Event) -> None:
        """Give *event* to the machine and do what it wants, in its order."""
        if event.what in (Happening.LOCKDOWN, Happening.RESUME):
            self.audit.note("door", state=event.what.value)
        self._state, acts = advance(self._state, event, self._timing)
        for act in acts:
            self._do(act)

    def _do(self, act: Act) -> None:
        match act:
            case Lock():
                self.relay.lock()
            case Release(cause, duration_s):
                self.audit.note(
                    "release",
                    cause=cause.value,
                    subject_id=self._admitted if cause is Cause.FACE else None,
                    release_s=round(duration_s, 3),
                )
                self._require_open()  # a disk that hung may have outlasted somebody's patience
                self.relay.release(duration_s)
            case Refused(cause, state):
                self.audit.note("refused", cause=cause.value, reason=state.value)
                self._display.prompt(Prompt.REFUSED)
                self._for_gate.append(act)
            case AlarmRaised(alarm):
                self.audit.note("alarm", alarm=alarm.value)
            case AlarmOver(alarm):
                self.audit.note("alarm over", alarm=alarm.value)
            case Passed() | NotOpened():
                self._for_gate.append(act)

    def _must(self, act: Callable[[], object]) -> None:
        """Do something that succeeds, or else shuts the door; while telling only."""
        self._require_open()
        try:
            act()
        except BaseException:
            self.shut()
            raise

    def _require_open(self) -> None:
        if self._shut:
            raise ShutError(
                "the door was shut, as it ends or after an error that the log names; start it again"
            )

    def _follow_up(self) -> None:
        """Show the state, and tell the gate what became of its visitors; no lock is held here."""
        self._display.show(self._state.name)
        with self._telling:
            acts, self._for_gate = self._for_gate, []
        self._gate.report(acts)

    def _obey(self, verdict: Verdict | None) -> Verdict | None:
        """Open if the gate says so; else write down why not."""
        if verdict is None:
            return None
        with self._telling:
            self._must(lambda: self._act_on(verdict))
        if not verdict.opens:
            self._display.prompt(_PROMPTS.get(verdict.answer, Prompt.REFUSED))
        self._follow_up()
        return verdict

    def _act_on(self, verdict: Verdict) -> None:
        if verdict.duress:
            self.audit.note("duress", subject_id=verdict.subject_id)
        if verdict.opens:
            self._admitted = verdict.subject_id
            self._advance(Event(self._clock(), Happening.GRANT))
            return
        self.audit.note(
            "not admitted",
            subject_id=verdict.subject_id,
            answer=verdict.answer.value,
            reason=verdict.reason.name.lower(),
        )

    def _approach(self, observation: Observation) -> None:
        """In unlocked hours whoever comes before the camera opens, once."""
        if not self._state.hours or not observation.faces:
            return
        track = observation.faces[0].track
        if track != self._approached and self._state.opening is None and not self.relay.released:
            self._approached = track
            self.tell(Event(self._clock(), Happening.APPROACH))
