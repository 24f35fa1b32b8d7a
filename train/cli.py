"""The workstation's commands: train, evaluate, prepare. Heavy imports happen when one runs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from edge.command import Command
from edge.errors import ConfigError
from train.fitting.strategy import STRATEGIES, open_team
from train.measuring.evaluate_command import add_detector, detector_of, evaluate, evaluate_arguments
from train.recipes import DOOR, RECIPES, resolve

_NEEDS = ("tensorflow", "keras")
_EYES = ("eyes", "landmarks")  # the door's own (train.eyes)


def _train_arguments(parser: ArgumentParser) -> None:
    names = ", ".join((*RECIPES, DOOR, *_EYES))
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--recipe", metavar="NAME", help=f"one of {names}")
    how.add_argument(
        "--init",
        type=Path,
        metavar="ENCODER",
        help="fine-tune this encoder.keras, run, or bundle beside its run, on the people in --data",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="--init: other people, not to be forgotten"
    )
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
        "--strategy",
        choices=STRATEGIES,
        default="none",
        help="share each step among this machine's GPUs (mirrored), or among the machines that "
        "TF_CONFIG names (multiworker); default: none",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="write curves to RUN/tensorboard"
    )
    parser.add_argument(
        "--enrol",
        nargs="+",
        type=Path,
        metavar="PHOTO",
        help="enrol one more person from the first photo, without training; search the others",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="ONNX",
        help="recipe door: the encoder to learn from; eyes, landmarks: YuNet, whose repeated looks "
        "replace the landmarks of the pictures (in RUN/taught.npz; made once for both)",
    )
    parser.add_argument(
        "--start",
        type=Path,
        metavar="DIR",
        help="recipe door: begin with the weights of DIR/encoder.keras",
    )
    parser.add_argument("--minutes", type=float, help="recipe door: time to fit for")
    parser.add_argument(
        "--steps", type=int, help="recipes eyes, landmarks: length of the fit (11,800; 11,000)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        help="recipes eyes, landmarks: processes that draw pictures; default: 0, this one",
    )


def _train(arguments: Namespace) -> int:
    if arguments.init is not None:
        return _tune(arguments)
    if arguments.keep is not None:
        raise ConfigError("--keep is for fine-tuning: it goes with --init, not with --recipe")
    if arguments.recipe in (DOOR, *_EYES) and (
        arguments.strategy != "none" or arguments.tensorboard
    ):
        raise ConfigError(
            f"--strategy and --tensorboard are for the other recipes, not for {arguments.recipe}"
        )
    if arguments.start is not None and arguments.recipe != DOOR:
        raise ConfigError("--start is for --recipe door; to fit an encoder to a site, use --init")
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

    team = open_team(arguments.strategy)  # before TensorFlow does anything else
    train(
        recipe,
        arguments.pictures,
        arguments.out,
        resume=arguments.resume,
        enrol=tuple(arguments.enrol or ()),
        team=team,
        tensorboard=arguments.tensorboard,
    )
    return 0


def _tune(arguments: Namespace) -> int:
    unfit = ("enrol", "teacher", "minutes", "tensorboard", "start")
    if arguments.strategy != "none" or any(getattr(arguments, each) for each in unfit):
        raise ConfigError(
            "--init takes --data, --out, --keep, --frames, --set, --seed and --resume, no others"
        )
    from train.tuning.site import parse_settings  # noqa: PLC0415 - beside what imports TensorFlow
    from train.tuning.tune import tune  # noqa: PLC0415 - it imports TensorFlow

    seed = [] if arguments.seed is None else [f"seed={arguments.seed}"]
    tune(
        arguments.init,
        arguments.pictures,
        arguments.out,
        keep=arguments.keep,
        frames=arguments.frames,
        settings=parse_settings([*arguments.settings, *seed]),
        resume=arguments.resume,
    )
    return 0


def _train_door(arguments: Namespace) -> int:
    if arguments.teacher is None:
        raise ConfigError("--recipe door learns from another encoder; name it: --teacher FILE.onnx")
    if arguments.frames or arguments.enrol:
        raise ConfigError("--frames and --enrol are for the other recipes, not for door")
    from train.door.distil import run_door  # noqa: PLC0415 - it imports TensorFlow when it runs
    from train.door.schedule import parse_schedule  # noqa: PLC0415 - beside what does

    finished = run_door(
        arguments.pictures,
        arguments.teacher,
        arguments.out,
        minutes=arguments.minutes,
        resume=arguments.resume,
        seed=arguments.seed or 0,
        schedule=parse_schedule(arguments.settings),
        start=arguments.start,
    )
    print("the schedule is finished" if finished else "time is over; go on with --resume")
    return 0


def _train_eyes(arguments: Namespace) -> int:
    if arguments.settings or arguments.frames or arguments.enrol or arguments.minutes:
        raise ConfigError(
            "--set, --frames, --enrol and --minutes are for the other recipes, not for "
            f"{arguments.recipe}"
        )
    from train.eyes import fitting  # noqa: PLC0415 - for these recipes only

    run, steps = {
        "eyes": (fitting.run_eyes, fitting.FINDER_STEPS),
        "landmarks": (fitting.run_landmarks, fitting.REFINER_STEPS),
    }[arguments.recipe]
    made = run(
        arguments.pictures / "faces",
        arguments.pictures / "scenes",
        arguments.out,
        teacher=arguments.teacher,
        steps=arguments.steps or steps,
        workers=arguments.workers,
        resume=arguments.resume,
        seed=arguments.seed or 0,
    )
    print(f"wrote {made}; with both networks in one run, convert them: janus convert")
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
    from train.measuring.label import label  # noqa: PLC0415 - it imports TensorFlow when it runs

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
    add_detector(parser)


def _prepare(arguments: Namespace) -> int:
    from train.data.prepare import prepare  # noqa: PLC0415 - it opens the detector when it runs

    crops, refused = prepare(arguments.photos, arguments.out, detector=detector_of(arguments))
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
        add_arguments=evaluate_arguments,
        run=evaluate,
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
