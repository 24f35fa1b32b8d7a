"""Peak memory of a fit on all crops of an archive, and how long its steps wait for their batches.

    python bench/train_memory.py ../shared/data/faces [RECIPE] [NAME=VALUE ...]

Every crop is loaded, people without a name too (each is a subject of one picture); some people are
held out and some are watched, so that the path is that of `janus train`. The peak is that of the
whole process (getrusage), TensorFlow included. A step waits for its batch while it is drawn; that
share of the fit's time is the fraction in which the input pipeline keeps the processors waiting.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from train.data.datasets import read_crops
from train.data.framing import frame
from train.data.sampling import Batch, split_subjects
from train.fitting.feed import feed_of
from train.fitting.fit import fit, seed_everything
from train.fitting.losses import make_objective
from train.fitting.model import build
from train.recipes import resolve
from train.run import error_watch

_SETTINGS = ("people=32", "steps=100", "epochs=2", "validated=20", "tested=40", "loss=batch-hard")
_HIGHEST_GB = 4.0


class Stopwatch:
    """How long the batches of a feed were waited for, and how many there were."""

    waited_s, batches = 0.0, 0

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield *batches*, timing each until it is there."""
        while True:
            asked_s = time.perf_counter()
            batch = next(batches, None)
            self.waited_s += time.perf_counter() - asked_s
            if batch is None:
                return
            self.batches += 1
            yield batch


def peak_gb() -> float:
    """Return the most memory that this process has held, in 1e9 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # Linux: KiB


def main() -> None:
    """Load, fit a little, print; exit 1 above the limit."""
    name = sys.argv[2] if len(sys.argv) > 2 else "att-plus"
    recipe = resolve(name, [*_SETTINGS, *sys.argv[3:]])
    began_s = time.monotonic()
    crops = frame(read_crops(Path(sys.argv[1]), strangers=True), "whole")
    print(f"{len(crops.index.pictures):,} crops of {len(crops.index.subjects):,} subjects")
    print(f"loaded in {time.monotonic() - began_s:.0f} s, peak {peak_gb():.2f} GB")

    named = [each for each in crops.index.subjects if len(each.split("/")) == 2]
    split = split_subjects(tuple(named), validated=recipe.validated, tested=recipe.tested)
    watched, held = frozenset(split.validated), frozenset(split.tested)
    fitted = [each for each in crops.index.subjects if each not in watched | held]

    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout, recipe.precision)
    feed, stopwatch = feed_of(recipe, stem, crops.only(fitted)), Stopwatch()
    timed = replace(feed, batches=lambda epoch: stopwatch.timed(feed.batches(epoch)))
    objective = make_objective(recipe, feed.subjects, core)
    watch = error_watch(stem, crops.only(split.validated), recipe.watched_fmr)
    with tempfile.TemporaryDirectory() as out:
        history = fit(core, objective, recipe, timed, watch=watch, run=Path(out))
    fit_s, waited_s = sum(each["wall_s"] for each in history), stopwatch.waited_s
    print(f"fitted on {len(feed.paths):,} crops, {stopwatch.batches} steps in {fit_s:.0f} s")
    print(f"waiting for batches: {waited_s:.2f} s, {waited_s / fit_s:.2%} of the fit")
    print(f"peak {peak_gb():.2f} GB of {_HIGHEST_GB:.0f} GB allowed")
    sys.exit(peak_gb() > _HIGHEST_GB)


if __name__ == "__main__":
    main()
