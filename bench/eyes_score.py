"""Choose the eyes' lowest score on what they were trained from, so that the test stays a test.

    python bench/eyes_score.py [--finder F.tflite --refiner R.tflite]

Every fourth photo of the training part of `scenes`, and parts of the training photos without a
face, at many sizes. For each score: the share of YuNet's faces of 40 pixels and more that is found,
and false faces a picture. A good score has none in the photos without a face, and stands in the
middle of those at which the share found does not fall yet.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from eyes_sets import LEAST_SCENE_FACE_PX, SETS

from edge.eyes import EyesDetector
from edge.refiner import Refiner
from edge.tflite import open_network
from edge.vocabulary import FloatArray, PixelArray
from train.eyes.looks import is_same
from train.eyes.scenes import read_scenes

_ROOT = Path(__file__).parents[1]
_SCORES = (0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
_EVERY = 4
_SURE_SCORE = 0.7  # of YuNet's: its weaker faces are as often right as wrong
_LOOKS = 24  # at each photo without a face
_FRAME_PX = (640, 480)


def main() -> None:
    """Print found and false faces by score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=_ROOT.parent / "shared" / "data")
    parser.add_argument("--finder", type=Path, default=_ROOT / "edge/model/finder.tflite")
    parser.add_argument("--refiner", type=Path, default=_ROOT / "edge/model/refiner.tflite")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    eyes = EyesDetector(
        open_network(given.finder.read_bytes(), "finder"),
        Refiner(open_network(given.refiner.read_bytes(), "refiner")),
        smallest_face_px=0,
        score=min(_SCORES),
        most_faces=20,
    )
    empty = [[face.score for face in eyes.detect(part)] for part in _parts(given.data)]
    found, false, photos = _scenes(eyes, given.data)
    print(f"{len(empty)} pictures without a face; {photos} photos with {len(found)} faces")
    print(f"{'score':>5} {'found %':>8} {'false a photo':>14} {'in pictures without a face':>27}")
    for score in _SCORES:
        share = 100 * np.mean([each >= score for each in found])
        wrong = sum(each >= score for each in false) / photos
        there = sum(each >= score for picture in empty for each in picture)
        print(f"{score:5.2f} {share:8.2f} {wrong:14.3f} {there:27d}")
    print(f"strongest in pictures without a face: {max(sum(empty, [0.0])):.3f}")


def _parts(data: Path) -> Iterator[PixelArray]:
    """Yield parts of the face-free training photos as frames, some reduced, some mirrored."""
    rng = np.random.default_rng(0)
    for sample in SETS["photos seen"](data, 100):
        for _ in range(_LOOKS):
            least = 64 / min(sample.pixels.shape[:2])
            scale = max(least, float(np.exp(rng.uniform(np.log(0.3), np.log(1.5)))))
            seen = cv2.resize(sample.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            left, top = (
                int(rng.integers(max(1, has - wanted)))
                for has, wanted in zip(seen.shape[1::-1], _FRAME_PX, strict=True)
            )
            part = seen[top : top + _FRAME_PX[1], left : left + _FRAME_PX[0]]
            yield np.ascontiguousarray(part[:, :: -1 if rng.random() < 0.5 else 1], np.uint8)


def _scenes(eyes: EyesDetector, data: Path) -> tuple[list[float], list[float], int]:
    """Return the scores of YuNet's faces (0: not found), of false faces, and the photos' count."""
    found: list[float] = []
    false: list[float] = []
    photos = list(read_scenes(data / "scenes", "train"))[::_EVERY]
    for photo in photos:
        seen = eyes.detect(photo.pixels)
        wide = photo.boxes[:, 2] - photo.boxes[:, 0] >= LEAST_SCENE_FACE_PX
        for wanted in photo.landmarks[wide & (photo.scores >= _SURE_SCORE)]:
            scores = [each.score for each in seen if is_same(each.landmarks, wanted)]
            found.append(max(scores, default=0.0))
        false += [each.score for each in seen if not _is_known(each.landmarks, photo.landmarks)]
    return found, false, len(photos)


def _is_known(landmarks: FloatArray, known: FloatArray) -> bool:
    return any(is_same(landmarks, each) for each in known)


if __name__ == "__main__":
    main()
