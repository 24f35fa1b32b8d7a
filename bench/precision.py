"""Time of a recipe's fit in mixed bfloat16 against float32, side by side.

    python bench/precision.py ../shared/data/att-faces [RECIPE] [NAME=VALUE ...]

The same few epochs, in turns, with the time of each one's first epoch (building the graph) left
out. CPU time is that of the process, for machines that are shared.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from train.data.framing import Crops, frame
from train.data.readers import READERS
from train.fitting.feed import feed_of
from train.fitting.fit import Watch, fit, seed_everything
from train.fitting.losses import make_objective
from train.fitting.model import PRECISIONS, build
from train.recipes import Recipe, resolve

_TURNS = 3


def seconds_of(recipe: Recipe, crops: Crops) -> tuple[float, float, float]:
    """Return wall and CPU seconds of all epochs but the first, and the last loss."""
    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout, recipe.precision)
    feed = feed_of(recipe, stem, crops)
    objective = make_objective(recipe, feed.subjects, core)
    ended: list[tuple[float, float]] = []

    def note(_core: object) -> float:
        ended.append((time.monotonic(), time.process_time()))
        return 0.0

    watch = Watch("nothing", note, keep_best=False)
    with tempfile.TemporaryDirectory() as run:
        history = fit(core, objective, recipe, feed, watch=watch, run=Path(run))
    wall_s, cpu_s = np.subtract(ended[-1], ended[0])
    return float(wall_s), float(cpu_s), history[-1]["loss"]


def main() -> None:
    """Measure both in turns and print the ratio of the fastest."""
    name = sys.argv[2] if len(sys.argv) > 2 else "att-plus"
    recipe = resolve(name, ["epochs=4", *sys.argv[3:]])
    crops = frame(READERS[recipe.reader](Path(sys.argv[1])), "whole")
    best = {}
    for _ in range(_TURNS):
        for precision in PRECISIONS:
            measured = seconds_of(replace(recipe, precision=precision), crops)
            best[precision] = min(best.get(precision, measured), measured, key=lambda each: each[1])
    for precision, (wall_s, cpu_s, loss) in best.items():
        print(f"{precision:16}{wall_s:8.2f} s wall {cpu_s:8.2f} s CPU   loss {loss:.4f}")
    plain, mixed = (best[each] for each in PRECISIONS)
    print(f"mixed / float32: {mixed[0] / plain[0]:.2f} wall, {mixed[1] / plain[1]:.2f} CPU")


if __name__ == "__main__":
    main()
