"""One more person from one photo, again and again: whom of a run's people does the newcomer match?

    janus train --recipe olivetti --data ../shared/data/att-faces --out runs/olivetti
    python bench/newcomers.py runs/olivetti ../shared/data/att-faces ../shared/data/frll

Every person of a folder with two photos each is the newcomer once: enrolled from the first photo,
without training, compared with one picture of everybody in the run's set, and searched with the
second. The threshold is that of the run: of the lowest FMR that its people held out support.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np

from train import recipes
from train.data.datasets import read_folder
from train.data.framing import align_pictures, frame
from train.data.readers import READERS
from train.fitting.model import embed
from train.fitting.newcomer import enrol_newcomer
from train.measuring.encoders import ENCODER_FILE, METRICS_FILE
from train.measuring.metrics import Threshold, clopper_pearson

_MOST_MATCHED = 1


def main() -> None:
    """Enrol everybody in turn, print; exit 1 if one matches more than one of the others."""
    import keras

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run of `janus train`")
    parser.add_argument("pictures", type=Path, help="what it was fitted on")
    parser.add_argument("newcomers", type=Path, help="one folder per person, two photos in each")
    given = parser.parse_args()
    run, recipe = given.run, recipes.load(given.run / "recipe.json")
    threshold = Threshold(**json.loads((run / METRICS_FILE).read_text())["strictest"])
    encode = partial(embed, keras.models.load_model(run / ENCODER_FILE, compile=False))
    crops = frame(READERS[recipe.reader](given.pictures), recipe.frames)
    photos = align_pictures(read_folder(given.newcomers))
    matched, found = [], []
    for name in photos.index.subjects:
        faces = photos.only([name]).pixels
        newcomer = enrol_newcomer(crops, encode, faces, threshold.score)
        matched.append(newcomer.matched)
        found += (newcomer.own >= np.float32(newcomer.threshold)).tolist()
    others = len(crops.index.subjects)
    print(f"threshold {threshold.score:.4f} (FMR {threshold.fmr:.2g}), {len(matched)} newcomers")
    print(
        f"each matched at most {max(matched)} of {others} others, {np.mean(matched):.2f} on average"
    )
    again = clopper_pearson(sum(found), len(found))
    print(
        f"{sum(found)} of {len(found)} other photos of theirs matched: {again.rate:.1%} "
        f"({again.low:.1%} to {again.high:.1%})"
    )
    sys.exit(max(matched) > _MOST_MATCHED)


if __name__ == "__main__":
    main()
