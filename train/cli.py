"""The workstation's commands: train, evaluate, prepare. Heavy imports happen when one runs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from edge.command import Command
from edge.errors import ConfigError
from train.readers import READERS
from train.recipes import DOOR, RECIPES, resolve

_NEEDS = ("tensorflow", "keras")
# The door's own eyes (train.eyes), and minutes of one processor that each needs.
_EYES = {"eyes": 60.0, "landmarks": 25.0}


def _train_arguments(parser: ArgumentParser) -> None:
    names = ", ".join((*RECIPES, DOOR, *_EYES))
    parser.add_argument("--recipe", required=True, metavar="NAME", help=f"one of {names}")
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", dest="pictures", help="the pictures"
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="RUN",
        help="directory of the run; made if missing",
    )
    parser.add_argument(
        "--frames",
        choices=("whole", "centre", "aligned"),
        help="how a picture becomes a crop: `aligned` as the door does it (default: the recipe's)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="override a setting of the recipe, such as --set epochs=20; may be repeated",
    )
    parser.add_argument("--seed", type=int, help="of everything drawn at random (default: 0)")
    parser.add_argument("--resume", action="store_true", help="continue a run that was stopped")
    parser.add_argument(
        "--enrol",
        nargs="+",
        type=Path,
        metavar="PHOTO",
        help="enrol one more person from the first photo, without training; search the others",
    )
    parser.add_argument(
        "--teacher", type=Path, metavar="ONNX", help="recipe door: the encoder to learn from"
    )
    parser.add_argument(
        "--minutes", type=float, help="recipes door, eyes, landmarks: time to fit for"
    )


def _train(arguments: Namespace) -> int:
    if arguments.recipe == DOOR:
        return _train_door(arguments)
    if arguments.recipe in _EYES:
        return _train_eyes(arguments)
    settings = list(arguments.settings)
    if arguments.frames is not None:
        settings.append(f"frames={arguments.frames}")
    if arguments.seed is not None:
        settings.append(f"seed={arguments.seed}")
    recipe = resolve(arguments.recipe, settings)
    from train.run import train  # noqa: PLC0415 - it imports TensorFlow when it runs

    train(
        recipe,
        arguments.pictures,
        arguments.out,
        resume=arguments.resume,
        enrol=tuple(arguments.enrol or ()),
    )
    return 0


def _train_door(arguments: Namespace) -> int:
    if arguments.teacher is None:
        raise ConfigError("--recipe door learns from another encoder; name it: --teacher FILE.onnx")
    if arguments.settings or arguments.frames or arguments.enrol:
        raise ConfigError("--set, --frames and --enrol are for the other recipes, not for door")
    from train.door.distil import run_door  # noqa: PLC0415 - it imports TensorFlow when it runs

    run_door(
        arguments.pictures,
        arguments.teacher,
        arguments.out,
        minutes=arguments.minutes,
        resume=arguments.resume,
        seed=arguments.seed or 0,
    )
    return 0


def _train_eyes(arguments: Namespace) -> int:
    if arguments.settings or arguments.frames or arguments.enrol or arguments.teacher:
        raise ConfigError(
            "--set, --frames, --enrol and --teacher are for the other recipes, not for "
            f"{arguments.recipe}"
        )
    from train.eyes.fitting import run_eyes, run_landmarks  # noqa: PLC0415 - they import TensorFlow

    run = {"eyes": run_eyes, "landmarks": run_landmarks}[arguments.recipe]
    made = run(
        arguments.pictures / "faces",
        arguments.pictures / "scenes",
        arguments.out,
        minutes=arguments.minutes or _EYES[arguments.recipe],
        resume=arguments.resume,
        seed=arguments.seed or 0,
    )
    print(f"wrote {made}; with both networks in one run, convert them: janus convert")
    return 0


def _evaluate_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "encoder", type=Path, help="a run, an encoder.keras, a bundle, or a peer's ONNX file"
    )
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", dest="pictures", help="the pictures"
    )
    parser.add_argument(
        "--layout",
        default="folder",
        choices=sorted(READERS),
        help="how the pictures are laid out (default: folder, one per person)",
    )
    parser.add_argument(
        "--frames",
        default="aligned",
        choices=("whole", "centre", "aligned"),
        help="whole for pictures that are 112x112 crops already (default: aligned)",
    )
    parser.add_argument(
        "--subjects", nargs="+", metavar="NAME", help="measure these people only (default: all)"
    )
    parser.add_argument("--pairs", type=Path, help="LFW's pairs.txt: adds its 10-fold accuracy")
    parser.add_argument("--report", type=Path, metavar="HTML", help="write a page with pictures")


def _evaluate(arguments: Namespace) -> int:
    from train.measure import measure  # noqa: PLC0415 - it imports TensorFlow when it runs

    measure(
        arguments.encoder,
        arguments.pictures,
        layout=arguments.layout,
        frames=arguments.frames,
        subjects=arguments.subjects,
        pairs=arguments.pairs,
        report=arguments.report,
    )
    return 0


def _label_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("encoder", type=Path, help="a run, an encoder.keras, or a bundle")
    parser.add_argument("photo", type=Path, help="a photo of several people")
    parser.add_argument(
        "--database", required=True, type=Path, metavar="DIR", help="NAME.jpg, one of each person"
    )
    parser.add_argument(
        "--threshold", required=True, type=float, help="lowest cosine that is a match, -1 to 1"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="PNG", help="the labelled photo")


def _label(arguments: Namespace) -> int:
    from train.label import label  # noqa: PLC0415 - it imports TensorFlow when it runs

    label(
        arguments.encoder,
        arguments.photo,
        database=arguments.database,
        threshold=arguments.threshold,
        out=arguments.out,
    )
    return 0


def _prepare_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("photos", type=Path, help="one folder per person with photos in it")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="where the crops go; made if missing"
    )


def _prepare(arguments: Namespace) -> int:
    from train.prepare import prepare  # noqa: PLC0415 - it opens the detector when it runs

    crops, refused = prepare(arguments.photos, arguments.out)
    print(f"{crops} crops in {arguments.out}, {refused} photos refused", end="")
    print(f"; see {arguments.out / 'refused.png'}" if refused else "")
    return 0


COMMANDS = (
    Command(
        name="train",
        summary="Fit a Siamese encoder and measure it on people that it never saw.",
        example="janus train --recipe att --data att-faces --out runs/att",
        add_arguments=_train_arguments,
        run=_train,
        needs=_NEEDS,
        extra="workstation",
    ),
    Command(
        name="evaluate",
        summary="Measure any encoder on pictures of people: error rates with their evidence.",
        example="janus evaluate runs/att --data photos --report runs/att/photos.html",
        add_arguments=_evaluate_arguments,
        run=_evaluate,
        needs=_NEEDS,
        extra="workstation",
    ),
    Command(
        name="label",
        summary="Name the people in a group photo after a folder with one photo each.",
        example="janus label runs/avengers us.jpg --database faces --threshold 0.6 --out us.png",
        add_arguments=_label_arguments,
        run=_label,
        needs=_NEEDS,
        extra="workstation",
    ),
    Command(
        name="prepare",
        summary="Cut photos of people into the aligned crops that training takes.",
        example="janus prepare photos --out crops",
        add_arguments=_prepare_arguments,
        run=_prepare,
        needs=_NEEDS,
        extra="workstation",
    ),
)
