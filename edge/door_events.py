"""What can happen to the door, and what the door then wants done: the words of edge/door.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique


@unique
class State(Enum):
    """What the door is; the value is the word for logs and people."""

    LOCKED = "locked"
    RELEASED = "released"
    OPEN = "open"
    HELD_OPEN = "held open"
    FORCED = "forced"
    LOCKED_OUT = "locked out"
    LOCKDOWN = "lockdown"


@unique
class Happening(Enum):
    """What can happen to the door; the value is its name in docs/door.md."""

    GRANT = "grant"
    EXIT = "exit request"
    OPERATOR = "operator releases"
    APPROACH = "somebody comes"
    OPENED = "contact opens"
    CLOSED = "contact closes"
    TAMPERED = "case opens"
    TAMPER_OVER = "case closes"
    HOURS_BEGIN = "unlocked hours begin"
    HOURS_END = "unlocked hours end"
    LOCK_OUT = "lock-out begins"
    LOCK_OUT_OVER = "lock-out ends"
    LOCKDOWN = "operator locks down"
    RESUME = "operator resumes"
    TICK = "time passes"


@unique
class Cause(Enum):
    """Why the strike is released."""

    FACE = "face"
    EXIT = "exit"
    OPERATOR = "operator"
    HOURS = "hours"


@unique
class Alarm(Enum):
    """What somebody should look after."""

    FORCED = "forced"
    HELD_OPEN = "held open"
    TAMPER = "tamper"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, and when; ``until_s`` is the end of a lock-out."""

    at_s: float
    what: Happening
    until_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Release:
    """Release the strike for *duration_s* seconds from now."""

    cause: Cause
    duration_s: float


@dataclass(frozen=True, slots=True)
class Lock:
    """Lock the strike now."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Whoever asked is not let through, because of the state that the door is in."""

    cause: Cause
    state: State


@dataclass(frozen=True, slots=True)
class AlarmRaised:
    """An alarm begins."""

    alarm: Alarm


@dataclass(frozen=True, slots=True)
class AlarmOver:
    """What an alarm was about is over."""

    alarm: Alarm


@dataclass(frozen=True, slots=True)
class Passed:
    """The door was opened after a release for *cause*, or has no contact that could tell."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class NotOpened:
    """A release for *cause* ended, and the contact never saw the door open."""

    cause: Cause


Act = Release | Lock | Refused | AlarmRaised | AlarmOver | Passed | NotOpened
