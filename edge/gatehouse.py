"""The gate behind a lock of its own: threads take turns, and no exit waits for a PIN."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable

from edge.access.gate import Answer, Gate, Moment, Verdict
from edge.access.verdict import AccessReason
from edge.door_events import Act, Cause, NotOpened, Passed, Refused
from edge.errors import DoorError
from edge.vocabulary import Decision, Outcome

_LOCKOUT_EVERY_S = 0.5
_SAVE_EVERY_S = 60.0
_NEVER_S = float("-inf")
_log = logging.getLogger(__name__)


class Gatehouse:
    """Asks the gate, and tells it what became of its visitors.

    What can wait until the gate is free does: `lockout_until_s` and `report` never block.

    Args:
        gate: weighs who was recognised; None lets in whoever is granted (replay, demo).
        moment: tells the time.
    """

    def __init__(self, gate: Gate | None, moment: Callable[[], Moment]) -> None:
        self._gate, self._moment = gate, moment
        self._asking = threading.Lock()
        self._admitted: Verdict | None = None  # whom the last OPEN was for
        self._later: deque[Act] = deque()
        self._next_lockout_s = self._next_save_s = _NEVER_S
        self._lockout_until_s = _NEVER_S

    def weigh(self, decision: Decision, visitor: int | None, *, free: bool) -> Verdict | None:
        """Return what the gate says to a grant; count a denial, for which it says nothing.

        Args:
            decision: a grant or a denial.
            visitor: the track of the face, where it is known.
            free: anybody may enter now, so that a stranger is no failure.

        Raises:
            AccessError: if the gate cannot remember.
        """
        if self._gate is None:
            if decision.outcome is not Outcome.GRANT:
                return None
            if decision.needs_second_factor:  # without a gate there is none
                return Verdict(Answer.REFUSE, AccessReason.EVIDENCE_TOO_WEAK, decision.subject_id)
            return Verdict(Answer.OPEN, AccessReason.ADMITTED, decision.subject_id)
        with self._asking:
            if decision.outcome is Outcome.GRANT:
                return self._said(self._gate.consider(decision, self._moment(), visitor=visitor))
            if not free:
                self._gate.failed(decision, self._moment(), visitor=visitor)
                self._next_lockout_s = _NEVER_S  # this may have been one too many
        return None

    def enter_pin(self, digits: str) -> Verdict | None:
        """Return what the gate says to a PIN; it thinks for long.

        Raises:
            AccessError: if the gate cannot remember.
        """
        if self._gate is None:
            return None
        with self._asking:
            return self._said(self._gate.enter_pin(digits, self._moment()))

    def press_button(self) -> Verdict | None:
        """Return what the gate says to a press of the second factor's button.

        Raises:
            AccessError: if the gate cannot remember.
        """
        if self._gate is None:
            return None
        with self._asking:
            return self._said(self._gate.press_button(self._moment()))

    def lockout_until_s(self, now_s: float) -> float:
        """Return when the door's pause after failures ends: as of half a second ago at most.

        Raises:
            AccessError: if the gate's memory cannot be read.
        """
        due = self._gate is not None and now_s >= self._next_lockout_s
        if self._gate is not None and due and self._asking.acquire(blocking=False):
            try:
                verdict = self._gate.lockout(self._moment())
                if now_s >= self._next_save_s:
                    self._gate.save(self._moment())
                    self._next_save_s = now_s + _SAVE_EVERY_S
            finally:
                self._asking.release()
            self._next_lockout_s = now_s + _LOCKOUT_EVERY_S
            if verdict is None:
                self._lockout_until_s = _NEVER_S
            else:
                self._lockout_until_s = float("inf") if verdict.until_s is None else verdict.until_s
        return self._lockout_until_s

    def report(self, acts: Iterable[Act]) -> None:
        """Tell the gate who left and who turned back; if it is busy, the next time.

        Raises:
            AccessError: if the gate cannot remember.
        """
        self._later.extend(acts)
        if self._gate is None:
            self._later.clear()
        if self._gate is None or not self._later or not self._asking.acquire(blocking=False):
            return
        try:
            while self._later:
                match self._later.popleft():
                    case Passed(Cause.EXIT):
                        self._gate.exited(self._moment())
                    case NotOpened(Cause.FACE) | Refused(Cause.FACE) if self._admitted is not None:
                        self._gate.turned_back(self._admitted)
        finally:
            self._asking.release()

    def save(self) -> None:
        """Let the gate write down how long its timers still run; an error is only logged."""
        if self._gate is not None:
            try:
                with self._asking:
                    self._gate.save(self._moment())
            except DoorError as exc:
                _log.error("the pauses after failures were not written down: %s", exc)

    def _said(self, verdict: Verdict) -> Verdict:
        if verdict.opens:
            self._admitted = verdict
        else:
            self._next_lockout_s = _NEVER_S
        return verdict
