"""Pure: what a group asks for beside the face."""

from __future__ import annotations

from edge.access.policy import Group
from edge.access.verdict import AccessReason, Answer


def second_factor(
    group: Group, *, weak: bool, has_keypad: bool, has_pin: bool, proven: bool
) -> tuple[Answer, AccessReason] | None:
    """Return what is asked for beside the face and why, REFUSE if it cannot be had, or None.

    Args:
        group: whose rules hold.
        weak: the evidence is enough to name the subject, but not to open by itself.
        has_keypad: the door has a keypad.
        has_pin: the subject has a PIN.
        proven: the PIN was entered in this run of the machine, and no pause came since.
    """
    rule, by_pin = group.second_factor, group.second_factor_by == "pin"
    can_type = has_keypad and has_pin
    if rule == "always" and by_pin and not can_type:
        return Answer.REFUSE, AccessReason.NO_PIN if has_keypad else AccessReason.NO_KEYPAD
    if rule == "always":
        if by_pin:
            return Answer.NEEDS_PIN, AccessReason.PIN_ALWAYS
        return Answer.NEEDS_BUTTON, AccessReason.BUTTON_ALWAYS
    if weak:
        if rule == "never" or (by_pin and not can_type):
            return Answer.REFUSE, AccessReason.EVIDENCE_TOO_WEAK
        if by_pin:
            return Answer.NEEDS_PIN, AccessReason.PIN_FOR_EVIDENCE
        return Answer.NEEDS_BUTTON, AccessReason.BUTTON_FOR_EVIDENCE
    if rule == "unsure" and can_type and not proven:
        return Answer.NEEDS_PIN, AccessReason.PIN_AFTER_START
    return None
