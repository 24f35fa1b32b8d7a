"""`janus demo` itself: one enrolled astronaut and three strangers walk up to the door."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.demo.moment import Moment
from edge.demo.portraits import (
    ASTRONAUT,
    Portrait,
    astronaut,
    astronaut_photo,
    garage_photo,
    stranger,
)
from edge.demo.record import visits_in
from edge.demo.report import Report
from edge.demo.session import FILM_FILE, Stages, facts, open_session, prepare, write_report
from edge.demo.visitor import VISIT_S, Visit, VisitorCamera
from edge.pipeline import Step

_PAUSE_S = 1.3  # with what is too far away to be found, longer than `visit_gap_s`
# Chosen by eye before any score was seen: each is seen from the front, and 52 is, like the
# astronaut, a smiling woman with short hair.
_STRANGERS = (26, 52, 93)
_NOTES = """\
Camera, detector, alignment, encoder, gallery, decision and audit are those of a real door. Only \
the frames are rendered, and the relay records what it is told instead of driving a pin.
The astronaut is one photograph: she is enrolled from it as it is, and rendered from it at other \
sizes, angles, light, blur, noise and compression. That the door knows her shows that the parts \
work together; it is not evidence of accuracy. For that, see the error rates in the small print, \
and measure on your own people (janus demo --faces, janus replay).
The strangers are real faces of only 25 by 25 grey pixels, enlarged and tinted, on drawn heads and \
shoulders. Three strangers who stay outside say little about thousands.
Everybody here is a photograph, and the door did not mind: it makes no claim to tell pictures from \
people.
Photographs: scikit-image's astronaut (NASA), lfw_subset (Labeled Faces in the Wild) and \
stereo_motorcycle (Middlebury 2014).""".splitlines()


def run(stages: Stages, out: Path) -> int:
    """Render the visits, watch them with the door, report, and return the exit code.

    Raises:
        ConfigError: if scikit-image is not installed, or *out* cannot be written.
        DoorError: from whichever stage failed.
    """
    prepare(out)
    reference = stages.enroller.embed(astronaut_photo())
    print(f"{ASTRONAUT} is enrolled from one photograph")
    visits = plan()
    camera = VisitorCamera(garage_photo(), visits, visits[-1].begins_s + VISIT_S + 1.0)

    def visit_of(step: Step) -> str:
        visit = camera.visit_at(step.frame.captured_at_s)
        return visit.label if visit else ""

    print(f"rendering and watching {camera.frames_in_all} frames")
    with open_session(stages, camera, {ASTRONAUT: [reference]}, visit_of, out) as session:
        session.run()
        recorder = session.recorder
        passed, verdict = judge(recorder.moments, visits)
        report = Report(
            title="Janus demo: who is let in?",
            verdict=verdict,
            passed=passed,
            lead=(
                "An astronaut, enrolled from one photograph, and three strangers walk up to a "
                "camera, stand still, and leave. Each frame went through the whole door."
            ),
            film=FILM_FILE,
            moments=recorder.moments,
            stills=recorder.stills,
            columns=("who", "must be", "face found", "judged", "best score", "door", ""),
            rows=_rows(recorder.moments, visits),
            notes=_NOTES,
            facts=facts(stages, session),
        )
    for row in report.rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, _WIDTHS, strict=True)))
    write_report(report, out)
    return 0 if passed else 1


_WIDTHS = (12, 9, 14, 14, 6, 24, 2)


def plan() -> tuple[Visit, ...]:
    """Return who comes when: a stranger, the astronaut, and two strangers more."""
    people: list[tuple[str, Portrait, str | None]]
    people = [(f"stranger {n}", stranger(face), None) for n, face in enumerate(_STRANGERS, 1)]
    people.insert(1, (ASTRONAUT, astronaut(), ASTRONAUT))
    return tuple(
        Visit(
            label=label,
            portrait=portrait,
            begins_s=1.2 + place * (VISIT_S + _PAUSE_S),
            gain=(0.85, 1.08, 1.0, 0.92)[place % 4],
            from_right=place % 2 == 1,
            expected=expected,
        )
        for place, (label, portrait, expected) in enumerate(people)
    )


def judge(moments: Sequence[Moment], visits: Sequence[Visit]) -> tuple[bool, str]:
    """Return whether the door did what it must, and one sentence that says so."""
    expected = {each.label: each.expected for each in visits}
    came = {each.label: each for each in visits_in(moments)}
    for moment in moments:
        if moment.granted and moment.granted != expected.get(moment.visit):
            who = moment.visit or "nobody"
            return False, f"{who} was let in as {moment.granted} at {moment.at_s:.1f} s."
    for label, name in expected.items():
        visit = came.get(label)
        if name and (visit is None or name not in visit.granted):
            return False, f"The door did not open for {label}, who is enrolled."
        if not name and (visit is None or not visit.judged):
            return False, f"No frame of {label} was judged, so that staying outside proves nothing."
    strangers = sum(name is None for name in expected.values())
    welcome = ", ".join(label for label, name in expected.items() if name)
    return True, f"The door opened for the {welcome} and for none of {strangers} strangers."


def _rows(moments: Sequence[Moment], visits: Sequence[Visit]) -> list[tuple[str, ...]]:
    expected = {each.label: each.expected for each in visits}
    rows: list[tuple[str, ...]] = []
    for visit in visits_in(moments):
        wanted = (expected[visit.label],) if expected[visit.label] else ()
        door = f"let in as {', '.join(visit.granted)}" if visit.granted else "stayed locked"
        rows.append(
            (
                visit.label,
                "let in" if wanted else "refused",
                f"{visit.found} of {visit.frames}",
                f"{visit.judged} of {visit.frames}",
                "–" if visit.best_score is None else f"{visit.best_score:.3f}",
                f"{door} ({visit.denials} denials)" if visit.denials else door,
                "✓" if visit.granted == wanted else "✕",
            )
        )
    return rows
