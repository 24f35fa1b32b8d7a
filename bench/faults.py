"""The table of faults: what goes wrong, how soon it is noticed, and when the door opens again.

    python bench/faults.py [NAME …] [--json faults.json]

Each line is one trial of the real service with a person who is enrolled before the camera, under a
manager that does what systemd does for systemd/janus.service; only the camera's device and the GPIO
library are stand-ins. NAME chooses faults whose name contains it. Needs root (it mounts small file
systems), and takes about ten minutes. Exit code 1 if a trial does not end as it should.
"""

# ruff: noqa: E402 - the tests' support is no package
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from faults import FAULTS, Fault, Trial, demand, enrolled_store, try_fault

HEADER = (
    "| fault | noticed after | by | ends in | strike | opens again after |\n"
    "|---|---|---|---|---|---|"
)


def main() -> int:
    """Try every fault, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    failed = 0
    print(HEADER, flush=True)
    with enrolled_store() as enrolled:
        for fault in FAULTS:
            if arguments.names and not any(each in fault.name for each in arguments.names):
                continue
            try:
                trial = try_fault(fault, enrolled)
                demand(fault, trial)
            except AssertionError as exc:
                failed += 1
                print(f"| {fault.name} | FAILED: {str(exc).splitlines()[0]} |", flush=True)
                print(exc, file=sys.stderr)
                continue
            print(_row(fault, trial), flush=True)
            rows.append(_facts(fault, trial))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0


def _row(fault: Fault, trial: Trial) -> str:
    noticed = "–" if trial.noticed_s is None else f"{trial.noticed_s:.1f} s"
    strike = "locked" if trial.locked_after_s == 0 else f"locked after {trial.locked_after_s:.1f} s"
    again = "–" if trial.again_s is None else f"{trial.again_s:.1f} s"
    return (
        f"| {fault.name} | {noticed} | {trial.noticed_by} | {fault.outcome} | {strike} | {again} |"
    )


def _facts(fault: Fault, trial: Trial) -> dict[str, object]:
    return {
        "fault": fault.name,
        "outcome": fault.outcome,
        "noticed_s": trial.noticed_s,
        "noticed_by": trial.noticed_by,
        "lasted_s": trial.lasted_s,
        "again_s": trial.again_s,
        "locked_after_s": trial.locked_after_s,
        "starts": trial.starts,
        "releases": trial.releases,
        "events": len(trial.events),
    }


if __name__ == "__main__":
    raise SystemExit(main())
