"""`janus events` on a real audit and a real gallery."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edge.audit import Audit
from edge.cli import build_parser
from edge.commands import events
from edge.errors import AuditError, ConfigError
from edge.gallery import GalleryStore
from edge.vocabulary import Decision, Embedding, Flaw, Outcome, Reason

MODEL = "a" * 64
NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def decision(subject_id, outcome=Outcome.GRANT, reason=Reason.MATCH, score=0.8125, flaws=()):
    return Decision(outcome, reason, 12.5, subject_id, score, 0.4375, 3, MODEL, flaws)


@pytest.fixture
def janus(tmp_path):
    """Run a command line as `janus` does, without its last-resort error handling."""
    config = tmp_path / "janus.toml"
    config.write_text('[store]\ngallery = "gallery.sqlite"\naudit = "audit.sqlite"\n')

    def run(*words):
        arguments = build_parser(events.COMMANDS).parse_args(
            ["events", *words, "--config", str(config)]
        )
        return arguments.run(arguments)

    return run


@pytest.fixture
def ada(tmp_path):
    """Enrol Ada and return her id."""
    vector = np.zeros(8, np.float32)
    vector[0] = 1.0
    with GalleryStore(tmp_path / "gallery.sqlite", MODEL) as store:
        return store.enrol("Ada", [Embedding(vector, MODEL)])


@pytest.fixture
def log(tmp_path, ada):
    """Six events, an hour apart from noon on."""
    hours = iter(range(100))
    clock = lambda: NOON + timedelta(hours=next(hours))  # noqa: E731
    with Audit(tmp_path / "audit.sqlite", clock=clock) as audit:
        audit.note("start", model_id=MODEL)
        audit.record(decision(ada))
        audit.record(decision("deadbeef"))
        audit.record(decision(None, Outcome.DENY, Reason.NO_MATCH, score=0.25))
        audit.record(decision(None, Outcome.DENY, Reason.POOR_QUALITY, None, (Flaw.TOO_DARK,)))
        audit.note("forget", subject_id="deadbeef", references=2)
        yield audit


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def numbers(capsys):
    return [int(line.split()[0]) for line in lines(capsys)]


def test_events_are_told_in_words_with_names(janus, log, capsys):
    """Who is enrolled appears by name, who was forgotten by id."""
    numbers = "(score 0.812, threshold 0.438, 3 frame(s))"
    expected = f"""\
     1  2026-11-22 12:00:00.000  start    model_id={MODEL}
     2  2026-11-22 13:00:00.000  grant    Ada: {Reason.MATCH.value} {numbers}
     3  2026-11-22 14:00:00.000  grant    deadbeef (forgotten): {Reason.MATCH.value} {numbers}
     4  2026-11-22 15:00:00.000  deny     {Reason.NO_MATCH.value} (score 0.250, threshold 0.438, 3 frame(s))
     5  2026-11-22 16:00:00.000  deny     {Reason.POOR_QUALITY.value} - {Flaw.TOO_DARK.value}
     6  2026-11-22 17:00:00.000  forget   deadbeef (forgotten) references=2
"""  # noqa: E501
    assert janus() == 0
    assert capsys.readouterr().out == expected


def test_events_can_be_chosen_by_time_or_count(janus, log, capsys):
    """A date is midnight UTC; a zone may be given."""
    for words, expected in (
        (("--last", "2"), [5, 6]),
        (("--last", "60"), [1, 2, 3, 4, 5, 6]),
        (("--since", "2026-11-22"), [1, 2, 3, 4, 5, 6]),
        (("--since", "2026-11-22T15:00"), [4, 5, 6]),
        (("--since", "2026-11-22T17:00+01:00"), [5, 6]),
        (("--since", "2026-11-23"), []),
    ):
        assert janus(*words) == 0
        assert numbers(capsys) == expected


def test_only_the_newest_events_are_shown_unless_asked_for(janus, log, capsys):
    """A log of years would fill the terminal."""
    for _ in range(60):
        log.note("error")
    assert janus() == 0
    assert numbers(capsys) == list(range(17, 67))


def test_events_are_printed_as_json_lines_for_programs(janus, log, ada, capsys):
    """Each line is complete: facts, link in the chain, and the name if there still is one."""
    assert janus("--json") == 0
    printed = [json.loads(line) for line in lines(capsys)]
    assert [each["name"] for each in printed] == [None, "Ada", None, None, None, None]
    assert printed[1]["facts"]["subject_id"] == ada
    assert [each["hash"] for each in printed] == [event.hash for event in log.events()]


def test_events_are_shown_without_names_where_the_gallery_cannot_be_read(
    janus, log, tmp_path, capsys
):
    """The log matters most when something else is broken; the reason is on standard error."""
    for each in tmp_path.glob("gallery*"):
        each.unlink()
    assert janus("--last", "4") == 0
    shown = capsys.readouterr()
    assert "subjects appear by id, because there is no gallery" in shown.err
    assert " deadbeef: " in shown.out
    assert "forgotten" not in shown.out


def test_a_decision_that_a_later_release_wrote_is_shown_as_it_is(janus, log, tmp_path, capsys):
    """An unknown reason is no cause to hide the event."""
    log._append("decision", {"outcome": "grant", "reason": "two_persons", "subject_id": None})
    assert janus("--last", "1") == 0
    assert "reason=two_persons" in capsys.readouterr().out


def test_a_whole_chain_verifies_and_prints_its_last_hash(janus, log, capsys):
    """That hash, noted elsewhere, is what shows a cut-off end."""
    assert janus("--verify") == 0
    printed = capsys.readouterr().out
    assert "6 events" in printed
    assert log.events()[-1].hash in printed


def test_an_empty_chain_verifies(janus, tmp_path, capsys):
    """A new door has done nothing yet."""
    Audit(tmp_path / "audit.sqlite").close()
    assert janus("--verify") == 0
    assert "empty" in capsys.readouterr().out
    assert janus() == 0


def test_a_broken_chain_is_exit_code_4_and_names_the_event(janus, log, tmp_path):
    """The message says what to do with the file."""
    with closing(sqlite3.connect(tmp_path / "audit.sqlite", isolation_level=None)) as other:
        other.execute("DROP TRIGGER event_is_not_altered")
        other.execute("UPDATE event SET facts = replace(facts, 'deny', 'grant') WHERE seq = 4")
    with pytest.raises(AuditError, match=r"breaks: event 4 was altered.*evidence") as caught:
        janus("--verify")
    assert caught.value.exit_code == 4


def test_looking_for_an_absent_log_does_not_begin_one(janus, tmp_path):
    """An empty answer would say that nothing ever happened."""
    with pytest.raises(AuditError, match="there is no audit"):
        janus()
    assert not (tmp_path / "audit.sqlite").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "yesterday"), "write it as 2026-11-22"),
        (("--last", "0"), "a whole number from 1"),
        (("--last", "-3"), "a whole number from 1"),
        (("--last", "2", "--since", "2026-11-22"), "not allowed with"),
    ],
)
def test_a_wrong_choice_is_one_clear_line_and_exit_code_2(janus, log, words, said, capsys):
    """Nothing is printed as if it had been asked for."""
    with pytest.raises(SystemExit) as caught:
        janus(*words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_verify_is_about_the_whole_log(janus, log):
    """It does not pretend to have followed a choice."""
    with pytest.raises(ConfigError, match="leave them out"):
        janus("--verify", "--last", "2")


def test_verify_is_an_action_of_its_own(janus, log, capsys):
    assert janus("verify") == 0
    assert "6 events, every link holds; the last hash is" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="leave them out"):
        janus("--last", "2", "verify")


@pytest.mark.parametrize("before", [True, False], ids=["before the action", "after it"])
def test_the_configuration_may_be_named_on_either_side_of_an_action(before, log, tmp_path, capsys):
    named = ["--config", str(tmp_path / "janus.toml")]
    words = ["events", *named, "verify"] if before else ["events", "verify", *named]
    (tmp_path / "janus.toml").write_text('[store]\naudit = "audit.sqlite"\n')
    arguments = build_parser(events.COMMANDS).parse_args(words)
    assert arguments.run(arguments) == 0
    assert "6 events" in capsys.readouterr().out


def test_verify_names_the_first_broken_link(janus, log, tmp_path):
    with closing(sqlite3.connect(tmp_path / "audit.sqlite", isolation_level=None)) as rows:
        rows.execute("DROP TRIGGER event_is_not_altered")
        rows.execute("UPDATE event SET facts = '{}' WHERE seq = 3")
    with pytest.raises(AuditError, match="breaks: event 3 was altered") as caught:
        janus("verify")
    assert caught.value.exit_code == 4


def test_explain_tells_one_event_in_words(janus, log, ada, capsys):
    assert janus("explain", "2") == 0
    said = capsys.readouterr().out
    assert "event 2, 2026-11-22 13:00:00.000 UTC: granted, because" in said
    assert "(Ada)" in said
    assert janus("explain", "6") == 0
    assert "(forgotten) was forgotten." in capsys.readouterr().out
    with pytest.raises(AuditError, match="no event 99; it holds 1 to 6"):
        janus("explain", "99")


def test_csv_is_read_back_as_it_was_written(janus, log, capsys):
    assert janus("--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["seq"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert (rows[1]["outcome"], rows[1]["name"], rows[3]["score"]) == ("grant", "Ada", "0.25")
    assert json.loads(rows[5]["facts"]) == {"subject_id": "deadbeef", "references": 2}
    assert len({row["hash"] for row in rows}) == 6


def test_a_name_that_a_spreadsheet_would_run_is_disarmed(janus, log, tmp_path, capsys):
    with GalleryStore(tmp_path / "gallery.sqlite", MODEL) as store:
        subject_id = store.enrol(
            '=cmd|"/c calc"', [Embedding(np.eye(8, dtype=np.float32)[1], MODEL)]
        )
    log.record(decision(subject_id))
    janus("--csv", "--last", "1")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["name"] == """'=cmd|"/c calc\""""


def test_prune_lets_go_of_what_the_configuration_says(janus, log, tmp_path, capsys):
    """The log is of 2026-11-22; a day is kept, and years have not passed."""
    config = tmp_path / "janus.toml"
    before = config.read_text()
    config.write_text(before + "[privacy]\naudit_days = 36500\n")
    assert janus("prune") == 0
    assert capsys.readouterr().out.startswith("0 event(s) removed")
    assert janus("verify") == 0
    with Audit(tmp_path / "audit.sqlite") as audit:
        audit.retain(since_utc=NOON + timedelta(hours=3))
    assert janus("verify") == 0
    said = capsys.readouterr().out
    assert "4 events, every link holds" in said
    assert "the 3 events before were removed" in said


def test_follow_prints_new_events_once_until_it_is_interrupted(janus, log, monkeypatch, capsys):
    """The waiting between looks is where events arrive, and where Ctrl-C ends it."""
    arriving = [lambda: log.note("error", number=7), lambda: None, lambda: log.note("stop")]

    def wait(_):
        if not arriving:
            raise KeyboardInterrupt
        arriving.pop(0)()

    monkeypatch.setattr("edge.commands.events.time.sleep", wait)
    with pytest.raises(KeyboardInterrupt):
        janus("--follow", "--last", "1")
    assert numbers(capsys) == [6, 7, 8]
