"""The rendered visitors: the same every time, and like people who walk up to a camera."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest

from edge.config import DoorConfig
from edge.demo import portraits, visitor, walk
from edge.demo.portraits import Portrait
from edge.demo.visitor import VISIT_S, Visit, VisitorCamera
from edge.errors import ConfigError

EMPTY = np.full((480, 640, 3), 90, dtype=np.uint8)


def white_disc():
    """A person who is a white disc, 100 px wide."""
    rows, columns = np.mgrid[:200, :200]
    inside = (np.hypot(rows - 100, columns - 100) < 50).astype(np.float32)
    return Portrait(np.dstack([inside * 255] * 3 + [inside]), (100.0, 100.0), 100.0)


def camera(seed=1, duration_s=VISIT_S, **visit):
    visits = (Visit("disc", white_disc(), 0.0, **visit),)
    return VisitorCamera(EMPTY, visits, duration_s, seed=seed)


def white_px(pixels):
    return int((pixels.min(axis=2) > 200).sum())


def test_two_cameras_with_one_seed_give_the_same_bytes():
    for index in (0, 20):
        assert np.array_equal(camera().frame(index).pixels, camera().frame(index).pixels)


def test_another_seed_gives_other_frames():
    ours, theirs = camera(seed=1).frame(0), camera(seed=2).frame(0)
    assert not np.array_equal(ours.pixels, theirs.pixels)


def test_no_two_frames_of_an_empty_scene_are_alike():
    """Sensor noise: a camera that repeats a frame would be noticed."""
    frames = [frame.pixels for frame in VisitorCamera(EMPTY, (), 0.3).frames()]
    assert not any(np.array_equal(one, two) for one, two in pairwise(frames))


def test_frames_come_at_video_rate_in_simulated_time():
    frames = list(VisitorCamera(EMPTY, (), 0.4).frames())
    assert [frame.captured_at_s for frame in frames] == [n / 15 for n in range(6)]
    assert {frame.pixels.shape for frame in frames} == {(480, 640, 3)}


def test_a_visitor_grows_while_walking_up_and_is_gone_in_the_end():
    far, near, gone = (white_px(camera().frame(n).pixels) for n in (1, 40, 71))
    assert 500 < far < near / 3
    assert gone == 0


def test_a_visitor_leaves_to_the_side_opposite_of_where_they_came_from():
    for from_right in (False, True):
        shown = camera(from_right=from_right)
        first, last = (
            np.argwhere(shown.frame(n).pixels.min(axis=2) > 150)[:, 1].mean() for n in (0, 65)
        )
        assert bool(first > last) is from_right


def test_light_darkens_the_whole_scene():
    bright, dim = (camera(gain=gain).frame(0).pixels.mean() for gain in (1.0, 0.6))
    assert dim < 0.75 * bright


def test_nobody_is_announced_between_visits():
    shown = camera()
    assert shown.visit_at(VISIT_S / 2).label == "disc"
    assert shown.visit_at(VISIT_S + 0.1) is None


def test_the_astronaut_is_cut_out_of_her_background():
    pytest.importorskip("skimage")
    coverage = portraits.astronaut().layer[..., 3]
    assert coverage[10, 40] == coverage[200, 480] == 0  # the flag, the shuttle
    assert coverage[115, 226] == coverage[400, 200] == 1  # the face, the suit


def test_strangers_are_different_people():
    pytest.importorskip("skimage")
    one, other = portraits.stranger(26), portraits.stranger(93)
    assert np.abs(one.layer - other.layer).mean() > 1


def test_a_number_without_a_face_is_refused():
    """The second hundred of lfw_subset shows no faces."""
    with pytest.raises(ValueError, match="0 to 99; got 100"):
        portraits.stranger(100)


def test_without_scikit_image_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ConfigError, match=r"janus-door\[demo\]"):
        portraits.astronaut_photo()


def test_each_visit_of_the_demo_is_a_visit_to_the_door(monkeypatch):
    """Shorter pauses would join two people, and nobody is judged after a grant."""
    monkeypatch.setattr(walk, "stranger", lambda _: white_disc())
    monkeypatch.setattr(walk, "astronaut", white_disc)
    visits = walk.plan()
    assert [each.expected for each in visits].count("astronaut") == 1
    assert len(visits) == 4
    gap_s = DoorConfig().decision.visit_gap_s
    for one, two in pairwise(visits):
        unseen_s = two.begins_s - (one.begins_s + visitor.VISIT_S)
        assert unseen_s + 0.3 >= gap_s  # who walks up is too small to be found for 0.3 s
