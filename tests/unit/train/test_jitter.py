"""Disturbed crops: what is allowed to happen to a face, and what is not."""

import numpy as np
import pytest

from train.door.jitter import MARGIN_PX, WIDE_SIZE_PX, disturb, moved, without_black_corners


def face(seed=0):
    """Smooth colours: no two rows or columns alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 255, (6, 6, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((24, 24, 1), np.uint8))


@pytest.mark.parametrize("size_px", [64, 112])
def test_disturbed_crop_has_the_size_asked_for_and_leaves_the_original(size_px):
    """Also after a hundred draws of everything that may happen."""
    rng, wide = np.random.default_rng(1), face()
    before = wide.copy()
    for _ in range(100):
        crop = disturb(rng, wide, size_px)
        assert crop.shape == (size_px, size_px, 3)
        assert crop.dtype == np.uint8
    assert np.array_equal(before, wide)


def test_equal_generators_disturb_equally():
    """A run can be repeated."""
    one, other = (disturb(np.random.default_rng(5), face()) for _ in range(2))
    assert np.array_equal(one, other)


def test_without_strength_a_face_is_moved_by_nothing_but_its_mirror():
    """Strength 0 keeps the centre 112 pixels, mirrored half the time."""
    wide, rng, seen = face(), np.random.default_rng(2), set()
    core = wide[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    for _ in range(20):
        crop = moved(rng, wide, 0.0)
        same, mirrored = np.array_equal(crop, core), np.array_equal(crop, core[:, ::-1])
        assert same or mirrored
        seen.add(mirrored)
    assert {True, False} == seen


def test_black_corners_are_filled_and_the_face_is_kept():
    """Black inside the face, not touching the edge, is the face's own."""
    wide = np.full((WIDE_SIZE_PX, WIDE_SIZE_PX, 3), 120, np.uint8)
    wide[:30, :30] = 3
    wide[70:74, 70:74] = 0
    filled = without_black_corners(np.random.default_rng(3), wide)
    assert filled[10, 10].max() > 3 or not np.array_equal(filled, wide)
    assert np.array_equal(filled[40:, 40:], wide[40:, 40:])


def test_picture_without_black_is_returned_as_it_is():
    """Nothing to fill, nothing copied."""
    wide = np.full((WIDE_SIZE_PX, WIDE_SIZE_PX, 3), 120, np.uint8)
    assert without_black_corners(np.random.default_rng(0), wide) is wide
