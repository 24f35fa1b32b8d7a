"""What a door can promise with its gallery and its model, in one plain sentence.

A model's evidence has an upper end, so a gallery can be too large for a rate that is asked. The
door then never opens for a face alone; it must say so, for nobody would find out otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.decide import Policy, reachable
from edge.evidence import reachable_rate

# Not every frame of a visitor is the best that the model knows: an offered rate leaves room.
_ROOM = 2.0
_LARGEST_RATE = 0.5  # of the keys in [decision]


@dataclass(frozen=True, slots=True)
class Promise:
    """The lowest false-accept rates of a visit that can be reached, and whether they suffice.

    Args:
        references: in the gallery.
        asked: share of strangers' visits that the configuration allows the face alone.
        best: the lowest that is reachable, above 0, at most 1.
        asked_with_pin: what the configuration allows with a PIN.
        best_with_pin: the lowest that is reachable there.
    """

    references: int
    asked: float
    best: float
    asked_with_pin: float
    best_with_pin: float

    @property
    def alone(self) -> bool:
        """Tell whether a face can be enough."""
        return self.best <= self.asked

    @property
    def with_pin(self) -> bool:
        """Tell whether a face and a PIN can be enough."""
        return self.best_with_pin <= self.asked_with_pin

    def possible(self, *, keypad: bool) -> bool:
        """Tell whether anybody could get in, at a door with a *keypad* or without one."""
        return self.references == 0 or self.alone or (self.with_pin and keypad)

    def __str__(self) -> str:
        """Return one sentence, or two, without the last full stop."""
        if self.references == 0:
            return "nobody is enrolled, and nobody gets in"
        among = f"{self.references} reference{'s' if self.references > 1 else ''}"
        if self.alone:
            return (
                f"with {among} a stranger gets in by the face in at most {_once(self.asked)}, as "
                f"[decision] asks; down to {_once(self.best)} could be asked of this model"
            )
        best = "nothing" if self.best > _LARGEST_RATE else f"{_once(self.best)} at best"
        told = (
            f"with {among} this model can promise {best}, not {_once(self.asked)} as [decision] "
            "false_accept_per_visit asks: "
        )
        if self.with_pin:
            told += "a face alone opens for nobody, a face with a PIN does"
        else:
            told += "nobody gets in, not even with a PIN"
        return f"{told}. {self._remedy()}"

    def _remedy(self) -> str:
        offers = [
            f"{name} = {rate:g}"
            for name, enough, rate in (
                ("false_accept_per_visit", self.alone, _offered(self.best)),
                ("false_accept_with_pin", self.with_pin, _offered(self.best_with_pin)),
            )
            if not enough and rate <= _LARGEST_RATE
        ]
        if offers:
            return f"Install a better model, or accept more: {' or '.join(offers)}"
        return "For a face alone only a better model, or a smaller gallery, helps"


def promise(policy: Policy, references: int) -> Promise:
    """Return what *policy* can promise with so many references in the gallery."""
    return Promise(
        references=references,
        asked=policy.false_accept,
        best=reachable(policy, references),
        asked_with_pin=policy.false_accept_with_pin,
        best_with_pin=reachable_rate(
            policy.evidence, 1, frames=policy.most_frames, correlation=policy.correlation
        ),
    )


def _once(rate: float) -> str:
    """Say a rate as people say it: one visit in so many, rounded to two digits, never upwards."""
    visits = 1 / rate
    if visits < 10:  # noqa: PLR2004
        return f"one visit in {math.floor(visits * 10 + 1e-9) / 10:g}"
    unit = 10 ** (math.floor(math.log10(visits)) - 1)
    return f"one visit in {math.floor(visits / unit + 1e-9) * unit:,}"


def _offered(rate: float) -> float:
    """Return a rate that can be written down: with room, two digits, rounded up."""
    unit = 10.0 ** (math.floor(math.log10(rate * _ROOM)) - 1)
    return float(f"{math.ceil(rate * _ROOM / unit - 1e-9) * unit:.2g}")
