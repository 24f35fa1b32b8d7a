"""Measure whom the quality limits refuse: by flaw, by group, and how many covered faces.

    python bench/quality.py [--limit 1500] [--detector haar] [--bundle DIR]

Sets and groups come worst first. Of each picture the face nearest the centre is judged, by the
door's limits and by enrolment's. Nobody says which of these faces are fit to be judged: LFW and
FairFace hold real sunglasses, hands and microphones, so a share "covered" is no share of errors.
Masks, sunglasses and hands are drawn, flat and alike; what is caught of them bounds from above what
is caught of real ones.
"""

from __future__ import annotations

import argparse
import csv
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from coverings import KINDS, cover
from eyes_sets import Sample, decoded, samples

from edge.align import align
from edge.bundles.bundle import inspect_bundle
from edge.config import SHIPPED_BUNDLE, DetectorConfig, QualityConfig
from edge.detect import Detector, open_detector
from edge.quality import flaws, for_enrolment
from edge.replay import wilson
from edge.vocabulary import Detection, Flaw, PixelArray

_ROOT = Path(__file__).parents[1]
_SOURCES = ("fairface", "celeba299", "glint24", "pins105")  # of data/faces
_COLUMNS = ("ethnicity", "gender", "age")
_SEED = 0


@dataclass
class Tally:
    """How many faces of some kind were looked for, found, and refused for what."""

    pictures: int = 0
    found: int = 0
    refused: int = 0
    by_flaw: Counter[Flaw] = field(default_factory=Counter)

    def add(self, found: tuple[Flaw, ...] | None) -> None:
        """Count one picture; None where no face was found."""
        self.pictures += 1
        if found is not None:
            self.found += 1
            self.refused += bool(found)
            self.by_flaw.update(found)

    def line(self) -> str:
        """Return the shares of the faces that were found, in per cent."""
        of = max(self.found, 1)
        low, high = wilson(self.refused, self.found)
        each = " ".join(f"{100 * self.by_flaw[flaw] / of:8.2f}" for flaw in Flaw)
        return (
            f"{self.pictures:6d} {self.found:6d} {100 * self.refused / of:7.2f} "
            f"({100 * low:4.1f}–{100 * high:4.1f}) {each}"
        )


_HEADER = f"{'':34} {'photos':>6} {'faces':>6} {'refused':>7} {'(95 %)':>11} " + " ".join(
    f"{flaw.name.removeprefix('TOO_').lower():>8}" for flaw in Flaw
)


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=_ROOT.parent / "shared" / "data")
    parser.add_argument("--limit", type=int, default=1500, help="pictures a set, at most")
    parser.add_argument("--detector", default="janus", choices=("janus", "haar"))
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE, help="whose eyes look")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    detector = open_detector(
        DetectorConfig(backend=given.detector, smallest_face_px=40),
        eyes=inspect_bundle(given.bundle).eyes,
    )
    door = QualityConfig()
    enrolment = for_enrolment(door)

    sets: dict[str, Tally] = defaultdict(Tally)
    groups: dict[str, Tally] = defaultdict(Tally)
    for name in ("att", "frll", "lfw", *_SOURCES):
        for sample in _pictures(name, given.data, given.limit):
            face = _nearest(detector, sample.pixels)
            aligned = None if face is None else align(sample.pixels, face)
            at_door = None if aligned is None else flaws(aligned, door)
            sets[f"{name}, door"].add(at_door)
            sets[f"{name}, enrolment"].add(None if aligned is None else flaws(aligned, enrolment))
            for group in sample.groups if name in _SOURCES else ():
                groups[group].add(at_door)
    print(_HEADER)
    _print_worst_first(sets)
    print("\nFairFace at the door, by group, worst first")
    for column in _COLUMNS:
        print(_HEADER)
        _print_worst_first({name: each for name, each in groups.items() if name.startswith(column)})

    print("\nfaces with no flaw, drawn over: % caught as covered, % refused for anything, % lost")
    for name in ("frll", "att", "lfw"):
        _coverings(name, detector, door, given.data, min(given.limit, 400))


def _print_worst_first(tallies: dict[str, Tally]) -> None:
    for name, each in sorted(
        tallies.items(), key=lambda item: -item[1].refused / max(item[1].found, 1)
    ):
        print(f"{name:34} {each.line()}", flush=True)


def _coverings(name: str, detector: Detector, limits: QualityConfig, data: Path, most: int) -> None:
    """Print what becomes of the flawless faces of a set when they are covered."""
    rng = np.random.default_rng(_SEED)
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in _pictures(name, data, most):
        face = _nearest(detector, sample.pixels)
        if face is None or set(flaws(align(sample.pixels, face), limits)) - {Flaw.COVERED}:
            continue
        for kind in ("nothing", *KINDS):
            pixels = sample.pixels
            if kind != "nothing":
                pixels = cover(kind, pixels, face.landmarks, rng)
            again = _nearest(detector, pixels)
            told[kind]["faces"] += 1
            if again is None:
                told[kind]["lost"] += 1
                continue
            found = flaws(align(pixels, again), limits)
            told[kind]["covered"] += Flaw.COVERED in found
            told[kind]["refused"] += bool(found)
    for kind, counts in told.items():
        shares = "  ".join(
            f"{what} {100 * counts[what] / counts['faces']:6.2f}"
            for what in ("covered", "refused", "lost")
        )
        print(f"{name:5} {kind:11} {counts['faces']:5d} faces  {shares}", flush=True)


def _pictures(name: str, data: Path, limit: int) -> Iterator[Sample]:
    if name not in _SOURCES:
        yield from samples(name, data, limit)
        return
    with (data / "faces" / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == name]
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[:limit]
    with zipfile.ZipFile(data / "faces" / f"{name}.zip") as archive:
        for row in (rows[at] for at in chosen):
            groups = tuple(f"{column} {row[column]}" for column in _COLUMNS if row[column])
            yield Sample(row["file"], decoded(archive.read(row["file"])), None, groups=groups)


def _nearest(detector: Detector, pixels: PixelArray) -> Detection | None:
    """Return the face nearest the picture's centre."""
    middle = np.array(pixels.shape[1::-1]) / 2
    return min(
        detector.detect(pixels),
        key=lambda face: float(np.hypot(*(face.landmarks.mean(axis=0) - middle))),
        default=None,
    )


if __name__ == "__main__":
    main()
