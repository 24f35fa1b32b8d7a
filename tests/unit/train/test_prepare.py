"""Photos become crops: to the pixel as at the door, resumable, and the refused can be seen."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from edge.config import DetectorConfig
from edge.errors import ConfigError
from train.data.datasets import read_folder
from train.data.framing import align_pictures
from train.data.prepare import prepare
from train.errors import DataSetError


def faces(shared_data, directory, count=3):
    """Copy a few AT&T pictures into one folder per person, with a blank one."""
    source = shared_data / "att-faces"
    for person in ("s1", "s2"):
        (directory / person).mkdir(parents=True)
        for number in range(1, count + 1):
            shutil.copy(source / person / f"{number}.pgm", directory / person)
    cv2.imwrite(str(directory / "s1" / "blank.png"), np.full((112, 92), 128, np.uint8))
    return directory


def test_prepare_cuts_crops_lists_them_and_shows_what_was_refused(shared_data, tmp_path):
    photos = faces(shared_data, tmp_path / "photos")
    crops, refused = prepare(photos, tmp_path / "crops")
    assert (crops, refused) == (6, 1)
    index = read_folder(tmp_path / "crops")
    assert index.subjects == ("s1", "s2")
    assert all(each.load().shape == (112, 112, 3) for each in index.pictures)
    with (tmp_path / "crops" / "index.csv").open() as lines:
        rows = {row["photo"]: row for row in csv.DictReader(lines)}
    assert rows["s1/blank.png"]["refused"] == "no face found"
    assert (tmp_path / "crops" / "refused.png").is_file()


def test_prepare_agrees_with_training_to_the_pixel(shared_data, tmp_path):
    photos = faces(shared_data, tmp_path / "photos")
    prepare(photos, tmp_path / "crops")
    aligned = align_pictures(read_folder(photos))
    written = read_folder(tmp_path / "crops")
    assert len(aligned.index.refused) == 1
    for each, crop in zip(written.pictures, aligned.pixels, strict=True):
        np.testing.assert_array_equal(each.load(), crop)


def listed(crops):
    """Return the listing's rows by photo."""
    with (crops / "index.csv").open(newline="") as lines:
        return {row["photo"]: row for row in csv.DictReader(lines)}


def test_prepare_goes_on_where_it_was_stopped(shared_data, tmp_path):
    photos, crops = faces(shared_data, tmp_path / "photos"), tmp_path / "crops"
    prepare(photos, crops)
    listing = crops / "index.csv"
    lines = listing.read_bytes().splitlines(keepends=True)
    listing.write_bytes(b"".join(lines[:4]) + lines[4][:5])
    old = {path: path.stat().st_mtime_ns for path in crops.glob("s*/*.png")}
    assert prepare(photos, crops) == (6, 1)
    written = [path.name for path, then in old.items() if path.stat().st_mtime_ns != then]
    assert len(written) == 3, "the three faces of s2 were left"
    assert list(listed(crops)) == [
        *("s1/1.pgm", "s1/2.pgm", "s1/3.pgm", "s1/blank.png"),
        *("s2/1.pgm", "s2/2.pgm", "s2/3.pgm"),
    ]


def test_crop_that_was_lost_is_cut_again(shared_data, tmp_path):
    photos, crops = faces(shared_data, tmp_path / "photos"), tmp_path / "crops"
    prepare(photos, crops)
    lost = crops / listed(crops)["s1/2.pgm"]["file"]
    lost.unlink()
    assert prepare(photos, crops) == (6, 1)
    assert lost.is_file()


def test_kill_in_the_middle_loses_no_crop_and_leaves_no_half_file(shared_data, tmp_path):
    """SIGKILL while it writes: what is listed is whole, and a second call ends as one would."""
    photos, crops = shared_data / "att-faces", tmp_path / "crops"
    code = f"""
from pathlib import Path
from train.data.prepare import prepare
prepare(Path({str(photos)!r}), Path({str(crops)!r}))
"""
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    listing = crops / "index.csv"
    deadline_s = time.monotonic() + 60
    while not listing.is_file() or listing.read_bytes().count(b"\n") < 20:
        assert child.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in crops.glob("s*/*.png")}
    assert 19 <= len(before) < 400, "it was killed in the middle"
    assert all(cv2.imread(str(path)).shape == (112, 112, 3) for path in before)
    found, refused = prepare(photos, crops)
    assert found + refused == 400
    assert len(listed(crops)) == 400
    kept = [path for path, then in before.items() if path.stat().st_mtime_ns == then]
    assert len(kept) >= len(before) - 1, "one photo may have been cut and not yet listed"
    assert len(list(crops.glob("s*/*.png"))) == found
    assert [*crops.rglob("*.partial")] == []


def test_crops_of_two_detectors_are_never_mixed(shared_data, tmp_path):
    photos = faces(shared_data, tmp_path / "photos")
    prepare(photos, tmp_path / "crops")
    with pytest.raises(ConfigError, match="detector janus placed"):
        prepare(photos, tmp_path / "crops", detector=DetectorConfig(backend="haar"))


def test_many_refusals_are_shown_on_several_sheets(tmp_path):
    blank = np.full((48, 40), 128, np.uint8)
    for name in ("ada", "eve"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(61):
            cv2.imwrite(str(tmp_path / "photos" / name / f"{number}.png"), blank)
    (tmp_path / "photos" / "ada" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    assert prepare(tmp_path / "photos", tmp_path / "crops") == (0, 123)
    first, second = (
        cv2.imread(str(tmp_path / "crops" / each)) for each in ("refused.png", "refused-2.png")
    )
    assert first.shape[0] > 10 * second.shape[0]
    assert "no face" not in listed(tmp_path / "crops")["ada/torn.jpg"]["refused"]


def test_photos_whose_folders_read_alike_do_not_overwrite_each_other(shared_data, tmp_path):
    for folder in ("a_b", "a/b"):
        for person in ("ada", "eve"):
            (tmp_path / "photos" / folder / person).mkdir(parents=True)
            number = 1 if folder == "a_b" else 2
            shutil.copy(
                shared_data / "att-faces" / "s1" / f"{number}.pgm",
                tmp_path / "photos" / folder / person / "1.pgm",
            )
    assert prepare(tmp_path / "photos", tmp_path / "crops") == (4, 0)
    assert len(list((tmp_path / "crops").glob("*/*.png"))) == 4


def test_directory_that_cannot_be_written_says_so(shared_data, tmp_path):
    photos = faces(shared_data, tmp_path / "photos")
    (tmp_path / "crops").write_text("a file")
    with pytest.raises(DataSetError, match="cannot be written"):
        prepare(photos, tmp_path / "crops")
