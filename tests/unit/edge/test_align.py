"""The shared geometry: similarity transform and crop."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.align import TEMPLATE, align, similarity
from edge.vocabulary import Box, Detection

CENTRE = (CROP := 112) / 2 - 0.5


def face(landmarks):
    return Detection(Box(0, 0, 1, 1), np.asarray(landmarks, np.float32), 1.0)


def turned(points, *, degrees=0.0, scale=1.0, shift=(0.0, 0.0)):
    """Rotate and scale about the crop's centre, then shift; points are pixel centres."""
    turn = np.array(
        [
            [math.cos(math.radians(degrees)), -math.sin(math.radians(degrees))],
            [math.sin(math.radians(degrees)), math.cos(math.radians(degrees))],
        ]
    )
    return (np.asarray(points, float) - CENTRE) @ turn.T * scale + CENTRE + shift


def picture(width, height, *, degrees=0.0, scale=1.0, shift=(0.0, 0.0)):
    """Draw one smooth synthetic picture, seen through the same motion as `turned`."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    back = (np.stack([x, y], -1) - CENTRE - shift) / scale
    angle = math.radians(-degrees)
    u = back[..., 0] * math.cos(angle) - back[..., 1] * math.sin(angle)
    v = back[..., 0] * math.sin(angle) + back[..., 1] * math.cos(angle)
    waves = [np.sin(u / 9) + np.cos(v / 7), np.sin((u + v) / 11), np.cos((u - 2 * v) / 15)]
    return np.stack([127 + 60 * wave for wave in waves], -1).astype(np.uint8)


def grey_levels_apart(one, other):
    return np.abs(one.astype(int) - other.astype(int))


def test_a_face_at_the_template_is_cut_out_unchanged():
    pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    aligned = align(pixels, face(TEMPLATE))
    np.testing.assert_allclose(aligned.to_crop, [[1, 0, 0], [0, 1, 0]], atol=1e-5)
    assert grey_levels_apart(aligned.pixels, pixels).max() <= 1


@given(
    degrees=st.floats(-180, 180),
    scale=st.floats(0.05, 50),
    x=st.floats(-2000, 2000),
    y=st.floats(-2000, 2000),
)
def test_any_similarity_of_the_template_is_undone(degrees, scale, x, y):
    moved = turned(TEMPLATE, degrees=degrees, scale=scale, shift=(x, y))
    to_crop = similarity(moved.astype(np.float32)).astype(float)
    back = moved @ to_crop[:, :2].T + to_crop[:, 2]
    np.testing.assert_allclose(back, TEMPLATE, atol=0.02)
    assert to_crop[0, 0] == pytest.approx(to_crop[1, 1])
    assert to_crop[0, 1] == pytest.approx(-to_crop[1, 0])


def test_the_transform_is_the_best_similarity_for_a_face_that_is_no_template():
    """OpenCV's own least squares over all similarities must not come closer."""
    seen = TEMPLATE + np.random.default_rng(3).normal(0, 4, (5, 2)).astype(np.float32)
    rows = np.zeros((10, 4))
    rows[0::2] = np.stack([seen[:, 0], -seen[:, 1], np.ones(5), np.zeros(5)], 1)
    rows[1::2] = np.stack([seen[:, 1], seen[:, 0], np.zeros(5), np.ones(5)], 1)
    (a, b, x, y), *_ = np.linalg.lstsq(rows, TEMPLATE.ravel().astype(float), rcond=None)
    np.testing.assert_allclose(similarity(seen), [[a, -b, x], [b, a, y]], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("degrees", [-30, -10, 20, 90, 180])
def test_rotating_picture_and_landmarks_together_leaves_the_crop_alone(degrees):
    shift = (60.0, 40.0)
    upright = align(picture(260, 240, shift=shift), face(turned(TEMPLATE, shift=shift)))
    rolled = align(
        picture(260, 240, degrees=degrees, shift=shift),
        face(turned(TEMPLATE, degrees=degrees, shift=shift)),
    )
    assert grey_levels_apart(rolled.pixels, upright.pixels).max() <= 3


@pytest.mark.parametrize("scale", [0.7, 1.5, 2.0, 2.9, 3.5, 7.3])
def test_scaling_picture_and_landmarks_together_leaves_the_crop_alone(scale):
    """Block means and the centre of reduced pixels must agree at every whole factor."""
    once = align(picture(130, 130, shift=(9.0, 8.0)), face(turned(TEMPLATE, shift=(9.0, 8.0))))
    shift = (65 * scale - 56.0, 65 * scale - 57.0)
    size = int(130 * scale)
    scaled = align(
        picture(size, size, scale=scale, shift=shift),
        face(turned(TEMPLATE, scale=scale, shift=shift)),
    )
    assert grey_levels_apart(scaled.pixels, once.pixels).max() <= 4


def test_a_large_face_is_averaged_and_not_sampled():
    """A fine chessboard must become grey; bilinear sampling alone would keep black and white."""
    board = (np.indices((900, 900)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = np.stack([board] * 3, axis=-1)
    crop = align(pixels, face((TEMPLATE + 0.5) * 8 - 0.5)).pixels
    inner = crop[2:-2, 2:-2].astype(int)
    assert np.abs(inner - 127).max() <= 2


def test_what_lies_outside_the_picture_is_black():
    white = np.full((112, 112, 3), 255, np.uint8)
    crop = align(white, face(TEMPLATE - np.array([40, 0]))).pixels
    assert (crop[:, :39] == 0).all()
    assert (crop[1:-1, 41:] == 255).all()


@pytest.mark.parametrize("shift", [(-5000, 0), (5000, 5000), (0, 1e6)])
@pytest.mark.parametrize("scale", [1, 30])
def test_a_face_wholly_outside_the_picture_gives_a_black_crop(shift, scale):
    white = np.full((60, 80, 3), 255, np.uint8)
    assert not align(white, face(TEMPLATE * scale + shift)).pixels.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1)])
def test_the_smallest_pictures_are_aligned_without_an_error(size):
    pixels = np.full((*size, 3), 200, np.uint8)
    assert align(pixels, face(TEMPLATE * 6)).pixels.shape == (112, 112, 3)


def test_a_picture_wider_than_opencv_can_sample_is_aligned():
    """warpAffine refuses 32,768 px and more; only the face's surroundings reach it."""
    wide = np.full((200, 40_000, 3), 90, np.uint8)
    crop = align(wide, face(TEMPLATE + np.array([39_000, 40]))).pixels
    assert (crop == 90).all()


def test_frozen_and_sliced_pixels_are_accepted_and_left_alone():
    pixels = picture(300, 200)
    part = pixels[10:190, 20:280]
    part.setflags(write=False)
    before = part.copy()
    same = align(part, face(TEMPLATE + 5)).pixels
    np.testing.assert_array_equal(same, align(before, face(TEMPLATE + 5)).pixels)
    np.testing.assert_array_equal(part, before)


def test_collinear_landmarks_still_give_a_transform():
    """A profile's landmarks may lie on a line; a similarity needs two points only."""
    line = np.stack([np.zeros(5), [10, 10, 30, 50, 50]], axis=1).astype(np.float32)
    assert np.isfinite(align(picture(112, 112), face(line)).to_crop).all()


@pytest.mark.parametrize(
    "landmarks",
    [
        np.full((5, 2), 7.0),
        np.zeros((5, 2)),
        TEMPLATE * 1e6,
        TEMPLATE * 1e30,
    ],
)
def test_landmarks_that_fit_no_face_are_refused_by_name(landmarks):
    with pytest.raises(ValueError, match="fit no face"):
        similarity(np.asarray(landmarks, np.float32))


def test_reflection_is_never_used_to_fit_mirrored_landmarks():
    mirrored = (TEMPLATE * [-1, 1] + [112, 0]).astype(np.float32)
    to_crop = similarity(mirrored)
    assert np.linalg.det(to_crop[:, :2]) > 0


def test_the_crop_is_what_opencv_makes_of_the_same_transform():
    """Cutting the part out first must not change what is seen (one grey level for rounding)."""
    pixels = picture(500, 400, shift=(150, 120))
    detection = face(turned(TEMPLATE, degrees=12, scale=1.4, shift=(150, 120)))
    aligned = align(pixels, detection)
    whole = cv2.warpAffine(pixels, aligned.to_crop, (112, 112), flags=cv2.INTER_LINEAR)
    assert grey_levels_apart(aligned.pixels, whole).max() <= 2
