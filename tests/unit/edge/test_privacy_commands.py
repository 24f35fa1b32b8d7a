"""`janus keys storage|rotate`, `janus snapshots`, and consent at enrolment, as they are typed."""

from __future__ import annotations

from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from edge.audit import Audit
from edge.cli import build_parser
from edge.commands import enrol, keys, privacy
from edge.config import read_config
from edge.errors import EnrolmentError, GalleryError
from edge.gallery import GalleryStore
from edge.privacy import retain_events, retain_snapshots, snapshots_of
from edge.vocabulary import Embedding

MODEL = "a" * 64
CONFIG = '[store]\ngallery = "g.sqlite"\naudit = "a.sqlite"\nsnapshots = "snapshots"\n'
PICTURE = np.full((48, 64, 3), 90, np.uint8)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "janus.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def janus(config, capsys):
    """Run a command line as `janus` does, and return what it printed."""

    def run(*words):
        commands = (*keys.COMMANDS, *privacy.COMMANDS, *enrol.COMMANDS)
        arguments = build_parser(commands).parse_args([*map(str, words), "--config", str(config)])
        assert arguments.run(arguments) == 0
        return capsys.readouterr().out

    return run


def take(config, *, days_ago=0):
    snapshots = snapshots_of(read_config(config))
    now = datetime.now(UTC)
    assert snapshots.keep(5, None, PICTURE, now.replace(year=now.year - (1 if days_ago else 0)))


def test_the_storage_key_is_made_before_the_first_start_and_never_twice(janus, tmp_path):
    said = janus("keys", "storage")
    assert str(tmp_path / "storage.key") in said
    assert (tmp_path / "storage.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(GalleryError, match="already"):
        janus("keys", "storage")
    assert janus("keys", "storage", "--print").startswith("janus-storage-key-1 ")


def test_rotation_is_noted_and_everybody_is_still_there(janus, tmp_path, config):
    with GalleryStore(tmp_path / "g.sqlite", MODEL) as store:
        store.enrol("Ada", [Embedding(np.eye(8, dtype=np.float32)[0], MODEL)])
    take(config)
    before = (tmp_path / "storage.key").read_bytes()
    assert janus("keys", "rotate").startswith("1 people and 1 snapshot(s) are sealed by")
    assert (tmp_path / "storage.key").read_bytes() != before
    with GalleryStore(tmp_path / "g.sqlite", None) as store:
        assert store.find("ada").references == 1
    with Audit(tmp_path / "a.sqlite") as audit:
        assert [event.kind for event in audit.events()] == ["rotate", "rotated"]


def test_a_snapshot_is_listed_and_shown_and_looking_is_noted(janus, tmp_path, config):
    assert janus("snapshots") == ""
    take(config)
    assert janus("snapshots").split()[0] == "5"
    janus("snapshots", "show", "5", tmp_path / "5.jpg")
    assert cv2.imread(str(tmp_path / "5.jpg")).shape == (48, 64, 3)
    assert (tmp_path / "5.jpg").stat().st_mode & 0o777 == 0o600
    with Audit(tmp_path / "a.sqlite") as audit:
        assert [(each.kind, each.facts) for each in audit.events()] == [
            ("snapshot shown", {"event": 5})
        ]
    with pytest.raises(GalleryError, match="no snapshot is kept of event 6"):
        janus("snapshots", "show", "6", tmp_path / "6.jpg")


def test_retention_lets_go_of_old_events_and_old_snapshots(janus, tmp_path, config):
    take(config, days_ago=365)
    old = datetime(2025, 1, 1, tzinfo=UTC)
    with Audit(tmp_path / "a.sqlite", clock=lambda: old) as audit:
        for _ in range(3):
            audit.note("start")
    with Audit(tmp_path / "a.sqlite") as audit:
        audit.note("start")
        assert retain_events(read_config(config), audit, datetime.now(UTC)) == 3
        assert audit.verify() is None
    retain_snapshots(read_config(config), datetime.now(UTC))
    assert janus("snapshots") == ""


def test_a_site_may_ask_for_consent_of_everybody_new(tmp_path, config):
    """Whoever has a record may add pictures without another."""
    config.write_text(CONFIG + "[privacy]\nrequire_consent = true\n")
    with GalleryStore(tmp_path / "g.sqlite", MODEL) as store:
        store.enrol("Ada", [Embedding(np.eye(8, dtype=np.float32)[0], MODEL)], consent="on paper")
        store.enrol("Eve", [Embedding(np.eye(8, dtype=np.float32)[1], MODEL)])
        for name, words, admitted in (
            ("ada", (), True),
            ("Eve", (), False),
            ("Bob", (), False),
            ("Bob", ("--consent", "  "), False),
            ("Bob", ("--consent", "by mail of 2026-11-24"), True),
        ):
            arguments = build_parser(enrol.COMMANDS).parse_args(["enrol", name, "x.png", *words])
            settings = read_config(config)
            if admitted:
                enrol._require_consent(arguments, settings, store)
            else:
                with pytest.raises(EnrolmentError, match="--consent"):
                    enrol._require_consent(arguments, settings, store)
