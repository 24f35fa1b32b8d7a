"""What the running service says: in the log, and of how the run before it ended."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from edge.audit import Audit
from edge.pipeline import Step
from edge.service import WAITS_A_MINUTE, Reporter, how_it_ended
from edge.vocabulary import Decision, Frame, Observation, Outcome, Reason

FRAME = Frame(np.zeros((8, 8, 3), np.uint8), 0.0, 0)


def step(at_s, outcome, reason):
    decision = Decision(outcome, reason, at_s, None, None, 0.6, 0, "m" * 64)
    return Step(FRAME, Observation(at_s, ()), decision)


@pytest.fixture
def logged(caplog):
    caplog.set_level("INFO", "janus")
    return lambda: [each.getMessage() for each in caplog.records]


def test_a_change_of_mind_is_logged_once(logged):
    report = Reporter()
    for at_s in range(5):
        report(step(at_s, Outcome.WAIT, Reason.NO_FACE))
    report(step(5, Outcome.WAIT, Reason.AGREEING))
    assert len(logged()) == 3  # the first frame has a line of its own


def test_a_face_that_flickers_for_an_hour_fills_no_card(logged):
    report = Reporter(waits_a_minute=WAITS_A_MINUTE)
    for tenth in range(36_000):
        reason = Reason.NO_FACE if tenth % 2 else Reason.POOR_QUALITY
        report(step(tenth / 10, Outcome.WAIT, reason))
    lines = logged()
    assert len(lines) <= 60 * (WAITS_A_MINUTE + 1) + 1
    assert lines.count(f"{600 - WAITS_A_MINUTE} changes of mind were not logged") == 59


def test_somebody_who_replays_a_film_is_told_everything(logged):
    report = Reporter()
    for tenth in range(500):
        report(step(tenth / 10, Outcome.WAIT, list(Reason)[tenth % 2]))
    assert len(logged()) == 501


def test_grants_and_denials_are_logged_however_much_else_was(logged):
    report = Reporter(waits_a_minute=WAITS_A_MINUTE)
    for tenth in range(500):
        report(step(tenth / 10, Outcome.WAIT, list(Reason)[tenth % 3]))
    report(step(50.1, Outcome.GRANT, Reason.MATCH))
    report(step(50.2, Outcome.DENY, Reason.NO_MATCH))
    assert [each.split()[2] for each in logged()[-2:]] == ["GRANT", "DENY"]


@pytest.mark.parametrize(
    ("kinds", "ended"),
    [
        ((), "none"),
        (("start", "error", "stop"), "stopped"),
        (("start", "enrol"), "killed"),
        (("start", "watchdog"), "ended by its watchdog"),
        (("start", "stop", "start"), "killed"),
    ],
)
def test_how_the_run_before_ended_is_read_from_the_audit(tmp_path, kinds, ended):
    with closing(Audit(tmp_path / "audit.sqlite")) as audit:
        for kind in kinds:
            audit.note(kind)
        assert how_it_ended(audit) == ended
