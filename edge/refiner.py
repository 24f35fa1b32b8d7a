"""The eyes' second network: places five landmarks on one face, and says whether it is one.

It sees the face upright and at one size, ten times, each a little differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import BundleError
from edge.faces import is_a_face
from edge.geometry import moved, similarity, warp
from edge.tflite import Network, Output, dequantize
from edge.vocabulary import FloatArray, PixelArray

REFINER_SIDE_PX = 64
# Where the landmarks of an upright face lie in the refiner's input: the 112 px template of
# `edge.align` at half its size, so that a face found a third too large or aside is still inside.
REFINER_TEMPLATE: FloatArray = np.array(
    [
        [22.6473, 23.3482],  # right eye
        [40.2660, 23.2508],  # left eye
        [31.5126, 33.3683],  # nose tip
        [24.2747, 43.6828],  # right mouth corner
        [38.8650, 43.6021],  # left mouth corner
    ],
    dtype=np.float32,
)
REFINER_TEMPLATE.setflags(write=False)
# The refiner tells (landmark - centre) / half side.
REFINER_CENTRE_PX = (REFINER_SIDE_PX - 1) / 2
REFINER_UNIT_PX = REFINER_SIDE_PX / 2

_MIRRORED = [1, 0, 2, 4, 3]  # left and right change places in a mirror
# Where the first look put the face, the refiner looks four times more, each time a little turned
# (degrees), scaled and shifted (crop pixels): it errs differently each time, so the mean errs less.
# On 1,190 held-out crops 4.44 % of the eye distance instead of 4.64 % by the first look alone; with
# four more, 4.41 % (docs/eyes.md). All are smaller than what it met in training.
_NUDGES = (
    (-8.0, 0.94, 1.5, 1.5),
    (8.0, 1.06, -1.5, 1.5),
    (-8.0, 1.06, 1.5, -1.5),
    (8.0, 0.94, -1.5, -1.5),
)
LOOKS_A_FACE = 2 * (1 + len(_NUDGES))  # of the refiner: each is also at the mirrored face
_HOPELESS = 0.1  # what the refiner scores lower is no face, whatever the finder says
# Looks that on average put the landmarks so far from their mean, in eye distances, have not found
# the place: of 2,841 held-out crops' faces 137 are so, and 136 of these would be misplaced by more
# than twice as much (docs/eyes.md).
ASTRAY = 0.04


def _nudge(
    turn_deg: float, scale: float, right_px: float, down_px: float
) -> npt.NDArray[np.float64]:
    """Return the (2, 3) move that turns and scales a crop about its face, and shifts it."""
    factor = scale * np.exp(1j * np.deg2rad(turn_deg))
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    middle = REFINER_TEMPLATE.mean(axis=0).astype(np.float64)
    return np.column_stack([turn, middle - turn @ middle + (right_px, down_px)])


_FIRST = (np.eye(2, 3),)
_AGAIN = tuple(_nudge(*each) for each in _NUDGES)


class Refiner:
    """Looks at a face that was roughly found.

    Args:
        network: (1, 64, 64, 1) grey → landmarks (1, 10) and score (1, 1).
        astray: how far the looks' landmarks may lie from their mean, in eye distances.

    Raises:
        BundleError: if the network has other tensors.
    """

    def __init__(self, network: Network, *, astray: float = ASTRAY) -> None:
        self._network, self._astray = network, astray
        self._landmarks, self._verdict = _tensors(network)

    def refine(self, grey: PixelArray, landmarks: FloatArray) -> tuple[FloatArray, float] | None:
        """Return (5, 2) landmarks placed anew and the score, 0 to 1; None if it is no face.

        Also None if the looks do not agree where it is.

        Args:
            grey: (H, W) the picture.
            landmarks: (5, 2), where in it the face is thought to be.

        Raises:
            BundleError: if the network fails.
        """
        (first,), verdict = self._looked(grey, landmarks, _FIRST)
        if verdict < _HOPELESS or not is_a_face(first):
            return None
        again, verdict = self._looked(grey, first, _AGAIN)
        placed = [first, *again]
        mean = np.asarray(np.mean(placed, axis=0), np.float32)
        if verdict < _HOPELESS or not is_a_face(mean) or _spread(placed) > self._astray:
            return None
        return mean, verdict

    def _looked(
        self, grey: PixelArray, landmarks: FloatArray, looks: Sequence[npt.NDArray[np.float64]]
    ) -> tuple[list[FloatArray], float]:
        """Return each look's landmarks in picture pixels, and the mean score.

        Args:
            grey: the picture.
            landmarks: (5, 2), where the face is thought to be.
            looks: (2, 3) moves of the upright crop of it.
        """
        upright = np.vstack([similarity(landmarks, REFINER_TEMPLATE), (0, 0, 1)])
        placed, scores = [], []
        for look in looks:
            to_crop = look @ upright
            back = np.asarray(cv2.invertAffineTransform(to_crop), np.float32)
            crop = warp(grey, to_crop, REFINER_SIDE_PX)
            plain, one = self._placed(crop)
            mirrored, other = self._placed(crop[:, ::-1])
            # In the mirror it errs to the other side, so the mean is nearer than either.
            mirrored = (mirrored * (-1, 1) + (REFINER_SIDE_PX - 1, 0))[_MIRRORED]
            placed.append(moved(((plain + mirrored) / 2).astype(np.float32), back))
            scores += [one, other]
        return placed, float(np.mean(scores))

    def _placed(self, crop: PixelArray) -> tuple[FloatArray, float]:
        """Return (5, 2) landmarks in pixels of the *crop* and the refiner's score."""
        self._network.run(crop[np.newaxis, :, :, np.newaxis])
        answer = dequantize(self._network.levels(self._landmarks), self._landmarks.quantization)
        logit = dequantize(self._network.levels(self._verdict), self._verdict.quantization)
        placed = answer.reshape(5, 2) * REFINER_UNIT_PX + REFINER_CENTRE_PX
        return placed, float(1 / (1 + np.exp(-logit[0, 0])))


def _spread(placed: Sequence[FloatArray]) -> float:
    """Return how far looks' (5, 2) landmarks lie from their mean, on average, in eye distances."""
    mean = np.mean(placed, axis=0)
    return float(np.linalg.norm(placed - mean, axis=-1).mean() / np.hypot(*(mean[1] - mean[0])))


def _tensors(refiner: Network) -> tuple[Output, Output]:
    """Return the outputs for landmarks and score."""
    by_shape = {each.shape: each for each in refiner.outputs}
    wanted = (1, REFINER_SIDE_PX, REFINER_SIDE_PX, 1)
    if refiner.input_shape != wanted or set(by_shape) != {(1, 10), (1, 1)}:
        raise BundleError(
            f"the refiner maps {refiner.input_shape} to {sorted(by_shape)}; expected {wanted} to "
            "(1, 10) and (1, 1): convert the model again"
        )
    return by_shape[(1, 10)], by_shape[(1, 1)]
