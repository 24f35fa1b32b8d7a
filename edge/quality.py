"""Tell whether an aligned face is fit to be judged, and if not, what the visitor can change."""

from __future__ import annotations

import cv2
import numpy as np

from edge.config import QualityConfig
from edge.vocabulary import AlignedFace, Flaw, PixelArray

# The face's middle in the crop, brow to mouth and cheek to cheek: no hair, no background, and none
# of the black beyond the picture's end, which would pass for dark and for sharp.
_MIDDLE = (slice(32, 100), slice(24, 88))
_NOISE_SIGMA_PX = 1.0  # without it a blurred face with a sensor's noise of 5 levels passes as sharp
_MID_GREY = 128.0


def flaws(face: AlignedFace, limits: QualityConfig) -> tuple[Flaw, ...]:
    """Return what is wrong with *face*, in the order of `Flaw`; empty if it is fit to be judged."""
    grey = np.asarray(cv2.cvtColor(face.pixels, cv2.COLOR_RGB2GRAY), np.uint8)  # Rec. 601
    luminance = float(grey[_MIDDLE].mean())
    found = {
        Flaw.TOO_SMALL: face.detection.eye_distance_px < limits.eye_distance_px,
        Flaw.TOO_DARK: luminance < limits.darkest,
        Flaw.TOO_BRIGHT: luminance > limits.brightest,
        Flaw.TOO_BLURRED: _sharpness(grey, luminance) < limits.sharpness,
    }
    return tuple(flaw for flaw in Flaw if found[flaw])


def _sharpness(grey: PixelArray, luminance: float) -> float:
    """Return the variance of the Laplacian of the face's middle, brought to mid-grey light.

    Half the light halves every difference between pixels; without the last step dark skin and dim
    rooms would pass for blur.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), _NOISE_SIGMA_PX)
    edges = cv2.Laplacian(smooth, cv2.CV_32F)[_MIDDLE]
    return float(edges.var() * (_MID_GREY / max(luminance, 1.0)) ** 2)
