"""Log, film and report tell what happened, all of it, and nothing else."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from edge.demo import record
from edge.demo.film import Film, annotate
from edge.demo.moment import Moment, moment_of
from edge.demo.record import Recorder, VisitCounter, visits_in
from edge.demo.report import Report
from edge.demo.timeline import draw
from edge.demo.visitor import Visit
from edge.demo.walk import judge
from edge.errors import ConfigError
from edge.pipeline import Step
from edge.testing import RecordingRelay
from edge.vocabulary import (
    Box,
    Candidate,
    Decision,
    Detection,
    Flaw,
    Frame,
    Observation,
    ObservedFace,
    Outcome,
    Reason,
)

GREY = np.full((480, 640, 3), 120, dtype=np.uint8)


def moment(at_s=0.0, visit="ada", outcome=Outcome.WAIT, score=0.2, **facts):
    known = {
        "at_s": at_s,
        "film_s": at_s,
        "visit": visit,
        "found": score is not None,
        "judged": score is not None,
        "hint": "",
        "best": "Ada" if score is not None else None,
        "score": score,
        "threshold": 0.5,
        "outcome": outcome,
        "reason": Reason.MATCH if outcome is Outcome.GRANT else Reason.NO_MATCH,
        "granted": "Ada" if outcome is Outcome.GRANT else None,
        "released": outcome is Outcome.GRANT,
    }
    return Moment(**(known | facts))


def step(at_s=0.0, outcome=Outcome.WAIT, *, reason=Reason.NO_MATCH, score=0.2, flaws=(), faces=1):
    landmarks = np.array([[300, 200], [340, 200], [320, 225], [305, 245], [335, 245]], np.float32)
    face = ObservedFace(
        Detection(Box(270, 150, 370, 270), landmarks, 1.0),
        flaws,
        () if flaws else (Candidate("a1", score),),
    )
    decision = Decision(
        outcome=outcome,
        reason=reason,
        captured_at_s=at_s,
        subject_id="a1" if outcome is Outcome.GRANT else None,
        score=score,
        threshold=0.5,
        frames=3,
        model_id="0" * 64,
        flaws=flaws,
    )
    seen = Observation(at_s, (face,) * faces)
    return Step(Frame(GREY.copy(), at_s, round(at_s * 15)), seen, decision)


def described(given, **facts):
    return moment_of(
        given, **({"at_s": 0.0, "film_s": 0.0, "visit": "", "names": {}, "released": False} | facts)
    )


def film_pictures(path):
    film = cv2.VideoCapture(str(path))
    pictures = []
    while (read := film.read())[0]:
        pictures.append(read[1])
    film.release()
    return pictures


def test_a_moment_names_people_not_ids():
    told = described(
        step(outcome=Outcome.GRANT, reason=Reason.MATCH, score=0.9), names={"a1": "Ada"}
    )
    assert (told.granted, told.best, told.score) == ("Ada", "Ada", 0.9)
    assert "GRANT Ada" in told.line()


def test_a_flawed_face_is_found_but_not_judged_and_has_a_hint():
    told = described(step(flaws=(Flaw.TOO_BLURRED,)))
    assert (told.found, told.judged, told.score, told.hint) == (
        True, False, None, "hold still for a moment",
    )  # fmt: skip


def test_nobody_has_no_score():
    told = described(step(faces=0, reason=Reason.NO_FACE))
    assert (told.found, told.best, told.score) == (False, None, None)


def test_the_picture_shows_box_and_lamp_and_leaves_the_frame_alone():
    locked, released = step(), step()
    before = locked.frame.pixels.copy()
    shut = annotate(locked, described(locked))
    open_ = annotate(released, described(released, released=True))
    assert np.array_equal(locked.frame.pixels, before)
    assert shut.shape == (576, 640, 3)
    assert np.abs(shut[96 + 200, 268:273].astype(int) - 120).max() > 50  # the box's left edge
    red, green = shut[40, 44], open_[40, 44]
    assert red[2] > red[1] + 50
    assert green[1] > green[2] + 50


def test_names_beyond_ascii_do_not_break_the_film():
    given = step(outcome=Outcome.GRANT, score=0.9)
    annotate(given, described(given, names={"a1": "Zoë 李"}, visit="Zoë 李"))


def test_frames_of_any_size_become_films_with_even_sides():
    given = step()
    odd = Step(Frame(np.zeros((333, 517, 3), np.uint8), 0.0, 0), given.observation, given.decision)
    height, width, _ = annotate(odd, described(odd)).shape
    assert (width, height % 2) == (640, 0)


def test_a_film_has_every_picture_once(tmp_path, capfd):
    film = Film(tmp_path / "a.webm")
    for index in range(10):
        film.add(np.full((64, 64, 3), 20 * index, np.uint8), index / 15)
    film.close()
    film.close()
    pictures = film_pictures(tmp_path / "a.webm")
    assert len(pictures) == 10
    assert pictures[9].mean() > pictures[1].mean() + 100
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("interval_s", "pictures"), [(1 / 5, 10 * 3 - 2), (1 / 30, 6), (60.0, 109)]
)
def test_a_film_keeps_time_with_its_source(tmp_path, interval_s, pictures):
    """Slow sources are held, fast ones thinned, and a long pause is shown for 0.8 s."""
    film = Film(tmp_path / "a.webm")
    for index in range(10):
        film.add(np.zeros((64, 64, 3), np.uint8), index * interval_s)
    film.close()
    assert len(film_pictures(tmp_path / "a.webm")) == pytest.approx(pictures, abs=1)


def test_a_film_that_cannot_be_written_says_so(tmp_path):
    film = Film(tmp_path / "absent" / "a.webm")
    with pytest.raises(ConfigError, match="cannot be written as a film"):
        film.add(np.zeros((64, 64, 3), np.uint8), 0.0)


def recorder(tmp_path, said, **keys):
    film = Film(tmp_path / "a.webm")
    facts = {"names": {"a1": "Ada"}, "visit_of": lambda _: "ada", "say": said.append}
    return Recorder(film, RecordingRelay(), **(facts | keys))


def test_the_log_has_a_line_for_each_change_of_mind_and_each_decision(tmp_path):
    said = []
    follow = recorder(tmp_path, said)
    for index, outcome in enumerate(
        [Outcome.WAIT, Outcome.WAIT, Outcome.DENY, Outcome.WAIT, Outcome.DENY]
    ):
        follow(step(index / 15, outcome))
    follow(step(0.4, reason=Reason.NO_FACE, faces=0))
    assert [line.split()[2] if " s " in line else line.strip() for line in said] == [
        "-- ada --", "WAIT", "DENY", "DENY", "WAIT",
    ]  # fmt: skip


def test_times_count_from_the_first_frame(tmp_path):
    follow = recorder(tmp_path, [])
    follow(step(1234.0))
    follow(step(1234.5))
    assert [each.at_s for each in follow.moments] == [0.0, 0.5]


def test_the_still_of_a_visit_is_its_grant(tmp_path):
    follow = recorder(tmp_path, [])
    follow(step(0.0))
    follow(step(0.1, Outcome.DENY))
    follow(step(0.2, Outcome.GRANT, score=0.9))
    follow(step(0.3))
    (still,) = follow.stills.values()
    assert still.moment.outcome is Outcome.GRANT
    assert cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_COLOR).shape[1] == 400


def test_stills_are_bounded_in_number(tmp_path, monkeypatch):
    """A camera that watches all day must not fill the memory."""
    monkeypatch.setattr(record, "_MOST_STILLS", 2)
    visits = iter(range(100))
    follow = recorder(tmp_path, [], visit_of=lambda _: f"visit {next(visits)}")
    for index in range(4):
        follow(step(index / 15))
    assert list(follow.stills) == ["visit 0", "visit 1"]


def test_visits_are_counted_in_frames():
    (ada, eve) = visits_in(
        [
            moment(0.0, score=None),
            moment(0.1, score=0.4),
            moment(0.2, outcome=Outcome.GRANT, score=0.8),
            moment(0.3, visit="", score=None),
            moment(0.4, visit="eve", judged=False, score=None, found=True),
            moment(0.5, visit="eve", outcome=Outcome.DENY, score=0.1),
        ]
    )
    assert (ada.frames, ada.found, ada.judged, ada.best_score, ada.granted) == (
        3,
        2,
        2,
        0.8,
        ("Ada",),
    )
    assert (eve.frames, eve.found, eve.judged, eve.denials, eve.granted) == (2, 2, 1, 1, ())


def test_unannounced_visits_end_when_no_face_is_seen_for_a_while():
    count = VisitCounter(gap_s=1.0)
    seen = [(0.0, 0), (0.5, 1), (1.0, 0), (1.4, 1), (2.0, 0), (2.6, 0), (3.0, 1)]
    labels = [count(step(at_s, faces=faces)) for at_s, faces in seen]
    assert labels == ["", "visit 1", "visit 1", "visit 1", "visit 1", "", "visit 2"]


def page(moments=None, **facts):
    known = {
        "title": "T", "verdict": "V", "passed": True, "lead": "L", "film": "demo.webm",
        "moments": moments or [moment()], "stills": {}, "columns": ["who"], "rows": [["Ada"]],
        "notes": ["n"], "facts": {"model": "m"},
    }  # fmt: skip
    return Report(**(known | facts)).html()


def test_the_report_fetches_nothing_but_its_film():
    told = page()
    assert re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^")\s]+)', told) == ["demo.webm"]
    assert "http" not in told


def test_names_cannot_write_markup_into_the_report():
    told = page([moment(visit="<script>x</script>")], rows=[["<b>Ada</b>"]], title="<i>")
    assert "<script>x" not in told
    assert "<b>Ada" not in told
    assert "<title><i>" not in told


def test_the_timeline_is_valid_and_marks_every_decision():
    story = [
        moment(0.0, visit="", score=None),
        moment(0.1, outcome=Outcome.DENY),
        moment(0.2, outcome=Outcome.GRANT, score=0.8),
        moment(0.3, released=True, score=0.9, visit="a & b"),
    ]
    root = ET.fromstring(draw(story))  # noqa: S314 - our own
    classes = [each.get("class") for each in root.iter()]
    assert classes.count("mark granted") == classes.count("mark denied") == 1
    assert classes.count("released") == classes.count("threshold") == 1
    dots = {each.get("class"): each.get("d").count("M") for each in root.iter() if each.get("d")}
    assert (dots["dots match"], dots["dots below"]) == (2, 1)


def visits(*people):
    return tuple(Visit(label, None, 0.0, expected=expected) for label, expected in people)


GUESTS = visits(("astronaut", "astronaut"), ("eve", None))
WELCOME = moment(1.0, "astronaut", Outcome.GRANT, 0.9, granted="astronaut")
REFUSED = moment(2.0, "eve", Outcome.DENY, 0.1)


def test_the_demo_passes_when_only_the_astronaut_is_let_in():
    passed, verdict = judge([WELCOME, REFUSED], GUESTS)
    assert passed
    assert verdict == "The door opened for the astronaut and for none of 1 strangers."


@pytest.mark.parametrize(
    ("moments", "why"),
    [
        ([WELCOME, moment(2.0, "eve", Outcome.GRANT, 0.9, granted="astronaut")], "eve was let in"),
        ([moment(1.0, "astronaut", score=0.9), REFUSED], "did not open for astronaut"),
        ([WELCOME, moment(2.0, "eve", score=None)], "proves nothing"),
        ([WELCOME], "proves nothing"),
        ([REFUSED], "did not open for astronaut"),
        ([WELCOME, REFUSED, moment(3.0, "", Outcome.GRANT, granted="astronaut")], "nobody was let"),
    ],
)
def test_the_demo_fails_when(moments, why):
    passed, verdict = judge(moments, GUESTS)
    assert not passed
    assert why in verdict
