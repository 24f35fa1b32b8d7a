"""`janus replay`: the whole line on recorded frames; the same frames give the same decisions."""

from __future__ import annotations

import json
import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from edge.audit import Audit
from edge.camera import FilmCamera, FolderCamera
from edge.command import Command
from edge.commands.options import add_config_option
from edge.config import (
    ENVIRONMENT_VARIABLE,
    SHIPPED_BUNDLE,
    SYSTEM_PATH,
    DoorConfig,
    EncoderConfig,
    find_config,
    read_config,
)
from edge.detect import open_detector
from edge.doorkeeper import Doorkeeper, timing_of
from edge.enrolment import Enroller
from edge.errors import ConfigError, EnrolmentError
from edge.gallery import GalleryStore
from edge.pictures.picture import read_picture
from edge.pipeline import Door, Step, policy_from, watch
from edge.promise import promise
from edge.replay import Tally
from edge.service import Reporter, open_encoder
from edge.testing import RecordingRelay
from edge.vocabulary import Frame

log = logging.getLogger("janus")

_PROGRESS_FRAMES = 25


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="DIR|FILM", help="pictures, or a film file")
    parser.add_argument(
        "--enrol",
        action="append",
        metavar="PATTERN",
        help="enrol one picture (the first that is accepted) of each sub-folder of that name, "
        "into a gallery of this replay's own; the rest are the probes. May be repeated; * and ? "
        "stand for letters. Left out: the configured gallery",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the counts as JSON")
    parser.add_argument("--quiet", action="store_true", help="print the counts only")
    add_config_option(parser)


def _run(arguments: Namespace) -> int:
    source: Path = arguments.source
    if not source.exists():
        raise ConfigError(f"{source} does not exist; name a folder of pictures or a film file")
    config = _config(arguments)
    if not arguments.enrol and not config.store.gallery.exists():
        raise ConfigError(
            f"nobody is enrolled in {config.store.gallery}; enrol from the recording itself with "
            "--enrol PATTERN, or name another configuration with --config"
        )
    if arguments.report and not (arguments.report.name and arguments.report.parent.is_dir()):
        raise ConfigError(f"--report {arguments.report} is no file in a folder that exists")
    bundle, embedder = open_encoder(config)
    recording = Recording(source, config)
    with ExitStack() as stack:
        stack.enter_context(closing(recording))
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="janus-replay-")))
        place = scratch / "gallery.sqlite" if arguments.enrol else config.store.gallery
        key = None if arguments.enrol else config.store.storage_key
        keeper = Doorkeeper(
            RecordingRelay(),
            stack.enter_context(closing(Audit(scratch / "audit.sqlite"))),
            timing_of(config),
        )
        door = Door(
            camera=recording,
            detector=open_detector(
                config.detector, runtime=config.encoder.runtime, eyes=bundle.eyes
            ),
            embedder=embedder,
            gallery=stack.enter_context(closing(GalleryStore(place, bundle.model_id, key=key))),
            limits=config.quality,
            policy=policy_from(
                config.decision, bundle.operating_point, bundle.evidence, bundle.model_id
            ),
            keeper=keeper,
        )
        if arguments.enrol:
            _enrol(recording, arguments.enrol, door)
        said = promise(door.policy, len(door.gallery.load().subject_ids))
        if not said.alone:
            log.warning("%s", said)
        tally = Tally(door.policy, recording.truth, door.gallery.names())
        observers: list[Callable[[Step], None]] = [tally, _Progress(len(recording.truth))]
        if not arguments.quiet:
            observers.append(Reporter(tally.names))

        def on_step(step: Step) -> None:
            for observer in observers:
                observer(step)

        watch(door, on_step)
    print("\n".join(tally.lines()))
    if arguments.report:
        facts = {"bundle": bundle.name, "model_id": bundle.model_id, **tally.facts()}
        _write(arguments.report, json.dumps(facts, indent=2) + "\n")
    return 0


def _config(arguments: Namespace) -> DoorConfig:
    """Return the configuration in force, or the defaults where there is none: nothing is driven."""
    named = arguments.config is not None or ENVIRONMENT_VARIABLE in os.environ
    if not named and not SYSTEM_PATH.exists():
        return DoorConfig(encoder=EncoderConfig(bundle=SHIPPED_BUNDLE))
    return read_config(find_config(arguments.config))


class Recording:
    """The camera of a replay: a film, or a folder whose sub-folders name who is shown.

    Each sub-folder is a visit of its own: between two of them time passes without a frame.

    Args:
        source: the film or the folder.
        config: for the frame rate, the rotation and the gap between visits.
    """

    def __init__(self, source: Path, config: DoorConfig) -> None:
        backend = "folder" if source.is_dir() else "opencv"
        camera = replace(config.camera, backend=backend, source=str(source))
        self._camera = FolderCamera(camera) if backend == "folder" else FilmCamera(camera)
        self._gap_s = config.decision.visit_gap_s + 1.0
        self._left_out: set[int] = set()
        self.pictures: tuple[Path, ...] = getattr(self._camera, "paths", ())
        self.truth = {
            index: path.relative_to(source).parts[0]
            for index, path in enumerate(self.pictures)
            if path.parent != source
        }

    def leave_out(self, index: int) -> None:
        """Do not show the picture at *index*: it is a reference."""
        self._left_out.add(index)
        del self.truth[index]

    def frames(self) -> Iterator[Frame]:
        """Yield what is not left out."""
        shown, pauses = None, 0
        for frame in self._camera.frames():
            if frame.index in self._left_out:
                continue
            if self.truth.get(frame.index) != shown:
                shown, pauses = self.truth.get(frame.index), pauses + 1
            yield replace(frame, captured_at_s=frame.captured_at_s + pauses * self._gap_s)

    def close(self) -> None:
        """Close the film or folder."""
        self._camera.close()


def _enrol(recording: Recording, patterns: Sequence[str], door: Door) -> None:
    """Enrol the first acceptable picture of each person whose name fits a pattern.

    Raises:
        ConfigError: if no sub-folder's name fits.
        EnrolmentError: if no picture of a person is accepted; the message says why.
    """
    pictures: dict[str, list[int]] = {}
    for index, name in recording.truth.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            pictures.setdefault(name, []).append(index)
    if not pictures:
        known = sorted(set(recording.truth.values()))
        raise ConfigError(
            f"--enrol {' --enrol '.join(patterns)} fits no sub-folder; there are "
            f"{', '.join(known[:12]) or 'none'}"
        )
    enroller = Enroller(door.detector, door.embedder, door.limits)
    for name, indices in pictures.items():
        refusals = []
        for index in indices:
            path = recording.pictures[index]
            try:
                door.gallery.enrol(name, [enroller.embed(read_picture(path))])
            except EnrolmentError as exc:
                refusals.append(f"{path}: {exc}")
                continue
            recording.leave_out(index)
            break
        else:
            raise EnrolmentError(f"no picture of {name!r} is accepted; {refusals[0]}")
        for refusal in refusals:
            log.warning("not enrolled from %s", refusal)


class _Progress:
    """Counts frames on a terminal, where there are enough to wait for."""

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total

    def __call__(self, _: Step) -> None:
        self._done += 1
        if sys.stderr.isatty() and self._done % _PROGRESS_FRAMES == 0:
            print(f"\r{self._done} of {self._total or '?'} frames", end="\r", file=sys.stderr)


def _write(path: Path, text: str) -> None:
    """Write the whole file or leave what was there.

    Raises:
        ConfigError: if it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        raise ConfigError(f"--report {path} cannot be written: {exc.strerror}") from exc


COMMANDS = (
    Command(
        name="replay",
        summary="Run the whole line on recorded frames and count what the door would have done.",
        example="janus replay photos/ --enrol Ada --enrol 'G*' --report counts.json",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
