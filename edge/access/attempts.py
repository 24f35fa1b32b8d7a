"""Pure: how many failures in a row make somebody wait, and for how long.

After NIST SP 800-63B: five failed attempts in a row bring a pause of 30 seconds, which doubles with
each further failure; fifty turn the face off until an operator acts. Failures during a pause do
not count: nothing is compared then, and who stands there must not make it longer.

Pauses run on the monotonic clock, which nobody can set. It begins again at each start of the
machine, so what is stored is how much of a pause was left, when on that clock, and in which run
of the machine: within the same run a restarted program knows exactly what is left; after a power
cut the pause goes on with what was left when it was last written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from edge.config import AccessConfig

_MOST_DOUBLINGS = 30  # far beyond any longest pause; keeps the power of two a small number


@dataclass(frozen=True, slots=True)
class Limits:
    """When failures in a row have consequences.

    Args:
        pause_after: failures that bring the first pause.
        off_after: failures after which only an operator helps.
        pause_s: length of the first pause.
        longest_pause_s: where the doubling ends.
    """

    pause_after: int = 5
    off_after: int = 50
    pause_s: float = 30.0
    longest_pause_s: float = 900.0

    def pause_of(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row; infinite: an operator."""
        if failures >= self.off_after:
            return inf
        if failures < self.pause_after:
            return 0.0
        doublings = min(failures - self.pause_after, _MOST_DOUBLINGS)
        return min(self.pause_s * 2.0**doublings, self.longest_pause_s)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failures in a row, and the seconds of a pause that are left; infinite: an operator."""

    failures: int = 0
    left_s: float = 0.0

    @property
    def paused(self) -> bool:
        """Tell whether nothing is to be tried now."""
        return self.left_s > 0.0

    def failed(self, limits: Limits) -> Attempts:
        """Return what one more failure makes of it; a pause does not count failures."""
        if self.paused:
            return self
        return Attempts(self.failures + 1, limits.pause_of(self.failures + 1))


@dataclass(frozen=True, slots=True)
class Running:
    """Seconds of the monotonic clock in one run of the machine, for timers that are stored."""

    at_s: float
    boot_id: str

    def since(self, stored: Running) -> float:
        """Return the seconds since *stored*; 0 if that was in another run of the machine."""
        if stored.boot_id != self.boot_id:
            return 0.0
        return max(0.0, self.at_s - stored.at_s)


def limits_of(config: AccessConfig) -> tuple[Limits, Limits]:
    """Return the limits of one visitor or subject, and those of the whole door."""
    visitor = Limits(
        pause_after=config.visitor_failures,
        off_after=config.face_off_failures,
        pause_s=config.pause_s,
        longest_pause_s=config.longest_pause_s,
    )
    return visitor, replace(visitor, pause_after=config.door_failures)
