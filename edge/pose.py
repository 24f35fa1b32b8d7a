"""Where a face looks: yaw, pitch and roll from its five landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.vocabulary import FloatArray

# A mean face in eye distances: x to the picture's right, y down, z away from the camera. Across and
# down: the median of the detector's landmarks on the 12,727 of 45,958 training crops of faces whose
# nose is within 5 % of the middle; who looks straight ahead has pitch 0 on the average. Depth: from
# MediaPipe's canonical face model (Google, 2020, Apache 2.0), the middle of the corners of an eye
# (vertices 33 and 133), the nose tip (between 1 and 4), the mouth corner (61).
MEAN_FACE: npt.NDArray[np.float64] = np.array(
    [
        [-0.500, 0.000, 0.000],  # right eye
        [0.500, 0.000, 0.000],  # left eye
        [0.000, 0.597, -0.645],  # nose tip
        [-0.441, 0.987, -0.130],  # right mouth corner
        [0.441, 0.987, -0.130],  # left mouth corner
    ]
)
MEAN_FACE.setflags(write=False)
_CENTRED = MEAN_FACE - MEAN_FACE.mean(axis=0)


def _pseudo_inverse(tall: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (T' T)^-1 T' of a (N, 3) matrix, its inverse by cofactors."""
    first, second, third = tall.T @ tall
    cofactors = np.stack(
        [np.cross(second, third), np.cross(third, first), np.cross(first, second)], axis=1
    )
    return np.asarray(cofactors / np.dot(first, cofactors[:, 0]) @ tall.T)


# As below, without LAPACK: its code takes a megabyte, and the door has no other use for it.
_INVERSE = _pseudo_inverse(_CENTRED)
# Of the projection's two scales; a face whose landmarks nearly lie on a line has no pose.
_LEAST_SCALE_PX = 1.0
_MOST_STRETCH = 5.0


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles in degrees, each 0 for a face that looks into the camera.

    ``yaw_deg`` is positive when the nose points to the picture's right, ``pitch_deg`` when it
    points up, ``roll_deg`` when the head leans clockwise in the picture. ``residual`` says how far
    the landmarks lie from those of the mean face in that pose: root mean square, in eye distances
    of a face that looks into the camera.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    residual: float


def pose_of(landmarks: FloatArray) -> Pose | None:
    """Return the pose of the face with these (5, 2) picture *landmarks*, or None if it has none.

    Orthographic projection with a scale, solved linearly (POS of DeMenthon and Davis, IJCV 15,
    1995); the rotation is that nearest to the solution P, the polar factor (P P')^-1/2 P. Seen
    from half a metre, perspective costs at most 2.6 degrees within 40 degrees of each angle.
    None means that the landmarks are not finite or nearly lie in one point or on one line.
    """
    points = landmarks.astype(np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        return None
    points = points - points.mean(axis=0)
    projection = (_INVERSE @ points).T  # (2, 3), pixels an eye distance
    (high, between), (_, low) = projection @ projection.T
    # The eigenvalues of P P' are the squares of P's two scales.
    middle, half = (high + low) / 2, float(np.hypot((high - low) / 2, between))
    largest, least = np.sqrt(middle + half), np.sqrt(max(middle - half, 0.0))
    if least < _LEAST_SCALE_PX or largest > _MOST_STRETCH * least:
        return None
    # The inverse root of a symmetric 2 x 2 matrix, by Cayley and Hamilton.
    both = largest * least
    root = np.array([[low + both, -between], [-between, high + both]]) / (both * (largest + least))
    across, down = root @ projection
    away = np.cross(across, down)
    scale = float(largest + least) / 2
    residual = points / scale - _CENTRED @ np.stack([across, down], axis=1)
    # Roll after yaw after pitch: the last row is (sin y, -cos y sin p, cos y cos p).
    return Pose(
        yaw_deg=float(np.degrees(np.arcsin(np.clip(away[0], -1.0, 1.0)))),
        pitch_deg=float(np.degrees(np.arctan2(-away[1], away[2]))),
        roll_deg=float(np.degrees(np.arctan2(down[0], across[0]))),
        residual=float(np.sqrt((residual**2).sum(axis=1).mean())),
    )
