"""The command of the workstation that makes bundles: `janus convert`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.command import Command
from edge.errors import ConfigError

if TYPE_CHECKING:
    from convert.conversion import Conversion

_DEFAULT_FMR = 1e-3


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "source",
        type=Path,
        metavar="RUN",
        help="directory of a training run (with finder.keras and refiner.keras: the eyes), or an "
        "encoder.keras",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="DIR",
        help="pictures of people whom the encoder was not fitted on: one folder per person, the "
        "AT&T tree, or crop archives with index.csv",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="BUNDLE", help="directory of the bundle"
    )
    parser.add_argument(
        "--fmr",
        type=float,
        default=_DEFAULT_FMR,
        help="false match rate of one comparison that the threshold is chosen for (%(default)g)",
    )
    parser.add_argument("--name", help="name of the bundle (the recipe's, if left out)")
    parser.add_argument(
        "--force",
        action="store_true",
        help="write the bundle though int8 is too far from float: it is marked, and no door opens "
        "with it",
    )


def _run(arguments: Namespace) -> int:
    if not 0 < arguments.fmr < 1:
        raise ConfigError(f"--fmr {arguments.fmr:g} is no rate; expected a number between 0 and 1")
    from convert.eyes import convert_eyes, holds_eyes  # noqa: PLC0415 - as below

    if holds_eyes(arguments.source):
        eyes = convert_eyes(
            arguments.source, arguments.calibration, arguments.out, name=arguments.name
        )
        for measure, value in eyes.parity.items():
            print(f"{measure:22} {value:.4f}")
        print(f"\nwrote {arguments.out}")
        return 0
    from convert.conversion import convert  # noqa: PLC0415 - `janus --help` needs none of it

    made = convert(
        arguments.source,
        arguments.calibration,
        arguments.out,
        fmr=arguments.fmr,
        name=arguments.name,
        force=arguments.force,
    )
    print(report(made))
    print(f"\nwrote {arguments.out}")
    return 0


def report(made: Conversion) -> str:
    """Return what was measured, a line each."""
    point, evidence, changed = made.calibration.point, made.calibration, made.parity.decisions
    parity = (
        f"parity       {each.runtime}: cosine to float {each.cosine_mean:.4f} on average, "
        f"{each.cosine_p1:.4f} at the 1st percentile, {each.cosine_min:.4f} at least "
        f"({each.crops} crops)"
        for each in made.parity.agreements
    )
    return "\n".join(
        (
            (
                f"encoder      {made.manifest.encoder.bytes:,} bytes, int8 in and out, "
                f"{made.manifest.encoder.embedding_size} features"
            ),
            f"calibration  {point.data_id}",
            f"             {made.pictures.note}",
            *parity,
            (
                f"             TAR at FMR {changed.fmr:g}: {changed.tar_float:.4f} in float, "
                f"{changed.tar_int8:.4f} in int8; {changed.flips:.3%} of decisions change"
            ),
            (
                f"threshold    {point.threshold:.4f}: FMR {point.fmr:.3g} (95 % interval up to "
                f"{evidence.fmr_upper:.3g}), FNMR {point.fnmr:.3g}"
            ),
            (
                f"             {evidence.subjects} people, {point.mated:,} mated and "
                f"{point.comparisons:,} non-mated comparisons, the latter worth "
                f"{evidence.effective_comparisons:,} independent ones"
            ),
            *(f"FAILED       {each}" for each in made.parity.failures),
        )
    )


COMMANDS = (
    Command(
        name="convert",
        summary="Make the int8 bundle that a door runs from a trained encoder.",
        example="janus convert runs/att --calibration photos/ --out bundle/",
        add_arguments=_add_arguments,
        run=_run,
        needs=("tensorflow", "keras", "tqdm"),
        extra="workstation",
    ),
)
