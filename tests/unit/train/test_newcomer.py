"""One more person from one photo, and names in a group photo: comparisons only, no training."""

import shutil

import cv2
import numpy as np
import pytest

from edge.errors import EnrolmentError
from train.data.datasets import Index, Picture
from train.data.framing import Crops
from train.errors import DataSetError
from train.fitting.newcomer import enrol_newcomer, enrolment_section, read_faces
from train.measuring.label import draw_names, name_faces
from train.measuring.metrics import Threshold


def encode(crops):
    """Stand in for a net: a coarse picture of grey differences."""
    grey = crops.astype(np.float32).mean(axis=3)
    small = np.stack([cv2.resize(each, (16, 16), interpolation=cv2.INTER_AREA) for each in grey])
    flat = small.reshape(len(crops), -1)
    return flat - flat.mean(axis=1, keepdims=True)


def people(count=5, each=2):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (count, 16, 16, 3), np.uint8).repeat(each, axis=0)
    pictures = tuple(
        Picture(f"{n}/{k}", f"p{n}", "x", lambda: None) for n in range(count) for k in range(each)
    )
    return Crops(Index(pictures), pixels.repeat(7, axis=1).repeat(7, axis=2))


def test_newcomer_is_compared_with_one_picture_of_everybody():
    crops = people()
    stranger = np.random.default_rng(9).integers(0, 255, (1, 16, 16, 3), np.uint8)
    faces = stranger.repeat(7, axis=1).repeat(7, axis=2).repeat(2, axis=0)
    found = enrol_newcomer(crops, encode, faces, 0.9)
    assert [crops.index.pictures[at].subject for at in found.shown] == list(crops.index.subjects)
    assert found.matched == 0
    assert found.own[0] == pytest.approx(1.0)


def test_newcomer_who_looks_like_somebody_matches_that_one():
    crops = people()
    assert enrol_newcomer(crops, encode, crops.pixels[:1], 0.9).matched == 1


def test_nobody_is_enrolled_without_a_threshold():
    """The run that took hours keeps its report all the same."""
    crops = people()
    (line,) = enrolment_section(crops, encode, ["me.jpg"], crops.pixels[:1], None).lines
    assert "not enrolled" in line
    assert "hold out more" in line


def test_newcomer_is_enrolled_at_the_threshold_of_the_run():
    crops = people()
    section = enrolment_section(
        crops, encode, ["a.jpg", "b.jpg"], crops.pixels[:2], Threshold(0.9, 0.0025)
    )
    assert section.lines[0] == "enrolled from a.jpg, threshold 0.900 (FMR 0.0025)"
    assert section.lines[1] == "  matched 1 of 5 other people"
    assert section.lines[2] == "  b.jpg: score 1.000, match"


def test_photo_without_a_face_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200), 128, np.uint8))
    with pytest.raises(EnrolmentError, match=r"no face was found in .*wall\.png"):
        read_faces([tmp_path / "wall.png"])


def test_group_photo_gets_a_box_and_a_name_on_each_face(shared_data, tmp_path):
    att = shared_data / "att-faces"
    for name in ("s1", "s2"):
        shutil.copy(att / name / "1.pgm", tmp_path / f"{name}.pgm")
    photo = np.hstack([cv2.imread(str(att / name / "1.pgm")) for name in ("s2", "s1")])
    named = name_faces(photo, tmp_path, encode, 0.9)
    across = sorted((each.detection.box.left, each.name) for each in named if each.matches)
    assert [name for _, name in across] == ["s2", "s1"]
    drawn = draw_names(photo, named)
    assert drawn.shape == photo.shape
    assert (drawn != photo).any()


def test_database_without_a_face_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200), 128, np.uint8))
    with pytest.raises(DataSetError, match=r"expected NAME\.jpg"):
        name_faces(np.full((200, 200, 3), 128, np.uint8), tmp_path, encode, 0.5)
