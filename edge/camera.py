"""Frames from a Pi camera, a USB or network camera, a film, or a folder of pictures.

Live cameras give their newest frame, at monotonic times (see `edge.live`). Films and folders give
every frame in order, at times counted from their frame rate: a replay is the same each time.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from cv2.typing import MatLike

from edge.config import CameraConfig, is_device
from edge.errors import CameraError, ConfigError, PictureError
from edge.live import LiveCamera
from edge.pictures.picture import SUFFIXES, picture_paths, quiet_opencv, read_picture
from edge.vocabulary import Frame, PixelArray

_ROTATIONS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_MOST_PIXELS = 2_000_000
_MOST_FRAMES_A_SECOND = 1000.0
_log = logging.getLogger(__name__)


@runtime_checkable
class Camera(Protocol):
    """A source of frames, oldest first. `close` may be called twice."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames until the source ends or is closed.

        Raises:
            CameraError: if the source cannot be read, stops, or gives no frame in time.
        """

    def close(self) -> None:
        """Give the device or file back; waiting consumers end."""


def open_camera(config: CameraConfig) -> Camera:
    """Open the camera that *config* names.

    Raises:
        ConfigError: if the back-end is unknown.
        CameraError: if there is no such device, film or folder, or it does not open in time.
    """
    if config.backend not in BACKENDS:
        known = ", ".join(sorted(BACKENDS))
        raise ConfigError(f"[camera] backend = {config.backend!r}; expected one of: {known}")
    return BACKENDS[config.backend](config)


class PiDriver:
    """A Pi camera by picamera2."""

    advice = "check the ribbon cable and `rpicam-hello`"

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._camera: Any = None
        try:
            # Here, because `import edge.camera` must work on every machine.
            self._open: Callable[[], Any] = importlib.import_module("picamera2").Picamera2
        except ImportError as exc:
            raise CameraError(
                f"[camera] backend = 'picamera2', but picamera2 cannot be imported ({exc}); run "
                "apt install python3-picamera2, and make the virtual environment with "
                "--system-site-packages"
            ) from exc
        if not hasattr(self._open, "cancel_all_and_flush"):  # came with bounded waits, July 2024
            raise CameraError("this picamera2 cannot bound its waits; run apt full-upgrade")

    def open(self) -> None:
        """Open, configure and start the camera."""
        frame_us = round(1e6 / self._config.frame_rate_hz)
        size_px = (self._config.width_px, self._config.height_px)
        try:
            self._camera = self._open()
            # picamera2 closes at exit by itself, and a wedged camera would hang there for ever.
            atexit.unregister(self._camera.close)
            self._camera.configure(
                self._camera.create_video_configuration(
                    # libcamera names formats by little-endian word: "BGR888" is R, G, B in memory.
                    main={"format": "BGR888", "size": size_px},
                    controls={"FrameDurationLimits": (frame_us, frame_us)},
                    queue=False,  # never a frame from before the request
                )
            )
            self._camera.start()
        except (RuntimeError, IndexError, OSError, ValueError) as exc:
            raise CameraError(f"the Pi camera cannot be opened: {exc}; {self.advice}") from exc

    def read(self) -> PixelArray:
        """Return the next frame; the wait is bounded, for an unplugged camera never answers."""
        try:
            job = self._camera.capture_array("main", wait=False)
            pixels: PixelArray = self._camera.wait(job, timeout=self._config.timeout_s)
        except TimeoutError as exc:
            raise CameraError(
                f"the Pi camera gave no frame within {self._config.timeout_s:g} s; {self.advice}"
            ) from exc
        except (RuntimeError, OSError) as exc:
            raise CameraError(f"the Pi camera stopped: {exc}; {self.advice}") from exc
        return _rotated(pixels, self._config.rotate_deg)

    def close(self) -> None:
        """Stop the camera; without its cable this may hang, and the capture thread with it."""
        if self._camera is None:
            return
        try:
            self._camera.cancel_all_and_flush()
            self._camera.close()
        except (RuntimeError, OSError) as exc:
            _log.warning("the Pi camera did not close: %s", exc)


class VideoDriver:
    """A USB or network camera by OpenCV."""

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._capture = cv2.VideoCapture()
        self._is_url = "://" in config.source
        # A network camera's URL may hold its password.
        self._where = re.sub(r"//[^/@]*@", "//…@", config.source)
        self.advice = (
            "check the address, the login and the network"
            if self._is_url
            else "check the cable, `ls /dev/video*`, and that no other program uses the camera"
        )

    def open(self) -> None:
        """Open the device or the stream."""
        config = self._config
        if self._is_url:
            timeout_ms = round(1000 * config.timeout_s)
            bounds = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
            wanted = [number for bound in bounds for number in (bound, timeout_ms)]
            opened = self._capture.open(config.source, cv2.CAP_FFMPEG, wanted)
        else:
            device = int(config.source) if config.source.isdecimal() else config.source
            backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
            try:
                opened = self._capture.open(device, backend)
            except (cv2.error, OverflowError, TypeError) as exc:
                raise CameraError(
                    f"[camera] source = {config.source!r} is no device: "
                    f"{str(exc).splitlines()[0]}; {self.advice}"
                ) from exc
        if not opened:
            raise CameraError(f"there is no camera at {self._where}; {self.advice}")
        # Wishes, not all of which every device grants.
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.width_px)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.height_px)
        self._capture.set(cv2.CAP_PROP_FPS, config.frame_rate_hz)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def read(self) -> PixelArray:
        """Return the next frame."""
        try:
            given, bgr = self._capture.read()
        except cv2.error as exc:
            raise CameraError(f"the camera at {self._where} broke: {exc.err or exc}") from exc
        if not given:
            raise CameraError(f"the camera at {self._where} stopped; {self.advice}")
        return _rotated(_rgb(self._picture(bgr)), self._config.rotate_deg)

    def _picture(self, bgr: MatLike) -> MatLike:
        """Return *bgr* in its shape: OpenCV 4.11 gives B, G, R of a device as one row of bytes.

        Only frames that it need not convert; its issue 27166, mended in 4.12, which needs numpy 2.
        """
        if len(bgr) > 1:
            return bgr
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if bgr.size != height * width * 3:
            raise CameraError(
                f"the camera at {self._where} gives {bgr.size} bytes a frame, which are no picture "
                f"of {width} × {height} pixels; choose another [camera] width_px and height_px"
            )
        return bgr.reshape(height, width, 3)

    def close(self) -> None:
        """Give the device back."""
        self._capture.release()


class FilmCamera:
    """Every frame of a film file; ``captured_at_s`` is ``index`` over the film's frame rate."""

    def __init__(self, config: CameraConfig) -> None:
        self._path, self._rotate_deg = Path(config.source).expanduser(), config.rotate_deg
        self._index, self._closed = 0, False
        if not self._path.is_file():
            raise CameraError(
                f"[camera] source = {config.source!r} is no film file; name one, or a device "
                "number, /dev/video* or an rtsp:// address"
            )
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise CameraError(
                f"{self._path} is no film that can be read; copy it again or convert it to MP4"
            )
        self._frame_rate_hz = self._capture.get(cv2.CAP_PROP_FPS)
        if not 0 < self._frame_rate_hz <= _MOST_FRAMES_A_SECOND:
            self._frame_rate_hz = config.frame_rate_hz
            _log.warning("%s names no frame rate; taking %g Hz", self._path, self._frame_rate_hz)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that were not yielded yet, in order.

        Raises:
            CameraError: if the film holds no frame.
        """
        promised = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))  # from the file's header
        while not self._closed:
            given, bgr = self._capture.read()
            if not given:
                break
            pixels = _rotated(_rgb(bgr), self._rotate_deg)
            frame = Frame(pixels, self._index / self._frame_rate_hz, self._index)
            self._index += 1
            yield frame
        if self._closed:
            return
        if self._index == 0:
            raise CameraError(f"{self._path} holds no frame that can be read; record it again")
        if self._index < promised:
            _log.warning("%s ends after %d of %d frames", self._path, self._index, promised)

    def close(self) -> None:
        """Give the file back."""
        self._closed = True
        self._capture.release()


class FolderCamera:
    """Every picture of a folder and its sub-folders in natural name order.

    A photo of more than two megapixels is shrunk: no door's camera gives more, and memory is short.
    ``index`` is the place in ``paths``, ``captured_at_s`` is ``index`` over the frame rate. A
    picture that cannot be read is logged, counted in ``skipped``, and leaves its place empty.
    """

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._closed = False
        self.skipped = 0
        try:
            self.paths = picture_paths(Path(config.source).expanduser())
        except PictureError as exc:
            raise CameraError(f"[camera] source: {exc}") from exc
        if not self.paths:
            known = ", ".join(sorted(SUFFIXES))
            raise CameraError(
                f"[camera] source = {config.source!r} holds no pictures; known are {known}"
            )

    def frames(self) -> Iterator[Frame]:
        """Yield the pictures from the first on.

        Raises:
            CameraError: after the last, if none of them could be read.
        """
        self.skipped = 0
        for index, path in enumerate(self.paths):
            if self._closed:
                return
            try:
                pixels = _rotated(_shrunk(read_picture(path)), self._config.rotate_deg)
            except PictureError as exc:
                self.skipped += 1
                _log.warning("skipped: %s", exc)
                continue
            yield Frame(pixels, index / self._config.frame_rate_hz, index)
        if self.skipped == len(self.paths):
            raise CameraError(f"none of the {self.skipped} pictures could be read; see the log")
        if self.skipped:
            _log.warning("skipped %d of %d pictures", self.skipped, len(self.paths))

    def close(self) -> None:
        """End `frames`."""
        self._closed = True


def _rgb(bgr: MatLike) -> PixelArray:
    """Return OpenCV's film or camera frame as a new RGB array."""
    code = cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else cv2.COLOR_BGR2RGB  # noqa: PLR2004
    return cv2.cvtColor(bgr, code).astype(np.uint8, copy=False)


def _shrunk(pixels: PixelArray) -> PixelArray:
    height, width = pixels.shape[:2]
    factor = math.sqrt(_MOST_PIXELS / (width * height))
    if factor >= 1:
        return pixels
    size = (max(1, int(width * factor)), max(1, int(height * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _rotated(pixels: PixelArray, clockwise_deg: int) -> PixelArray:
    if clockwise_deg == 0:
        return pixels
    return cv2.rotate(pixels, _ROTATIONS[clockwise_deg]).astype(np.uint8, copy=False)


def _open_pi(config: CameraConfig) -> Camera:
    return LiveCamera(PiDriver(config), timeout_s=config.timeout_s)


def _open_opencv(config: CameraConfig) -> Camera:
    quiet_opencv()
    if is_device(config.source):
        return LiveCamera(VideoDriver(config), timeout_s=config.timeout_s)
    return FilmCamera(config)


BACKENDS: dict[str, Callable[[CameraConfig], Camera]] = {
    "picamera2": _open_pi,
    "opencv": _open_opencv,
    "folder": FolderCamera,
}
