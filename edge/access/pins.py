"""PINs: which are too easily guessed, how they are stored, and how one is compared.

A PIN is stored as Argon2id (RFC 9106) of its digits with a salt of the subject's own. That slows
down whoever steals the file; with a million PINs of six digits it cannot stop him. What protects a
PIN at the door are the attempt limits.

A PIN and the duress PIN of a subject share the salt, so that one derivation is compared with both:
how long an answer takes says nothing about which of them it was.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from enum import Enum, unique
from itertools import pairwise

from edge.errors import ConfigError

SHORTEST, LONGEST = 4, 12
_SALT_BYTES = 16
_DIGEST_BYTES = 32
# Chosen often because of how they look on a keypad, or what they mean (DataGenetics 2012 and
# Markert et al., "This PIN Can Be Easily Guessed", IEEE S&P 2020).
_FAVOURITES = {
    "0852", "1379", "1397", "1470", "1590", "2468", "2580", "3691", "3579", "7410", "7531",
    "8520", "8642", "9510", "9630", "9731", "147258", "159357", "147369", "258369", "789456",
    "963852", "147258369", "789456123",
}  # fmt: skip
_FIRST_YEAR, _LAST_YEAR = 1920, 2039


@unique
class Match(Enum):
    """What entered digits are."""

    NONE = "neither PIN"
    PIN = "the PIN"
    DURESS = "the duress PIN"


@dataclass(frozen=True, slots=True)
class Cost:
    """How much one guess costs: memory in KiB, and passes over it.

    The defaults are those of OWASP's Password Storage Cheat Sheet, for one lane.
    """

    memory_kib: int = 19456
    passes: int = 2


@dataclass(frozen=True, slots=True)
class StoredPin:
    """What is kept of a subject's PINs; ``duress`` is None where there is no duress PIN."""

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    duress: bytes | None = field(repr=False)
    cost: Cost


def make_pin(digits: str, *, cost: Cost | None = None) -> StoredPin:
    """Return what is stored of a new PIN, without a duress PIN.

    Raises:
        ConfigError: if the PIN is too easily guessed.
    """
    require_strong(digits)
    salt, cost = secrets.token_bytes(_SALT_BYTES), cost or Cost()
    return StoredPin(salt, _digest(digits, salt, cost), None, cost)


def with_pin(stored: StoredPin, digits: str) -> StoredPin:
    """Return *stored* with another PIN and the same duress PIN.

    Raises:
        ConfigError: if the PIN is too easily guessed, or is the duress PIN.
    """
    require_strong(digits)
    if match(stored, digits) is Match.DURESS:
        raise ConfigError("these digits are the duress PIN already; choose others")
    return StoredPin(
        stored.salt, _digest(digits, stored.salt, stored.cost), stored.duress, stored.cost
    )


def with_duress(stored: StoredPin, digits: str) -> StoredPin:
    """Return *stored* with a duress PIN, which opens like the other and raises an alarm.

    Raises:
        ConfigError: if it is too easily guessed, or is the PIN.
    """
    require_strong(digits)
    if match(stored, digits) is Match.PIN:
        raise ConfigError("these digits are the PIN already; the duress PIN has to differ")
    return StoredPin(
        stored.salt, stored.digest, _digest(digits, stored.salt, stored.cost), stored.cost
    )


def match(stored: StoredPin, digits: str) -> Match:
    """Tell what entered *digits* are; the time taken does not depend on the answer."""
    entered = _digest(digits, stored.salt, stored.cost)
    is_pin = hmac.compare_digest(entered, stored.digest)
    # Without a duress PIN something is compared all the same, and cannot be equal.
    is_duress = hmac.compare_digest(entered, stored.duress or bytes(_DIGEST_BYTES))
    if is_duress and stored.duress is not None:
        return Match.DURESS
    return Match.PIN if is_pin else Match.NONE


def require_strong(digits: str) -> None:
    """Refuse a PIN that somebody would try early; the message never repeats the digits.

    Raises:
        ConfigError: with what is wrong and what to do.
    """
    if (flaw := weakness(digits)) is not None:
        raise ConfigError(f"this PIN {flaw}; choose another, best six digits or more at random")


def weakness(digits: str) -> str | None:
    """Return what makes *digits* no PIN or one that is guessed early, or None."""
    if not (digits.isascii() and digits.isdecimal()):
        return "holds something other than the digits 0 to 9"
    if not SHORTEST <= len(digits) <= LONGEST:
        return f"has {len(digits)} digits; {SHORTEST} to {LONGEST} are possible"
    if _repeats(digits):
        return "repeats itself"
    if _steps(digits):
        return "counts up or down"
    if digits in _FAVOURITES:
        return "is a favourite of many"
    if digits == digits[::-1]:
        return "reads the same backwards"
    if len(digits) == SHORTEST and _FIRST_YEAR <= int(digits) <= _LAST_YEAR:
        return "looks like a year"
    return None


def _repeats(digits: str) -> bool:
    """Tell whether a part of at most half the length makes the whole: 0000, 1212, 123123."""
    doubled = (digits + digits).find(digits, 1)
    return doubled < len(digits)


def _steps(digits: str) -> bool:
    """Tell whether every step is one up, or every step one down; 0 follows and precedes 9."""
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(digits)}
    return steps in ({1}, {9})


def _digest(digits: str, salt: bytes, cost: Cost) -> bytes:
    # A door without a keypad is spared the memory (docs/performance.md).
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415 - see above

    try:
        derivation = Argon2id(
            salt=salt,
            length=_DIGEST_BYTES,
            iterations=cost.passes,
            lanes=1,
            memory_cost=cost.memory_kib,
        )
    except UnsupportedAlgorithm as exc:
        raise ConfigError(
            "the installed cryptography has no Argon2id (it was built with OpenSSL before 3.2); "
            "run: pip install --force-reinstall --only-binary :all: cryptography"
        ) from exc
    return derivation.derive(digits.encode())
