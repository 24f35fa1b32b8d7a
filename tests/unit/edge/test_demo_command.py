"""`janus demo` on folders, films and wrong arguments, with stand-ins for detector and encoder."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from policies import EVIDENCE

from edge.cli import main
from edge.config import CameraConfig, DecisionConfig, DoorConfig
from edge.demo import onlooker, people
from edge.demo.film import Film
from edge.demo.people import Person, PictureCamera, fit, read_people
from edge.demo.session import FALSE_ACCEPT_PER_VISIT, FrameClock, Stages
from edge.errors import ConfigError, EnrolmentError
from edge.testing import ReplayCamera, StubDetector, StubEmbedder
from edge.vocabulary import Box, Detection, OperatingPoint

LANDMARKS = np.array([[300, 200], [340, 200], [320, 225], [305, 245], [335, 245]], np.float32)
FACE = Detection(Box(270, 150, 370, 270), LANDMARKS, 1.0)
CONFIG = DoorConfig(decision=DecisionConfig(false_accept_per_visit=FALSE_ACCEPT_PER_VISIT))
ONE, OTHER = np.eye(4, dtype=np.float32)[:2]


def stages(*vectors, faces=(FACE,)):
    """Stages that find *faces* in every picture and see *vectors* in them, in turn."""
    bundle = SimpleNamespace(
        name="stub",
        operating_point=OperatingPoint(0.5, 0.01, 0.02, 1000, 100, "made up"),
        evidence=EVIDENCE,
    )
    return Stages(CONFIG, bundle, StubEmbedder(vectors), StubDetector(faces))


@pytest.fixture
def photo(tmp_path):
    """A picture that is sharp where the face is said to be: the quality check lets it pass."""
    path = tmp_path / "ada.png"
    pixels = np.full((480, 640, 3), 128, dtype=np.uint8)
    rows, columns = np.mgrid[:480, :640] // 8
    pixels[(rows + columns) % 2 == 0] = 160
    pixels[:150] = pixels[270:] = pixels[:, :270] = pixels[:, 370:] = 128
    cv2.imwrite(str(path), pixels)
    return path


def film_of(path, photo, count=5):
    film = Film(path)
    for index in range(count):
        film.add(cv2.imread(str(photo)), index / 15)
    film.close()
    return CameraConfig(backend="opencv", source=str(path))


def test_a_film_lets_in_whom_it_was_told_to(tmp_path, photo, capsys):
    source, out = film_of(tmp_path / "a.webm", photo), tmp_path / "out"
    assert onlooker.run(stages(ONE), source, [("Ada", photo)], None, out) == 0
    assert "GRANT Ada" in capsys.readouterr().out
    assert "1 visits, 1 let in" in (out / "report.html").read_text()
    assert (out / "demo.webm").stat().st_size > 1000


def test_a_film_lets_nobody_in_who_is_not_enrolled(tmp_path, photo, capsys):
    source = film_of(tmp_path / "a.webm", photo)
    assert onlooker.run(stages(ONE, OTHER), source, [("Ada", photo)], None, tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert "GRANT" not in told
    assert "1 visits, 0 let in" in told


def test_a_film_is_watched_for_so_many_seconds(tmp_path, photo):
    source, out = film_of(tmp_path / "a.webm", photo, count=9), tmp_path / "out"
    onlooker.run(stages(ONE), source, [], 0.3, out)
    assert "<dt>frames</dt><dd>6:" in (out / "report.html").read_text()


def test_a_refused_photo_is_named(tmp_path, photo):
    with pytest.raises(EnrolmentError, match=r"--enrol Ada=.*ada\.png: no face"):
        onlooker.enrol(stages(ONE, faces=()), [("Ada", photo)])


def test_a_report_never_shows_a_cameras_password(tmp_path):
    assert "secret" not in onlooker._named(CameraConfig("opencv", "rtsp://me:secret@door/1"))


def folder_of(tmp_path, photo, **counts):
    for name, count in counts.items():
        (tmp_path / "all" / name).mkdir(parents=True)
        for index in range(count):
            (tmp_path / "all" / name / f"{index}.png").write_bytes(photo.read_bytes())
    return tmp_path / "all"


def test_every_other_person_of_a_folder_is_a_stranger(tmp_path, photo, capsys):
    """Ada is enrolled and known, Eve is not enrolled and looks like nobody."""
    folder, out = folder_of(tmp_path, photo, ada=5, eve=3), tmp_path / "out"
    assert people.run(stages(ONE, ONE, ONE, ONE, ONE, OTHER), folder, out) == 0
    told = capsys.readouterr().out
    assert "FPIR      0/2" in told
    assert "FNIR      0/4" in told
    assert "1 of 1 enrolled people were let in; 0 of 2 people were let in as somebody else" in told


def test_a_stranger_who_is_let_in_is_counted(tmp_path, photo, capsys):
    folder = folder_of(tmp_path, photo, ada=2, eve=5)
    people.run(stages(ONE), folder, tmp_path / "out")
    told = capsys.readouterr().out
    assert "FPIR      4/4" in told
    assert "1 of 2 people were let in as somebody else" in told


def test_whose_first_picture_is_refused_is_a_stranger(tmp_path, photo, capsys):
    folder = folder_of(tmp_path, photo, ada=2)
    people.run(stages(ONE, faces=()), folder, tmp_path / "out")
    assert "ada is not enrolled: no face is found" in capsys.readouterr().out


def test_a_picture_that_cannot_be_read_is_left_out(tmp_path, photo, capsys):
    broken = tmp_path / "b.png"
    broken.write_bytes(b"")
    camera = PictureCamera([Person("ada", photo, (photo, broken, photo))], 2.0)
    assert [frame.index for frame in camera.frames()] == [0, 2]
    assert "left out" in capsys.readouterr().out


def test_a_pause_between_two_people_ends_the_visit(photo):
    someone = Person("ada", photo, (photo, photo))
    times = [frame.captured_at_s for frame in PictureCamera([someone, someone], 2.0).frames()]
    assert times == pytest.approx([0.0, 0.2, 2.4, 2.6])


def test_a_folder_without_people_is_refused(tmp_path, photo):
    with pytest.raises(ConfigError, match="is no folder"):
        read_people(tmp_path / "absent")
    with pytest.raises(ConfigError, match="two pictures"):
        read_people(folder_of(tmp_path, photo, ada=1))


@pytest.mark.parametrize("size", [(112, 92), (30, 2000), (900, 700)])
def test_the_whole_picture_fits_into_the_frame(size):
    frame = fit(np.full((*size, 3), 255, np.uint8))
    assert frame.shape == (480, 640, 3)
    rows, columns = np.argwhere(frame.min(axis=2) > 250).max(axis=0) - np.argwhere(
        frame.min(axis=2) > 250
    ).min(axis=0)
    assert rows + 1 == 480 or columns + 1 == 640
    assert (columns + 1) / (rows + 1) == pytest.approx(size[1] / size[0], rel=0.1)


def test_the_newest_frame_tells_the_relays_time():
    clock = FrameClock(ReplayCamera([np.zeros((4, 4, 3), np.uint8)] * 3))
    assert [clock() for _ in clock.frames()] == [0.0, 1 / 15, 2 / 15]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--enrol", "Ada=a.jpg"], "go with --camera or --video"),
        (["--seconds", "3"], "go with --camera or --video"),
        (["--video", "absent.mp4"], "is no film file"),
        (["--faces", "absent"], "is no folder"),
    ],
)
def test_wrong_arguments_get_one_clear_line(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("edge.commands.demo.open_stages", lambda: stages(ONE))
    code = main(["demo", "--out", str(tmp_path / "out"), *words])
    error = capsys.readouterr().err
    assert code in {2, 5}
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["--enrol", "Ada"], ["--seconds", "nan"], ["--camera", "0", "--faces", "x"]]
)
def test_words_that_cannot_be_arguments_are_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["demo", *words])


def test_an_out_folder_that_cannot_be_made_is_named(tmp_path, photo):
    folder = folder_of(tmp_path, photo, ada=2)
    with pytest.raises(ConfigError, match=r"--out .*ada\.png"):
        people.run(stages(ONE), folder, photo / "out")
