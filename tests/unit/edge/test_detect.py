"""Finding faces by each detector: a real portrait, YuNet where its file is at hand."""

from __future__ import annotations

import astronaut
import cv2
import numpy as np
import pytest

from edge.bundles.bundle import inspect_bundle
from edge.config import SHIPPED_BUNDLE, DetectorConfig
from edge.detect import YunetDetector, _detection, open_detector
from edge.errors import BundleError, ConfigError
from edge.eyes import EyesDetector
from edge.faces import largest_first
from edge.haar import HaarDetector
from edge.vocabulary import Box, Detection

ASTRONAUT = astronaut.LANDMARKS


@pytest.fixture(scope="module")
def portrait():
    return astronaut.picture()


@pytest.fixture(scope="module")
def yunet_file():
    from pathlib import Path

    path = Path(__file__).parents[4] / "shared" / "peers" / "yunet_n_640_640.onnx"
    if not path.is_file():
        pytest.skip("YuNet's ONNX file is not in ../shared/peers")
    return path


@pytest.fixture(params=["janus", "haar", "yunet"])
def detector(request):
    if request.param == "janus":
        return open_detector(DetectorConfig(), eyes=inspect_bundle(SHIPPED_BUNDLE).eyes)
    if request.param == "haar":
        return HaarDetector(60)
    return YunetDetector(request.getfixturevalue("yunet_file"), 60, 0.7)


def test_the_face_of_a_portrait_is_found_with_its_landmarks(detector, portrait):
    (found,) = detector.detect(portrait)
    assert astronaut.error(found.landmarks, ASTRONAUT) < 0.12
    assert found.landmarks.dtype == np.float32
    assert found.score > 0


def test_the_network_gets_blue_green_red(monkeypatch, yunet_file):
    """YuNet was trained on OpenCV's channel order; ours is RGB."""
    detector = YunetDetector(yunet_file, 60, 0.7)
    seen = []

    class Spy:
        def detect(self, image):
            seen.append(image[0, 0].tolist())
            return 1, None

    monkeypatch.setattr(detector, "_network", Spy())
    detector.detect(np.full((640, 640, 3), (10, 20, 30), np.uint8))
    assert seen == [[30, 20, 10]]


def test_of_two_faces_the_larger_comes_first(detector, portrait):
    near = cv2.resize(portrait[:300, 60:360], (450, 450))
    far = cv2.resize(portrait[:300, 60:360], (250, 250))
    both = np.full((450, 700, 3), 128, np.uint8)
    both[:250, :250], both[:, 250:] = far, near
    first, second = detector.detect(both)
    assert first.box.width > 1.4 * second.box.width
    assert first.box.left > second.box.left


def test_the_same_picture_gives_the_same_faces(detector, portrait):
    first, again = detector.detect(portrait), detector.detect(portrait)
    np.testing.assert_array_equal(first[0].landmarks, again[0].landmarks)
    assert first[0].box == again[0].box


def test_frozen_frames_are_read_and_left_alone(detector, portrait):
    frozen = portrait.copy()
    frozen.setflags(write=False)
    assert len(detector.detect(frozen)) == 1
    np.testing.assert_array_equal(frozen, portrait)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (20, 20), (3, 4000)])
@pytest.mark.parametrize("level", [0, 255])
def test_pictures_without_room_for_a_face_have_none(detector, size, level):
    assert detector.detect(np.full((*size, 3), level, np.uint8)) == ()


@pytest.mark.parametrize(
    ("name", "landmarks"),
    [
        ("coincident", np.zeros((5, 2))),
        ("mirrored", ASTRONAUT * [-1, 1] + [400, 0]),
        ("upside down mouth", ASTRONAUT[[0, 1, 2, 3, 4]] * [1, -1] + [0, 400]),
        ("crossed mouth", ASTRONAUT[[0, 1, 2, 4, 3]]),
    ],
)
def test_landmarks_that_are_no_face_are_dropped(name, landmarks):
    detection = Detection(Box(0, 0, 50, 50), landmarks.astype(np.float32), 9.0)
    assert largest_first([detection]) == ()


def test_a_row_with_nan_is_dropped_and_not_an_error():
    row = np.full(15, np.nan, np.float32)
    detection = _detection(row, np.ones(2, np.float32))
    assert largest_first([detection]) == ()


def test_at_most_eight_faces_come_back_largest_first():
    def face(at, size):
        return Detection(Box(at, 0, at + size, size), ASTRONAUT, 1.0)

    many = [face(at=1000 * each, size=50 + each) for each in range(12)]
    kept = largest_first(many)
    assert [round(each.box.width) for each in kept] == list(range(61, 53, -1))


def test_a_second_box_on_the_same_face_is_dropped():
    outer = Detection(Box(0, 0, 100, 100), ASTRONAUT, 1.0)
    inner = Detection(Box(20, 20, 80, 80), ASTRONAUT, 5.0)
    beside = Detection(Box(90, 0, 170, 80), ASTRONAUT, 1.0)
    assert largest_first([inner, beside, outer]) == (outer, beside)


def test_the_configuration_names_the_detector(yunet_file):
    assert isinstance(open_detector(DetectorConfig(backend="haar")), HaarDetector)
    eyes = inspect_bundle(SHIPPED_BUNDLE).eyes
    assert isinstance(open_detector(DetectorConfig(), eyes=eyes), EyesDetector)
    chosen = DetectorConfig(backend="yunet", model=yunet_file)
    assert isinstance(open_detector(chosen), YunetDetector)


def test_eyes_that_the_bundle_lacks_are_missed_aloud():
    with pytest.raises(BundleError, match=r"this bundle has none; choose backend = \"haar\""):
        open_detector(DetectorConfig(backend="janus"), eyes=None)


def test_yunet_without_its_file_says_what_to_set(tmp_path):
    with pytest.raises(ConfigError, match="needs model"):
        open_detector(DetectorConfig(backend="yunet"))
    with pytest.raises(ConfigError, match="does not exist"):
        open_detector(DetectorConfig(backend="yunet", model=tmp_path / "none.onnx"))


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x07" + b"\x00" * 500])
def test_a_file_that_is_no_network_is_a_configuration_error(tmp_path, capfd, content):
    path = tmp_path / "wrong.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"wrong\.onnx.*no YuNet"):
        open_detector(DetectorConfig(backend="yunet", model=path))


def test_another_network_is_a_configuration_error(yunet_file):
    other = yunet_file.parent / "mobilefacenet.onnx"
    with pytest.raises(ConfigError, match=r"mobilefacenet\.onnx.*no YuNet"):
        open_detector(DetectorConfig(backend="yunet", model=other))
