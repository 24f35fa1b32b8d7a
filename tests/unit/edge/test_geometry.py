"""Similarity transforms: points and pictures move alike."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.geometry import moved, similarity, warp

POINTS = np.array([[10, 10], [30, 12], [20, 25], [12, 40], [28, 41]], np.float32)


@given(
    scale=st.floats(0.2, 5), turn=st.floats(-3, 3), x=st.floats(-200, 200), y=st.floats(-200, 200)
)
def test_a_similarity_is_found_again_from_the_points_that_it_moved(scale, turn, x, y):
    factor = scale * np.exp(1j * turn)
    wanted = np.array(
        [[factor.real, -factor.imag, x], [factor.imag, factor.real, y]], dtype=np.float32
    )
    assert similarity(POINTS, moved(POINTS, wanted)) == pytest.approx(wanted, rel=1e-3, abs=1e-2)


def test_points_in_one_place_fit_nothing():
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.ones((5, 2), np.float32), POINTS)


@pytest.mark.parametrize("scale", [0.2, 0.45, 1.0, 2.5])
def test_a_dot_is_where_its_point_goes(scale):
    grey = np.zeros((200, 200), np.uint8)
    cv2.circle(grey, (120, 90), 6, (255,), -1)
    transform = np.array([[scale, 0, 32 - scale * 118], [0, scale, 32 - scale * 91]])
    crop = warp(grey, transform, 64).astype(float)
    y, x = np.mgrid[0:64, 0:64]
    centre = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
    expected = moved(np.array([[120, 90]], np.float32), transform.astype(np.float32))[0]
    assert np.abs(centre - expected).max() < 0.3


def test_what_lies_outside_the_picture_is_black():
    grey = np.full((20, 20), 200, np.uint8)
    crop = warp(grey, np.array([[1.0, 0, 500], [0, 1.0, 0]]), 64)
    assert crop.shape == (64, 64)
    assert not crop.any()


def test_colour_pictures_stay_colour():
    pixels = np.full((50, 50, 3), (10, 20, 30), np.uint8)
    crop = warp(pixels, np.array([[1.0, 0, 0], [0, 1.0, 0]]), 40)
    assert (crop == (10, 20, 30)).all()
