"""Angles that are put into a face come out of its landmarks again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.align import TEMPLATE
from edge.config import SHIPPED_BUNDLE, DetectorConfig
from edge.detect import open_detector
from edge.eyes import Eyes
from edge.pictures.picture import read_picture
from edge.pose import MEAN_FACE, pose_of

ANGLES = st.floats(-40, 40)


def seen(yaw_deg, pitch_deg, roll_deg, *, distance=float("inf"), eye_px=60.0, face=MEAN_FACE):
    """Return the landmarks of *face*, turned, from *distance* eye distances away."""
    y, p, r = np.radians([yaw_deg, pitch_deg, roll_deg])
    aside = [[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]]
    up = [[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]]
    leaning = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    middle = face.mean(axis=0)
    turned = (face - middle) @ (np.array(leaning) @ aside @ up).T
    nearer = 1 / (1 + turned[:, 2:] / distance)
    return (turned[:, :2] * nearer * eye_px + (320, 240)).astype(np.float32)


def angles(landmarks):
    pose = pose_of(landmarks)
    return pose.yaw_deg, pose.pitch_deg, pose.roll_deg


@settings(deadline=None)
@given(ANGLES, ANGLES, ANGLES)
def test_angles_from_far_away_are_exact(yaw_deg, pitch_deg, roll_deg):
    found = pose_of(seen(yaw_deg, pitch_deg, roll_deg))
    wanted = (yaw_deg, pitch_deg, roll_deg)
    assert (found.yaw_deg, found.pitch_deg, found.roll_deg) == pytest.approx(wanted, abs=0.01)
    assert found.residual < 1e-4


@settings(deadline=None)
@given(ANGLES, ANGLES, ANGLES, st.floats(8, 50))
def test_angles_from_half_a_metre_are_within_three_degrees(yaw_deg, pitch_deg, roll_deg, distance):
    """Eight eye distances are half a metre: perspective is not modelled, which must not matter."""
    found = angles(seen(yaw_deg, pitch_deg, roll_deg, distance=distance))
    assert found == pytest.approx((yaw_deg, pitch_deg, roll_deg), abs=3.0)


def test_the_signs_are_those_of_the_picture():
    x = {name: angles(seen(*turn)) for name, turn in
         {"right": (20, 0, 0), "up": (0, 20, 0), "clockwise": (0, 0, 20)}.items()}  # fmt: skip
    nose_right, nose_up, clockwise = (seen(20, 0, 0), seen(0, 20, 0), seen(0, 0, 20))
    straight = seen(0, 0, 0)
    assert nose_right[2, 0] > straight[2, 0]
    assert x["right"][0] > 19
    assert nose_up[2, 1] < straight[2, 1]
    assert x["up"][1] > 19
    assert clockwise[1, 1] > clockwise[0, 1], "y grows downwards: the left eye sinks"
    assert x["clockwise"][2] > 19


def test_size_and_place_do_not_matter():
    there = seen(25, -10, 5)
    assert angles(there * 3 + 100) == pytest.approx(angles(there), abs=0.01)


def test_the_template_that_faces_are_brought_to_looks_into_the_camera():
    assert np.abs(angles(TEMPLATE.copy())).max() < 12


@pytest.mark.parametrize(
    "landmarks",
    [
        np.zeros((5, 2)),
        np.full((5, 2), 1e30),
        np.full((5, 2), np.nan),
        np.array([[0, 0], [1, 1], [np.inf, 2], [3, 3], [4, 4]]),
        np.stack([np.arange(5) * 10.0, np.zeros(5)], axis=1),
        np.stack([np.arange(5) * 10.0, np.arange(5) * 20.0], axis=1),
        np.zeros((4, 2)),
        np.zeros((0, 2)),
    ],
)
def test_landmarks_that_are_no_face_have_no_pose(landmarks):
    assert pose_of(landmarks.astype(np.float32)) is None


@settings(deadline=None)
@given(st.lists(st.floats(width=32), min_size=10, max_size=10))
def test_no_landmarks_make_it_raise(values):
    with np.errstate(all="ignore"):
        pose = pose_of(np.array(values, np.float32).reshape(5, 2))
    assert pose is None or np.isfinite([pose.yaw_deg, pose.pitch_deg, pose.roll_deg]).all()


def eyes():
    score = json.loads((SHIPPED_BUNDLE / "manifest.json").read_text())["eyes"]["score"]
    networks = [(SHIPPED_BUNDLE / f"{name}.tflite").read_bytes() for name in ("finder", "refiner")]
    config = DetectorConfig(backend="janus", smallest_face_px=30)
    return open_detector(config, eyes=Eyes(*networks, score))


@pytest.mark.parametrize(
    ("pattern", "within_deg"),
    [("frll/0[0-2]?/neutral_front.jpg", 15), ("att-faces/s[1-9]/1.pgm", 35)],
)
def test_portraits_from_the_front_look_into_the_camera(shared_data, pattern, within_deg):
    detector = eyes()
    found = []
    for path in sorted(shared_data.glob(pattern))[:20]:
        faces = detector.detect(read_picture(path))
        assert faces, path
        found.append(angles(faces[0].landmarks))
    assert np.abs(found).max() < within_deg
    assert np.abs(np.median(found, axis=0)).max() < 5


def test_turned_heads_of_the_crops_spread_widely(shared_data):
    """FairFace holds many profiles; somebody who always answers 0 would pass the other tests."""
    with Path(shared_data / "faces" / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "fairface"][:2000]
    names = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
    poses = [
        pose_of(np.array([[row[f"{name}_{axis}"] for axis in "xy"] for name in names], np.float32))
        for row in rows
    ]
    yaws = np.abs([pose.yaw_deg for pose in poses if pose is not None])
    assert np.percentile(yaws, 90) > 35
    assert np.percentile(yaws, 25) < 10


def test_opencvs_solver_agrees():
    """`cv2.solvePnP` with a camera model, on what a camera at 60 cm shows."""
    focal_px = 600.0
    landmarks = seen(18, 9, -12, distance=10, eye_px=focal_px / 10)
    camera = np.array([[focal_px, 0, 320], [0, focal_px, 240], [0, 0, 1]])
    ok, turn, _ = cv2.solvePnP(
        MEAN_FACE - MEAN_FACE.mean(axis=0), landmarks.astype(np.float64), camera, None,
        flags=cv2.SOLVEPNP_SQPNP,
    )  # fmt: skip
    assert ok
    rotation = cv2.Rodrigues(turn)[0]
    yaw_deg = np.degrees(np.arcsin(rotation[2, 0]))
    pitch_deg = np.degrees(np.arctan2(-rotation[2, 1], rotation[2, 2]))
    assert angles(landmarks)[:2] == pytest.approx((yaw_deg, pitch_deg), abs=3.0)
