"""What the eyes are asked to answer: the right cells, at the right place, in a mirror as well."""

from __future__ import annotations

import numpy as np
import pytest

from edge.eyes import OFFSET_UNIT, STRIDES
from edge.refiner import REFINER_TEMPLATE
from train.eyes.composites import Composer, Picture
from train.eyes.material import Material, Photo, mask_of
from train.eyes.mining import mine
from train.eyes.targets import Cropper, grid_targets
from train.eyes.warping import edges, size_of

SIDE = 128


def face(x, y, size_px):
    """Return an upright face about (x, y) whose box has an area of size_px squared."""
    shape = (REFINER_TEMPLATE - REFINER_TEMPLATE.mean(axis=0)).astype(np.float64)
    return shape * size_px / size_of(shape) + (x, y)


def picture(*faces, ignored=()):
    return Picture(np.zeros((SIDE, SIDE), np.uint8), tuple(faces), tuple(ignored))


def material(rng):
    """Return crops of noise with template landmarks, one photo with a face, one without."""
    crops = rng.integers(30, 220, (4, 144, 144)).astype(np.uint8)
    crops[1, :, :40] = 0  # a corner beyond the source picture
    template = (REFINER_TEMPLATE - 32) * 2 + 72
    photos = (
        Photo(
            rng.integers(0, 255, (200, 160)).astype(np.uint8),
            face(80, 90, 60)[np.newaxis],
            np.array([0.9], np.float32),
        ),
    )
    faceless = (rng.integers(0, 255, (180, 220)).astype(np.uint8),)
    return Material(crops, np.stack([template] * 4).astype(np.float32), photos, faceless)


@pytest.mark.parametrize(
    ("size_px", "grids"), [(20, [0]), (38, [0, 1]), (60, [1]), (80, [1, 2]), (120, [2])]
)
def test_a_face_is_asked_of_the_grids_of_its_size(size_px, grids):
    targets = grid_targets(picture(face(64, 64, size_px)))
    assert [at for at, each in enumerate(targets) if each.face.any()] == grids


def test_the_offsets_lead_from_the_cell_to_the_landmarks():
    wanted = face(50, 70, 25)
    (fine, _, _) = grid_targets(picture(wanted))
    for row, column in np.argwhere(fine.face):
        centre = (np.array([column, row]) + 0.5) * STRIDES[0] - 0.5
        found = fine.offsets[row, column].reshape(5, 2) * OFFSET_UNIT * STRIDES[0] + centre
        assert np.abs(found - wanted).max() < 1e-3


def test_cells_away_from_every_face_count_as_no_face():
    (fine, _, _) = grid_targets(picture(face(20, 20, 25)))
    assert fine.counts[-4:, -4:].all()
    assert not fine.face[-4:, -4:].any()


def test_nothing_is_asked_where_nothing_is_known():
    unsure = face(64, 64, 60)
    targets = grid_targets(picture(ignored=[edges(unsure)]))
    assert all(not each.face.any() for each in targets)
    assert targets[0].counts[8, 8] == 0


def test_cells_are_packed_row_by_row():
    (fine, *_) = grid_targets(picture(face(50, 70, 25)))
    packed = fine.packed()
    assert packed.shape == (fine.face.size, 13)
    row, column = np.argwhere(fine.face)[0]
    cell = packed[row * fine.face.shape[1] + column]
    assert cell[:3].tolist() == [1, 1, fine.weights[row, column]]
    np.testing.assert_array_equal(cell[3:], fine.offsets[row, column])


def test_equal_generators_compose_equal_pictures():
    held = material(np.random.default_rng(0))
    one, other = (
        [Composer(held, np.random.default_rng(5)).picture(SIDE, 14, 110) for _ in range(8)]
        for _ in range(2)
    )
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left.grey, right.grey)


def test_composed_pictures_hold_faces_of_the_sizes_asked_for():
    composer = Composer(material(np.random.default_rng(0)), np.random.default_rng(1))
    sizes = [size_of(each) for _ in range(40) for each in composer.picture(SIDE, 20, 60).faces]
    assert len(sizes) > 20
    # Swapped faces differ a little from the one that they replace.
    assert min(sizes) > 14
    assert max(sizes) < 90


def test_crops_are_with_and_without_faces_and_answers_are_near_the_template():
    cropper = Cropper(material(np.random.default_rng(0)), np.random.default_rng(2))
    crops = [cropper.crop() for _ in range(80)]
    answers = [each.landmarks for each in crops if each.landmarks is not None]
    assert 40 < len(answers) < 75
    wanted = (REFINER_TEMPLATE - 31.5) / 32
    assert np.abs(np.mean(answers, axis=0).reshape(5, 2) - wanted).max() < 0.15


def test_a_face_that_is_pasted_behind_another_leaves_that_as_it_is():
    held = material(np.random.default_rng(0))
    front = face(32, 32, 36)
    changed = np.zeros((64, 64), int)
    for seed in range(60):
        seen = np.full((64, 64), 10, np.float32)
        Composer(held, np.random.default_rng(seed)).paste_behind(seen, front)
        changed += np.abs(seen - 10) > 1
    assert not changed[20:45, 20:45].any()
    # All around, and mostly partly in view.
    assert all(part.max() > 5 for part in (changed[:8], changed[-8:], changed[:, :8]))
    assert changed[:, -8:].max() > 5


def test_crops_that_a_finder_was_wrong_about_are_learnt_as_no_face():
    hard = [np.full((64, 64), 77, np.uint8)]
    held = material(np.random.default_rng(0))
    cropper = Cropper(held, np.random.default_rng(2), hard)
    empty = [each.grey for each in (cropper.crop() for _ in range(80)) if each.landmarks is None]
    assert sum(each.std() < 15 for each in empty) > len(empty) / 4


def test_what_a_finder_wrongly_sees_is_mined_and_its_faces_are_not():
    """A finder that sees one face in each picture: at the known one, then away from it."""
    held = material(np.random.default_rng(0))
    known = held.photos[0].landmarks[0]

    class Finder:
        def __init__(self, at):
            self.at = at

        def __call__(self, pictures):
            rows, columns = (side // 16 for side in pictures.shape[1:3])
            outputs = []
            for stride in STRIDES:
                shape = (1, pictures.shape[1] // stride, pictures.shape[2] // stride)
                outputs += [np.full((*shape, 1), -9.0), np.zeros((*shape, 10))]
            column, row = np.clip(np.rint(self.at / 16 - 0.5), 0, (columns - 1, rows - 1)).astype(
                int
            )
            outputs[2][0, row, column] = 5.0
            shape = (known - known.mean(axis=0)) / (OFFSET_UNIT * 16)
            outputs[3][0, row, column] = shape.reshape(-1)
            return outputs

    photos_only = Material(held.crops, held.landmarks, held.photos, ())
    rng = np.random.default_rng(0)
    assert mine(Finder(known.mean(axis=0)), photos_only, rng) == ()
    mined = mine(Finder(np.array([20.0, 20.0])), photos_only, rng)
    assert [each.shape for each in mined] == [(64, 64)] * 2


def test_the_mask_covers_the_source_and_not_the_corner_beyond_it():
    grey = np.full((144, 144), 120, np.uint8)
    grey[:, :40] = 0
    mask = mask_of(grey)
    assert not mask[:, :38].any()
    assert mask[:, 42:].all()
