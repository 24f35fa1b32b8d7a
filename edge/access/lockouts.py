"""Whose failures are counted, what a pause is called, and what ends a count."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from edge.access.attempts import Running, limits_of
from edge.access.state import DOOR, AccessStore, subject_key, visitor_key
from edge.access.verdict import AccessReason, Answer, Moment, Verdict
from edge.config import AccessConfig


class Lockouts:
    """The attempt limits of one door. Every method raises AccessError if the store fails.

    Args:
        config: the limits.
        store: where failures are counted.
        boot_id: names this run of the machine.
    """

    def __init__(self, config: AccessConfig, store: AccessStore, boot_id: str) -> None:
        self._store, self._boot_id = store, boot_id
        self._visitor_limits, self._door_limits = limits_of(config)

    def of_anybody(self, visitor: int | None, at: Moment) -> Verdict | None:
        """Return what holds for whoever is there, recognised or not, or None."""
        door = self._pause(DOOR, AccessReason.PAUSED_DOOR, AccessReason.FACE_OFF, at)
        if door is not None or visitor is None:
            return door
        reason = AccessReason.PAUSED_VISITOR
        return self._pause(visitor_key(visitor), reason, reason, at)

    def of(self, subject_id: str, visitor: int | None, at: Moment) -> Verdict | None:
        """Return what holds for one who was recognised, or None."""
        paused, switched_off = AccessReason.PAUSED_SUBJECT, AccessReason.SUBJECT_OFF
        barred = self.of_anybody(visitor, at) or self._pause(
            subject_key(subject_id), paused, switched_off, at
        )
        return None if barred is None else replace(barred, subject_id=subject_id)

    def count(self, subject_id: str | None, visitor: int | None, at: Moment) -> None:
        """Count a failure of the door and, where they are known, of the visitor and the subject."""
        who = [(DOOR, self._door_limits)]
        if visitor is not None:
            who.append((visitor_key(visitor), self._visitor_limits))
        if subject_id is not None:
            who.append((subject_key(subject_id), self._visitor_limits))
        self._store.count_failure(who, self._running(at))

    def ask_again(self, subject_id: str | None, at: Moment) -> None:
        """Ask for PINs once more where failures have just brought a pause, as phones do."""
        now = self._running(at)
        if self._store.attempts(DOOR, now).paused:
            self._store.ask_for_pins()
        elif subject_id and self._store.attempts(subject_key(subject_id), now).paused:
            self._store.ask_for_pins(subject_id)

    def forgive(self, visitor: int | None) -> None:
        """Begin to count anew; wrong PINs of a subject are forgiven by the right one only."""
        self._store.clear_failures(DOOR, *(() if visitor is None else (visitor_key(visitor),)))

    def _pause(
        self, who: str, paused: AccessReason, switched_off: AccessReason, at: Moment
    ) -> Verdict | None:
        attempts = self._store.attempts(who, self._running(at))
        if not attempts.paused:
            return None
        if attempts.left_s == inf:
            return Verdict(Answer.LOCKED_OUT, switched_off)
        return Verdict(Answer.LOCKED_OUT, paused, until_s=at.monotonic_s + attempts.left_s)

    def _running(self, at: Moment) -> Running:
        return Running(at.monotonic_s, self._boot_id)
