"""People and places from the photographs that come with scikit-image; nothing is downloaded.

The astronaut (NASA portrait of Eileen Collins, public domain) is cut out of her background. The
strangers are the faces of `lfw_subset`: real people, but only 25×25 grey pixels each, so that they
are enlarged, tinted and set on a drawn head and shoulders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edge.errors import ConfigError
from edge.vocabulary import FloatArray, PixelArray

ASTRONAUT = "astronaut"
_LFW_FACES = 100  # the other half of lfw_subset shows no faces

# Hand-drawn on the 512×512 portrait: inside `_INNER` is surely she, outside `_OUTER` surely not.
_OUTER = (
    (150, 60), (170, 25), (225, 5), (285, 25), (308, 80), (300, 120), (275, 150), (300, 190),
    (312, 235), (350, 270), (372, 340), (430, 340), (490, 390), (511, 460), (511, 511), (10, 511),
    (20, 430), (35, 300), (60, 255), (105, 220), (108, 180), (150, 140), (172, 140), (148, 100),
)  # fmt: skip
_INNER = (
    (170, 80), (190, 40), (225, 28), (270, 40), (287, 80), (265, 130), (250, 160), (290, 215),
    (290, 250), (330, 290), (350, 345), (400, 360), (470, 400), (490, 470), (490, 511), (40, 511),
    (45, 400), (60, 310), (110, 245), (130, 200), (180, 165), (183, 130), (172, 105),
)  # fmt: skip
_SKIN_TINT = np.array([1.16, 0.94, 0.78], dtype=np.float32)
_HAIR = (41.0, 31.0, 23.0)
_SHIRTS = ((70.0, 92.0, 140.0), (128.0, 60.0, 58.0), (56.0, 110.0, 84.0))
_BUST_SIZE_PX = (512, 860)  # down to the hips: far away, more of a person is seen
_HEAD_XY = (256, 190)


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A person without a background.

    Args:
        layer: (H, W, 4) float32 red, green, blue times coverage in 0..255, and coverage in 0..1.
        face_xy: centre of the face in the layer, in pixels.
        face_px: width of the face there, from cheek to cheek.
    """

    layer: FloatArray
    face_xy: tuple[float, float]
    face_px: float


def astronaut_photo() -> PixelArray:
    """Return the portrait as it was taken: (512, 512, 3) uint8 RGB."""
    return np.asarray(_sample("astronaut"), dtype=np.uint8)


def garage_photo() -> PixelArray:
    """Return a garage with a motorcycle and nobody in it: (480, 640, 3) uint8 RGB."""
    left, _right, _disparity = _sample("stereo_motorcycle")
    return np.asarray(cv2.resize(left[..., :3], (640, 480), interpolation=cv2.INTER_AREA))


def astronaut() -> Portrait:
    """Return the astronaut, cut out of her portrait."""
    photo = astronaut_photo()
    return Portrait(_layer(photo.astype(np.float32), _coverage(photo)), (226.0, 115.0), 96.0)


def stranger(number: int) -> Portrait:
    """Return one of the faces of `lfw_subset` on drawn shoulders.

    Args:
        number: 0 to 99.
    """
    if not 0 <= number < _LFW_FACES:
        raise ValueError(f"lfw_subset has faces 0 to {_LFW_FACES - 1}; got {number}")
    grey = _enlarge(np.asarray(_sample("lfw_subset")[number], dtype=np.float32))
    return _bust(grey, _SHIRTS[number % len(_SHIRTS)])


def _sample(name: str) -> Any:  # noqa: ANN401 - skimage publishes no types
    """Return one of scikit-image's photographs.

    Raises:
        ConfigError: if scikit-image is not installed, or does not bring that file along.
    """
    try:
        import skimage.data  # here: an extra, and everything else runs without it

        return getattr(skimage.data, name)()
    except ImportError as exc:
        raise ConfigError(
            "the photographs of the demo come with scikit-image, which is not installed; run: "
            "pip install 'janus-door[demo]'; or show a film or camera (--video, --camera)"
        ) from exc
    except OSError as exc:
        raise ConfigError(
            f"scikit-image cannot read its {name!r}: {exc}; install it again: "
            "pip install --force-reinstall 'scikit-image>=0.24,<0.27'"
        ) from exc


def _coverage(photo: PixelArray) -> FloatArray:
    """Return how much of each pixel belongs to the person: (H, W) float32 in 0..1."""
    height, width, _ = photo.shape
    labels = np.full((height, width), cv2.GC_BGD, dtype=np.uint8)
    cv2.fillPoly(labels, [np.array(_OUTER, dtype=np.int32)], (cv2.GC_PR_BGD,))
    cv2.fillPoly(labels, [np.array(_INNER, dtype=np.int32)], (cv2.GC_FGD,))
    # At half size: a quarter of the time, and finer edges would not survive the rendering.
    half = (width // 2, height // 2)
    labels = cv2.resize(labels, half, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    small = cv2.resize(photo, half, interpolation=cv2.INTER_AREA)
    cv2.setRNGSeed(1)  # GrabCut draws its first clusters at random
    no_rectangle = (0, 0, 1, 1)  # not read in this mode
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, labels, no_rectangle, *models, 3, cv2.GC_INIT_WITH_MASK)
    inside = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    inside = cv2.resize(inside, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    # Steepened and moved inwards after the blur, so that no rim of the old background remains.
    soft = cv2.GaussianBlur(inside, (0, 0), 2.0) * 1.6 - 0.45
    return np.asarray(np.clip(soft, 0.0, 1.0), dtype=np.float32)


def _layer(colour: FloatArray, coverage: FloatArray) -> FloatArray:
    return np.dstack([colour * coverage[..., None], coverage]).astype(np.float32)


def _enlarge(patch: FloatArray) -> FloatArray:
    """Enlarge a (25, 25) patch eightfold, sharpening at each doubling; 0..1 stays 0..1."""
    for _ in range(3):
        patch = cv2.resize(patch, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC).astype(
            np.float32
        )
        blurred = cv2.GaussianBlur(patch, (0, 0), 1.4)
        patch = np.clip(patch + 0.35 * (patch - blurred), 0.0, 1.0).astype(np.float32)
    return patch


def _bust(face: FloatArray, shirt: tuple[float, float, float]) -> Portrait:
    """Set *face* (200, 200) grey 0..1 on a drawn head, neck and torso."""
    x, y = _HEAD_XY
    half = face.shape[0] // 2
    tinted = np.clip(face[..., None] * 255.0 * _SKIN_TINT, 0.0, 255.0)
    skin = np.median(tinted[60:150, 60:140], axis=(0, 1))
    across = np.abs(np.arange(_BUST_SIZE_PX[0], dtype=np.float32) - x) / 230.0
    shade = (1.0 - 0.45 * np.clip(across, 0.0, 1.0) ** 2)[None, :, None]
    weave = cv2.resize(_sample("gravel"), _BUST_SIZE_PX).astype(np.float32)[..., None] / 255.0

    layer = np.zeros((_BUST_SIZE_PX[1], _BUST_SIZE_PX[0], 4), dtype=np.float32)
    torso = _ellipse(x, y + 262, 222, 138, 6)
    torso[y + 262 :] = torso[y + 262]
    layer = _put(layer, torso, shirt * shade * (0.75 + 0.5 * weave))
    layer = _put(layer, _ellipse(x, y + 98, 56, 84, 6), skin * 0.72 * shade)
    layer = _put(layer, _ellipse(x, y - 16, 102, 122, 10), np.array(_HAIR) * (0.7 + 0.6 * weave))
    layer = _put(layer, _ellipse(x, y + 8, 88, 112, 14), skin * 0.92)
    window = np.zeros(layer.shape[:2], dtype=np.float32)
    window[y - half + 2 : y + half - 2, x - half + 2 : x + half - 2] = 1.0
    picture = np.zeros((*layer.shape[:2], 3), dtype=np.float32)
    picture[y - half : y + half, x - half : x + half] = tinted
    layer = _put(layer, _ellipse(x, y + 4, 90, 108, 30) * window, picture)
    return Portrait(layer, (x, y), 172.0)


def _ellipse(x: float, y: float, a: float, b: float, soft_px: float) -> FloatArray:
    """Return the coverage of an ellipse with half-axes *a* and *b* and a soft rim."""
    width, height = _BUST_SIZE_PX
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    inward_px = (1.0 - np.hypot((columns - x) / a, (rows - y) / b)) * min(a, b)
    return np.asarray(np.clip(inward_px / soft_px + 0.5, 0.0, 1.0), dtype=np.float32)


def _put(
    layer: FloatArray,
    coverage: FloatArray,
    colour: np.ndarray[tuple[int, ...], np.dtype[Any]],
) -> FloatArray:
    """Lay *colour* over *layer* where *coverage* says."""
    painted = np.broadcast_to(np.asarray(colour, dtype=np.float32), (*coverage.shape, 3))
    below = layer * (1.0 - coverage[..., None])
    return (below + _layer(painted, coverage)).astype(np.float32)
