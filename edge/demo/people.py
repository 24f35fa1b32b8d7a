"""`janus demo --faces`: a folder of one sub-folder per person, every other one a stranger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.demo.record import Visit, visits_in
from edge.demo.report import Report
from edge.demo.session import FILM_FILE, Stages, facts, open_session, prepare, write_report
from edge.errors import ConfigError, EnrolmentError, PictureError
from edge.pictures.picture import picture_paths, read_picture
from edge.pipeline import Step
from edge.replay import Tally
from edge.vocabulary import Embedding, Frame, PixelArray

_SIZE_PX = (640, 480)
_PICTURE_S = 0.2  # each picture is one frame, so that each is judged once
_PAUSE_S = 0.5  # between two people, on top of the time that ends a visit
_NOTES = """\
Each picture is one frame, and each person's pictures are one visit. A door that films the same \
person sees more frames than that, and more alike.
Every second person in order of name stays outside the gallery, and so does everybody whose first \
picture was refused: they are the strangers.
FPIR counts the strangers' pictures that returned somebody; FNIR counts the enrolled people's \
pictures that did not return them, whether or not a face could be judged.""".splitlines()


@dataclass(frozen=True, slots=True)
class Person:
    """One sub-folder: its name, the picture to enrol from, and the others."""

    name: str
    first: Path
    others: tuple[Path, ...]


def run(stages: Stages, folder: Path, out: Path) -> int:
    """Enrol every other person, replay everybody, report, and return 0: this is a measurement.

    Raises:
        ConfigError: if *folder* holds no sub-folder with two pictures.
        DoorError: from whichever stage failed.
    """
    people = read_people(folder)
    prepare(out)
    enrolled, refused = _enrol(stages, people)
    camera = PictureCamera(people, stages.config.decision.visit_gap_s + _PAUSE_S)

    def visit_of(step: Step) -> str:
        return camera.truth[step.frame.index]

    with open_session(stages, camera, enrolled, visit_of, out) as session:
        names = session.door.gallery.names()
        tally = Tally(session.door.policy, camera.truth, names)
        session.run(also=tally)
        moments = session.recorder.moments
        visits = visits_in(moments)
        report = Report(
            title="Janus demo: a folder of people",
            verdict=_verdict(visits, enrolled),
            passed=None,
            lead=(
                f"{len(enrolled)} of {len(people)} people in {folder.name} are enrolled from "
                "their first picture; everybody's other pictures came by."
            ),
            film=FILM_FILE,
            moments=moments,
            stills=session.recorder.stills,
            columns=("who", "enrolled", "face found", "judged", "best score", "let in as", ""),
            rows=[_row(each, enrolled) for each in visits],
            notes=[*_NOTES, *refused],
            facts={
                **dict(line.split(maxsplit=1) for line in tally.lines()),
                **facts(stages, session),
            },
        )
    print("\n" + "\n".join(tally.lines()))
    write_report(report, out)
    return 0


def read_people(folder: Path) -> list[Person]:
    """Return the people of *folder*, in order of name; each has two pictures or more.

    Raises:
        ConfigError: if there is none.
    """
    if not folder.is_dir():
        raise ConfigError(f"--faces {folder} is no folder; name one with a sub-folder per person")
    people = []
    for each in sorted(each for each in folder.iterdir() if each.is_dir()):
        first, *others = picture_paths(each) or (None,)
        if first and others:
            people.append(Person(each.name, first, tuple(others)))
    if not people:
        raise ConfigError(
            f"--faces {folder} has no sub-folder with two pictures; expected one sub-folder per "
            "person: a picture to enrol, and at least one to replay"
        )
    return people


def _enrol(
    stages: Stages, people: Sequence[Person]
) -> tuple[dict[str, list[Embedding]], list[str]]:
    """Enrol every other person; return the references, and a sentence for each refusal."""
    enrolled: dict[str, list[Embedding]] = {}
    refused = []
    for person in people[::2]:
        try:
            enrolled[person.name] = [stages.enroller.embed(fit(read_picture(person.first)))]
        except EnrolmentError as exc:
            refused.append(f"{person.name} is not enrolled: {exc}.")
            print(refused[-1])
    return enrolled, refused


class PictureCamera:
    """Shows everybody's other pictures, one a frame, with a pause between people.

    Args:
        people: in order of appearance.
        pause_s: seconds between two of them.

    Attributes:
        truth: frame index → who is shown.
    """

    def __init__(self, people: Sequence[Person], pause_s: float) -> None:
        self._shown = [
            (place * pause_s + index * _PICTURE_S, path)
            for index, (place, path) in enumerate(
                (place, path) for place, person in enumerate(people) for path in person.others
            )
        ]
        names = [person.name for person in people for _ in person.others]
        self.truth = dict(enumerate(names))

    def frames(self) -> Iterator[Frame]:
        """Yield a (480, 640) frame a picture; what cannot be read is said and left out."""
        for index, (at_s, path) in enumerate(self._shown):
            try:
                yield Frame(fit(read_picture(path)), at_s, index)
            except PictureError as exc:
                print(f"left out: {exc}")

    def close(self) -> None:
        """Do nothing: no file is held open."""


def fit(pixels: PixelArray) -> PixelArray:
    """Return the whole of *pixels* in the middle of a grey 640×480 frame."""
    height, width, _ = pixels.shape
    scale = min(_SIZE_PX[0] / width, _SIZE_PX[1] / height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    frame = np.full((_SIZE_PX[1], _SIZE_PX[0], 3), 128, dtype=np.uint8)
    left, top = (_SIZE_PX[0] - size[0]) // 2, (_SIZE_PX[1] - size[1]) // 2
    frame[top : top + size[1], left : left + size[0]] = cv2.resize(
        pixels, size, interpolation=method
    )
    return frame


def _verdict(visits: Sequence[Visit], enrolled: Mapping[str, object]) -> str:
    known = [each for each in visits if each.label in enrolled]
    right = sum(each.granted == (each.label,) for each in known)
    wrong = sum(bool(set(each.granted) - {each.label}) for each in visits)
    return (
        f"{right} of {len(known)} enrolled people were let in; {wrong} of {len(visits)} people "
        "were let in as somebody else."
    )


def _row(visit: Visit, enrolled: Mapping[str, object]) -> tuple[str, ...]:
    known = visit.label in enrolled
    return (
        visit.label,
        "yes" if known else "no",
        f"{visit.found} of {visit.frames}",
        f"{visit.judged} of {visit.frames}",
        "–" if visit.best_score is None else f"{visit.best_score:.3f}",
        ", ".join(visit.granted) or "–",
        "✓" if visit.granted == ((visit.label,) if known else ()) else "✕",
    )
