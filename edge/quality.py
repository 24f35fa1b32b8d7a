"""Tell whether an aligned face is fit to be judged, and if not, what the visitor can change."""

from __future__ import annotations

import cv2
import numpy as np

from edge.config import QualityConfig
from edge.vocabulary import AlignedFace, Flaw

# The face's middle in the crop, brow to mouth and cheek to cheek: no hair, no background, and none
# of the black beyond the picture's edge, which would be as dark as it is sharp.
_MIDDLE = (slice(32, 100), slice(24, 88))


def flaws(face: AlignedFace, limits: QualityConfig) -> tuple[Flaw, ...]:
    """Return what is wrong with *face*, in the order of `Flaw`; empty if it is fit to be judged."""
    grey = cv2.cvtColor(face.pixels[_MIDDLE], cv2.COLOR_RGB2GRAY)  # Rec. 601 luminance
    luminance = float(np.mean(grey))
    found = {
        Flaw.TOO_SMALL: face.detection.eye_distance_px < limits.eye_distance_px,
        Flaw.TOO_DARK: luminance < limits.darkest,
        Flaw.TOO_BRIGHT: luminance > limits.brightest,
        Flaw.TOO_BLURRED: _sharpness(face) < limits.sharpness,
    }
    return tuple(flaw for flaw in Flaw if found[flaw])
