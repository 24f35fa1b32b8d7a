"""A policy whose sums can be done in one's head: 0.5 says nothing, 0.9 says 4.5 nats a frame.

Frames count in full (no correlation), and 12.2 nats are needed with one reference: three frames.
"""

from __future__ import annotations

from dataclasses import replace

from edge.decide import Policy
from edge.vocabulary import EvidenceMap

EVIDENCE = EvidenceMap((-1.0, 0.5, 0.9, 1.0), (-15.0, 0.0, 4.5, 5.0))
POLICY = Policy(
    evidence=EVIDENCE,
    threshold=0.5,
    model_id="m",
    correlation=0.0,
    false_accept=1e-5,
    false_accept_with_pin=1e-2,
    early_denial=1e-9,
    lead=1.0,
    least_frames=2,
    most_frames=6,
    most_s=5.0,
    visit_gap_s=1.5,
    repeat_s=30.0,
)


def policy(**changes) -> Policy:
    """Return the policy with some fields changed."""
    return replace(POLICY, **changes)
