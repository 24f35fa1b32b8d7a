"""Cameras give the newest frame or every frame, and a device that fails is an error in time."""

from __future__ import annotations

import atexit
import queue
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from edge import live
from edge.camera import BACKENDS, Camera, FolderCamera, open_camera
from edge.config import CameraConfig
from edge.errors import CameraError, ConfigError
from edge.live import LiveCamera

DATA = Path("../shared/data")
RED = (250, 20, 10)
SLACK_S = 1.0  # these machines are shared


def wait_until(holds, timeout_s=5.0):
    """Wait for *holds* to be true; fail if it never is."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.002)


def card(rgb, width=8, height=6):
    """Return a picture of one colour."""
    return np.full((height, width, 3), rgb, np.uint8)


class SteppedDriver:
    """A device that gives what the test hands it, blocks in between, and fails on request."""

    advice = "check the cable"

    def __init__(self):
        self.steps = queue.Queue()
        self.given = self.reads = 0
        self.closing = False
        self.may_open = threading.Event()
        self.may_open.set()
        self.closed = threading.Event()

    def give(self, *values):
        """Hand over grey frames and wait until all of them have arrived."""
        for value in values:
            self.steps.put(card((value,) * 3))
        self.given += len(values)
        wait_until(lambda: self.reads == self.given + 1)  # it waits for the one after them

    def open(self):
        assert self.may_open.wait(10)

    def read(self):
        self.reads += 1
        while not self.closing:
            try:
                step = self.steps.get(timeout=0.01)
            except queue.Empty:
                continue
            if isinstance(step, CameraError):
                raise step
            return step
        raise CameraError("the test is over")

    def close(self):
        self.closed.set()


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setattr(live, "_CLOSE_S", 0.1)
    stepped = SteppedDriver()
    yield stepped
    stepped.closing = True
    stepped.may_open.set()
    assert stepped.closed.wait(5)


def test_a_slow_consumer_gets_the_newest_frame_only(driver):
    """What arrived while it was busy is skipped, and the index shows how much."""
    camera = LiveCamera(driver, timeout_s=2.0)
    frames = camera.frames()
    driver.give(0)
    assert next(frames).index == 0
    driver.give(1, 2, 3, 4, 5)
    newest = next(frames)
    assert (newest.index, int(newest.pixels[0, 0, 0])) == (5, 5)
    driver.give(6)
    assert next(frames).index == 6
    camera.close()


def test_a_frame_is_never_given_twice(driver):
    camera = LiveCamera(driver, timeout_s=0.5)
    frames = camera.frames()
    driver.give(7)
    next(frames)
    with pytest.raises(CameraError, match=r"gave no frame within 0.5 s; check the cable"):
        next(frames)
    camera.close()


def test_a_frame_that_aged_while_the_device_hung_is_not_given(driver):
    """The consumer was away; the last frame is older than the timeout, so it is no evidence."""
    camera = LiveCamera(driver, timeout_s=0.3)
    driver.give(1)
    time.sleep(0.35)
    with pytest.raises(CameraError, match="gave no frame"):
        next(camera.frames())
    camera.close()


def test_live_frames_have_the_monotonic_time_of_their_arrival(driver):
    camera = LiveCamera(driver, timeout_s=2.0)
    before_s = time.monotonic()
    driver.give(1)
    after_s = time.monotonic()
    assert before_s <= next(camera.frames()).captured_at_s <= after_s
    camera.close()


def test_a_device_that_stops_is_an_error_at_once_also_for_a_waiting_consumer(driver):
    camera = LiveCamera(driver, timeout_s=30.0)
    driver.steps.put(CameraError("the camera stopped"))
    with pytest.raises(CameraError, match="the camera stopped"):
        next(camera.frames())
    camera.close()


def test_a_device_that_hangs_while_opening_is_an_error_in_time(driver):
    driver.may_open.clear()
    began_s = time.monotonic()
    with pytest.raises(CameraError, match=r"did not open within 0.2 s; check the cable"):
        LiveCamera(driver, timeout_s=0.2)
    assert time.monotonic() - began_s < 0.2 + SLACK_S


def test_closing_is_bounded_though_the_driver_hangs_and_may_be_repeated(driver, caplog):
    camera = LiveCamera(driver, timeout_s=30.0)
    assert camera._thread.daemon
    began_s = time.monotonic()
    camera.close()
    camera.close()
    assert time.monotonic() - began_s < 0.2 + SLACK_S
    assert "hangs and is left behind; check the cable" in caplog.text
    assert list(camera.frames()) == []


def test_closing_ends_a_waiting_consumer_and_the_thread(driver):
    camera = LiveCamera(driver, timeout_s=30.0)
    seen = []
    consumer = threading.Thread(target=lambda: seen.extend(camera.frames()))
    consumer.start()
    driver.give(1)
    wait_until(lambda: len(seen) == 1)
    driver.closing = True
    camera.close()
    consumer.join(5)
    assert not consumer.is_alive()
    assert driver.closed.wait(5)
    wait_until(lambda: not camera._thread.is_alive())


# A stand-in for picamera2 with the interface and the memory layouts of the real one.


class StandInPicamera2:
    fails = ""
    answers = threading.Event()
    opened = ()

    def __init__(self, camera_num=0):
        if self.fails == "open":
            raise RuntimeError("Camera __init__ sequence did not complete.")
        self.jobs, self.closed, self.flushed = [], False, False
        self.config = None
        atexit.register(self.close)
        StandInPicamera2.opened.append(self)

    def create_video_configuration(self, main, controls, queue=True):
        assert set(main) <= {"format", "size", "stride", "preserve_ar"}
        return {"main": main, "controls": controls, "queue": queue}

    def configure(self, camera_config):
        if self.fails == "configure":
            raise RuntimeError("width and height should be even")
        self.config = camera_config

    def start(self):
        self.started = True

    def capture_array(self, name="main", wait=None, signal_function=None):
        assert wait is False, "only a job can be waited for in bounded time"
        job = Future()
        self.jobs.append(job)
        if self.fails == "capture":
            job.set_exception(RuntimeError("Format not supported"))
        elif self.fails != "hang":
            time.sleep(0.01)
            width, height = self.config[name]["size"]
            # libcamera's names: RGB888 has blue in its first byte.
            order = {"BGR888": RED, "RGB888": RED[::-1]}[self.config[name]["format"]]
            job.set_result(card(order, width, height))
        return job

    def wait(self, job, timeout=None):
        return job.result(timeout=timeout)

    def cancel_all_and_flush(self):
        self.flushed = True

    def close(self):
        atexit.unregister(self.close)
        if self.fails == "close":
            raise RuntimeError("Unable to stop preview.")
        if self.fails == "hang":
            self.answers.wait(5)
        self.closed = True


@pytest.fixture
def picamera2(monkeypatch):
    module = ModuleType("picamera2")
    module.Picamera2 = StandInPicamera2
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(StandInPicamera2, "opened", [])
    monkeypatch.setattr(StandInPicamera2, "answers", threading.Event())
    monkeypatch.setattr(live, "_CLOSE_S", 0.3)
    yield StandInPicamera2
    StandInPicamera2.answers.set()
    for camera in StandInPicamera2.opened:
        atexit.unregister(camera.close)


def pi(**changes):
    return CameraConfig(**{"backend": "picamera2", "timeout_s": 0.5, **changes})


def test_a_red_card_before_the_pi_camera_is_red_in_the_frame(picamera2):
    camera = open_camera(pi(width_px=160, height_px=120))
    frame = next(camera.frames())
    camera.close()
    assert frame.pixels.shape == (120, 160, 3)
    assert (frame.pixels == RED).all()


def test_the_pi_camera_is_asked_for_the_configured_rate_and_no_queued_frames(picamera2):
    camera = open_camera(pi(frame_rate_hz=20.0))
    assert picamera2.opened[0].config["controls"] == {"FrameDurationLimits": (50_000, 50_000)}
    assert picamera2.opened[0].config["queue"] is False
    camera.close()
    assert picamera2.opened[0].closed


def test_a_pi_camera_that_never_answers_is_an_error_in_time_and_can_be_left(picamera2, monkeypatch):
    monkeypatch.setattr(picamera2, "fails", "hang")
    began_s = time.monotonic()
    camera = open_camera(pi())
    with pytest.raises(CameraError, match=r"gave no frame within 0.5 s; .*rpicam-hello"):
        next(camera.frames())
    assert time.monotonic() - began_s < 0.5 + SLACK_S
    camera.close()
    assert time.monotonic() - began_s < 0.8 + SLACK_S
    wait_until(lambda: picamera2.opened[0].flushed)  # the capture thread does not wait for ever


def test_at_exit_the_live_camera_is_closed_in_bounded_time(picamera2, monkeypatch):
    """picamera2 would close itself at exit, and a wedged camera would make it wait for ever."""
    registered = []
    monkeypatch.setattr(atexit, "register", registered.append)
    monkeypatch.setattr(
        atexit, "unregister", lambda each: each in registered and registered.remove(each)
    )
    camera = open_camera(pi())
    assert picamera2.opened
    assert registered == [camera.close]
    camera.close()
    assert registered == []


def test_what_picamera2_raises_while_capturing_is_a_camera_error(picamera2, monkeypatch):
    monkeypatch.setattr(picamera2, "fails", "capture")
    camera = open_camera(pi())
    with pytest.raises(CameraError, match=r"stopped: Format not supported; check the ribbon"):
        next(camera.frames())
    camera.close()
    assert picamera2.opened[0].flushed


@pytest.mark.parametrize("stage", ["open", "configure"])
def test_a_pi_camera_that_does_not_open_is_a_camera_error(picamera2, monkeypatch, stage):
    monkeypatch.setattr(picamera2, "fails", stage)
    with pytest.raises(CameraError, match=r"cannot be opened: .*; check the ribbon cable"):
        open_camera(pi())


def test_a_pi_camera_that_fails_to_close_is_logged(picamera2, monkeypatch, caplog):
    camera = open_camera(pi())
    monkeypatch.setattr(picamera2, "fails", "close")
    camera.close()
    assert "did not close: Unable to stop preview." in caplog.text


def test_a_missing_or_old_picamera2_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CameraError, match="apt install python3-picamera2"):
        open_camera(pi())
    old = ModuleType("picamera2")
    old.Picamera2 = object
    monkeypatch.setitem(sys.modules, "picamera2", old)
    with pytest.raises(CameraError, match="apt full-upgrade"):
        open_camera(pi())


# USB and network cameras


class TickingCapture:
    """A cv2.VideoCapture whose device gives a frame each 5 ms; its grey value counts them."""

    ends_after = 10_000
    raises = False
    made = ()

    def __init__(self):
        self.told, self.count = {}, 0
        TickingCapture.made.append(self)

    def open(self, *arguments):
        self.arguments = arguments
        return True

    def set(self, key, value):
        self.told[key] = value
        return True

    def read(self):
        time.sleep(0.005)
        if self.raises:
            cv2.resize(np.zeros((0, 0), np.uint8), (1, 1))  # raises as OpenCV does: cv2.error
        if self.count == self.ends_after:
            return False, None
        self.count += 1
        return True, np.full((6, 8, 3), (self.count - 1) % 256, np.uint8)

    def release(self):
        self.released = True


@pytest.fixture
def ticking(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", TickingCapture)
    monkeypatch.setattr(TickingCapture, "made", [])
    return TickingCapture


def test_a_slow_consumer_of_a_usb_camera_skips_frames_and_lags_behind_none(ticking):
    """A queue of frames would give 0, 1, 2, …, each older than the one before."""
    camera = open_camera(CameraConfig(backend="opencv", source="0"))
    frames = camera.frames()
    for _ in range(4):
        time.sleep(0.06)
        before = ticking.made[0].count
        frame = next(frames)
        assert frame.index >= before - 2
        assert int(frame.pixels[0, 0, 0]) == frame.index % 256
    camera.close()
    assert ticking.made[0].released


def test_a_usb_camera_is_asked_for_the_configured_size_and_rate(ticking):
    config = CameraConfig(backend="opencv", source="/dev/video2", width_px=320, height_px=240)
    open_camera(config).close()
    told = ticking.made[0].told
    assert ticking.made[0].arguments[0] == "/dev/video2"
    assert told[cv2.CAP_PROP_FRAME_WIDTH] == 320
    assert told[cv2.CAP_PROP_FRAME_HEIGHT] == 240
    assert told[cv2.CAP_PROP_FPS] == 15.0


@pytest.mark.parametrize("left_out", [0, 3])
def test_a_frame_that_comes_as_a_row_of_bytes_becomes_a_picture_or_an_error(
    ticking, monkeypatch, left_out
):
    """OpenCV 4.11 gives a device's BGR24 so, and a row shows no face."""
    picture = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    row = picture.reshape(1, -1)[:, left_out:]
    size = {cv2.CAP_PROP_FRAME_WIDTH: 8.0, cv2.CAP_PROP_FRAME_HEIGHT: 6.0}
    monkeypatch.setattr(ticking, "read", lambda _: (True, row))
    monkeypatch.setattr(ticking, "get", lambda _, key: size[key], raising=False)
    camera = open_camera(CameraConfig(backend="opencv", source="0"))
    if left_out:
        with pytest.raises(CameraError, match="141 bytes a frame, which are no picture of 8 × 6"):
            next(camera.frames())
    else:
        np.testing.assert_array_equal(next(camera.frames()).pixels, picture[..., ::-1])
    camera.close()


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [
        ("ends_after", 3, "at 0 stopped; check the cable"),
        ("raises", True, "at 0 broke: !ssize.empty"),
    ],
)
def test_an_unplugged_usb_camera_is_a_camera_error(ticking, monkeypatch, attribute, value, says):
    monkeypatch.setattr(ticking, attribute, value)
    camera = open_camera(CameraConfig(backend="opencv", source="0"))
    with pytest.raises(CameraError, match=says):
        list(camera.frames())
    camera.close()


def test_a_missing_usb_camera_is_a_camera_error():
    with pytest.raises(CameraError, match="there is no camera at 99; check the cable"):
        open_camera(CameraConfig(backend="opencv", source="99"))


def test_a_network_camera_out_of_reach_is_an_error_that_keeps_the_password():
    """Port 9 of this machine: nobody listens."""
    source = "rtsp://door:secret@127.0.0.1:9/stream"
    began_s = time.monotonic()
    with pytest.raises(CameraError, match="check the address") as caught:
        open_camera(CameraConfig(backend="opencv", source=source, timeout_s=2.0))
    assert "secret" not in str(caught.value)
    assert time.monotonic() - began_s < 2.0 + SLACK_S


def test_a_missing_camera_or_broken_film_is_told_in_our_words_only(tmp_path):
    """OpenCV and FFmpeg would add lines of their own to standard error."""
    (tmp_path / "notes.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    program = """
        import sys
        from edge.camera import open_camera
        from edge.config import CameraConfig
        from edge.errors import CameraError
        for source in sys.argv[1:]:
            try:
                open_camera(CameraConfig(backend="opencv", source=source))
            except CameraError:
                print("refused")
    """
    sources = ["99", str(tmp_path / "notes.mp4"), "rtsp://127.0.0.1:9/stream"]
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *sources],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert ended.stdout == "refused\n" * 3
    assert ended.stderr == ""


# Films


def film(path, values, rate_hz=12.5, code="MJPG", size=(64, 48)):
    """Write a film of grey frames and return its configuration."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate_hz, size)
    assert writer.isOpened()
    for value in values:
        writer.write(np.full((size[1], size[0], 3), value, np.uint8))
    writer.release()
    return CameraConfig(backend="opencv", source=str(path), frame_rate_hz=5.0)


def greys(frames):
    return [round(float(frame.pixels.mean()), -1) for frame in frames]


def test_a_film_gives_every_frame_in_order_at_the_films_own_times(tmp_path):
    config = film(tmp_path / "film.avi", range(0, 250, 10))
    camera = open_camera(config)
    frames = list(camera.frames())
    assert greys(frames) == list(range(0, 250, 10))
    assert [frame.index for frame in frames] == list(range(25))
    assert [frame.captured_at_s for frame in frames] == [index / 12.5 for index in range(25)]
    again = list(open_camera(config).frames())
    for one, other in zip(frames, again, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert one.captured_at_s == other.captured_at_s


def test_a_slow_consumer_of_a_film_misses_nothing(tmp_path):
    frames = open_camera(film(tmp_path / "film.avi", [10, 20, 30])).frames()
    seen = []
    for frame in frames:
        time.sleep(0.05)
        seen.append(frame)
    assert greys(seen) == [10, 20, 30]


def test_a_red_card_is_red_in_a_film_too(tmp_path):
    config = film(tmp_path / "film.avi", [RED[::-1]])
    (frame,) = open_camera(config).frames()
    assert abs(frame.pixels.astype(int) - RED).max() < 12  # JPEG


def test_a_truncated_film_gives_what_is_there_and_says_that_it_ended_early(tmp_path, caplog):
    config = film(tmp_path / "film.avi", [100] * 25)
    whole = (tmp_path / "film.avi").read_bytes()
    (tmp_path / "film.avi").write_bytes(whole[: len(whole) * 6 // 10])
    count = len(list(open_camera(config).frames()))
    assert 5 < count < 20
    assert f"ends after {count} of " in caplog.text


def test_a_film_without_frames_or_without_its_index_is_refused(tmp_path):
    empty = film(tmp_path / "empty.avi", [])
    with pytest.raises(CameraError, match=r"no frame that can be read|no film that can be read"):
        list(open_camera(empty).frames())
    cut = film(tmp_path / "cut.mp4", [100] * 25, code="mp4v")
    whole = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CameraError, match=r"no frame that can be read|no film that can be read"):
        list(open_camera(cut).frames())


def test_what_is_no_film_is_refused(tmp_path):
    with pytest.raises(CameraError, match="is no film file; name one, or a device number"):
        open_camera(CameraConfig(backend="opencv", source="webcam"))
    (tmp_path / "notes.mp4").write_text("dear diary")
    with pytest.raises(CameraError, match="no film that can be read"):
        open_camera(CameraConfig(backend="opencv", source=str(tmp_path / "notes.mp4")))


def test_a_film_that_names_no_frame_rate_gets_the_configured_one(tmp_path, monkeypatch, caplog):
    config = film(tmp_path / "film.avi", [10, 20])
    real = cv2.VideoCapture

    class WithoutRate:
        def __init__(self, *arguments):
            self.film = real(*arguments)

        def get(self, key):
            return float("nan") if key == cv2.CAP_PROP_FPS else self.film.get(key)

        def __getattr__(self, name):
            return getattr(self.film, name)

    monkeypatch.setattr(cv2, "VideoCapture", WithoutRate)
    assert [frame.captured_at_s for frame in open_camera(config).frames()] == [0.0, 0.2]
    assert "names no frame rate; taking 5 Hz" in caplog.text


def test_a_film_that_is_closed_in_the_middle_ends_there(tmp_path, caplog):
    camera = open_camera(film(tmp_path / "film.avi", [10, 20, 30]))
    frames = camera.frames()
    next(frames)
    camera.close()
    camera.close()
    assert list(frames) == []
    assert caplog.text == ""


# Folders


def folder(path, **pictures):
    """Write pictures of one colour, RGB, as PNG; None writes half a picture."""
    for name, rgb in pictures.items():
        encoded = cv2.imencode(".png", card(rgb or RED)[..., ::-1])[1].tobytes()
        encoded = encoded if rgb else encoded[: len(encoded) // 2]
        (path / f"{name}.png").write_bytes(encoded)
    return CameraConfig(backend="folder", source=str(path), frame_rate_hz=4.0)


def test_a_folder_gives_its_pictures_in_natural_order_at_the_frame_rate(tmp_path):
    camera = open_camera(folder(tmp_path, p10=(3, 3, 3), p2=(2, 2, 2), p1=RED))
    frames = list(camera.frames())
    assert [tuple(frame.pixels[0, 0]) for frame in frames] == [RED, (2, 2, 2), (3, 3, 3)]
    assert [frame.captured_at_s for frame in frames] == [0.0, 0.25, 0.5]
    assert [camera.paths[frame.index].name for frame in frames] == ["p1.png", "p2.png", "p10.png"]
    assert len(list(camera.frames())) == 3


def test_pictures_of_a_folder_keep_their_own_size(tmp_path):
    config = folder(tmp_path)
    for name, size in {"a": (10, 20), "b": (600, 500)}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), card(RED, *size))
    shapes = [frame.pixels.shape for frame in open_camera(config).frames()]
    assert shapes == [(20, 10, 3), (500, 600, 3)]


def test_an_unreadable_picture_is_skipped_logged_and_counted(tmp_path, caplog):
    camera = open_camera(folder(tmp_path, p1=RED, p2=None, p3=RED))
    frames = list(camera.frames())
    assert [(frame.index, frame.captured_at_s) for frame in frames] == [(0, 0.0), (2, 0.5)]
    assert camera.skipped == 1
    assert "p2.png ends too early" in caplog.text
    assert "skipped 1 of 3 pictures" in caplog.text


def test_a_folder_without_one_readable_picture_is_an_error(tmp_path):
    camera = open_camera(folder(tmp_path, p1=None, p2=None))
    with pytest.raises(CameraError, match="none of the 2 pictures could be read"):
        list(camera.frames())


def test_an_empty_or_missing_folder_is_refused(tmp_path):
    with pytest.raises(CameraError, match=r"holds no pictures; known are \.bmp"):
        open_camera(folder(tmp_path))
    with pytest.raises(CameraError, match="is not a folder"):
        open_camera(CameraConfig(backend="folder", source=str(tmp_path / "nowhere")))


def test_a_folder_that_is_closed_in_the_middle_ends_there(tmp_path):
    camera = open_camera(folder(tmp_path, p1=RED, p2=RED))
    frames = camera.frames()
    next(frames)
    camera.close()
    camera.close()
    assert list(frames) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
def test_the_folder_camera_replays_real_faces():
    source = str(DATA / "att-faces" / "s31")
    camera = open_camera(CameraConfig(backend="folder", source=source))
    assert isinstance(camera, FolderCamera)
    assert [path.stem for path in camera.paths] == [str(number) for number in range(1, 11)]
    assert {frame.pixels.shape for frame in camera.frames()} == {(112, 92, 3)}


# All of them


@pytest.mark.parametrize("kind", ["picamera2", "usb", "film", "folder"])
@pytest.mark.parametrize(("rotate_deg", "turns"), [(0, 0), (90, -1), (180, 2), (270, 1)])
def test_every_camera_turns_its_frames_clockwise(  # noqa: PLR0917 - fixtures
    kind, rotate_deg, turns, tmp_path, picamera2, monkeypatch
):
    """The picture is dark but for a bright left half of the top: it has no symmetry."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :32] = 255
    source = "0"
    if kind == "picamera2":
        monkeypatch.setattr(sys.modules[__name__], "card", lambda *_: picture.copy())
    elif kind == "usb":
        monkeypatch.setattr(cv2, "VideoCapture", TickingCapture)
        monkeypatch.setattr(TickingCapture, "made", [])
        monkeypatch.setattr(TickingCapture, "read", lambda _: (True, picture.copy()))
    elif kind == "film":
        source = str(tmp_path / "film.avi")
        writer = cv2.VideoWriter(source, cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (64, 48))
        writer.write(picture)
        writer.release()
    else:
        source = str(tmp_path)
        cv2.imwrite(str(tmp_path / "p.png"), picture)
    backend = kind if kind in BACKENDS else "opencv"
    camera = open_camera(CameraConfig(backend=backend, source=source, rotate_deg=rotate_deg))
    assert isinstance(camera, Camera)
    frame = next(camera.frames())
    camera.close()
    assert not frame.pixels.flags.writeable
    assert frame.pixels.flags.c_contiguous
    expected = np.rot90(picture, turns)
    assert frame.pixels.shape == expected.shape
    assert abs(frame.pixels.astype(int) - expected).mean() < 3  # the film is JPEG


def test_an_unknown_backend_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="'webcam'; expected one of: folder, opencv, picamera2"):
        open_camera(CameraConfig(backend="webcam"))


def test_every_configurable_backend_is_built_in():
    described = CameraConfig.__dataclass_fields__["backend"]
    assert set(described.metadata["choices"]) == set(BACKENDS)
