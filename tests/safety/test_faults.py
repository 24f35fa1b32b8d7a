"""Each fault ends in recovery or a restart within its time, the strike locked, and in the audit.

The real service under a stand-in of systemd; `bench/faults.py` prints the same trials as a table.
"""

from __future__ import annotations

import os

import pytest

pytest.importorskip("skimage", reason="the demo extra brings the portrait")

from faults import FAULTS, demand, enrolled_store, slack, try_fault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# One of each kind of trial; the others need JANUS_FAULTS=all, for together they take ten minutes.
USUAL = {
    "camera: hangs",
    "camera: frozen",
    "camera: gone for good",
    "detect: stalls",
    "embed: garbage",
    "match: garbage",
    "decide: raises",
    "gallery: gone",
    "audit: stalls",
    "audit: gone",
    "relay: hangs",
    "contact: hangs",
    "sentinel: stopped, door killed in a pulse",
    "interpreter: held in native code",
    "process: stopped in a pulse",
    "process: killed in a pulse",
    "disk: full",
    "disk: read-only after an error",
    "root file system: read-only",
    "permissions: revoked while it runs",
    "descriptors: none left",
    "memory: none left",
    "configuration: garbage at a restart",
}
CHOSEN = [each for each in FAULTS if os.environ.get("JANUS_FAULTS") == "all" or each.name in USUAL]


@pytest.fixture(scope="module")
def enrolled():
    with enrolled_store() as store:
        yield store


def test_every_usual_fault_is_one_that_is_known():
    assert {each.name for each in FAULTS} >= USUAL


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.name)
def test_a_fault_ends_as_it_should(fault, enrolled):
    if os.geteuid() != 0 and (fault.place or fault.obedient or fault.read_only_root):
        pytest.skip("this fault needs root: it mounts a file system or changes the user")
    demand(fault, try_fault(fault, enrolled), slack=slack())
