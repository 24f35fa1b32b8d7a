"""Find, align and cut the one face of each picture, as the door does, on all processors."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from edge.align import TEMPLATE, align
from edge.bundles.bundle import inspect_bundle
from edge.config import SHIPPED_BUNDLE, DetectorConfig
from edge.detect import Detector, open_detector
from edge.errors import PictureError
from edge.eyes import Eyes
from edge.geometry import similarity, warp
from edge.vocabulary import CROP_SIZE_PX, Detection, FloatArray, PixelArray
from train.data.datasets import CROP_MARGIN_PX, Index, Picture

# Smaller ones have too few pixels for a 112 px crop. Olivetti's are 43 px wide and more, AT&T's 60.
SMALLEST_FACE_PX = 36
# A second face of this share of the first one's width leaves open who is meant.
_RIVAL_SHARE = 0.7
NO_FACE, WHO_IS_MEANT = "no face found", "who is meant?"
OpenDetector = Callable[[], Detector]
_AHEAD = 8  # pictures for each processor that may wait for whoever takes the cuts


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What an encoder sees of a face: where five landmarks lie in its square picture.

    Args:
        template: (5, 2) pixels, in the order of `edge.align.TEMPLATE`.
        side_px: of the square.
    """

    template: FloatArray
    side_px: int


DOOR_VIEW = View(TEMPLATE, CROP_SIZE_PX)
"""The crop of `edge.align`."""


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What became of one picture: a crop (side, side, 3), or the reason why there is none.

    ``detection`` is the face in the picture that the crop was cut from.
    """

    picture: Picture
    crop: PixelArray | None
    reason: str = ""
    detection: Detection | None = None


def cut_face(
    picture: Picture, detector: Detector, *, view: View = DOOR_VIEW, central: bool = False
) -> Cut:
    """Return the aligned crop of the one face in *picture*, or why it was refused.

    Args:
        picture: to be read.
        detector: finds the faces.
        view: what the crop shows; by default what the door's encoder sees.
        central: of several faces take the one nearest to the picture's middle, as LFW's protocol
            has it; else a second face of nearly the same size is a reason to refuse.
    """
    try:
        pixels = picture.load()
    except PictureError as exc:
        return Cut(picture, None, str(exc))
    faces = detector.detect(pixels)
    if not faces:
        return Cut(picture, None, NO_FACE)
    if central:
        chosen = _most_central(pixels, faces)
        return Cut(picture, _crop(pixels, chosen, view), detection=chosen)
    if len(faces) > 1 and faces[1].box.width >= _RIVAL_SHARE * faces[0].box.width:
        return Cut(picture, None, f"{len(faces)} faces: {WHO_IS_MEANT}")
    return Cut(picture, _crop(pixels, faces[0], view), detection=faces[0])


def detector_opener(config: DetectorConfig | None = None, eyes: Eyes | None = None) -> OpenDetector:
    """Return what opens a detector; each thread needs one of its own.

    Args:
        config: default: the door's, for faces from 36 px.
        eyes: for the back-end `janus`; default: those of the shipped bundle.

    Raises:
        BundleError: if the shipped bundle is damaged.
    """
    config = config or DetectorConfig(smallest_face_px=SMALLEST_FACE_PX)
    if config.backend == "janus" and eyes is None:
        eyes = inspect_bundle(SHIPPED_BUNDLE).eyes
    return partial(open_detector, config, eyes=eyes)


def cut_faces(
    index: Index,
    *,
    opener: OpenDetector | None = None,
    view: View = DOOR_VIEW,
    central: bool = False,
) -> Iterator[Cut]:
    """Cut every picture of *index*, in its order, on all processors.

    Only a few crops wait for the caller, so that memory does not grow with the index.

    Args:
        index: the pictures.
        opener: opens the detector; default: `detector_opener`'s.
        view: see `cut_face`.
        central: see `cut_face`.
    """
    held = threading.local()  # a cascade keeps state while it searches: one for each thread
    opened = opener or detector_opener()

    def cut(picture: Picture) -> Cut:
        if not hasattr(held, "detector"):
            held.detector = opened()
        return cut_face(picture, held.detector, view=view, central=central)

    workers = os.cpu_count() or 1
    waiting: deque[Future[Cut]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for picture in index.pictures:
                waiting.append(pool.submit(cut, picture))
                if len(waiting) > _AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()


def recut(crop: PixelArray, view: View) -> PixelArray:
    """Return *view* of a face of which only a crop is left, (112, 112, 3) or (144, 144, 3).

    Of what the view shows beyond the crop, the crop's edge is repeated: black would be a shape.

    Raises:
        ValueError: if the crop has another size.
    """
    margins = {CROP_SIZE_PX: 0, CROP_SIZE_PX + 2 * CROP_MARGIN_PX: CROP_MARGIN_PX}
    if crop.shape[0] != crop.shape[1] or crop.shape[0] not in margins:
        raise ValueError(f"a crop is 112x112 or 144x144 pixels; this one is {crop.shape[:2]}")
    margin = margins[crop.shape[0]]
    if view.side_px == CROP_SIZE_PX and view.template is TEMPLATE:
        return crop[margin : margin + CROP_SIZE_PX, margin : margin + CROP_SIZE_PX]
    transform = similarity(TEMPLATE + np.float32(margin), view.template)
    return np.asarray(
        cv2.warpAffine(
            crop,
            transform.astype(np.float64),
            (view.side_px, view.side_px),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def _crop(pixels: PixelArray, face: Detection, view: View) -> PixelArray:
    if view is DOOR_VIEW:
        return align(pixels, face).pixels
    transform = similarity(face.landmarks, view.template)
    return warp(pixels, transform.astype(np.float64), view.side_px)


def _most_central(pixels: PixelArray, faces: tuple[Detection, ...]) -> Detection:
    middle_x, middle_y = pixels.shape[1] / 2, pixels.shape[0] / 2

    def away(face: Detection) -> float:
        box = face.box
        across = (box.left + box.right) / 2 - middle_x
        down = (box.top + box.bottom) / 2 - middle_y
        return float(np.hypot(across, down))

    return min(faces, key=away)
