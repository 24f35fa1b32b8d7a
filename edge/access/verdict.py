"""What the gate is told about time, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique


@dataclass(frozen=True, slots=True)
class Moment:
    """One point in time by both clocks.

    ``monotonic_s`` measures how long something takes and never jumps; ``utc`` tells the time of
    day, with a time zone, and jumps whenever somebody sets the clock.
    """

    monotonic_s: float
    utc: datetime

    def __post_init__(self) -> None:
        """Refuse calendar time without a zone: nobody could say when it was."""
        if self.utc.tzinfo is None:
            raise ValueError(f"a moment needs a time zone; got {self.utc!r}")


@unique
class Answer(Enum):
    """What the gate says to one who was recognised."""

    OPEN = "open"
    REFUSE = "refuse"
    NEEDS_PIN = "needs PIN"
    NEEDS_BUTTON = "needs button"
    NEEDS_SECOND_PERSON = "needs second person"
    LOCKED_OUT = "locked out"


@unique
class AccessReason(Enum):
    """The reason; the value is a sentence for the log and for the person at the door."""

    ADMITTED = "the policy admits this subject now"
    NOT_RECOGNISED = "nobody was recognised"
    NOT_A_MEMBER = "the subject is in no group of the policy"
    NOT_YET_VALID = "the group's first day has not come"
    EXPIRED = "the group's last day is over"
    OUTSIDE_HOURS = "the group may not enter at this hour"
    HOLIDAY = "the group may not enter at this hour of a holiday"
    NOBODY_FIRST = "nobody of the group that comes first has entered today"
    ENTERED_ALREADY = "entered a short while ago, and nobody has left since"
    EVIDENCE_TOO_WEAK = "the face alone is not enough, and the subject has no PIN"
    NO_KEYPAD = "a PIN is needed, and no keypad is configured"
    NO_PIN = "a PIN is needed, and the subject has none"
    PIN_ALWAYS = "the policy asks this group for the PIN"
    PIN_FOR_EVIDENCE = "the face alone is not enough; the PIN completes it"
    PIN_AFTER_START = "the PIN is asked once after a start of the machine or repeated failures"
    WRONG_PIN = "the PIN is wrong"
    PIN_TOO_LATE = "nobody is expected to enter a PIN; look at the camera first"
    BUTTON_ALWAYS = "the policy asks for the button"
    BUTTON_FOR_EVIDENCE = "the face alone is not enough; the button completes it"
    BUTTON_TOO_LATE = "nobody is expected to press the button; look at the camera first"
    ANOTHER_PERSON = "a second person of the group has to be recognised"
    PAUSED_DOOR = "too many failed visits; the door waits"
    PAUSED_VISITOR = "this visitor failed too often and waits"
    PAUSED_SUBJECT = "too many wrong PINs for this subject, who waits"
    FACE_OFF = "too many failures in a row; an operator has to act: janus access reset"
    SUBJECT_OFF = "too many wrong PINs for this subject; an operator has to act: janus access reset"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about one visitor.

    ``until_s`` is on the monotonic clock: the end of a pause, or of the time to type, to press or
    for the second person to come; None where no time will change the answer. ``duress`` says that
    the subject opened under threat: open as always, show nothing, raise the alarm elsewhere.
    """

    answer: Answer
    reason: AccessReason
    subject_id: str | None = None
    duress: bool = False
    until_s: float | None = None

    @property
    def opens(self) -> bool:
        """Tell whether the strike may be released."""
        return self.answer is Answer.OPEN
