"""The workstation's commands: train, evaluate, prepare. Heavy imports happen when one runs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from edge.command import Command
from train.recipes import RECIPES, resolve

_NEEDS = ("tensorflow", "keras")


def _train_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--recipe", required=True, help=f"one of {', '.join(RECIPES)}")
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


def _train(arguments: Namespace) -> int:
    settings = list(arguments.settings)
    if arguments.frames is not None:
        settings.append(f"frames={arguments.frames}")
    if arguments.seed is not None:
        settings.append(f"seed={arguments.seed}")
    recipe = resolve(arguments.recipe, settings)
    from train.run import train  # noqa: PLC0415 - it imports TensorFlow when it runs

    train(recipe, arguments.pictures, arguments.out, resume=arguments.resume)
    return 0


COMMANDS = (
    Command(
        name="train",
        summary="fit a Siamese encoder and measure it on people that it never saw",
        example="janus train --recipe att --data att-faces --out runs/att",
        add_arguments=_train_arguments,
        run=_train,
        needs=_NEEDS,
        extra="workstation",
    ),
)
