"""Measure the eyes against YuNet and Haar: found, landmark error, false detections, time.

    python bench/eyes.py [--limit 500] [--sets lfw,att] [--finder F.tflite --refiner R.tflite]
        [--cache references.npz]

Every picture of every set in about three quarters of an hour of one core, most of it for what
`--cache` keeps for the next run (`bench/eyes_reference.py` makes that file by several processes);
the peers look at some of each set only (`--peers`). Ends with what must hold, each pass or fail.
Reference landmarks are YuNet's (hand-made ones do not exist for these pictures): the mean of
32 looks, but for `scenes` and the crops those of the data set, one look each. Errors are in % of
the reference's eye distance; the row `yunet` is one look at 640 pixels, the row `noise` what the
reference is unsure of. Of the sources that training uses, only what it leaves out is measured: the
test part of `scenes`, every sixteenth crop.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from eyes_equivariance import equivariance
from eyes_reference import Reference
from eyes_sets import SETS, SIZES, Sample, samples

from edge.detect import Detector, YunetDetector
from edge.eyes import EyesDetector
from edge.haar import HaarDetector
from edge.refiner import ASTRAY, LOOKS_A_FACE, Refiner
from edge.tflite import open_network
from edge.vocabulary import FloatArray, PixelArray
from train.eyes.looks import SeenFace, are_turned, error_of, is_same

_ROOT = Path(__file__).parents[1]
_YUNET_SCORE = 0.6
_LARGE_ERROR = 0.08
_SURE_NOISE = 0.025  # half of what plain and mirrored looks differ by, in eye distances
_REFINER, _BARE_HAAR = "janus refiner, one face", "bare haar search"


@dataclass
class Tally:
    """What one detector did on one set."""

    targets: int = 0
    found: int = 0
    pictures: int = 0
    false: int = 0
    errors: list[float] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def rank(self) -> tuple[float, float]:
        """Return the shares found, and found with a small error: the worst come first."""
        small = sum(each <= _LARGE_ERROR for each in self.errors)
        return self.found / max(self.targets, 1), small / max(self.found, 1)

    def line(self) -> str:
        """Return the figures as columns."""
        share = f"{100 * self.found / self.targets:6.2f}" if self.targets else "     –"
        errors = np.array(self.errors) * 100
        error = (
            f"{errors.mean():6.2f} {np.percentile(errors, 99):6.1f}" if len(errors) else " " * 13
        )
        within = f"{100 * (errors <= 100 * _LARGE_ERROR).mean():6.2f}" if len(errors) else " " * 6
        return (
            f"{self.pictures:6d} {self.targets:7d} {share} {error} {within} "
            f"{self.false / max(self.pictures, 1):7.3f} {np.median(self.times_ms):8.2f}"
        )


_HEADER = (
    f"{'set':18} {'detector':8} {'photos':>6} {'faces':>7} {'found%':>6} {'error%':>6} {'p99%':>6} "
    f"{'<=8%':>6} {'false/1':>7} {'ms':>8}"
)


def measure(
    name: str,
    detectors: dict[str, Detector],
    reference: Reference,
    data: Path,
    *,
    limit: int,
    peer_limit: int,
) -> tuple[dict[str, Tally], dict[str, Tally], list[float]]:
    """Return each detector's tally on the set *name*, that of "janus" by group, and the noises.

    Others than "janus" look at every so manieth picture of a set, *peer_limit* at most.
    """
    noises: list[float] = []
    tallies = {each: Tally() for each in detectors}
    groups: dict[str, Tally] = defaultdict(Tally)
    step = math.ceil(min(limit, SIZES.get(name, 0)) / peer_limit) or 1
    for at, sample in enumerate(samples(name, data, limit)):
        found: dict[str, list[FloatArray]] = {}
        times_ms: dict[str, float] = {}
        for each, detector in detectors.items():
            if each != "janus" and at % step:
                continue
            began = time.process_time()
            found[each] = [face.landmarks for face in detector.detect(sample.pixels)]
            times_ms[each] = 1e3 * (time.process_time() - began)
        targets, others, measured = _wanted(sample, reference, found)
        noises += [each.noise for each in measured]
        kinds = [*sample.groups, *(kind for each in measured for kind in _kinds(name, each))]
        for each, faces in found.items():
            counted = [tallies[each]]
            if each == "janus":
                counted += [groups[kind] for kind in kinds]
            for tally in counted:
                tally.pictures += 1
                tally.times_ms.append(times_ms[each])
                _count(tally, faces, targets, others, sample.name)
    reference.remember()
    return tallies, groups, noises


def _wanted(
    sample: Sample, reference: Reference, found: dict[str, list[FloatArray]]
) -> tuple[list[FloatArray], list[FloatArray], list[SeenFace]]:
    """Return the faces that must be found, those that may be, and which of them the looks saw."""
    if sample.targets is None:
        seen = reference.faces(sample.pixels)
        if not seen:
            return [], [], []
        middle = np.array(sample.pixels.shape[1::-1]) / 2
        nearest = min(seen, key=lambda each: np.hypot(*(each.landmarks.mean(axis=0) - middle)))
        return [nearest.landmarks], [each.landmarks for each in seen], [nearest]
    targets, others = list(sample.targets), list(sample.others)
    listed = [*targets, *others]
    strange = any(not _is_any(each, listed) for faces in found.values() for each in faces)
    # A photo that is known to have no face has none, whatever the reference sees.
    if listed and strange:
        others += [each.landmarks for each in reference.faces(sample.pixels)]
    return targets, others, []


def _kinds(name: str, face: SeenFace) -> tuple[str, str]:
    """Return what a face counts for: is its head turned, is the reference sure?"""
    turned = bool(are_turned(face.landmarks))
    sure = face.noise < _SURE_NOISE
    return (
        f"{name}, {'head turned' if turned else 'towards the camera'}",
        f"{name}, reference {'sure' if sure else 'unsure'}",
    )


def _count(
    tally: Tally,
    found: list[FloatArray],
    targets: list[FloatArray],
    others: list[FloatArray],
    name: str,
) -> None:
    for target in targets:
        tally.targets += 1
        errors = [error_of(each, target) for each in found if is_same(each, target)]
        if errors:
            tally.found += 1
            tally.errors.append(min(errors))
        else:
            tally.missed.append(name)
    tally.false += sum(not _is_any(each, [*targets, *others]) for each in found)


def _is_any(face: FloatArray, known: list[FloatArray]) -> bool:
    return any(is_same(face, each) for each in known)


def frame_times(
    detectors: dict[str, Callable[[PixelArray], object]], pictures: Sequence[PixelArray]
) -> dict[str, float]:
    """Return each one's median ms on 640x480 frames, interleaved, one thread."""
    frames = [np.asarray(cv2.resize(each, (640, 480)), np.uint8) for each in pictures]
    times: dict[str, list[float]] = defaultdict(list)
    for frame in frames:
        for name, detect in detectors.items():
            began = time.process_time()
            detect(frame)
            times[name].append(1e3 * (time.process_time() - began))
    return {name: float(np.median(each)) for name, each in times.items()}


def requirements(
    tallies: dict[str, Tally], residuals: dict[str, float], times: dict[str, float]
) -> list[tuple[str, float, str, float]]:
    """Return what must hold: what it is, what was measured, "<=" or ">=", and the limit.

    Args:
        tallies: of "janus", by set; a set that was not asked for makes no line.
        residuals: of `equivariance`.
        times: of `frame_times`.
    """
    lines: list[tuple[str, float, str, float]] = []

    def found(name: str, least: float) -> None:
        if name in tallies:
            share = 100 * tallies[name].found / max(tallies[name].targets, 1)
            lines.append((f"{name}: faces found, %", share, ">=", least))

    found("lfw", 99.0)
    if "lfw" in tallies:
        lfw = tallies["lfw"]
        errors = 100 * np.array(lfw.errors)
        within = 100 * float((errors <= 100 * _LARGE_ERROR).mean())
        lines += [
            ("lfw: mean landmark error, % of the eye distance", float(errors.mean()), "<=", 4.0),
            ("lfw: found faces with an error of at most 8 %, %", within, ">=", 99.0),
            ("lfw: false detections a picture", lfw.false / lfw.pictures, "<=", 0.1),
        ]
    found("frll", 99.5)
    found("att", 99.5)
    found("scenes", 95.0)
    photos = [tallies[name].false for name in ("photos unseen", "photos seen") if name in tallies]
    if photos:
        lines.append(("photos without a face: faces found", sum(photos), "<=", 0))
    worst = 100 * max(residuals.values())
    lines += [
        ("equivariance: worst residual, % of the eye distance", worst, "<=", 3.0),
        ("refiner, of the bare Haar search", times[_REFINER] / times[_BARE_HAAR], "<=", 0.2),
        ("whole stage, of YuNet", times["janus"] / times["yunet"], "<=", 1.5),
    ]
    return lines


def main() -> None:
    """Print every figure of the eyes."""
    given = _arguments()
    cv2.setNumThreads(1)
    finder = open_network(given.finder.read_bytes(), "finder")
    refiner = open_network(given.refiner.read_bytes(), "refiner")
    manifest = json.loads((_ROOT / "edge/model/manifest.json").read_text(encoding="utf-8"))
    score = manifest["eyes"]["score"] if given.score is None else given.score
    janus = EyesDetector(
        finder, Refiner(refiner, astray=given.astray / 100), smallest_face_px=0, score=score
    )
    yunet, haar = YunetDetector(given.yunet, 1, _YUNET_SCORE), HaarDetector(40)
    print(f"score {score:g}\n{_HEADER}")
    peers = {} if given.only else {"yunet": yunet, "haar": haar}
    tallies = _measured(given, {"janus": janus, **peers})

    pictures = [each.pixels for each in samples("scenes", given.data, 60)]
    portraits = [each.pixels for each in samples("frll", given.data, 30)]
    print("\nequivariance, scenes and FRLL")
    residuals = equivariance(janus, [*pictures[:30], *portraits])
    for name, residual in residuals.items():
        print(f"{name}: residual {100 * residual:5.2f} % of the eye distance")

    bare = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    crop = np.zeros(refiner.input_shape, np.uint8)
    times = frame_times(
        {
            "janus": janus.detect,
            _REFINER: lambda _frame: [refiner.run(crop) for _ in range(LOOKS_A_FACE)],
            "yunet": yunet.detect,
            "haar with landmarks": haar.detect,
            _BARE_HAAR: lambda frame: bare.detectMultiScale(
                cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 1.1, 5, minSize=(40, 40)
            ),
        },
        pictures,
    )
    print("\n640x480 frames, one thread, median ms of CPU")
    for name, took_ms in times.items():
        print(
            f"{name:24} {took_ms:7.2f} ms  {took_ms / times['yunet']:5.2f} of YuNet  "
            f"{took_ms / times[_BARE_HAAR]:5.2f} of bare Haar"
        )
    print("\nmust hold")
    for what, value, way, limit in requirements(tallies, residuals, times):
        holds = value <= limit if way == "<=" else value >= limit
        print(f"{'pass' if holds else 'FAIL'}  {what:52} {value:8.3f} {way} {limit:g}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=_ROOT.parent / "shared" / "data")
    parser.add_argument(
        "--yunet", type=Path, default=_ROOT.parent / "shared/peers/yunet_n_640_640.onnx"
    )
    parser.add_argument("--finder", type=Path, default=_ROOT / "edge/model/finder.tflite")
    parser.add_argument("--refiner", type=Path, default=_ROOT / "edge/model/refiner.tflite")
    parser.add_argument(
        "--score", type=float, help="lowest score of our faces; left out: that of the bundle"
    )
    parser.add_argument(
        "--astray", type=float, default=100 * ASTRAY,
        help="how far our looks at a face may lie from their mean, in %% of the eye distance",
    )  # fmt: skip
    parser.add_argument(
        "--peers", type=int, default=400, help="pictures a set that YuNet and Haar look at, at most"
    )
    parser.add_argument("--limit", type=int, default=1_000_000, help="pictures a set, at most")
    parser.add_argument("--sets", default=",".join(SETS), help="names with commas between")
    parser.add_argument("--only", action="store_true", help="leave out YuNet and Haar")
    parser.add_argument("--cache", type=Path, help="references of an earlier run; made if missing")
    parser.add_argument("--missed", action="store_true", help="name the pictures that we miss")
    return parser.parse_args()


def _measured(given: argparse.Namespace, detectors: dict[str, Detector]) -> dict[str, Tally]:
    """Print what each detector does on each set, and "janus" by group; return its tallies."""
    reference = Reference(given.yunet, given.cache)
    by_group: dict[str, Tally] = {}
    of_janus: dict[str, Tally] = {}
    for name in given.sets.split(","):
        tallies, groups, noises = measure(
            name, detectors, reference, given.data, limit=given.limit, peer_limit=given.peers
        )
        of_janus[name] = tallies["janus"]
        for each, tally in tallies.items():
            print(f"{name:18} {each:8} {tally.line()}", flush=True)
        if noises:
            noise = 100 * np.array(noises)  # NaN where only half of the looks see the face
            within = 100 * np.mean(noise <= 100 * _LARGE_ERROR)
            print(f"{name:18} {'noise':8} {np.nanmean(noise):28.2f} {within:13.2f}", flush=True)
        if given.missed:
            print("  missed:", " ".join(tallies["janus"].missed[:40]))
        by_group |= groups
    if by_group:
        print("\njanus by group, worst first\n" + _HEADER)
        for name, tally in sorted(by_group.items(), key=lambda item: item[1].rank()):
            print(f"{name[:27]:27} {tally.line()}")
    return of_janus


if __name__ == "__main__":
    main()
