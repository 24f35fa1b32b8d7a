"""The command of the workstation that makes bundles: `janus convert`."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bundles.bundle import Bundle, inspect_bundle
from edge.bundles.manifest import ENCODER_FILE
from edge.bundles.signing import read_private_key
from edge.command import Command
from edge.config import SHIPPED_BUNDLE
from edge.errors import ConfigError

if TYPE_CHECKING:
    from convert.conversion import Conversion
    from convert.foreign import ForeignEncoder
    from convert.provenance import TrainingRun

_DEFAULT_FMR = 1e-3
_PRESETS = ("mobilefacenet", "sface")  # convert.foreign's; importing it would load OpenCV
_FORMS = ("float16", "float32")
_NO_EYES = Path("none")


def _add_arguments(parser: ArgumentParser) -> None:
    sources = parser.add_mutually_exclusive_group(required=True)
    sources.add_argument(
        "source",
        type=Path,
        nargs="?",
        metavar="RUN",
        help="directory of a training run (with finder.keras and refiner.keras: the eyes), or an "
        "encoder.keras",
    )
    sources.add_argument(
        "--from-tflite", type=Path, metavar="FILE", help="an encoder of others, float or int8"
    )
    sources.add_argument(
        "--from-onnx",
        type=Path,
        metavar="FILE",
        help="an encoder of others (needs janus-door[onnx])",
    )
    parser.add_argument(
        "--preset", choices=_PRESETS, help="how an encoder of others takes its pixels"
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
        "--eyes",
        type=Path,
        default=SHIPPED_BUNDLE,
        metavar="BUNDLE",
        help="take the eyes of this bundle into the new one (the shipped one's, if left out); "
        "none leaves it without",
    )
    parser.add_argument(
        "--sign", type=Path, metavar="KEY", help="sign the bundle with a key of `janus keys new`"
    )
    parser.add_argument(
        "--also",
        type=_forms,
        default=(),
        metavar="FORMS",
        help="write float16,float32 files beside the bundle too, and compare size, parity and "
        "speed",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="write the bundle though int8 is too far from float: it is marked, and no door opens "
        "with it",
    )


def _forms(written: str) -> tuple[str, ...]:
    """Return the forms named in *written*, as in float16,float32."""
    named = tuple(dict.fromkeys(each.strip() for each in written.split(",")))
    if unknown := [each for each in named if each not in _FORMS]:
        raise ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(_FORMS)}")
    return named


def _run(arguments: Namespace) -> int:
    if not 0 < arguments.fmr < 1:
        raise ConfigError(f"--fmr {arguments.fmr:g} is no rate; expected a number between 0 and 1")
    if (arguments.preset is None) != (arguments.source is not None):
        raise ConfigError(
            "--preset goes with --from-tflite and --from-onnx, and they with it; give both, or a "
            "training run alone"
        )
    from convert.eyes import convert_eyes, holds_eyes  # noqa: PLC0415 - as below

    if arguments.source is not None and holds_eyes(arguments.source):
        if arguments.sign is not None or arguments.also or arguments.force:
            raise ConfigError(
                "--sign, --also and --force are for encoders; sign the bundle that these eyes go "
                "into with `janus bundle sign`"
            )
        eyes = convert_eyes(
            arguments.source, arguments.calibration, arguments.out, name=arguments.name
        )
        for measure, value in eyes.parity.items():
            print(f"{measure:22} {value:.4f}")
        print(f"\nwrote {arguments.out}")
        return 0
    from convert.conversion import Wishes, convert  # noqa: PLC0415 - `janus --help` needs none

    wishes = Wishes(
        fmr=arguments.fmr,
        name=arguments.name,
        force=arguments.force,
        also=arguments.also,
        eyes=_eyes(arguments.eyes),
        key=None if arguments.sign is None else read_private_key(arguments.sign),
    )
    made = convert(_origin(arguments), arguments.calibration, arguments.out, wishes)
    print(report(made))
    print(f"\nwrote {arguments.out}{'' if wishes.key else ', not signed'}")
    return 0


def _origin(arguments: Namespace) -> TrainingRun | ForeignEncoder:
    from convert.foreign import find_foreign  # noqa: PLC0415 - `janus --help` needs none of it
    from convert.provenance import read_run  # noqa: PLC0415 - as above

    if arguments.source is not None:
        return read_run(arguments.source)
    return find_foreign(arguments.from_tflite or arguments.from_onnx, arguments.preset)


def _eyes(directory: Path) -> Bundle | None:
    """Return the bundle whose eyes are taken.

    Raises:
        BundleError: if there is none.
        ConfigError: if it has no eyes.
    """
    if directory == _NO_EYES:
        return None
    bundle = inspect_bundle(directory)
    if bundle.manifest.eyes is None:
        raise ConfigError(f"--eyes {directory} is a bundle without eyes; name another, or none")
    return bundle


def report(made: Conversion) -> str:
    """Return what was measured, a line each."""
    from convert.forms import table  # noqa: PLC0415 - `janus --help` needs none of it

    point, support, worth = made.calibration.point, made.calibration, made.evidence
    parity = []
    for each in made.parity.agreements:
        parity.append(
            f"parity       {each.runtime}: cosine to float {each.cosine_mean:.4f} on average, "
            f"{each.cosine_p1:.4f} at the 1st percentile, {each.cosine_min:.4f} at least "
            f"({each.crops} crops)"
        )
        if each.decisions is not None:
            changed = each.decisions
            parity.append(
                f"             TAR at {changed.at_rate}: {changed.tar_float:.4f} in float, "
                f"{changed.tar_int8:.4f} in int8; {changed.flips:.3%} of decisions change"
            )
    held_out = "" if worth.cost_held_out is None else f", {worth.cost_held_out:.3f} on other people"
    ratios = worth.map.log_likelihood_ratios
    lines = [
        (
            f"encoder      {made.manifest.files[ENCODER_FILE].bytes:,} bytes, int8 in and out, "
            f"{made.manifest.encoder.embedding_size} features"
        ),
        f"calibration  {point.data_id}",
        f"             {made.pictures.note}",
        f"             {made.pictures.selection}",
        *parity,
        f"golden set   {made.golden.data_id}",
        *(f"             {runtime}: {each}" for runtime, each in made.golden.flips.items()),
        (
            f"threshold    {point.threshold:.4f}: FMR {point.fmr:.3g} (95 % interval up to "
            f"{support.fmr_upper:.3g}), FNMR {point.fnmr:.3g}"
        ),
        (
            f"             {support.subjects} people, {point.mated:,} mated and "
            f"{point.comparisons:,} non-mated comparisons, the latter worth "
            f"{support.effective_comparisons:,} independent ones"
        ),
        (
            f"evidence     a score is worth {ratios[0]:+.2f} to {ratios[-1]:+.2f} (natural "
            f"logarithm of the likelihood ratio); the counts support {worth.bound_low:+.2f} to "
            f"{worth.bound_high:+.2f}"
        ),
        (
            f"             Cllr {worth.cost:.3f} bits{held_out}; {worth.cost_least:.3f} is the "
            f"least that these scores allow, the cosine itself {worth.cost_raw:.3f}"
        ),
        *(f"FAILED       {each}" for each in made.parity.failures),
    ]
    return "\n".join([*lines, *(["", table(made.forms)] if made.forms else [])])


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
