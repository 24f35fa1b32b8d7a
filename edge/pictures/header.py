"""What a picture file says of itself before a pixel is decoded: its kind, size and orientation.

Sizes are read here, and not from the decoded array, because a file of some kilobytes may unfold to
gigabytes. The layouts are those of ISO/IEC 10918-1 (JPEG), ISO/IEC 15948 (PNG), RFC 9649 (WebP),
TIFF 6.0 and Exif 2.32 (the same directory), BITMAPINFOHEADER (BMP) and the Netpbm manual pages.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_WIDTH_TAG, _HEIGHT_TAG, _ORIENTATION_TAG = 256, 257, 274  # TIFF 6.0, section 8
_SHORT, _LONG = 3, 4
_UPRIGHT = 1

# SOF0 to SOF15 hold the size; DHT (C4), JPG (C8) and DAC (CC) lie in the same range.
_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset(range(0xD0, 0xDA)) | {0x01}  # no length follows
_JPEG_APP1, _JPEG_FILL = 0xE1, 0xFF
_JPEG_EXIF = b"Exif\0\0"

_NETPBM = re.compile(
    rb"P([1-6])" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 2 + rb"(?:(?:\s|#[^\n]*\n)+(\d+))?"
)
_NETPBM_BITMAPS = (1, 4)
_NETPBM_FIRST_BINARY = 4
_BYTE_WHITE = 255
_BMP_CORE_HEADER_BYTES = 12  # the OS/2 header: sizes of 16 bits


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """A picture's own words: its size as stored, and how to turn and scale what is stored.

    ``orientation`` is Exif's, 1 to 8, and 1 where the decoder turns the picture itself (TIFF).
    ``white`` is the stored value of white where the file names it, else None: the type's largest.
    """

    kind: str
    width_px: int
    height_px: int
    orientation: int = _UPRIGHT
    white: int | None = None
    animated: bool = False


def read_header(encoded: bytes) -> PictureHeader:
    """Read the header of a JPEG, PNG, WebP, BMP, TIFF or Netpbm picture.

    Raises:
        ValueError: with the end of a sentence that starts with the file's name.
    """
    for signature, read in _READERS:
        if re.match(signature, encoded, re.DOTALL):
            try:
                return read(encoded)
            except (struct.error, IndexError) as exc:
                raise ValueError(_ENDS_EARLY) from exc
    for signature, advice in _REFUSED:
        if re.match(signature, encoded, re.DOTALL):
            raise ValueError(advice)
    raise ValueError("is no picture of a known kind; save it as JPEG or PNG")


_ENDS_EARLY = "ends too early, as an interrupted copy does; copy it again from its source"
_DAMAGED = "is damaged; copy it again from its source"


def _read_jpeg(encoded: bytes) -> PictureHeader:
    at, orientation = 2, _UPRIGHT
    while True:
        if encoded[at] != _JPEG_FILL:
            raise ValueError(_DAMAGED)
        marker = encoded[at + 1]
        if marker == _JPEG_FILL or marker in _JPEG_BARE_MARKERS:
            at += 1 if marker == _JPEG_FILL else 2
            continue
        (length,) = struct.unpack_from(">H", encoded, at + 2)
        if marker in _JPEG_SIZE_MARKERS:
            height, width = struct.unpack_from(">HH", encoded, at + 5)
            return PictureHeader("JPEG", width, height, orientation)
        segment = encoded[at + 4 : at + 2 + length]
        if marker == _JPEG_APP1 and segment.startswith(_JPEG_EXIF):
            orientation = _exif_orientation(segment[len(_JPEG_EXIF) :])
        at += 2 + length


def _read_png(encoded: bytes) -> PictureHeader:
    width, height = struct.unpack_from(">II", encoded, 16)
    orientation, animated = _UPRIGHT, False
    for name, body in _png_chunks(encoded):
        if name == b"eXIf":
            orientation = _exif_orientation(body)
        animated |= name == b"acTL"
    return PictureHeader("PNG", width, height, orientation, animated=animated)


def _png_chunks(encoded: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each chunk up to IEND; the checks spare us libpng's own lines on standard error."""
    at, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", encoded, at)
        body = encoded[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", encoded, at + 8 + length)
        if zlib.crc32(body, zlib.crc32(name)) != checksum:
            raise ValueError(_DAMAGED)
        yield name, body
        at += 12 + length


def _read_webp(encoded: bytes) -> PictureHeader:
    (length,) = struct.unpack_from("<I", encoded, 4)
    if len(encoded) < 8 + length:
        raise ValueError(_ENDS_EARLY)
    kind = encoded[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", encoded, 26)
        return PictureHeader("WebP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", encoded, 21)
        return PictureHeader("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    flags, low_width, high_width, low_height, high_height = struct.unpack_from(
        "<B3xHBHB", encoded, 20
    )
    at, orientation = 12, _UPRIGHT
    while at + 8 <= 8 + length:
        name, size = struct.unpack_from("<4sI", encoded, at)
        if name == b"EXIF":
            orientation = _exif_orientation(encoded[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return PictureHeader(
        "WebP",
        (high_width << 16 | low_width) + 1,
        (high_height << 16 | low_height) + 1,
        orientation,
        animated=bool(flags & 0b10),
    )


def _read_bmp(encoded: bytes) -> PictureHeader:
    (header_bytes,) = struct.unpack_from("<I", encoded, 14)
    layout = "<HH" if header_bytes == _BMP_CORE_HEADER_BYTES else "<ii"
    width, height = struct.unpack_from(layout, encoded, 18)
    return PictureHeader("BMP", width, abs(height))  # a negative height: top row first


def _read_tiff(encoded: bytes) -> PictureHeader:
    tags = _directory(encoded)
    if not {_WIDTH_TAG, _HEIGHT_TAG} <= tags.keys():
        raise ValueError(_DAMAGED)
    return PictureHeader("TIFF", tags[_WIDTH_TAG], tags[_HEIGHT_TAG])


def _read_netpbm(encoded: bytes) -> PictureHeader:
    match = _NETPBM.match(encoded)
    if match is None:
        raise ValueError(_DAMAGED)
    kind, width, height = (int(each) for each in match.group(1, 2, 3))
    if kind in _NETPBM_BITMAPS:
        return PictureHeader("Netpbm", width, height)
    if match[4] is None or not 0 < int(match[4]) < 1 << 16:
        raise ValueError(_DAMAGED)
    white = int(match[4])
    # OpenCV stretches plain (ASCII) bytes to 255 by itself, and no other Netpbm values.
    stretched = kind < _NETPBM_FIRST_BINARY and white <= _BYTE_WHITE
    return PictureHeader("Netpbm", width, height, white=_BYTE_WHITE if stretched else white)


def _exif_orientation(block: bytes) -> int:
    """Return the orientation of an Exif block; upright where the block is unreadable or silent."""
    try:
        orientation = _directory(block.removeprefix(_JPEG_EXIF)).get(_ORIENTATION_TAG, _UPRIGHT)
    except (struct.error, ValueError):
        return _UPRIGHT
    return orientation if 1 <= orientation <= 8 else _UPRIGHT  # noqa: PLR2004 - Exif's range


def _directory(block: bytes) -> dict[int, int]:
    """Return the single whole numbers of a TIFF block's first directory, by tag."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        raise ValueError(_DAMAGED)
    (start,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, start)
    tags = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHI", block, at)
        if values == 1 and kind in (_SHORT, _LONG):
            (tags[tag],) = struct.unpack_from(
                order + ("H" if kind == _SHORT else "I"), block, at + 8
            )
    return tags


_READERS: tuple[tuple[bytes, Callable[[bytes], PictureHeader]], ...] = (
    (rb"\xff\xd8\xff", _read_jpeg),
    (rb"\x89PNG\r\n\x1a\n", _read_png),
    (rb"RIFF....WEBP", _read_webp),
    (rb"BM", _read_bmp),
    (rb"II\*\0|MM\0\*", _read_tiff),
    (rb"P[1-6][\s#]", _read_netpbm),
)
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (rb"GIF8", "is a GIF; save one of its pictures as JPEG or PNG"),
    (
        rb"....ftyp(?:hei|hev|mif|msf|avi)",
        "is a HEIC or AVIF picture; save it as JPEG (on a phone: camera format “most compatible”)",
    ),
    (rb"\s*(?:<\?xml|<svg)", "is a drawing (SVG), not a photo; save it as PNG"),
)
