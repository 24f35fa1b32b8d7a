"""Every encoder on the same faces behind the same detector: one table.

    python bench/accuracy.py ../shared/data ours=edge/model float=runs/door \
        mobilefacenet=../shared/peers/mobilefacenet.onnx dlib=dlib --json accuracy.json

Sets: LFW's ten folds; LFW as a door sees it (galleries of 100 and 1,000 people, one reference each,
at the threshold of FMR 1e-3 over all its pairs of people); AT&T's 40; FRLL, enrolled neutral and
searched smiling. Nobody in them was trained on. A picture without a face counts against the
encoder in LFW's folds; elsewhere it is left out, counted. Conditions other than `plain` are drawn
on the crops, after detection: the detector's own losses are in `bench/eyes.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from conditions import CONDITIONS
from tqdm import tqdm

from edge.config import DetectorConfig
from edge.vocabulary import FloatArray, PixelArray
from train.data.cutting import SMALLEST_FACE_PX, View, cut_faces, detector_opener
from train.data.datasets import Index, read_att, read_folder, read_lfw, read_lfw_pairs
from train.errors import TooFewComparisonsError
from train.measuring.encoders import Encoder, open_encoder
from train.measuring.evaluate import one_shot_rate, open_set, spread
from train.measuring.lfw import measure_lfw
from train.measuring.metrics import (
    IntArray,
    Interval,
    compare_all,
    equal_error_rate,
    tar_at_fmr,
    threshold_at_fmr,
    unit_rows,
)
from train.measuring.resampling import Redraws, over_people

_RATES = (1e-2, 1e-3, 1e-4)
_GALLERIES = (100, 1000)
_BATCH = 64

Lines = dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """What one set shows in one view: pictures that have a face, and their crops."""

    index: Index
    crops: PixelArray
    missing: int

    @property
    def numbers(self) -> IntArray:
        """Numbers of the subjects (N,)."""
        at = {name: number for number, name in enumerate(self.index.subjects)}
        return np.array([at[each.subject] for each in self.index.pictures], np.int64)


def cut(index: Index, detector: DetectorConfig, view: View, *, central: bool) -> Faces:
    """Find and cut the face of every picture."""
    kept, missing = [], 0
    crops = np.empty((len(index.pictures), view.side_px, view.side_px, 3), np.uint8)
    made = cut_faces(index, opener=detector_opener(detector), view=view, central=central)
    for each in tqdm(made, total=len(index.pictures), desc="detect", disable=None):
        if each.crop is None:
            missing += 1
        else:
            crops[len(kept)] = each.crop
            kept.append(each.picture)
    return Faces(Index(tuple(kept)), crops[: len(kept)], missing)


def embed(encoder: Encoder, faces: Faces, condition: str) -> FloatArray:
    """Embed the crops, each as *condition* leaves it."""
    spoil, rows = CONDITIONS[condition], []
    starts = range(0, len(faces.crops), _BATCH)
    for at in tqdm(starts, desc=f"embed, {condition}", disable=None):
        spoilt = [spoil(each, encoder.view) for each in faces.crops[at : at + _BATCH]]
        rows.append(encoder.encode(np.stack(spoilt)))
    return np.concatenate(rows)


def lfw(embeddings: FloatArray, faces: Faces, data: Path) -> Lines:
    """Ten folds, and rates over the given pairs; at low FMR, against all pairs of people."""
    paths = [each.path for each in faces.index.pictures]
    found = measure_lfw(embeddings, paths, read_lfw_pairs(data / "lfw-pairs.txt"))
    error = found.accuracy.high - found.accuracy.rate
    lines = {"accuracy": f"{found.accuracy.rate:.2%} ± {error:.2%}"}
    lines |= {f"TAR at FMR {rate}": spread(tar) for rate, tar in found.tar.items()}
    lines |= {"EER": spread(found.equal_error_rate)}
    strangers = _strangers(embeddings, faces.numbers)
    accepted = _given_mated_pairs(embeddings, paths, data)
    for rate in _RATES:
        at = threshold_at_fmr(strangers, rate)
        people = [np.array(scores) >= at for scores in accepted.values()]
        hits, counts = np.array([each.sum() for each in people]), np.array([*map(len, people)])
        tar = over_people(lambda drawn: hits[drawn].sum() / counts[drawn].sum(), len(people), 0)  # noqa: B023
        lines[f"TAR at FMR {rate:g} of {strangers.size:,} pairs"] = spread(tar)
    return lines


def _given_mated_pairs(
    embeddings: FloatArray, paths: list[str], data: Path
) -> dict[str, list[float]]:
    """Return the scores of the mated pairs of LFW by person; -1 where a picture has no face."""
    unit, at = unit_rows(embeddings), {Path(path).stem: row for row, path in enumerate(paths)}
    scores: dict[str, list[float]] = {}
    for one, other, mated, _ in read_lfw_pairs(data / "lfw-pairs.txt"):
        if mated:
            seen = one in at and other in at
            score = float(unit[at[one]] @ unit[at[other]]) if seen else -1.0
            scores.setdefault(one.rpartition("_")[0], []).append(score)
    return scores


def _strangers(embeddings: FloatArray, numbers: IntArray) -> FloatArray:
    """Return the scores of all pairs of people, one picture each: independent strangers."""
    first = np.unique(numbers, return_index=True)[1]
    unit = unit_rows(embeddings)[first]
    scores: FloatArray = (unit @ unit.T)[np.triu_indices(len(first), 1)]
    return scores


def lfw_open_set(embeddings: FloatArray, faces: Faces, _data: Path) -> Lines:
    """Galleries of people with two pictures or more; everybody searches."""
    lines: Lines
    numbers, lines = faces.numbers, {}
    strangers = _strangers(embeddings, numbers)
    for fmr in _RATES:
        at = threshold_at_fmr(strangers, fmr)
        for size in _GALLERIES:
            found = open_set(
                embeddings, numbers, gallery=size, rate=f"{fmr:g}", threshold=at, seed=0
            )
            key = f"gallery of {size}, FMR {fmr:g}: FPIR, FNIR"
            lines[key] = f"{spread(found.fpir, digits=1)}, {spread(found.fnir, digits=1)}"
    return lines


def att(embeddings: FloatArray, faces: Faces, _data: Path) -> Lines:
    """All pairs of all pictures of 40 people."""
    numbers = faces.numbers
    compared, people = compare_all(embeddings, numbers), int(numbers.max()) + 1
    eer, tar = equal_error_rate(compared.mated, compared.nonmated), {}
    for rate in _RATES:
        try:
            tar[rate] = tar_at_fmr(compared.mated, compared.nonmated, rate)
        except TooFewComparisonsError as exc:
            print(f"AT&T: not stated: {exc}", file=sys.stderr)
    first, *others = Redraws(compared, people, seed=0).intervals([*tar], [eer, *tar.values()])
    lines = {"one-shot of 40": spread(one_shot_rate(embeddings, numbers, ways=people, seed=0))}
    lines["EER"] = spread(first)
    names = (f"TAR at FMR {rate:g}" for rate in tar)
    return lines | dict(zip(names, map(spread, others), strict=True))


def frll(embeddings: FloatArray, faces: Faces, _data: Path) -> Lines:
    """Enrol the neutral picture of everybody, search with the smiling one."""
    unit = unit_rows(embeddings)
    at: dict[str, dict[str, int]] = {}
    for number, picture in enumerate(faces.index.pictures):
        kind = "neutral" if "neutral" in Path(picture.path).name else "smiling"
        at.setdefault(picture.subject, {})[kind] = number
    both = [each for each in at.values() if len(each) == 2]
    scores = unit[[each["smiling"] for each in both]] @ unit[[each["neutral"] for each in both]].T
    found = (scores.argmax(axis=1) == np.arange(len(both))).astype(np.float64)
    rate = over_people(lambda drawn: float(found[drawn].mean()), len(both), 0)
    nonmated = scores[~np.eye(len(both), dtype=bool)]
    lines = {f"one-shot of {len(both)}": _of_all(rate, found)}
    lines["TAR at FMR 1e-2"] = f"{tar_at_fmr(scores.diagonal(), nonmated, 1e-2):.2%}"
    return lines


def _of_all(rate: Interval, found: FloatArray) -> str:
    return f"{spread(rate)}, {int(found.sum())} of {len(found)}"


@dataclass(frozen=True, slots=True)
class Set:
    """Where pictures come from, and what is measured on them."""

    read: Callable[[Path], Index]
    measure: Callable[[FloatArray, Faces, Path], Lines]
    central: bool = False


def _lfw_pictures(data: Path) -> Index:
    return read_lfw(data / "lfw-pairs.zip")


SETS = {
    "LFW": Set(_lfw_pictures, lfw, central=True),
    "LFW, open set": Set(_lfw_pictures, lfw_open_set, central=True),
    "AT&T": Set(lambda data: read_att(data / "att-faces"), att, central=True),
    "FRLL": Set(lambda data: read_folder(data / "frll"), frll, central=True),
}


def rows(
    data: Path,
    encoders: dict[str, Encoder],
    sets: list[str],
    conditions: list[str],
    detector: DetectorConfig,
) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield (set, condition, encoder, figure, value); pictures are cut once for each view."""
    cuts: dict[tuple[object, bytes], Faces] = {}
    for name in sets:
        index = SETS[name].read(data)
        for who, encoder in encoders.items():
            key = SETS[name].read, encoder.view.template.tobytes()
            if key not in cuts:
                cuts[key] = cut(index, detector, encoder.view, central=SETS[name].central)
            faces = cuts[key]
            for condition in conditions:
                embeddings = embed(encoder, faces, condition)
                yield name, condition, who, "no face in", f"{faces.missing} pictures"
                for figure, value in SETS[name].measure(embeddings, faces, data).items():
                    yield name, condition, who, figure, value


def main() -> None:
    """Print a row as it is known, and write all of them at the end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="directory of lfw-pairs.zip, att-faces and frll")
    parser.add_argument("encoders", nargs="+", metavar="NAME=PATH", help="as `janus evaluate` does")
    parser.add_argument("--sets", nargs="+", choices=[*SETS], default=[*SETS])
    parser.add_argument("--conditions", nargs="+", choices=[*CONDITIONS], default=["plain"])
    parser.add_argument("--detector", choices=("haar", "janus", "yunet"), default="janus")
    parser.add_argument("--detector-model", type=Path, help="yunet: its ONNX file")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    arguments = parser.parse_args()
    named = dict(each.split("=", 1) for each in arguments.encoders)
    encoders = {name: open_encoder(Path(path)) for name, path in named.items()}
    detector = DetectorConfig(
        backend=arguments.detector,
        model=arguments.detector_model,
        smallest_face_px=SMALLEST_FACE_PX,
    )
    made = []
    for row in rows(arguments.data, encoders, arguments.sets, arguments.conditions, detector):
        print(f"{row[0]:14} {row[1]:11} {row[2]:14} {row[3]:42} {row[4]}", flush=True)
        made.append(dict(zip(("set", "condition", "encoder", "figure", "value"), row, strict=True)))
    if arguments.json:
        arguments.json.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
