"""One change at a time to the recipe `door`: what short runs of equal work come to, side by side.

    python bench/door_variants.py ../shared/data/faces ../shared/peers/mobilefacenet.onnx runs/door

Every run starts from nothing, sees as many crops of 64 pixels, and is measured on the same 40
people and 1,000 strangers held out. The crops and what the teacher says of them are those that
`janus train --recipe door --out runs/door` keeps in runs/cache; a run that is there is not fitted
again. Short runs show what learns faster, not what is better in the end.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from train.door.caches import read_listing
from train.door.distil import run_door
from train.door.lesson import hold_out
from train.door.schedule import Schedule

_SIZE_PX, _STRENGTH, _RATE = 64, 0.6, 2e-3
_NARROW, _WIDE = ((36, "b"), (72, "bbn"), (144, "nnn")), ((64, "b"), (128, "bbn"), (256, "nnn"))

VARIANTS: dict[str, dict[str, Any]] = {
    "recipe": {},
    "embedding alone": {"relation": 0.0},
    "relations five times": {"relation": 50.0},
    "labels too": {"labels": 0.05},
    "no mixtures": {"mixtures": 0},
    "undisturbed crops": {"sizes": ((_SIZE_PX, 0.0, _RATE, 1.0),)},
    "rate doubled": {"sizes": ((_SIZE_PX, _STRENGTH, 2 * _RATE, 1.0),)},
    "batch of 64": {"batch": 64},
    "48 pixels": {"sizes": ((48, _STRENGTH, _RATE, 1.0),)},
    "80 pixels": {"sizes": ((80, _STRENGTH, _RATE, 1.0),)},
    "three quarters of the width": {"stages": _NARROW, "stem": 18, "head": 192},
    "four thirds of the width": {"stages": _WIDE, "stem": 32, "head": 340},
}
_FIGURES = (
    "cosine_people", "cosine_strangers", "tar_people_0.01", "tar_visits_0.01", "tar_visits_0.001",
)  # fmt: skip


def main() -> None:
    """Fit and measure each variant; print a row as it is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path, help="directory of index.csv and the archives")
    parser.add_argument("teacher", type=Path, help="ONNX")
    parser.add_argument("run", type=Path, help="a run beside whose cache the variants are kept")
    parser.add_argument("--crops", type=int, default=60_000, help="seen by each variant")
    parser.add_argument("--mixtures", type=int, default=Schedule().mixtures)
    parser.add_argument("--only", nargs="+", choices=[*VARIANTS], default=[*VARIANTS])
    arguments = parser.parse_args()
    fitted = len(hold_out(read_listing(arguments.pictures), seed=0).fitted)
    base = Schedule(
        batch=128, mixtures=arguments.mixtures, sizes=((_SIZE_PX, _STRENGTH, _RATE, 1.0),)
    )
    rows = []
    for name in arguments.only:
        schedule = replace(base, **VARIANTS[name])
        schedule = replace(schedule, passes=arguments.crops / (fitted + schedule.mixtures))
        out = arguments.run.parent / f"variant-{name.replace(' ', '-')}-{arguments.crops}"
        taken = "fitted before"
        if not (out / "metrics.json").is_file():
            began_s = time.process_time()
            run_door(arguments.pictures, arguments.teacher, out, schedule=schedule)
            taken = f"{time.process_time() - began_s:.0f} s of CPU"
        found = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        rows.append(
            f"{name:28} {taken:>13}  "
            + "  ".join(f"{each} {found.get(each, float('nan')):.3f}" for each in _FIGURES)
        )
        print(rows[-1], flush=True)
    print("\n".join(["", *rows]))


if __name__ == "__main__":
    main()
