"""Pure: what several frames of one visitor are worth together, and what a door may ask for.

Each frame gives a log-likelihood ratio in nats (`EvidenceMap`). Frames of one visit are not
independent: a stranger who looks like Ada looks like her in every frame. If the ratios of a visit
are equally correlated with *rho*, their mean has the variance of n / (1 + (n - 1) rho) independent
ones (Kish, Survey Sampling, 1965: the design effect), and for normal scores that many times the
mean is the exact logarithm of the likelihood ratio of them all. As frames go on it stays below
1 / rho times the mean: waiting does not replace a better encoder.

A likelihood ratio is a martingale where the visitor is a stranger, so it ever exceeds x with a
probability of at most 1 / x (Ville 1939; Wald's bound, 1945), however often it is looked at. N
references may each be exceeded, so ln(N / target) holds the rate of a whole visit to the target
(Boole's inequality). docs/decisions.md derives and measures it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.vocabulary import Decision, EvidenceMap

# Correlation of log-likelihood ratios within a visit, rounded up from what `bench/visits.py
# --correlation` measures (docs/decisions.md): the higher, the less further frames are worth.
FRAME_CORRELATION = 0.99


def effective_frames(frames: int, correlation: float) -> float:
    """Return how many independent frames *frames* (0 or more) are worth: Kish's n / (1 + …)."""
    return frames / (1 + (frames - 1) * correlation) if frames else 0.0


def summed(ratios: Sequence[float], correlation: float) -> float:
    """Return the evidence in nats of frames with these log-likelihood ratios; 0 of none."""
    if len(ratios) == 0:
        return 0.0
    mean = math.fsum(ratios) / len(ratios)
    return mean * effective_frames(len(ratios), correlation)


def needed(false_accept: float, references: int, test: int) -> float:
    """Return the evidence in nats that holds a visit's false-accept rate to *false_accept*.

    The k-th test of a visit may err with 1 / (k (k + 1)) of the rate; these shares add up to 1, so
    that the visit keeps to the target however often its test begins anew.

    Args:
        false_accept: share of strangers' visits that may end with a grant, between 0 and 1.
        references: how many could be mistaken for, N.
        test: 1 for the first test of a visit.
    """
    return math.log(max(references, 1) * test * (test + 1) / false_accept)


def reachable_rate(
    evidence: EvidenceMap, references: int, *, frames: int, correlation: float
) -> float:
    """Return the lowest false-accept rate of a visit that any score could reach, at most 1.

    Args:
        evidence: what a score is worth, and so what it is worth at most.
        references: in the gallery.
        frames: of one test.
        correlation: of frames.
    """
    most = evidence.log_likelihood_ratios[-1] * effective_frames(frames, correlation)
    return min(1.0, math.exp(needed(1.0, references, 1) - most))


@dataclass(frozen=True, slots=True)
class Weight:
    """What stored numbers come to when they are added up again; all in nats.

    ``lead`` is None where nobody else could be meant; ``alone`` and ``with_second_factor`` say
    whether that is enough.
    """

    evidence: float
    lead: float | None
    needed: float
    needed_with_pin: float
    alone: bool
    with_second_factor: bool


def weigh(decision: Decision) -> Weight:
    """Add up the numbers of *decision* again: the door's own arithmetic, from nothing else."""
    own = summed(decision.ratios, decision.correlation)
    rival = decision.rival_ratios
    lead = own - summed(rival, decision.correlation) if rival else None
    alone = needed(decision.false_accept, decision.references or 1, decision.test)
    with_pin = min(alone, needed(decision.false_accept_with_pin, 1, decision.test))
    leads = bool(decision.ratios) and (lead is None or lead >= decision.lead_needed)
    return Weight(
        evidence=own,
        lead=lead,
        needed=alone,
        needed_with_pin=with_pin,
        alone=leads and own >= alone,
        with_second_factor=leads and own >= with_pin,
    )
