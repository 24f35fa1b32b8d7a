"""`janus demo`: see the whole door at work, without a door."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from edge.command import Command
from edge.config import CameraConfig
from edge.demo import onlooker, people, walk
from edge.demo.session import open_stages
from edge.errors import ConfigError


def _add_arguments(parser: ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--camera",
        metavar="N",
        help="watch a camera: device number, /dev/video*, rtsp:// address, or pi",
    )
    source.add_argument("--video", metavar="FILE", type=Path, help="watch a film")
    source.add_argument(
        "--faces",
        metavar="DIR",
        type=Path,
        help="replay a folder of one sub-folder per person; every other person is a stranger",
    )
    parser.add_argument(
        "--enrol",
        metavar="NAME=PHOTO",
        type=_named_photo,
        action="append",
        default=[],
        help="with --camera or --video: let this person in; may be repeated",
    )
    parser.add_argument(
        "--seconds",
        metavar="N",
        type=_seconds,
        help="with --camera or --video: stop after so many (default: the end, or Ctrl-C)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("demo-out"),
        help="where film and report go (default: demo-out)",
    )


def _named_photo(text: str) -> tuple[str, Path]:
    name, _, photo = text.partition("=")
    if not name or not photo:
        raise ArgumentTypeError(f"{text!r} is not NAME=PHOTO, such as Ada=ada.jpg")
    return name, Path(photo)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def _run(arguments: Namespace) -> int:
    source = _source(arguments)
    if source is None and (arguments.enrol or arguments.seconds):
        raise ConfigError("--enrol and --seconds go with --camera or --video; add one of them")
    stages = open_stages()
    if source is not None:
        return onlooker.run(stages, source, arguments.enrol, arguments.seconds, arguments.out)
    if arguments.faces is not None:
        return people.run(stages, arguments.faces, arguments.out)
    return walk.run(stages, arguments.out)


def _source(arguments: Namespace) -> CameraConfig | None:
    """Return the camera or film that was named, or None."""
    if arguments.camera == "pi":
        return CameraConfig(backend="picamera2")
    if arguments.camera is not None:
        return CameraConfig(backend="opencv", source=arguments.camera)
    if arguments.video is not None:
        # Absolute: a film called 0 is not camera 0.
        return CameraConfig(backend="opencv", source=str(arguments.video.absolute()))
    return None


COMMANDS = (
    Command(
        name="demo",
        summary="See the door at work: visitors, a film and a report in demo-out; or your camera.",
        example="janus demo --out demo-out",
        add_arguments=_add_arguments,
        run=_run,
        extra="demo",
    ),
)
