"""Looks of a detector at a mirrored, turned or resized face tell the same places; what is taught.

In place of YuNet stands a detector that finds five red dots and nothing else, exactly: so whatever
is wrong in an answer was done by the way there and back.
"""

from __future__ import annotations

import csv
import zipfile

import cv2
import numpy as np
import pytest

from edge.align import TEMPLATE
from edge.geometry import moved
from train.errors import DataSetError
from train.eyes import looks, scenes, surroundings, teaching
from train.eyes.looks import LOOKS, Looker, are_turned, error_of, is_same, some_looks
from train.eyes.material import Material, Photo, crop_rows
from train.eyes.scenes import LANDMARKS

SIDE = 144
# No symmetry: a mirror that is not undone, or eyes that change places, show.
DOTS = np.array([[52, 58], [90, 53], [66, 78], [56, 98], [84, 96]], np.float32)


def aside(x, y=0.0):
    """Return the face that lies so far aside of DOTS."""
    return DOTS + np.array([x, y], np.float32)


class Dots:
    """Stands for cv2.FaceDetectorYN: five red dots are a face, of which the upper two are eyes."""

    calls = 0

    def setInputSize(self, size):  # noqa: N802 - OpenCV's
        self.size = size

    def detect(self, picture):
        Dots.calls += 1
        Dots.seen = picture
        assert picture.shape[1::-1] == tuple(self.size)
        blue, _, red = (picture[..., at].astype(np.float64) for at in range(3))
        red = np.clip(red - blue, 0, None)  # swapped channels would leave none
        count, labels = cv2.connectedComponents((red > 30).astype(np.uint8))
        if count != 6:
            return 0, None
        y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
        weights = [red * (labels == each) for each in range(1, 6)]
        places = [((w * x).sum() / w.sum(), (w * y).sum() / w.sum()) for w in weights]
        eyes, nose, mouth = (
            sorted(places, key=lambda at: at[1])[i:j] for i, j in ((0, 2), (2, 3), (3, 5))
        )
        ordered = [*sorted(eyes), *nose, *sorted(mouth)]
        return 1, np.array([[0, 0, 1, 1, *np.ravel(ordered), 0.9]], np.float32)


@pytest.fixture(autouse=True)
def dots(monkeypatch):
    Dots.calls = 0
    monkeypatch.setattr(looks.cv2.FaceDetectorYN, "create", lambda *_: Dots())


def picture(places=DOTS, side=SIDE):
    """Return RGB pixels with a red dot at each place."""
    y, x = np.mgrid[:side, :side]
    red = sum(np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 8) for at in places)
    pixels = np.full((side, side, 3), 20, np.uint8)
    pixels[..., 0] += (235 * np.clip(red, 0, 1)).astype(np.uint8)
    return pixels


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_tells_places_in_the_picture_itself(look):
    (found,) = Looker("yunet.onnx").look(picture(), look)
    # Half a pixel that is forgotten on the way is a sixth at these sizes.
    assert np.abs(found - DOTS).max() < 0.12


def test_a_face_is_the_mean_of_its_looks_and_halves_that_agree_are_no_noise():
    (face,) = Looker("yunet.onnx").faces(picture())
    assert Dots.calls == len(LOOKS) == 32
    assert np.abs(face.landmarks - DOTS).max() < 0.1
    assert face.noise < 0.005


def test_the_noise_is_half_of_what_plain_and_mirrored_looks_differ_by(monkeypatch):
    monkeypatch.setattr(Looker, "look", lambda _, __, look: [aside(3.8 * look.mirrored)])
    (face,) = Looker("yunet.onnx").faces(picture())
    eyes = np.hypot(38, 5)
    assert face.noise == pytest.approx(1.9 / eyes, rel=1e-4)
    np.testing.assert_allclose(face.landmarks, aside(1.9), atol=1e-4)


@pytest.mark.parametrize(("seen", "count"), [(16, 1), (15, 0)])
def test_a_face_counts_that_half_of_the_looks_see(monkeypatch, seen, count):
    sees = set(LOOKS[:seen])
    monkeypatch.setattr(Looker, "look", lambda _, __, look: [DOTS] if look in sees else [])
    faces = Looker("yunet.onnx").faces(picture())
    assert len(faces) == count
    # The first sixteen are plain looks: nothing is known of what the mirror would tell.
    assert all(np.isnan(face.noise) for face in faces)


def test_two_faces_of_a_look_are_two_faces(monkeypatch):
    monkeypatch.setattr(Looker, "look", lambda *_: [DOTS, aside(60)])
    found = sorted(float(each.landmarks[0, 0]) for each in Looker("yunet.onnx").faces(picture()))
    assert found == [52.0, 112.0]


def test_six_looks_are_three_plain_and_three_mirrored_and_turn_scale_and_shift_differently():
    for seed in range(20):
        six = some_looks(np.random.default_rng(seed))
        assert set(six) <= set(LOOKS)
        assert [each.mirrored for each in six] == [False] * 3 + [True] * 3
        assert len({each[1:] for each in six}) == 6


@pytest.mark.parametrize(
    ("what", "least", "most"),
    [("turn_deg", -12, 12), ("scale", 0.7, 1.5), ("right_px", 0, 32), ("down_px", 0, 32)],
)
def test_looks_are_spread_evenly_over_turns_scales_and_the_cell(what, least, most):
    told = [getattr(each, what) for each in LOOKS]
    assert min(told) >= least
    assert max(told) <= most
    told_of = np.log(told) if what == "scale" else np.array(told)
    ends = np.log([least, most]) if what == "scale" else np.array([least, most])
    counts, _ = np.histogram(told_of, np.linspace(*ends, 17))
    assert counts.tolist() == [2] * 16
    # The mirrored half looks as the plain one does: what differs is the mirror's.
    assert told[:16] == told[16:]


def test_around_the_picture_is_grey_and_no_streak_of_its_edge():
    Looker("yunet.onnx").look(picture(), LOOKS[0])  # turned by 11 degrees, and shifted
    corners = Dots.seen[[0, 0, -1, -1], [0, -1, -1, 0]]
    assert (corners == 127).all()


@pytest.mark.parametrize("what", ["LOOKS", "SCORE", "_AROUND"])
def test_landmarks_of_other_looks_are_told_apart(what, tmp_path, monkeypatch):
    model = tmp_path / "yunet.onnx"
    model.write_bytes(b"one")
    before = looks.fingerprint(model)
    assert looks.fingerprint(model) == before
    monkeypatch.setattr(looks, what, "another")
    assert looks.fingerprint(model) != before


def test_no_look_shifts_anything_out_of_the_picture():
    near_edges = DOTS + np.array([144 - 106, 144 - 114], np.float32)
    for look in LOOKS:
        if abs(look.turn_deg) < 5:
            (found,) = Looker("yunet.onnx").look(picture(near_edges), look)
            assert np.abs(found - near_edges).max() < 0.12


def test_an_error_is_in_eye_distances_and_a_face_twice_as_large_is_another():
    assert error_of(aside(0, np.hypot(38, 5)), DOTS) == pytest.approx(1)
    assert is_same(DOTS + 5, DOTS)
    assert not is_same(aside(40), DOTS)
    assert not is_same((DOTS - DOTS.mean(axis=0)) * 2.1 + DOTS.mean(axis=0), DOTS)


def test_a_head_is_turned_whose_eyes_are_near_each_other():
    narrow = (DOTS - DOTS.mean(axis=0)) * (0.6, 1) + DOTS.mean(axis=0)
    assert are_turned(np.array([DOTS, narrow])).tolist() == [False, True]
    assert not are_turned((DOTS - 1) * 3)  # at whatever size


# What is taught.

SHIFTS = [(0, 0), (6, -4), (-5, 3), (0, 0)]
WRONG = np.array([2.0, -1.5], np.float32)  # of the data set's one look


def webp(pixels):
    _, coded = cv2.imencode(
        ".webp", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, 101]
    )
    return coded.tobytes()


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Write four crops, of which the last shows no face and the first is held out, and a photo."""
    faces, photos = tmp_path / "faces", tmp_path / "scenes"
    faces.mkdir()
    photos.mkdir()
    columns = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
    with (
        zipfile.ZipFile(faces / "some.zip", "w") as archive,
        (faces / "index.csv").open("w", newline="", encoding="utf-8") as file,
    ):
        index = csv.writer(file)
        index.writerow(["file", "source", *columns])
        for at, shift in enumerate(SHIFTS):
            blank = np.full((SIDE, SIDE, 3), 20, np.uint8)
            archive.writestr(f"{at}.webp", webp(blank if at == 3 else picture(DOTS + shift)))
            index.writerow([f"{at}.webp", "some", *(DOTS + shift + WRONG).ravel()])
    with (
        zipfile.ZipFile(photos / "scenes.zip", "w") as archive,
        (photos / "faces.csv").open("w", newline="", encoding="utf-8") as file,
    ):
        index = csv.writer(file)
        index.writerow(["file", "left", "top", "right", "bottom", *columns, "score"])
        for name in ("one.webp", "two.webp"):
            archive.writestr(name, webp(picture()))
            index.writerow([name, 30, 30, 110, 120, *(DOTS + WRONG).ravel(), 0.9])
            small = (DOTS - DOTS.mean(axis=0)) * 0.2 + (20, 20)
            index.writerow([name, 12, 12, 28, 28, *small.ravel(), 0.9])
    monkeypatch.setattr(scenes, "_TEST_PHOTOS", 1)
    return faces, photos


@pytest.fixture
def material(data):
    """Return what `read_material` would, as far as it matters here."""
    faces, photos = data
    listed = np.array([landmarks for _, landmarks in crop_rows(faces)])
    (photo,) = scenes.read_scenes(photos, "train")
    grey = np.zeros((SIDE, SIDE), np.uint8)
    held = Photo(grey, photo.landmarks.astype(np.float64), photo.scores)
    return Material(np.zeros((3, SIDE, SIDE), np.uint8), listed, (held,), ())


@pytest.fixture
def teach(data, material, tmp_path):
    model = tmp_path / "teacher.onnx"
    model.write_bytes(b"one")
    return lambda **changed: teaching.taught(
        changed.get("material", material), *data, changed.get("model", model), tmp_path / "run"
    )


def test_landmarks_are_taught_as_the_looks_see_them(teach):
    better = teach()
    for placed, shift in zip(better.landmarks[:2], SHIFTS[1:3], strict=True):
        assert np.abs(placed - (DOTS + shift)).max() < 0.3
    assert np.abs(better.photos[0].landmarks[0] - DOTS).max() < 0.3


def test_a_face_that_the_looks_lose_keeps_its_landmarks(teach, material):
    better = teach()
    np.testing.assert_array_equal(better.landmarks[2], material.landmarks[2])
    np.testing.assert_array_equal(better.photos[0].landmarks[1], material.photos[0].landmarks[1])


def test_a_face_too_small_to_be_seen_better_keeps_its_landmarks(teach, material, monkeypatch):
    small = material.photos[0].landmarks[1].astype(np.float32)
    monkeypatch.setattr(Looker, "look", lambda *_: [small + 0.5])
    np.testing.assert_array_equal(teach().photos[0].landmarks[1], small)


def test_another_run_does_not_look_again_unless_the_teacher_is_another(teach, tmp_path):
    first = teach()
    looked = Dots.calls
    assert looked == 5 * 6  # three crops, a photo, and its one face that is large enough, cut
    again = teach()
    assert Dots.calls == looked
    np.testing.assert_array_equal(again.landmarks, first.landmarks)
    (tmp_path / "teacher.onnx").write_bytes(b"another")
    teach()
    assert Dots.calls == 2 * looked


def test_crops_are_taught_as_whole_pictures_show_faces(teach, monkeypatch):
    cuts = np.stack([np.stack([DOTS, aside(3)])] * surroundings.LEAST_PAIRS)
    monkeypatch.setattr(teaching, "_cuts", lambda *_: cuts)
    better = teach()
    for placed, shift in zip(better.landmarks[:2], SHIFTS[1:3], strict=True):
        assert np.abs(placed - aside(3) - shift).max() < 0.3
    assert np.abs(better.photos[0].landmarks[0] - DOTS).max() < 0.3  # is a whole picture


def test_too_few_faces_move_nothing_and_it_is_said(teach, caplog):
    better = teach()
    assert np.abs(better.landmarks[0] - DOTS - SHIFTS[1]).max() < 0.3
    assert "only 1 faces of whole photos" in caplog.text


def test_a_face_is_cut_as_the_crops_are():
    places = (DOTS - DOTS.mean(axis=0)) * 0.8 + (70, 60)
    crop, move = surroundings.cut(picture(places), places.astype(np.float32))
    assert crop.shape == (144, 144, 3)
    at = moved(places.astype(np.float32), move)
    assert np.abs(at.mean(axis=0) - (TEMPLATE.mean(axis=0) + 16)).max() < 0.01
    assert crop[int(at[0, 1]), int(at[0, 0]), 0] > 150  # a red dot is where it says


def test_a_face_is_cut_where_the_data_set_has_it_and_told_where_the_looks_do():
    known = (DOTS + WRONG)[np.newaxis]
    ((in_crop, in_photo),) = teaching._cuts(
        Looker("yunet.onnx"), picture(), known, DOTS[np.newaxis], 0
    )
    _, move = surroundings.cut(picture(), known[0])
    assert np.abs(in_photo - moved(DOTS, move)).max() < 0.01
    assert np.abs(in_crop - in_photo).max() < 0.3
    assert np.abs((in_photo - moved(known[0], move)).mean(axis=0)).max() > 1


def test_a_linear_map_is_learnt_and_told_for_others():
    rng = np.random.default_rng(0)
    in_crop = (DOTS + rng.normal(0, 4, (400, 5, 2))).astype(np.float32)
    wanted = in_crop * 1.1 - 5
    around = surroundings.fitted(in_crop[:300], wanted[:300])
    np.testing.assert_allclose(around.seen(in_crop[300:]), wanted[300:], atol=0.3)
    assert surroundings.fitted(in_crop[:99], wanted[:99]) is None


def test_what_was_taught_about_other_pictures_is_refused(teach, material):
    teach()
    fewer = Material(material.crops[:2], material.landmarks[:2], material.photos, ())
    with pytest.raises(DataSetError, match="of other pictures"):
        teach(material=fewer)


def test_a_teacher_that_is_not_there_is_named(teach, tmp_path):
    with pytest.raises(DataSetError, match=r"nowhere\.onnx cannot be read"):
        teach(model=tmp_path / "nowhere.onnx")
