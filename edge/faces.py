"""What follows from five landmarks: a face's box, whether it is a face, and which faces count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge.vocabulary import Box, Detection, FloatArray

MOST_FACES = 8  # more people than can stand before a door; bounds the work a frame
_SAME_FACE_OVERLAP = 0.4  # intersection over union

# Left, top, right and bottom of the box about the landmarks' mean, in units of the larger of eye
# distance and eyes to mouth, for 1 and for the nose's place (x, y) in those units: least squares on
# the 1,500 training photos of `scenes`, where YuNet drew the boxes; mean error 6 % of the unit.
_BOX_OF_NOSE: npt.NDArray[np.float64] = np.array(
    [
        [-1.0210, -1.5004, 1.0152, 1.2389],
        [-1.6310, -0.0211, -1.6968, 0.0066],
        [-0.2883, -1.7564, 0.3913, -0.3080],
    ]
)


def box_of(landmarks: FloatArray) -> Box:
    """Return the box of the face with these (5, 2) *landmarks*, upright or turned."""
    centre, unit, down = _frame(landmarks)
    points = landmarks.astype(np.float64) @ (1.0, 1j)
    nose = (points[2] - centre) / unit * np.conj(down)
    left, top, right, bottom = np.array([1.0, nose.real, nose.imag]) @ _BOX_OF_NOSE
    middle = centre + unit * complex((left + right) / 2, (top + bottom) / 2) * down
    # The upright box around a face lying on its side is as wide as the face is tall.
    upright = down.real**2
    width = unit * ((right - left) * upright + (bottom - top) * (1 - upright))
    height = unit * ((bottom - top) * upright + (right - left) * (1 - upright))
    return Box(
        middle.real - width / 2,
        middle.imag - height / 2,
        middle.real + width / 2,
        middle.imag + height / 2,
    )


def is_a_face(landmarks: FloatArray) -> bool:
    """Tell whether eyes and mouth lie as on a face, neither mirrored nor in one point."""
    across = landmarks[1] - landmarks[0]
    mouth = landmarks[4] - landmarks[3]
    down = landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0)
    return bool(
        np.isfinite(landmarks).all()
        and np.hypot(*across) >= 2.0  # noqa: PLR2004 - pixels; below, no aligner can use them
        and across @ mouth > 0
        and across[0] * down[1] - across[1] * down[0] > 0
    )


def overlap(one: Box, other: Box) -> bool:
    """Tell whether two boxes are one face."""
    wide = min(one.right, other.right) - max(one.left, other.left)
    tall = min(one.bottom, other.bottom) - max(one.top, other.top)
    if wide <= 0 or tall <= 0:
        return False
    areas = [each.width * each.height for each in (one, other)]
    union = sum(areas) - wide * tall
    # A face inside a face is the same one.
    return wide * tall > _SAME_FACE_OVERLAP * union or wide * tall > 0.7 * min(areas)


def largest_first(found: Sequence[Detection]) -> tuple[Detection, ...]:
    """Return the face-like ones, largest first, each once, at most `MOST_FACES`."""
    kept: list[Detection] = []
    # Ties by place, so that the order does not hang on OpenCV's threads.
    for each in sorted(found, key=lambda face: (-face.box.width, face.box.left, face.box.top)):
        if is_a_face(each.landmarks) and not any(_inside(each.box, face.box) for face in kept):
            kept.append(each)
    return tuple(kept[:MOST_FACES])


def _inside(small: Box, large: Box) -> bool:
    """Tell whether the centre of one box lies in the middle half of a larger one."""
    across = (small.left + small.right - large.left - large.right) / 2
    down = (small.top + small.bottom - large.top - large.bottom) / 2
    return abs(across) < large.width / 4 and abs(down) < large.height / 4


def _frame(landmarks: FloatArray) -> tuple[complex, float, complex]:
    """Return a face's centre, its unit of length in pixels, and its turn (1 when upright)."""
    points = landmarks.astype(np.float64) @ (1.0, 1j)
    across = points[1] - points[0]
    down = (points[3] + points[4] - points[0] - points[1]) / 2j
    unit = max(abs(across), abs(down))
    turn = across / max(abs(across), 1e-6) + down / max(abs(down), 1e-6)
    return complex(points.mean()), float(unit), complex(turn / max(abs(turn), 1e-6))
