"""The Haar cascades on a real portrait, and where they look in the frames of a camera."""

from __future__ import annotations

import astronaut
import cv2
import numpy as np
import pytest

from edge.align import align
from edge.config import DetectorConfig
from edge.detect import open_detector
from edge.errors import ConfigError
from edge.faces import is_a_face
from edge.haar import FollowingHaar, HaarDetector
from edge.vocabulary import Box


@pytest.fixture(scope="module")
def portrait():
    return astronaut.picture()


def test_a_face_smaller_than_asked_for_is_not_found(portrait):
    assert HaarDetector(160).detect(portrait) == ()


def test_a_face_that_fills_the_picture_is_found(portrait):
    """AT&T's pictures end at chin and hair: the search needs a margin."""
    tight = np.ascontiguousarray(portrait[62:172, 172:278])
    (found,) = HaarDetector(80).detect(tight)
    assert astronaut.error(found.landmarks, astronaut.LANDMARKS - [172, 62]) < 0.15


def test_noise_never_gives_landmarks_that_cannot_be_aligned():
    """Whatever the cascade takes for a face, `align` must accept."""
    detector = HaarDetector(24)
    for seed in range(4):
        coarse = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)
        for found in detector.detect(pixels):
            assert align(pixels, found).pixels.shape == (112, 112, 3)


def test_the_search_of_a_huge_picture_is_bounded(monkeypatch):
    """A 100-megapixel photo must not take a hundred times as long as a frame."""
    sizes = []
    detector = HaarDetector(24)

    class Spy:
        def detectMultiScale2(self, image, **options):  # noqa: N802 - OpenCV's name
            sizes.append(image.size)
            return (), ()

    monkeypatch.setattr(detector, "_faces", Spy())
    detector.detect(np.zeros((4000, 4000, 3), np.uint8))
    assert sizes[0] < 2_000_000


def test_without_eyes_the_mean_face_stands_in():
    detector = HaarDetector(60)
    blank = np.full((300, 300), 128, np.uint8)
    landmarks = detector._landmarks(blank, Box(100, 100, 200, 200))
    np.testing.assert_allclose(landmarks[:2], [[131.4, 138.3], [168.6, 138.3]], atol=0.1)
    assert is_a_face(landmarks)


def test_an_opencv_without_cascades_is_a_configuration_error(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path))
    with pytest.raises(ConfigError, match="below version 5"):
        HaarDetector(80)


@pytest.mark.parametrize("folder", ["s1", "s17", "s40"])
def test_every_att_picture_of_a_subject_has_one_face(shared_data, folder):
    detector = HaarDetector(48)
    paths = sorted((shared_data / "att-faces" / folder).glob("*.pgm"))
    assert len(paths) == 10
    for path in paths:
        assert len(detector.detect(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))) == 1


class Searches:
    """A cascade that counts the pixels of each picture that is searched."""

    def __init__(self, cascade):
        self._cascade = cascade
        self.pixels = []

    def detectMultiScale2(self, image, **options):  # noqa: N802 - OpenCV's name
        self.pixels.append(image.size)
        return self._cascade.detectMultiScale2(image, **options)


@pytest.fixture
def following():
    """A detector for frames, and what it searches."""
    haar = HaarDetector(60)
    haar._faces = Searches(haar._faces)
    return FollowingHaar(haar), haar._faces.pixels


def middles(found):
    return [each.landmarks.mean(axis=0) for each in found]


def test_a_face_that_walks_is_followed_by_looking_where_it_was(following):
    detector, searched = following
    found = [detector.detect(astronaut.frame(left)) for left in range(0, 160, 16)]
    assert [len(each) for each in found] == [1] * 10
    across = np.diff([middles(each)[0][0] for each in found])
    assert across == pytest.approx(np.full(9, 16), abs=4)
    whole = max(searched)
    assert [size < whole / 4 for size in searched] == ([False] + [True] * 4) * 2


def test_where_it_was_the_same_face_is_found_as_everywhere():
    haar = HaarDetector(60)
    picture = astronaut.frame(40)
    (everywhere,) = haar.detect(picture)
    (there,) = haar.search(picture, [everywhere.box])
    assert astronaut.error(there.landmarks, everywhere.landmarks) < 0.08


def test_nothing_is_found_where_nobody_is():
    far = Box(400, 300, 500, 400)
    assert HaarDetector(60).search(astronaut.frame(0), [far]) == ()


def test_who_comes_second_is_seen_within_five_frames(following):
    detector, _ = following
    alone = astronaut.frame(0, side_px=420)
    both = alone.copy()
    both[:300, 360:620] = alone[:300, 60:320]
    assert len(detector.detect(alone)) == 1
    seen = [middles(detector.detect(both)) for _ in range(5)]
    assert not any(at[0] > 400 for at in seen[0])  # or the test would show nothing
    assert any(at[0] > 400 for at in seen[-1])


def test_who_is_not_where_he_was_is_looked_for_everywhere_at_once(following):
    detector, _ = following
    detector.detect(astronaut.frame(0))
    (found,) = detector.detect(astronaut.frame(250))
    assert middles([found])[0][0] > 400


def test_while_nobody_is_known_every_frame_is_searched_whole(following):
    detector, searched = following
    for _ in range(3):
        assert detector.detect(np.full((480, 640, 3), 110, np.uint8)) == ()
    assert len(searched) == 3
    assert len(set(searched)) == 1


def test_frames_of_another_size_are_searched_whole(following):
    detector, searched = following
    detector.detect(astronaut.frame(0))
    assert len(detector.detect(astronaut.picture())) == 1
    assert len(searched) == 2
    assert min(searched) > max(searched) / 3


def test_only_the_frames_of_a_camera_are_looked_at_in_their_order():
    config = DetectorConfig(backend="haar")
    assert isinstance(open_detector(config, frames=True), FollowingHaar)
    assert isinstance(open_detector(config), HaarDetector)
