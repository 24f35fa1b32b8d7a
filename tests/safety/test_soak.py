"""The door for very many frames: neither memory nor descriptors nor threads grow.

    JANUS_SOAK_FRAMES=200000 python -m pytest tests/safety/test_soak.py -s

runs it at full length (docs/reliability.md); otherwise it is a tenth of that.
"""

from __future__ import annotations

import os

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

FRAMES = int(os.environ.get("JANUS_SOAK_FRAMES", "8000"))
GROWTH_MB = 2.0


def test_after_its_first_tenth_a_soak_holds_no_more_memory_descriptors_or_threads():
    pytest.importorskip("skimage", reason="the demo extra brings the portrait")
    from soak import soak

    done = soak(FRAMES // 10, FRAMES)
    print(done)
    assert done.late.resident_mb - done.early.resident_mb <= GROWTH_MB, done
    assert done.late.descriptors <= done.early.descriptors, done
    assert done.late.threads <= done.early.threads, done
    # A grant during a pulse prolongs it, so the strike may have moved less often.
    assert 0 < done.releases <= done.audited, done
