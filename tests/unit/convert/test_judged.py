"""A threshold is chosen on the pictures that the door would judge."""

from __future__ import annotations

import csv
import io
import zipfile

import cv2
import numpy as np
import pytest

pytest.importorskip("tqdm", reason="needs the workstation extra")

from convert.embedding_worker import as_aligned
from convert.judged import LIMITS, Face, select
from convert.pictures import read_pictures
from edge.align import TEMPLATE
from edge.config import QualityConfig
from edge.vocabulary import Flaw
from train.data.datasets import Picture
from train.errors import DataSetError

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
TURNED = TEMPLATE + np.array([[0, 0], [0, 0], [14, 0], [0, 0], [0, 0]], np.float32)


def face(pixels, landmarks=None):
    picture = Picture("1.png", "ada", "toys", load=lambda: pixels)
    return Face(picture, as_aligned(pixels.copy(), landmarks), landmarks is not None)


def test_faces_that_the_door_passes_over_are_left_out_and_counted(crops):
    dark = (crops[3] // 8).astype(np.uint8)
    fit, selection = select([face(crops[0], TEMPLATE), face(crops[1], TURNED), face(dark)])
    assert [each.aligned.pixels.tolist() for each in fit] == [crops[0].tolist()]
    assert (selection.looked_at, selection.passed_over, selection.without_pose) == (3, 2, 1)
    assert selection.flaws[Flaw.TURNED] == selection.flaws[Flaw.TOO_DARK] == 1
    assert "2 of 3 pictures were passed over, as the door does: " in str(selection)
    assert "1 turned" in str(selection)
    assert "1 are crops without landmarks" in str(selection)


def test_size_alone_is_never_a_reason_for_a_crop_does_not_tell_it(crops):
    landmarks = TEMPLATE * np.float32(0.3)
    assert LIMITS.eye_distance_px == 0.0
    assert LIMITS.yaw_deg == QualityConfig().yaw_deg
    assert select([face(crops[0], landmarks)])[1].passed_over == 0


def test_manifest_gets_counts_by_name_and_the_limits(crops):
    facts = select([face(crops[1], TURNED)])[1].facts()
    assert facts["flaws"] == {"turned": 1}
    assert facts["limits"]["yaw_deg"] == QualityConfig().yaw_deg
    assert "eye_distance_px" not in facts["limits"]


@pytest.fixture
def archive(tmp_path, crops, numbers):
    """144x144 crops with landmarks; every person's first looks aside."""
    rows = io.StringIO()
    table = csv.writer(rows)
    table.writerow(["file", "source", "subject", *(f"{n}_{a}" for n in LANDMARKS for a in "xy")])
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as held:
        for at, (crop, number) in enumerate(zip(crops, numbers, strict=True)):
            wide = cv2.copyMakeBorder(crop[..., ::-1], 16, 16, 16, 16, cv2.BORDER_REFLECT)
            held.writestr(f"one/{at}.png", cv2.imencode(".png", wide)[1].tobytes())
            points = (TURNED if at % 6 == 0 else TEMPLATE) + 16
            table.writerow([f"one/{at}.png", "one", f"p{number}", *points.ravel().tolist()])
    (tmp_path / "index.csv").write_text(rows.getvalue(), encoding="utf-8")
    return tmp_path


def test_landmarks_of_an_archives_listing_tell_who_looks_aside(archive, crops):
    read = read_pictures(archive)
    assert read.selection.flaws == {Flaw.TURNED: 7}
    assert read.selection.without_pose == 0
    kept = [at for at in range(len(crops)) if at % 6]
    np.testing.assert_array_equal(read.crops.pixels, crops[kept])


def test_directory_without_a_face_that_a_door_would_judge_is_refused(tmp_path, crops):
    for person in "ab":
        (tmp_path / person).mkdir()
        cv2.imwrite(str(tmp_path / person / "1.png"), crops[0] // 8)
    with pytest.raises(DataSetError, match=r"2 of 2 pictures were passed over.* too dark"):
        read_pictures(tmp_path)
