"""The gate: one who was recognised meets the attempt limits, the policy and the second factor.

It has no clock: every call brings its `Moment`. What outlives the program is in the `AccessStore`,
written before an answer is given; who is expected to type, to press or to come second is not, for a
person in front of a door that starts anew begins anew too.

The order of the questions: is anything tried now (attempt limits), may the subject enter now
(policy), did the subject just enter (re-entry), is the face enough (second factor), is one enough
(persons). One claim waits for a PIN or a button at a time, that of whoever was recognised last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edge.access.attempts import Running
from edge.access.factor import second_factor
from edge.access.lockouts import Lockouts
from edge.access.pins import Match, match
from edge.access.policy import EVERYBODY, AccessPolicy, Group, admission, memberships
from edge.access.state import AccessStore
from edge.access.verdict import AccessReason, Answer, Moment, Verdict
from edge.config import AccessConfig
from edge.vocabulary import Decision, Outcome, Reason

__all__ = ["AccessReason", "Answer", "Gate", "Moment", "Verdict"]


@dataclass(frozen=True, slots=True)
class _Claim:
    """Somebody who was recognised and has not been let in yet."""

    subject_id: str
    visitor: int | None
    weak: bool
    duress: bool = False
    completed: bool = False  # the second factor was given


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A claim, what completes it (for a second person: of which group), and until when."""

    claim: _Claim
    wanted: Answer | str
    until_s: float


class Gate:
    """Answers for one door; `close` may be called twice. Threads that share it take turns.

    Args:
        config: attempt limits, how long to wait, and whether there is a keypad.
        policy: who may enter when.
        store: what is remembered.
        at: now; timers of an earlier run of the machine go on from here.
        boot_id: names this run of the machine.
        names: gives subject id → enrolled name; asked only where the policy has names.

    Raises:
        AccessError: if the state cannot be written; the door must stay shut.
    """

    def __init__(
        self,
        config: AccessConfig,
        policy: AccessPolicy,
        store: AccessStore,
        *,
        at: Moment,
        boot_id: str,
        names: Callable[[], Mapping[str, str]],
    ) -> None:
        self._config, self._policy, self._store, self._boot_id = config, policy, store, boot_id
        members = {each for group in policy.groups for each in group.members}
        self._names = names if members - {EVERYBODY} else dict
        self._known: Mapping[str, str] = {}
        self._awaited = {each.after_group for each in policy.groups if each.after_group}
        self._remembers = bool(self._awaited) or any(each.reentry_s for each in policy.groups)
        self._lockouts = Lockouts(config, store, boot_id)
        self._claim: _Waiting | None = None
        self._first_person: _Waiting | None = None
        self._entries: tuple[str, tuple[int, ...]] | None = None
        store.begin(self._running(at))

    def consider(self, decision: Decision, at: Moment, *, visitor: int | None = None) -> Verdict:
        """Weigh a decision; call it for each GRANT, before anything is released.

        Args:
            decision: what the evidence says.
            at: now.
            visitor: the track of the face, where it is known.

        Raises:
            AccessError: if the state cannot be read or written; the door must stay shut.
        """
        if decision.outcome is not Outcome.GRANT or decision.subject_id is None:
            return Verdict(Answer.REFUSE, AccessReason.NOT_RECOGNISED)
        claim = _Claim(decision.subject_id, visitor, decision.needs_second_factor)
        return self._locked_out(claim, at) or self._weigh(claim, at)

    def lockout(self, at: Moment, *, visitor: int | None = None) -> Verdict | None:
        """Return the LOCKED_OUT verdict that holds for whoever is there, or None.

        For the display: it tells everybody the same, recognised or not.

        Raises:
            AccessError: if the state cannot be read.
        """
        return self._lockouts.of_anybody(visitor, at)

    def failed(self, decision: Decision, at: Moment, *, visitor: int | None = None) -> None:
        """Count a visit that ended in DENY; it is on the disk when this returns.

        A visit during a pause is none, and where nobody is enrolled nobody can be guessed.

        Raises:
            AccessError: if it cannot be written; the door must stay shut.
        """
        if decision.outcome is not Outcome.DENY or decision.reason is Reason.EMPTY_GALLERY:
            return
        if self.lockout(at, visitor=visitor) is None:
            self._lockouts.count(None, visitor, at)
            self._lockouts.ask_again(None, at)

    def enter_pin(self, digits: str, at: Moment) -> Verdict:
        """Complete the entry of the subject who was last answered NEEDS_PIN.

        Raises:
            AccessError: if the state cannot be read or written; the door must stay shut.
        """
        waiting = self._expected(Answer.NEEDS_PIN, at)
        if waiting is None:
            return Verdict(Answer.REFUSE, AccessReason.PIN_TOO_LATE)
        claim = waiting.claim
        if (barred := self._locked_out(claim, at)) is not None:
            return barred
        stored = self._store.pin(claim.subject_id)
        if stored is None:
            self._claim = None
            return Verdict(Answer.REFUSE, AccessReason.NO_PIN, claim.subject_id)
        # Counted before it is compared: who cuts the power after each guess gains none.
        self._lockouts.count(claim.subject_id, claim.visitor, at)
        found = match(stored, digits)
        if found is Match.NONE:
            self._lockouts.ask_again(claim.subject_id, at)
            if (barred := self._locked_out(claim, at)) is not None:
                return barred
            wrong = AccessReason.WRONG_PIN
            return Verdict(Answer.NEEDS_PIN, wrong, claim.subject_id, until_s=waiting.until_s)
        self._store.prove(claim.subject_id, self._boot_id)
        self._lockouts.forgive(claim.visitor)
        return self._complete(replace(claim, duress=found is Match.DURESS), at)

    def press_button(self, at: Moment) -> Verdict:
        """Complete the entry of the subject who was last answered NEEDS_BUTTON.

        Raises:
            AccessError: if the state cannot be read or written; the door must stay shut.
        """
        waiting = self._expected(Answer.NEEDS_BUTTON, at)
        if waiting is None:
            return Verdict(Answer.REFUSE, AccessReason.BUTTON_TOO_LATE)
        return self._locked_out(waiting.claim, at) or self._complete(waiting.claim, at)

    def exited(self, at: Moment) -> None:
        """Note that somebody left: request to exit, and the door was opened.

        Raises:
            AccessError: if it cannot be written.
        """
        if self._remembers:
            self._store.exited(self._running(at))

    def turned_back(self, verdict: Verdict) -> None:
        """Take back the last OPEN, after which the door contact never saw the door open.

        Raises:
            AccessError: if it cannot be written.
        """
        if self._entries is not None and self._entries[0] == verdict.subject_id:
            for seq in self._entries[1]:
                self._store.take_back(seq)
            self._entries = None

    def save(self, at: Moment) -> None:
        """Write down how long each timer still runs: once a minute, and before the end.

        Raises:
            AccessError: if it cannot be written.
        """
        self._store.save(self._running(at))

    def operator_reset(self, *, subject_id: str | None = None) -> None:
        """Forget the failures of everybody, or of one subject; an operator has looked.

        Raises:
            AccessError: if it cannot be written.
        """
        self._store.reset(subject_id)

    def close(self) -> None:
        """Close what the gate remembers in."""
        self._store.close()

    # --- the questions ------------------------------------------------------------------------

    def _locked_out(self, claim: _Claim, at: Moment) -> Verdict | None:
        """Return why nothing may be tried for this claim now, or None."""
        barred = self._lockouts.of(claim.subject_id, claim.visitor, at)
        if barred is not None:
            self._claim = None
        return barred

    def _weigh(self, claim: _Claim, at: Moment) -> Verdict:
        """Return what the policy says to a claim; where something is missing, wait for it."""
        self._claim = None
        subject_id = claim.subject_id
        name = self._name(subject_id)
        days = self._store.entered_on() if self._awaited else {}
        group = admission(self._policy, subject_id, name, at.utc, days)
        if isinstance(group, AccessReason):
            return Verdict(Answer.REFUSE, group, subject_id)
        if group.reentry_s > 0:
            left_s = group.reentry_s - self._store.inside_s(subject_id, self._running(at))
            if left_s > 0:
                until_s = at.monotonic_s + left_s
                reason = AccessReason.ENTERED_ALREADY
                return Verdict(Answer.REFUSE, reason, subject_id, until_s=until_s)
        if not claim.completed and (answer := self._second_factor(group, claim, at)) is not None:
            return answer
        if group.persons > 1:
            return self._second_person(group, claim, at)
        return self._open((claim,), at)

    def _second_factor(self, group: Group, claim: _Claim, at: Moment) -> Verdict | None:
        """Return what is asked for beside the face, why it cannot be had, or None."""
        subject_id = claim.subject_id
        asked = second_factor(
            group,
            weak=claim.weak,
            has_keypad=self._config.keypad != "none",
            has_pin=self._store.pin(subject_id) is not None,
            proven=self._store.is_proven(subject_id, self._boot_id),
        )
        if asked is None:
            return None
        answer, reason = asked
        if answer is Answer.REFUSE:
            return Verdict(answer, reason, subject_id)
        until_s = at.monotonic_s + self._config.typing_s
        self._claim = _Waiting(claim, answer, until_s)
        return Verdict(answer, reason, subject_id, until_s=until_s)

    def _second_person(self, group: Group, claim: _Claim, at: Moment) -> Verdict:
        """Open if another member of the group was accepted just before; else wait for one."""
        first = self._first_person
        if (
            first is not None
            and first.wanted == group.name
            and first.claim.subject_id != claim.subject_id
            and at.monotonic_s <= first.until_s
        ):
            return self._open((claim, first.claim), at)
        until_s = at.monotonic_s + self._config.second_person_s
        self._first_person = _Waiting(claim, group.name, until_s)
        reason = AccessReason.ANOTHER_PERSON
        return Verdict(Answer.NEEDS_SECOND_PERSON, reason, claim.subject_id, until_s=until_s)

    def _open(self, claims: tuple[_Claim, ...], at: Moment) -> Verdict:
        """Write down what an entry changes, then open; the last who was recognised comes first."""
        self._first_person = None
        for claim in claims:
            self._lockouts.forgive(claim.visitor)
        numbers: tuple[int, ...] = ()
        if self._remembers:
            numbers = tuple(self._enter(each.subject_id, at) for each in claims)
        subject_id = claims[0].subject_id
        self._entries = (subject_id, numbers)
        duress = any(each.duress for each in claims)
        return Verdict(Answer.OPEN, AccessReason.ADMITTED, subject_id, duress)

    # --- what they share ----------------------------------------------------------------------

    def _expected(self, wanted: Answer, at: Moment) -> _Waiting | None:
        """Return the claim that waits for this, if its time is not over."""
        if self._claim is None or self._claim.wanted != wanted:
            return None
        if at.monotonic_s > self._claim.until_s:
            self._claim = None
        return self._claim

    def _complete(self, claim: _Claim, at: Moment) -> Verdict:
        return self._weigh(replace(claim, completed=True), at)

    def _enter(self, subject_id: str, at: Moment) -> int:
        name = self._name(subject_id)
        groups = self._awaited.intersection(memberships(self._policy, subject_id, name))
        day = self._policy.local(at.utc).date()
        return self._store.entered(subject_id, groups, day, self._running(at))

    def _name(self, subject_id: str) -> str | None:
        """Return the enrolled name, which an id keeps as long as it exists."""
        if subject_id not in self._known:
            self._known = dict(self._names())
        return self._known.get(subject_id)

    def _running(self, at: Moment) -> Running:
        return Running(at.monotonic_s, self._boot_id)
