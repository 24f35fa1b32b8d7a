"""Pictures of visits: sealed, few, gone in time, and never in the door's way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest

from edge.audit import Audit
from edge.config import parse_config, read_config
from edge.errors import GalleryError
from edge.privacy import SnapshotTaker, snapshots_of
from edge.stores.keyfile import KeyFile
from edge.stores.snapshots import Snapshots
from edge.vocabulary import Decision, Outcome, Reason

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def picture(level=90):
    return np.full((48, 64, 3), (level, 20, 200), np.uint8)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "snapshots"


@pytest.fixture
def snapshots(tmp_path, directory):
    keys = KeyFile(tmp_path / "storage.key")
    return Snapshots(directory, keys, most=3, most_days=10, room_bytes=0)


def test_a_snapshot_opens_as_the_picture_that_it_was(snapshots, directory):
    assert snapshots.keep(7, "0a1b2c3d", picture(), NOW)
    (kept,) = snapshots.all()
    assert (kept.seq, kept.subject_id, kept.at_utc) == (7, "0a1b2c3d", NOW)
    jpeg = snapshots.open(kept)
    assert jpeg not in kept.path.read_bytes()
    rgb = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(rgb.astype(int) - picture()).max() < 12
    assert kept.path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_only_so_many_are_kept_for_so_long(snapshots):
    for seq in range(1, 6):
        snapshots.keep(seq, None, picture(), NOW + timedelta(days=seq))
    assert [each.seq for each in snapshots.all()] == [3, 4, 5]
    snapshots.prune(NOW + timedelta(days=14.5))
    assert [each.seq for each in snapshots.all()] == [5]


def test_those_of_one_subject_can_be_erased(snapshots):
    for seq, who in ((1, "aaaaaaaa"), (2, None), (3, "aaaaaaaa")):
        snapshots.keep(seq, who, picture(), NOW)
    assert snapshots.forget("aaaaaaaa") == 2
    assert [each.seq for each in snapshots.all()] == [2]


def test_a_full_disk_stops_snapshots_first_and_is_said_once(tmp_path, directory, caplog):
    keys = KeyFile(tmp_path / "storage.key")
    snapshots = Snapshots(directory, keys, most=3, most_days=10, room_bytes=1 << 62)
    assert [snapshots.keep(seq, None, picture(), NOW) for seq in (1, 2)] == [False, False]
    assert caplog.text.count("no snapshots are kept for now: only") == 1
    assert list(directory.iterdir()) == []


def test_nothing_about_a_snapshot_stops_the_door(tmp_path, directory, caplog):
    directory.write_text("in the way")
    keys = KeyFile(tmp_path / "storage.key")
    snapshots = Snapshots(directory, keys, most=3, most_days=10, room_bytes=0)
    assert not snapshots.keep(1, None, picture(), NOW)
    assert "no snapshots are kept" in caplog.text


def test_one_that_was_renamed_or_altered_does_not_open(snapshots):
    snapshots.keep(1, "aaaaaaaa", picture(), NOW)
    (kept,) = snapshots.all()
    kept.path.rename(kept.path.with_name(kept.path.name.replace("aaaaaaaa", "bbbbbbbb")))
    (other,) = snapshots.all()
    with pytest.raises(GalleryError, match="does not open"):
        snapshots.open(other)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [("none", []), ("refused", [2]), ("all", [1, 2])],
    ids=["none", "refused", "all"],
)
def test_the_configuration_says_of_which_visits(tmp_path, asked, kept):
    """Off unless a site turns it on; a frame that decides nothing is never kept."""
    tables = {
        "store": {"gallery": "gallery.sqlite", "snapshots": "snapshots"},
        "privacy": {"snapshots": asked, "snapshot_room_mb": 10},
    }
    config = parse_config(tables, base=tmp_path)
    taker = SnapshotTaker(config)
    for seq, outcome in ((1, Outcome.GRANT), (2, Outcome.DENY), (3, Outcome.WAIT)):
        made = Decision(outcome, Reason.LEFT, 1.0, "0a1b2c3d", 0.5, 0.4, 3, "a" * 64)
        assert taker(seq, made, picture()) == (seq in kept)
    assert [each.seq for each in snapshots_of(config).all()] == kept
    assert parse_config({}, base=tmp_path).privacy.snapshots == "none"


def test_the_service_keeps_a_snapshot_of_a_visit_beside_its_event(tmp_path):
    """Of the whole program: a person at the door, a picture of the visit, and who it was."""
    pytest.importorskip("skimage", reason="the portrait ships with scikit-image ([demo])")
    from door_site import configure, frames, janus, portrait

    site = configure(
        tmp_path,
        source=frames(tmp_path / "frames", 8),
        store='gallery = "gallery.sqlite"\naudit = "audit.sqlite"\nbundles = "bundles"\n'
        'snapshots = "snapshots"',
        privacy='snapshots = "all"\nsnapshot_room_mb = 10',
    )
    photo = portrait(tmp_path / "photo.png", size_px=640)
    assert janus("enrol", "Eileen", photo, "--consent", "asked", config=site).returncode == 0
    done = janus("run", config=site)
    assert done.returncode == 0, done.stderr
    with Audit(tmp_path / "audit.sqlite") as audit:
        decided = {
            event.seq: event.facts["subject_id"] for event in audit.events_of_kind("decision")
        }
    kept = {each.seq: each.subject_id for each in snapshots_of(read_config(site)).all()}
    assert kept == decided
    assert len(kept) >= 1
