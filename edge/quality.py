"""Tell whether an aligned face is fit to be judged, and if not, what the visitor can change.

`bench/quality.py` prints which share of which people each limit refuses.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from edge.config import QualityConfig
from edge.pose import Pose, pose_of
from edge.vocabulary import AlignedFace, Flaw, PixelArray

# The face's middle in the crop, brow to mouth and cheek to cheek: no hair, no background, and none
# of the black beyond the picture's end, which would pass for dark and for sharp.
_MIDDLE = (slice(32, 100), slice(24, 88))
_NOISE_SIGMA_PX = 1.0  # without it a blurred face with a sensor's noise of 5 levels passes as sharp
_MID_GREY = 128.0
# Gloss, teeth and the whites of the eyes are bright on any skin. By the mean of the face, of Black
# people 3.6 times the share of White people would be too dark, in the same photographs' light.
_BRIGHTEST_PER_CENT = 99.0
# Each eye with the cheek below it: light from one side darkens both.
_EYES_AND_CHEEKS = (
    ((slice(44, 60), slice(28, 48)), (slice(66, 80), slice(29, 43))),
    ((slice(44, 60), slice(63, 83)), (slice(66, 80), slice(69, 83))),
)
# Of an eye's light: lids and the white of the eye, not lashes and iris.
_LIDS_PER_CENT = 75.0
_MOUTH = (slice(82, 103), slice(40, 72))
_SOBEL_SUM = 8.0  # of the 3 x 3 kernel for a change of 1 a pixel


def flaws(face: AlignedFace, limits: QualityConfig) -> tuple[Flaw, ...]:
    """Return what is wrong with *face*, in the order of `Flaw`; empty if it is fit to be judged.

    Whether it is covered is asked only of a face with no other flaw: in the dark, in a blur and
    from the side a bare mouth looks as flat as a mask.
    """
    grey = np.asarray(cv2.cvtColor(face.pixels, cv2.COLOR_RGB2GRAY), np.uint8)  # Rec. 601
    smooth = np.asarray(cv2.GaussianBlur(grey, (0, 0), _NOISE_SIGMA_PX), np.uint8)
    luminance = float(grey[_MIDDLE].mean())
    pose = pose_of(face.detection.landmarks)
    found = {
        Flaw.TOO_SMALL: face.detection.eye_distance_px < limits.eye_distance_px,
        Flaw.TOO_DARK: np.percentile(smooth[_MIDDLE], _BRIGHTEST_PER_CENT) < limits.darkest,
        Flaw.TOO_BRIGHT: luminance > limits.brightest,
        Flaw.TOO_BLURRED: _sharpness(smooth, luminance) < limits.sharpness,
        Flaw.TURNED: _is_turned(pose, limits),
        Flaw.TILTED: pose is not None and abs(pose.roll_deg) > limits.roll_deg,
    }
    found[Flaw.COVERED] = not any(found.values()) and _is_covered(smooth, luminance, limits)
    return tuple(flaw for flaw in Flaw if found[flaw])


def for_enrolment(limits: QualityConfig) -> QualityConfig:
    """Return the *limits* of a reference: it is compared with every later look, from any side."""
    return replace(
        limits,
        yaw_deg=min(limits.yaw_deg, limits.enrol_yaw_deg),
        pitch_deg=min(limits.pitch_deg, limits.enrol_pitch_deg),
    )


def _sharpness(smooth: PixelArray, luminance: float) -> float:
    """Return the variance of the Laplacian of the face's middle, brought to mid-grey light.

    Half the light halves every difference between pixels; without the last step dark skin and dim
    rooms would pass for blur.
    """
    # Written out: OpenCV's own, and its Sobel below, are a megabyte of code in memory.
    rows, columns = _MIDDLE
    wide = smooth.astype(np.float32)
    beside = wide[rows, _shifted(columns, -1)] + wide[rows, _shifted(columns, 1)]
    above_and_below = wide[_shifted(rows, -1), columns] + wide[_shifted(rows, 1), columns]
    edges = beside + above_and_below - 4 * wide[rows, columns]
    return float(edges.var() * (_MID_GREY / max(luminance, 1.0)) ** 2)


def _is_turned(pose: Pose | None, limits: QualityConfig) -> bool:
    """Tell whether a face looks elsewhere; landmarks without a pose are of none that looks here."""
    if pose is None:
        return min(limits.yaw_deg, limits.pitch_deg) < 180.0  # noqa: PLR2004 - any is allowed
    return abs(pose.yaw_deg) > limits.yaw_deg or abs(pose.pitch_deg) > limits.pitch_deg


def _is_covered(smooth: PixelArray, luminance: float, limits: QualityConfig) -> bool:
    """Tell whether both eyes are as dark as behind sunglasses, or no lips are seen.

    Real masks have folds and real hands have shadows: what is drawn in `bench/quality.py` has few,
    so it bounds from above what is caught.
    """
    eye_light = max(
        float(np.percentile(smooth[eye], _LIDS_PER_CENT) / max(np.median(smooth[cheek]), 1.0))
        for eye, cheek in _EYES_AND_CHEEKS
    )
    rows, columns = _MOUTH
    wide = smooth.astype(np.float32)
    change = wide[_shifted(rows, 1)] - wide[_shifted(rows, -1)]
    beside = change[:, _shifted(columns, -1)] + change[:, _shifted(columns, 1)]
    down = (beside + 2 * change[:, columns]) / _SOBEL_SUM
    mouth_edges = float(np.abs(down).mean() / max(luminance, 1.0))
    return eye_light < limits.eye_light or mouth_edges < limits.mouth_edges


def _shifted(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
