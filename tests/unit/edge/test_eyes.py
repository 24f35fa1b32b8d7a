"""The eyes' arithmetic, with networks that answer what the test says."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import BundleError
from edge.eyes import OFFSET_UNIT, PADDING_GREY, STRIDES, EyesDetector
from edge.faces import box_of, is_a_face
from edge.geometry import moved
from edge.refiner import (
    _AGAIN,
    _FIRST,
    REFINER_CENTRE_PX,
    REFINER_SIDE_PX,
    REFINER_TEMPLATE,
    REFINER_UNIT_PX,
    Refiner,
)
from edge.tflite import Output, Quantization

HEIGHT, WIDTH = 64, 96
LOGIT = Quantization(0.1, 0)
OFFSET = Quantization(1 / 64, 0)
PLACE = Quantization(1 / 128, 0)
SURE, UNSURE = 100, -100


class Answers:
    """Stands for a Network: `levels` are what the test put in, `seen` what it was shown."""

    def __init__(self, input_shape, shapes):
        self.input_shape = input_shape
        self.outputs = tuple(
            Output(at, shape, {1: LOGIT, 10: OFFSET if len(shape) == 4 else PLACE}[shape[-1]])
            for at, shape in enumerate(shapes)
        )
        self.answers = [np.full(shape, -120, np.int8) for shape in shapes]
        self.seen = []

    def run(self, pixels):
        assert pixels.shape == self.input_shape
        self.seen.append(pixels)

    def levels(self, output):
        return self.answers[output.index].copy()


def finder():
    shapes = []
    for stride in STRIDES:
        grid = (1, HEIGHT // stride, WIDTH // stride)
        shapes += [(*grid, 10), (*grid, 1)]
    return Answers((1, HEIGHT, WIDTH, 1), shapes)


class Sees(Answers):
    """Sees a face *aside_px* of where the finder put it; each look errs by up to *astray_px*.

    Asides are in pixels of the crop, and to the other side in a mirrored one. It scores the first
    look *verdict* and those after it *later*, if that is given.
    """

    def __init__(self, verdict, aside_px, astray_px, later):
        super().__init__((1, REFINER_SIDE_PX, REFINER_SIDE_PX, 1), [(1, 10), (1, 1)])
        self.aside_px, self.astray_px = aside_px, astray_px
        self.verdict, self.later = verdict, verdict if later is None else later
        self.asked = 0

    def run(self, pixels):
        super().run(pixels)
        looks = (*_FIRST, *_AGAIN)
        look, mirrored = divmod(self.asked % (2 * len(looks)), 2)
        self.asked += 1
        self.answers[1][0] = self.later if look else self.verdict
        placed = moved(REFINER_TEMPLATE, looks[look])
        placed[:, 1] += self.astray_px * (-1) ** look
        if mirrored:
            placed = ((REFINER_SIDE_PX - 1, 0) + placed * (-1, 1))[[1, 0, 2, 4, 3]]
        placed = (placed + self.aside_px - REFINER_CENTRE_PX) / REFINER_UNIT_PX
        self.answers[0][0] = np.rint(placed.reshape(-1) / PLACE.scale)


def refiner(verdict=SURE, aside_px=(0.0, 0.0), astray_px=0.0, later=None):
    return Sees(verdict, aside_px, astray_px, later)


def show(network, landmarks, *, grid=0, score=SURE):
    """Make the finder answer with these landmarks, in pixels of its input, at the nearest cell."""
    stride = STRIDES[grid]
    column, row = np.rint((landmarks.mean(axis=0) + 0.5) / stride - 0.5).astype(int)
    centre = (np.array([column, row]) + 0.5) * stride - 0.5
    offsets = (landmarks - centre) / (OFFSET_UNIT * stride)
    network.answers[2 * grid][0, row, column] = np.rint(offsets.reshape(-1) / OFFSET.scale)
    network.answers[2 * grid + 1][0, row, column] = score


def face_at(x, y, eye_distance=12.0):
    """Return an upright face about (x, y)."""
    shape = REFINER_TEMPLATE - REFINER_TEMPLATE.mean(axis=0)
    return (shape * eye_distance / 17.6 + (x, y)).astype(np.float32)


def detector(look, close=None, **settings):
    settings = {"smallest_face_px": 0, "score": 0.5, **settings}
    return EyesDetector(look, Refiner(close or refiner()), **settings)


def picture(height=HEIGHT, width=WIDTH, grey=50):
    return np.full((height, width, 3), grey, np.uint8)


def test_a_face_is_found_where_the_finder_says():
    look = finder()
    show(look, face_at(40, 30))
    (found,) = detector(look).detect(picture())
    assert np.abs(found.landmarks - face_at(40, 30)).max() < 0.4
    assert found.score > 0.99


def test_a_large_picture_is_reduced_and_its_faces_come_back_in_its_own_pixels():
    look = finder()
    show(look, face_at(40, 20))
    (found,) = detector(look).detect(picture(2 * 48, 2 * WIDTH))
    expected = (face_at(40, 20) + 0.5) * 2 - 0.5
    assert np.abs(found.landmarks - expected).max() < 0.8
    seen = look.seen[0][0, :, :, 0]
    assert (seen[:48] == 50).all()
    assert (seen[48:] == PADDING_GREY).all()


def test_a_small_picture_is_not_enlarged():
    look = finder()
    assert detector(look).detect(picture(20, 30)) == ()
    seen = look.seen[0][0, :, :, 0]
    assert (seen[:20, :30] == 50).all()
    assert (seen[20:] == PADDING_GREY).all()
    assert (seen[:, 30:] == PADDING_GREY).all()


def test_two_cells_of_one_face_are_one_detection():
    look = finder()
    show(look, face_at(40, 30))
    show(look, face_at(48, 30), score=50)
    show(look, face_at(41, 31), grid=1, score=60)
    assert len(detector(look).detect(picture())) == 1


def test_faces_apart_come_largest_first():
    look = finder()
    show(look, face_at(16, 30, 8))
    show(look, face_at(64, 30, 14))
    widths = [each.box.width for each in detector(look).detect(picture())]
    assert len(widths) == 2
    assert widths[0] > widths[1]


def test_the_refiner_moves_the_landmarks():
    """Down by 1 of the crop's pixels is down by 12 / 17.6 of the picture's.

    The first look moves once, the four after it, which start from there, once more: 1.8 times.
    """
    look = finder()
    show(look, face_at(40, 30))
    (found,) = detector(look, refiner(aside_px=(0.0, 1.0))).detect(picture())
    aside = found.landmarks - face_at(40, 30)
    assert np.abs(aside - (0, 1.8 * 12 / 17.6)).max() < 0.4


def test_what_the_refiner_errs_aside_is_undone_by_the_mirror():
    look = finder()
    show(look, face_at(40, 30))
    (found,) = detector(look, refiner(aside_px=(2.0, 0.0))).detect(picture())
    assert np.abs(found.landmarks - face_at(40, 30)).max() < 0.4


@pytest.mark.parametrize(("astray_px", "count"), [(0.5, 1), (1.25, 0)])
def test_a_face_whose_place_the_looks_do_not_agree_on_is_none(astray_px, count):
    """The first is in the middle of the four that start from it: on average they are 0.8 away.

    4 % of the 17.6 pixels between a crop's eyes are 0.7.
    """
    look = finder()
    show(look, face_at(40, 30))
    assert len(detector(look, refiner(astray_px=astray_px)).detect(picture())) == count


def test_a_face_that_the_refiner_refuses_is_none():
    look = finder()
    show(look, face_at(40, 30))
    assert detector(look, refiner(verdict=UNSURE)).detect(picture()) == ()


def test_a_face_that_the_refiner_refuses_at_a_second_look_is_none_at_any_score():
    """0.09 of the refiner and 1 of the finder come to 0.45."""
    look, close = finder(), refiner()
    show(look, face_at(40, 30))
    assert len(detector(look, close, score=0.4).detect(picture())) == 1
    close = refiner(later=-23)
    assert detector(look, close, score=0.4).detect(picture()) == ()


def test_what_only_the_refiner_takes_for_a_face_is_none():
    """A wheel, brought to look like a face: 0.58 of the finder, 0.96 of the refiner."""
    look = finder()
    show(look, face_at(40, 30), score=3)
    unsure = detector(look, refiner(verdict=31), score=0.7)
    assert unsure.detect(picture()) == ()
    assert len(detector(look, refiner(verdict=31), score=0.6).detect(picture())) == 1
    show(look, face_at(40, 30), score=30)
    assert len(unsure.detect(picture())) == 1


@pytest.mark.parametrize(("asked", "count"), [(0.5, 1), (0.999, 0)])
def test_a_face_below_the_score_is_none(asked, count):
    look = finder()
    show(look, face_at(40, 30), score=20)
    assert len(detector(look, score=asked).detect(picture())) == count


def test_a_face_narrower_than_the_smallest_is_none():
    look = finder()
    show(look, face_at(40, 30))
    assert detector(look, smallest_face_px=40).detect(picture()) == ()


def test_landmarks_of_no_face_are_dropped_before_the_refiner():
    look, close = finder(), refiner()
    show(look, face_at(40, 30)[[1, 0, 2, 4, 3]])
    assert detector(look, close).detect(picture()) == ()
    assert close.seen == []


def test_no_more_faces_than_asked():
    look = finder()
    for x in (12, 40, 70):
        show(look, face_at(x, 30, 8))
    assert len(detector(look, most_faces=2).detect(picture())) == 2


def test_a_finder_of_another_shape_is_refused():
    look = finder()
    look.outputs = look.outputs[1:]
    with pytest.raises(BundleError, match="convert the model again"):
        detector(look)
    look = finder()
    look.input_shape = (1, HEIGHT + 1, WIDTH, 1)
    with pytest.raises(BundleError, match="multiples of 32"):
        detector(look)


def test_a_refiner_of_another_shape_is_refused():
    with pytest.raises(BundleError, match="refiner"):
        detector(finder(), finder())


def test_the_box_of_an_upright_face_holds_its_landmarks():
    landmarks = face_at(100, 100, 20)
    box = box_of(landmarks)
    assert box.left < landmarks[:, 0].min()
    assert box.right > landmarks[:, 0].max()
    assert box.top < landmarks[:, 1].min()
    assert box.bottom > landmarks[:, 1].max()


def test_the_box_grows_and_moves_with_the_face():
    small, large = box_of(face_at(0, 0, 20)), box_of(face_at(7, 5, 40))
    assert large.width == pytest.approx(2 * small.width, rel=1e-4)
    assert large.left == pytest.approx(2 * small.left + 7, abs=1e-3)


def test_the_box_of_a_face_on_its_side_is_as_wide_as_the_face_is_tall():
    upright = face_at(0, 0, 20)
    turned = np.stack([-upright[:, 1], upright[:, 0]], axis=-1)
    assert box_of(turned).width == pytest.approx(box_of(upright).height, rel=1e-3)


def test_a_mirrored_or_collapsed_face_is_no_face():
    assert is_a_face(face_at(40, 30))
    assert not is_a_face(face_at(40, 30)[[1, 0, 2, 4, 3]])
    assert not is_a_face(np.zeros((5, 2), np.float32))
    assert not is_a_face(np.full((5, 2), np.nan, np.float32))
