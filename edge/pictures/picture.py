"""Any picture file becomes (H, W, 3) uint8 RGB, upright, or one clear refusal.

What is done to a picture on the way: Exif orientation is applied (phones store portraits lying on
their side); 16-bit values are scaled to 8; grey becomes R = G = B; transparent pixels are laid on
mid-grey, which is neither dark nor bright to the quality check. Colour profiles are ignored.
Animated files are refused, for nobody has said which of their pictures is meant; of a TIFF with
several pages the first is read.
"""

from __future__ import annotations

import os
import re
import stat
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike

from edge.errors import PictureError
from edge.pictures.header import PictureHeader, read_header
from edge.vocabulary import PixelArray

MOST_PIXELS = 50_000_000
SUFFIXES = frozenset(
    (".bmp", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)

_MOST_BYTES = 128 * 2**20  # 50 megapixels are about 25 MB as JPEG, 150 MB as raw bytes
_MOST_JPEG_PIXELS = 8_000_000  # decoded whole
_MEGA = 1e6
_BYTE_WHITE, _WORD_WHITE = 255, 65535
_BACKGROUND = 128
_SILENT = 0
_GREY, _COLOUR, _COLOUR_WITH_ALPHA = 1, 3, 4


def read_picture(path: Path, *, most_pixels: int = MOST_PIXELS) -> PixelArray:
    """Read one photo.

    Args:
        path: a JPEG, PNG, WebP, BMP, TIFF or Netpbm file, whatever its suffix.
        most_pixels: a picture of more pixels is refused before it is decoded.

    Returns: (H, W, 3) uint8 RGB, upright, owned by the caller.

    Raises:
        PictureError: with the path, what is wrong and what to do.
    """
    encoded = _read_bytes(path)
    try:
        header = read_header(encoded)
    except ValueError as exc:
        raise PictureError(f"{path} {exc}") from exc
    _check_header(path, header, most_pixels)
    pixels = _decode(path, encoded, header)
    return _upright(_to_rgb(path, pixels, header), header.orientation)


def picture_paths(folder: Path) -> tuple[Path, ...]:
    """Return the pictures of *folder* and its sub-folders, in natural name order (1, 2, 10).

    Pictures are told by suffix; hidden files and folders are left out.

    Raises:
        PictureError: if *folder* is not a folder.
    """
    if not folder.is_dir():
        raise PictureError(f"{folder} is not a folder; name one that holds pictures")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    names = {path: path.relative_to(folder).parts for path in found if path.is_file()}
    seen = [path for path, parts in names.items() if not any(p.startswith(".") for p in parts)]
    return tuple(sorted(seen, key=lambda path: ([_natural(p) for p in names[path]], path)))


@cache
def quiet_opencv() -> None:
    """Keep OpenCV's and FFmpeg's own lines off standard error: each failure is ours to tell, once.

    OPENCV_LOG_LEVEL and OPENCV_FFMPEG_LOGLEVEL, where they are set, stay in force.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read at the first film
    if "OPENCV_LOG_LEVEL" not in os.environ:
        log = getattr(cv2.utils, "logging", cv2)  # OpenCV 4.11 and earlier: in cv2 itself
        log.setLogLevel(_SILENT)


def _natural(name: str) -> tuple[str | int, ...]:
    """Return a sort key in which numbers count as numbers; text and numbers alternate."""
    parts = re.split(r"(\d+)", name.casefold())
    return tuple(int(part) if at % 2 else part for at, part in enumerate(parts))


def _read_bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PictureError(f"{path} is a folder; name the pictures in it")
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device may never end
            raise PictureError(f"{path} is not a file; name a picture file")
        if status.st_size == 0:
            raise PictureError(f"{path} is empty (0 bytes); copy it again from its source")
        if status.st_size > _MOST_BYTES:
            raise PictureError(
                f"{path} has {status.st_size / _MEGA:.0f} MB; at most "
                f"{_MOST_BYTES / _MEGA:.0f} MB are read. Save a smaller copy."
            )
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise PictureError(f"{path} does not exist; check the name") from exc
    except OSError as exc:
        raise PictureError(
            f"{path} cannot be read: {exc.strerror or exc}; check the name and its permissions"
        ) from exc


def _check_header(path: Path, header: PictureHeader, most_pixels: int) -> None:
    width, height = header.width_px, header.height_px
    if width <= 0 or height <= 0:
        raise PictureError(f"{path} says it is {width} × {height} pixels; copy it again")
    if width * height > most_pixels:
        raise PictureError(
            f"{path} has {width} × {height} = {width * height / _MEGA:.1f} megapixels; at most "
            f"{most_pixels / _MEGA:g} are read. Save a smaller copy."
        )
    if header.animated:
        raise PictureError(
            f"{path} is an animated {header.kind}; save one of its pictures as JPEG or PNG"
        )


def _decode(path: Path, encoded: bytes, header: PictureHeader) -> MatLike:
    """Decode as stored: OpenCV's other modes drop alpha or cut 16-bit values.

    A JPEG of a phone's size is decoded at half its width, which JPEG does at once: on a Pi, memory
    is short, and a face keeps pixels enough.
    """
    as_stored = cv2.IMREAD_UNCHANGED
    if header.kind == "JPEG" and header.width_px * header.height_px > _MOST_JPEG_PIXELS:
        as_stored = cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION
    quiet_opencv()
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), as_stored)
    except cv2.error as exc:
        raise PictureError(f"{path} cannot be decoded: {exc.err}; save it as JPEG or PNG") from exc
    # Decoding from memory, OpenCV gives nothing for a file cut short; from a file it fills in grey.
    if pixels is None:
        raise PictureError(
            f"{path} ends too early or is damaged; copy it again from its source, or save it as "
            "JPEG or PNG"
        )
    return pixels


def _to_rgb(path: Path, pixels: MatLike, header: PictureHeader) -> PixelArray:
    """Return (H, W, 3) uint8 RGB of what OpenCV decoded."""
    if pixels.dtype not in (np.uint8, np.uint16):
        raise PictureError(f"{path} holds {pixels.dtype} values; save it with 8 or 16 bits")
    white = header.white or (_BYTE_WHITE if pixels.dtype == np.uint8 else _WORD_WHITE)
    if white != _BYTE_WHITE:
        pixels = cv2.convertScaleAbs(pixels, alpha=_BYTE_WHITE / white)  # rounds and saturates
    channels = _GREY if pixels.ndim == 2 else pixels.shape[2]  # noqa: PLR2004
    if channels == _GREY:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    if channels == _COLOUR:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels).astype(np.uint8, copy=False)
    if channels == _COLOUR_WITH_ALPHA:
        return _on_grey(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA, dst=pixels))
    raise PictureError(f"{path} has {channels} channels; save it as grey, RGB or RGBA")


def _on_grey(rgba: MatLike) -> PixelArray:
    colour, alpha = rgba[..., :3].astype(np.uint16), rgba[..., 3:].astype(np.uint16)
    blended = colour * alpha + _BACKGROUND * (_BYTE_WHITE - alpha)  # at most 255 · 255 = 65,025
    return ((blended + _BYTE_WHITE // 2) // _BYTE_WHITE).astype(np.uint8)


def _upright(pixels: PixelArray, orientation: int) -> PixelArray:
    """Undo Exif's *orientation* (1 to 8: the place of the stored first row and column)."""
    if orientation >= 5:  # noqa: PLR2004 - 5 to 8 swap rows and columns
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
