"""Reference landmarks: the mean of six looks of YuNet, because one look is not sure.

At another size, YuNet's landmarks on the same face move by 7 to 8 % of the eye distance (measured
on the test part of `scenes`: size as stored against enlarged to 640), so a single look cannot tell
an error of 4 %. Three sizes, each plain and mirrored, are averaged; a face counts if half of them
see it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge.vocabulary import FloatArray, PixelArray

_SCORE = 0.6
_OVERLAP = 0.3
_CANDIDATES = 200
_SCALES = (0.75, 1.0, 1.5)
_MIRRORED = [1, 0, 2, 4, 3]


class Reference:
    """YuNet from its ONNX file, looking six times."""

    def __init__(self, model: Path) -> None:
        self._network = cv2.FaceDetectorYN.create(
            str(model), "", (320, 320), _SCORE, _OVERLAP, _CANDIDATES
        )

    def look(self, pixels: PixelArray, scale: float = 1.0) -> list[FloatArray]:
        """Return (5, 2) landmarks of the faces of one look, in pixels of *pixels*."""
        size = tuple(max(32, round(side * scale)) for side in pixels.shape[1::-1])
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        seen = pixels if scale == 1 else cv2.resize(pixels, size, interpolation=how)
        self._network.setInputSize(seen.shape[1::-1])
        _, rows = self._network.detect(cv2.cvtColor(seen, cv2.COLOR_RGB2BGR))
        by = np.array(seen.shape[1::-1]) / pixels.shape[1::-1]
        found = [] if rows is None else [(row[4:14].reshape(5, 2) + 0.5) / by - 0.5 for row in rows]
        return [each.astype(np.float32) for each in found]

    def faces(self, pixels: PixelArray) -> list[FloatArray]:
        """Return the mean landmarks of every face that half of the looks see."""
        mirror = np.ascontiguousarray(pixels[:, ::-1])
        far = pixels.shape[1] - 1
        looks = []
        for scale in _SCALES:
            looks.append(self.look(pixels, scale))
            looks.append(
                [
                    (each * (-1, 1) + (far, 0)).astype(np.float32)[_MIRRORED]
                    for each in self.look(mirror, scale)
                ]
            )
        groups: list[list[FloatArray]] = []
        for look in looks:
            for face in look:
                same = [group for group in groups if is_same(face, group[0])]
                if same:
                    same[0].append(face)
                else:
                    groups.append([face])
        return [np.mean(group, axis=0) for group in groups if len(group) >= len(looks) / 2]


def is_same(found: FloatArray, reference: FloatArray) -> bool:
    """Tell whether two sets of landmarks are one face: near, and of like size."""
    unit = size_of(reference)
    apart = float(np.linalg.norm(found.mean(axis=0) - reference.mean(axis=0)))
    return apart < 0.6 * unit and 0.5 < size_of(found) / unit < 2.0


def size_of(landmarks: FloatArray) -> float:
    """Return the larger of eye distance and eyes to mouth, in pixels."""
    down = landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0)
    return float(max(np.hypot(*(landmarks[1] - landmarks[0])), np.hypot(*down)))


def error_of(found: FloatArray, reference: FloatArray) -> float:
    """Return the mean landmark error in eye distances of *reference*."""
    eyes = np.linalg.norm(reference[1] - reference[0])
    return float(np.linalg.norm(found - reference, axis=1).mean() / eyes)
