"""`janus enrol`: one photo suffices; a refused photo says why."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge.align import ALIGNMENT
from edge.audit import Audit
from edge.camera import open_camera
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.config import CameraConfig, DoorConfig
from edge.detect import open_detector
from edge.enrolment import Enroller, Reference, conflict, least_alike
from edge.errors import ConfigError, EnrolmentError
from edge.gallery import GalleryStore
from edge.instance import sole_door
from edge.pictures.picture import read_picture
from edge.service import open_encoder
from edge.stores.naming import folded, spelling

_CAMERA_REFERENCES = 3
_CAMERA_PATIENCE_S = 30.0
# Neighbouring frames are near copies: the references should differ in pose and light.
_CAMERA_PAUSE_S = 0.7


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="who it is; enrolling again adds references")
    parser.add_argument("photos", metavar="PHOTO", type=Path, nargs="*", help="picture files")
    parser.add_argument(
        "--camera", action="store_true", help="take the pictures with the door's own camera"
    )
    parser.add_argument(
        "--consent",
        metavar="TEXT",
        default="",
        help="what the person agreed to, and where that is recorded; kept sealed with the person",
    )
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="enrol even if the face matches somebody else who is enrolled (a twin)",
    )
    add_config_option(parser)


def _run(arguments: Namespace) -> int:
    if bool(arguments.photos) == arguments.camera:
        raise ConfigError("name one or more photos, or --camera; not both, not neither")
    spelling(arguments.name)  # an unfit name is refused before anybody poses for the camera
    config = config_from(arguments)
    bundle, embedder = open_encoder(config)
    detector = open_detector(config.detector, runtime=config.encoder.runtime, eyes=bundle.eyes)
    enroller = Enroller(detector, embedder, config.quality)
    with (
        closing(
            GalleryStore(config.store.gallery, bundle.model_id, key=config.store.storage_key)
        ) as gallery,
        closing(Audit(config.store.audit)) as audit,
    ):
        _require_consent(arguments, config, gallery)
        references = list(
            _from_camera(enroller, config.camera, config.store.audit.parent)
            if arguments.camera
            else _from_photos(enroller, arguments.photos)
        )
        embeddings = [each.embedding for each in references]
        threshold = bundle.operating_point.threshold
        alike = least_alike(embeddings)
        if arguments.camera and alike < threshold:
            raise EnrolmentError(
                f"the pictures do not match one another (score {alike:.2f}, threshold "
                f"{threshold:.2f}); one person only, facing the camera, please"
            )
        if alike < threshold:
            print(
                f"warning: two of the photos do not match each other (score {alike:.2f}, threshold "
                f"{threshold:.2f}); are they all of {arguments.name}?",
                file=sys.stderr,
            )
        names = gallery.names()
        own = {key for key, name in names.items() if folded(name) == folded(arguments.name)}
        other = conflict(embeddings, own, gallery.load(), threshold)
        if other and not arguments.anyway:
            raise EnrolmentError(
                f"this face matches {names[other]!r}, who is already enrolled; add to that name, "
                "or pass --anyway if they are two people who look alike"
            )
        # First: nobody is enrolled whom the audit does not know of.
        audit.note(
            "enrol",
            references=len(embeddings),
            known=bool(own),
            consent=bool(arguments.consent.strip()),
        )
        crops = [each.crop for each in references] if config.store.keep_crops else []
        subject_id = gallery.enrol(
            arguments.name,
            embeddings,
            crops=crops,
            alignment=ALIGNMENT,
            consent=arguments.consent.strip(),
        )
        audit.note("enrolled", subject_id=subject_id)
    print(f"{arguments.name} is enrolled with {len(embeddings)} more reference(s)")
    return 0


def _require_consent(arguments: Namespace, config: DoorConfig, gallery: GalleryStore) -> None:
    """Refuse a new person of whose consent nothing is recorded, where the site asks for that.

    Raises:
        EnrolmentError: with what to do.
    """
    if arguments.consent.strip() or not config.privacy.require_consent:
        return
    known = [each for each in gallery.people() if folded(each.name) == folded(arguments.name)]
    if not (known and known[0].consent):
        raise EnrolmentError(
            f"this site enrols nobody without a record of consent, and there is none of "
            f'{arguments.name}; add --consent "signed form of 2026-11-24, with the office"'
        )


def _from_photos(enroller: Enroller, photos: list[Path]) -> Iterator[Reference]:
    """Embed every photo; the first that is refused refuses the enrolment, so nothing is half."""
    for path in photos:
        pixels = read_picture(path)
        try:
            yield enroller.refer(pixels)
        except EnrolmentError as exc:
            raise EnrolmentError(f"{path}: {exc}") from exc


def _from_camera(enroller: Enroller, config: CameraConfig, directory: Path) -> Iterator[Reference]:
    """Embed the first good frames, telling the person meanwhile what to change.

    Raises:
        EnrolmentError: if too few frames were good within 30 s of the first.
    """
    taken, said, began_s, taken_at_s = 0, "", None, float("-inf")
    with sole_door(directory), closing(open_camera(config)) as camera:
        for frame in camera.frames():
            now_s = frame.captured_at_s
            began_s = now_s if began_s is None else began_s
            if now_s - taken_at_s < _CAMERA_PAUSE_S:
                continue
            try:
                yield enroller.refer(frame.pixels)
                taken, taken_at_s = taken + 1, now_s
            except EnrolmentError as exc:
                if str(exc) != said:
                    said = str(exc)
                    print(said, file=sys.stderr)
            if taken == _CAMERA_REFERENCES:
                return
            if now_s - began_s > _CAMERA_PATIENCE_S:
                break
    raise EnrolmentError(
        f"only {taken} of {_CAMERA_REFERENCES} pictures were good"
        + (f"; the last refusal: {said}" if said else "")
    )


COMMANDS = (
    Command(
        name="enrol",
        summary="Enrol a person from one or more photos, or from the door's camera.",
        example="janus enrol Ada ada.jpg",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
