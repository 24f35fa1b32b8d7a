"""`janus demo --camera` and `--video`: whoever comes, with or without people enrolled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.camera import open_camera
from edge.config import CameraConfig
from edge.demo.record import VisitCounter, visits_in
from edge.demo.report import Report
from edge.demo.session import (
    FILM_FILE,
    Session,
    Stages,
    facts,
    open_session,
    prepare,
    write_report,
)
from edge.errors import EnrolmentError
from edge.pictures.picture import read_picture
from edge.vocabulary import Embedding

_NOTES = """\
Camera, detector, alignment, encoder, gallery, decision and audit are those of a real door; the \
relay records what it is told instead of driving a pin.
Nobody told the demo who was really there: whether a grant was right is for you to see.
The door makes no claim to tell pictures from people.
The film shows the people who came. It stays in this folder until you delete it; the references \
that were enrolled for it are gone already.""".splitlines()


def run(
    stages: Stages,
    source: CameraConfig,
    photos: Sequence[tuple[str, Path]],
    seconds: float | None,
    out: Path,
) -> int:
    """Watch *source* until it ends, *seconds* have passed or Ctrl-C, report, and return 0.

    Args:
        stages: the model and the limits.
        source: a camera or a film.
        photos: whom to enrol, from which picture.
        seconds: of the source's own time; None for no end.
        out: where film and report go.

    Raises:
        EnrolmentError: if a photo is refused.
        DoorError: from whichever stage failed.
    """
    enrolled = enrol(stages, photos)
    prepare(out)
    visit_of = VisitCounter(stages.config.decision.visit_gap_s)
    with open_session(stages, open_camera(source), enrolled, visit_of, out) as session:
        moments = session.recorder.moments
        try:
            session.run(
                should_stop=lambda: (
                    seconds is not None and bool(moments) and moments[-1].at_s >= seconds
                )
            )
        except KeyboardInterrupt:
            if not moments:
                raise
            print("stopped")
        write_report(_report(stages, session, source, enrolled), out)
    return 0


def enrol(stages: Stages, photos: Sequence[tuple[str, Path]]) -> dict[str, list[Embedding]]:
    """Return the references of each name.

    Raises:
        EnrolmentError: naming the photo that is refused, and why.
    """
    enrolled: dict[str, list[Embedding]] = {}
    for name, path in photos:
        pixels = read_picture(path)
        try:
            embedding = stages.enroller.embed(pixels)
        except EnrolmentError as exc:
            raise EnrolmentError(f"--enrol {name}={path}: {exc}") from exc
        enrolled.setdefault(name, []).append(embedding)
        print(f"{name} is enrolled from {path}")
    return enrolled


def _report(
    stages: Stages, session: Session, source: CameraConfig, enrolled: dict[str, list[Embedding]]
) -> Report:
    moments = session.recorder.moments
    visits = visits_in(moments)
    granted = sum(bool(each.granted) for each in visits)
    return Report(
        title="Janus demo: who came by?",
        verdict=f"{len(visits)} visits, {granted} let in.",
        passed=None,
        lead=(f"Watched {_named(source)} with {', '.join(enrolled) or 'nobody'} enrolled."),
        film=FILM_FILE,
        moments=moments,
        stills=session.recorder.stills,
        columns=("visit", "from", "to", "face found", "judged", "best score", "let in as"),
        rows=[
            (
                each.label,
                f"{each.begins_s:.1f} s",
                f"{each.ends_s:.1f} s",
                f"{each.found} of {each.frames}",
                f"{each.judged} of {each.frames}",
                "–" if each.best_score is None else f"{each.best_score:.3f}",
                ", ".join(each.granted) or "–",
            )
            for each in visits
        ],
        notes=_NOTES,
        facts=facts(stages, session),
    )


def _named(source: CameraConfig) -> str:
    """Name the source for people; a network camera's address may hold its password."""
    if source.backend == "picamera2":
        return "the Pi camera"
    if "://" in source.source:
        return "a network camera"
    return f"camera {source.source}" if source.source.isdecimal() else Path(source.source).name
