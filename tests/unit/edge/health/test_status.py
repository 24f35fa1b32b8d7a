"""The status on its socket, in the metrics and in words; and no person in any of them."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from edge.cli import main
from edge.errors import HardwareError
from edge.health.journal import JournalFormatter, writes_to_journal
from edge.health.metrics import MetricsServer, metrics_text
from edge.health.status import CameraStatus, Reporting, Status, StatusSocket, ask
from edge.health.thermal import FLAGS, Heat, flags_of, read_heat
from edge.health.vitals import Vitals
from edge.vocabulary import Decision, Outcome, Reason

SUBJECT = "3f8a-ada"


def decision(outcome=Outcome.GRANT):
    return Decision(outcome, Reason.MATCH, 1.0, SUBJECT, 0.81, 0.6, 3, "m" * 64)


class Clock:
    def __init__(self):
        self.now_s = 50.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def vitals():
    clock = Clock()
    vitals = Vitals(clock)
    for index in range(40):
        with vitals.timing("detect"):
            clock.now_s += 0.02 if index % 10 else 0.2
        clock.now_s += 0.1
        vitals.processed(decision(Outcome.GRANT if index == 20 else Outcome.WAIT))
    return vitals


@pytest.fixture
def reporting(tmp_path, vitals):
    return Reporting(
        version="0.1.0",
        vitals=vitals,
        camera=lambda: CameraStatus(fault=None, troubled=False, reopened=2),
        disk=tmp_path,
        parts={"bundle": {"name": "shipped"}, "gallery": {"people": 3}},
        state=lambda: "watching",
    )


def test_vitals_count_frames_times_and_decisions(vitals):
    counts = vitals.counts()
    assert counts.frames == 40
    assert counts.rate_hz == pytest.approx(7.2, abs=0.6)
    assert counts.stages["detect"].p50_ms == pytest.approx(20)
    assert counts.stages["detect"].p95_ms == pytest.approx(200)
    assert counts.decisions == {"grant": 1}
    assert counts.last_decision.outcome == "grant"
    assert counts.last_decision.age_s == pytest.approx(2.6, abs=0.2)


def test_vitals_before_the_first_frame_are_zeros():
    counts = Vitals().counts()
    assert (counts.frames, counts.rate_hz, counts.last_decision) == (0, 0.0, None)


def test_vitals_take_no_more_memory_however_long_they_count():
    vitals = Vitals()
    for _ in range(2_000):
        with vitals.timing("detect"):
            pass
        vitals.processed(decision(Outcome.WAIT))
    assert len(vitals._recent) < 300
    assert len(vitals._took["detect"]) < 300


def test_a_stage_that_raises_is_timed_and_raises():
    vitals = Vitals()
    with pytest.raises(ZeroDivisionError), vitals.timing("embed"):
        raise ZeroDivisionError
    assert set(vitals.counts().stages) == {"embed"}


def test_the_socket_answers_one_line_to_each_client_and_is_for_the_group_only(tmp_path, reporting):
    path = tmp_path / "status.sock"
    with closing(StatusSocket(path, lambda: reporting.status().to_json())) as served:
        assert path.stat().st_mode & 0o777 == 0o660
        for _ in range(3):
            status = ask(path)
        assert status["state"] == "watching"
        assert status["counts"]["frames"] == 40
        assert status["parts"]["gallery"] == {"people": 3}
        assert status["free_mb"] > 0
        assert status["memory_mb"] > 1
        served.close()
    assert not path.exists()


def test_a_socket_that_a_dead_door_left_is_replaced(tmp_path):
    path = tmp_path / "status.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(HardwareError, match="no door answers"):
        ask(path)
    with closing(StatusSocket(path, lambda: "{}")):
        assert ask(path) == {}


def test_a_client_that_hangs_up_or_never_reads_stops_nobody(tmp_path):
    path = tmp_path / "status.sock"
    with closing(StatusSocket(path, lambda: json.dumps({"long": "x" * 30_000}))):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(path))
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(path))
            assert len(ask(path)["long"]) == 30_000


@pytest.mark.parametrize("answer", ["", "not JSON", "[1, 2]"])
def test_an_answer_that_is_none_is_an_error_with_advice(tmp_path, answer):
    path = tmp_path / "status.sock"
    with closing(StatusSocket(path, lambda: answer)), pytest.raises(HardwareError):
        ask(path)


def test_a_socket_that_cannot_be_made_says_which_key_to_change(tmp_path):
    with pytest.raises(HardwareError, match=r"\[health\] socket"):
        StatusSocket(tmp_path / "absent" / "status.sock", lambda: "{}")


def test_no_person_is_in_the_status_or_the_metrics(reporting):
    status = reporting.status()
    assert SUBJECT not in status.to_json()
    assert SUBJECT not in metrics_text(status)


def full_status():
    return Status(
        version='0.1"\\',
        state="watching",
        counts=Vitals().counts(),
        camera=CameraStatus(fault="frozen", troubled=True, reopened=4),
        heat=Heat(61.25, ("throttled now",)),
        free_mb=1200,
        memory_mb=180.5,
    )


def test_metrics_have_a_help_a_type_and_escaped_labels():
    lines = metrics_text(full_status()).splitlines()
    assert 'janus_info{version="0.1\\"\\\\"} 1.0' in lines
    assert 'janus_camera_fault{fault="frozen"} 1' in lines
    assert "janus_camera_reopened_total 4" in lines
    assert "janus_temperature_celsius 61.25" in lines
    assert 'janus_throttled{reason="throttled now"} 1' in lines
    assert "janus_disk_free_bytes 1200000000.0" in lines
    names = {line.split("{")[0].split()[0] for line in lines if not line.startswith("#")}
    for name in names:
        assert sum(line.startswith(f"# TYPE {name} ") for line in lines) == 1
        assert sum(line.startswith(f"# HELP {name} ") for line in lines) == 1


def fetched(port, path):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as asking:
        asking.request("GET", path)
        answered = asking.getresponse()
        return answered.status, answered.headers["Content-Type"], answered.read()


def test_metrics_are_served_on_loopback_only_and_nothing_else_is():
    with closing(MetricsServer(0, lambda: "janus_up 1\n")) as server:
        code, kind, body = fetched(server.port, "/metrics")
        assert (code, body) == (200, b"janus_up 1\n")
        assert kind.startswith("text/plain; version=0.0.4")
        assert fetched(server.port, "/etc/passwd")[0] == 404
        assert server._server.server_address[0] == "127.0.0.1"
        with pytest.raises(HardwareError, match="metrics_port"):
            MetricsServer(server.port, lambda: "")


@pytest.mark.parametrize(
    ("word", "flags"),
    [
        ("throttled=0x0\n", ()),
        ("50005\n", (FLAGS[0], FLAGS[2], FLAGS[16], FLAGS[18])),
        ("0x80008", (FLAGS[3], FLAGS[19])),
        ("", None),
        ("error=1 error_msg", None),
    ],
)
def test_throttling_is_told_in_words(word, flags):
    assert flags_of(word) == flags


def test_heat_is_read_from_the_kernel_and_unknown_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "temp").write_text("48312\n")
    (tmp_path / "throttled").write_text("50000\n")
    heat = read_heat(tmp_path / "temp", tmp_path / "throttled")
    assert heat == Heat(48.312, (FLAGS[16], FLAGS[18]))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_heat(tmp_path / "none", tmp_path / "none") == Heat(None, None)
    asked = tmp_path / "vcgencmd"
    asked.write_text("#!/bin/sh\necho throttled=0x1\n")
    asked.chmod(0o755)
    assert read_heat(tmp_path / "none", tmp_path / "none").flags == (FLAGS[0],)


def configured(tmp_path):
    config = tmp_path / "janus.toml"
    config.write_text(f'[health]\nsocket = "{tmp_path}/status.sock"\n')
    return str(config)


def test_the_command_shows_every_part_in_words_and_as_json(tmp_path, reporting, capsys):
    path = tmp_path / "status.sock"
    with closing(StatusSocket(path, lambda: reporting.status().to_json())):
        assert main(["status", "--config", configured(tmp_path)]) == 0
        words = capsys.readouterr().out
        assert main(["status", "--json", "--config", configured(tmp_path)]) == 0
    assert "state      watching, version 0.1.0" in words
    assert "detect   20.0 ms, 95 % within 200.0 ms" in words
    assert f"grant, {Reason.MATCH.value} (score 0.810)" in words
    assert "camera     well, opened again 2 times" in words
    assert json.loads(capsys.readouterr().out)["parts"]["bundle"] == {"name": "shipped"}


def test_the_command_fails_while_the_camera_is_in_trouble_and_where_no_door_runs(tmp_path, capsys):
    path = tmp_path / "status.sock"
    with closing(StatusSocket(path, lambda: full_status().to_json())):
        assert main(["status", "--config", configured(tmp_path)]) == 1
    assert "camera     frozen" in capsys.readouterr().out
    assert main(["status", "--config", configured(tmp_path)]) == HardwareError.exit_code
    assert "is it running?" in capsys.readouterr().err


def test_the_journal_gets_a_level_on_every_line():
    record = logging.LogRecord("janus", logging.ERROR, "", 0, "first\nsecond", (), None)
    assert JournalFormatter("%(message)s").format(record) == "<3>first\n<3>second"


def test_the_journal_is_known_by_its_own_stream(tmp_path):
    with (tmp_path / "stream").open("w") as stream:
        place = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{place.st_dev}:{place.st_ino}"}
        assert writes_to_journal(stream.fileno(), environment)
        assert not writes_to_journal(stream.fileno(), {"JOURNAL_STREAM": "1:2"})
        assert not writes_to_journal(stream.fileno(), {})
    assert not writes_to_journal(-1, {"JOURNAL_STREAM": "1:2"})


def test_a_program_whose_standard_error_is_the_journal_writes_levels(tmp_path):
    with (tmp_path / "stream").open("w") as stream:
        place = os.fstat(stream.fileno())
        program = "from edge.cli import _begin_log; import logging; _begin_log('INFO');"
        program += "logging.getLogger('janus').warning('the relay')"
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "JOURNAL_STREAM": f"{place.st_dev}:{place.st_ino}"},
            stderr=stream,
            check=True,
        )
    assert (tmp_path / "stream").read_text() == "<4>the relay\n"


def test_an_answer_that_cannot_be_put_together_does_not_end_the_socket(tmp_path, caplog):
    answers = iter([ValueError("no status"), "{}"])

    def answer():
        match next(answers):
            case Exception() as error:
                raise error
            case text:
                return text

    path = tmp_path / "status.sock"
    with closing(StatusSocket(path, answer)):
        with pytest.raises(HardwareError):
            ask(path)
        assert ask(path) == {}
    assert "could not be told" in caplog.text
