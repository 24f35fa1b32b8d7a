"""Whether landmarks move with a picture that is turned, scaled and shifted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from edge.detect import Detector
from edge.geometry import moved
from edge.vocabulary import PixelArray
from train.eyes.looks import error_of, is_same


def equivariance(janus: Detector, pictures: Sequence[PixelArray]) -> dict[str, float]:
    """Return how far landmarks stay from moving with a picture, in eye distances: by what moved."""
    told = {}
    for roll_deg, scale in [
        (0, 0.5),
        (0, 2.0),
        (10, 1.0),
        (-20, 1.0),
        (20, 0.5),
        (20, 2.0),
        (7, 0.8),
    ]:
        residuals, lost = [], 0
        for pixels in pictures:
            before = janus.detect(pixels)
            if not before:
                continue
            height, width = pixels.shape[:2]
            side = math.ceil(scale * math.hypot(height, width))
            transform = cv2.getRotationMatrix2D((width / 2, height / 2), roll_deg, scale)
            transform[:, 2] += np.array([side / 2 - width / 2 + 3.3, side / 2 - height / 2 - 5.7])
            turned = cv2.warpAffine(pixels, transform, (side, side), flags=cv2.INTER_AREA)
            wanted = moved(before[0].landmarks, transform.astype(np.float32))
            after = [each.landmarks for each in janus.detect(np.asarray(turned, np.uint8))]
            errors = [error_of(each, wanted) for each in after if is_same(each, wanted)]
            residuals += [min(errors)] if errors else []
            lost += not errors
        name = f"roll {roll_deg:4d}°, scale {scale:3.1f}, {lost} of {lost + len(residuals)} lost"
        told[name] = float(np.mean(residuals)) if residuals else math.inf
    return told
