"""Photos of people become the crops that the door's encoder sees: detect, align, keep without loss.

The door's own detector and alignment do it, so that training and door agree to the pixel.
"""

from __future__ import annotations

import csv
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge.config import DetectorConfig
from edge.errors import ConfigError, PictureError
from edge.pictures.picture import read_picture
from edge.vocabulary import PixelArray
from train.data.cutting import SMALLEST_FACE_PX, Cut, OpenDetector, cut_faces, detector_opener
from train.data.datasets import Index, read_folder
from train.errors import DataSetError

_TILE_PX, _TILES_ACROSS, _CAPTION_PX = 160, 6, 18
_TILES_DOWN = 20  # of one sheet: thousands of refusals in one picture would open nowhere
_LISTING = "index.csv"
_COLUMNS = ("file", "source", "subject", "photo", "refused", "detector")


def prepare(photos: Path, out: Path, *, detector: DetectorConfig | None = None) -> tuple[int, int]:
    """Cut the photos of one folder per person into ``OUT/PERSON/*.png`` and ``OUT/index.csv``.

    A second call goes on where the first stopped: photos in the listing are not read again. Of what
    was refused, ``OUT/refused.png`` (``refused-2.png`` …) shows each photo with the reason.

    Args:
        photos: one folder per person.
        out: made if missing.
        detector: finds the faces; default: the door's, for faces from 36 px.

    Returns:
        How many crops and how many refusals *out* now holds.

    Raises:
        DataSetError: if *photos* has no folders of people, or *out* cannot be written.
        ConfigError: if *out* holds crops that another detector placed.
    """
    config = detector or DetectorConfig(smallest_face_px=SMALLEST_FACE_PX)
    index = read_folder(photos)
    opener = detector_opener(config)
    try:
        rows = _cut_rest(index, opener, out, config.backend)
        _draw_sheets(photos, out, [row for row in rows if row["refused"]])
    except OSError as exc:
        raise DataSetError(f"{out} cannot be written: {exc.strerror or exc}; name another") from exc
    refused = sum(bool(row["refused"]) for row in rows)
    return len(rows) - refused, refused


def _cut_rest(index: Index, opener: OpenDetector, out: Path, backend: str) -> list[dict[str, str]]:
    """Cut what the listing does not name yet; return all its rows."""
    out.mkdir(parents=True, exist_ok=True)
    listing = out / _LISTING
    rows = _listed(listing)
    if other := {row["detector"] for row in rows} - {backend}:
        raise ConfigError(
            f"{out} holds crops that the detector {', '.join(other)} placed; crops of {backend} "
            "beside them would differ in frame: go on with that --detector, or name another --out"
        )
    done, taken = {row["photo"] for row in rows}, {row["file"] for row in rows}
    todo = Index(tuple(each for each in index.pictures if each.path not in done))
    # What is there is written anew first: a run that was killed may have left half a line.
    _write_whole(listing, _as_csv(rows, header=True))
    with listing.open("a", newline="", encoding="utf-8") as lines:
        for cut in _with_progress(cut_faces(todo, opener=opener), len(todo.pictures)):
            row = _kept(cut, out, taken) | {"detector": backend}
            lines.write(_as_csv([row]).decode())
            lines.flush()
            rows.append(row)
    return rows


def _draw_sheets(photos: Path, out: Path, refused: list[dict[str, str]]) -> None:
    for old in out.glob("refused*.png"):
        old.unlink()
    most = _TILES_ACROSS * _TILES_DOWN
    for number, start in enumerate(range(0, len(refused), most), start=1):
        shown = [(row["photo"], row["refused"]) for row in refused[start : start + most]]
        name = "refused.png" if number == 1 else f"refused-{number}.png"
        _write_picture(out / name, contact_sheet(photos, shown))


def contact_sheet(photos: Path, refused: list[tuple[str, str]]) -> PixelArray:
    """Return one picture with a tile for each refused photo, its name and the reason below it."""
    down = -(-len(refused) // _TILES_ACROSS)
    tall = _TILE_PX + 2 * _CAPTION_PX
    sheet = np.full((down * tall, _TILES_ACROSS * _TILE_PX, 3), 255, np.uint8)
    for at, (name, reason) in enumerate(refused):
        top, left = at // _TILES_ACROSS * tall, at % _TILES_ACROSS * _TILE_PX
        try:
            picture = read_picture(photos / name)
        except PictureError:
            pass  # the reason below the empty tile says so
        else:
            scale = (_TILE_PX - 4) / max(picture.shape[:2])
            size = (max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale)))
            tile = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            sheet[top : top + size[1], left : left + size[0]] = tile
        what = reason.removeprefix(f"{photos / name} ")
        for line, text in enumerate((name[-24:], what[:24])):
            foot = (left + 2, top + _TILE_PX + (line + 1) * _CAPTION_PX - 5)
            cv2.putText(
                sheet, text, foot, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA
            )
    return sheet


def _listed(listing: Path) -> list[dict[str, str]]:
    if not listing.is_file():
        return []
    with listing.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    # Listings of earlier releases have no column for the detector: there was one.
    complete = [{"detector": "haar", **row} for row in rows if None not in row.values()]
    return [row for row in complete if not row["file"] or (listing.parent / row["file"]).is_file()]


def _kept(cut: Cut, out: Path, taken: set[str]) -> dict[str, str]:
    path, subject = cut.picture.path, cut.picture.subject
    name = f"{subject}/{path.replace(os.sep, '_')}.png"
    if name in taken:  # a_b/ada/1.jpg after a/b/ada/1.jpg
        name = f"{subject}/{path.replace(os.sep, '_')}.{zlib.crc32(path.encode()):08x}.png"
    if cut.crop is not None:
        (out / subject).mkdir(exist_ok=True)
        _write_picture(out / name, cut.crop)
        taken.add(name)
    return {
        "file": name if cut.crop is not None else "",
        "source": cut.picture.source,
        "subject": subject,
        "photo": path,
        "refused": cut.reason,
    }


def _write_picture(path: Path, pixels: PixelArray) -> None:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    _write_whole(path, encoded.tobytes())


def _write_whole(path: Path, content: bytes) -> None:
    """Write the file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)


def _as_csv(rows: list[dict[str, str]], *, header: bool = False) -> bytes:
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, _COLUMNS)
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return written.getvalue().encode()


def _with_progress(cuts: Iterator[Cut], count: int) -> Iterator[Cut]:
    from tqdm import tqdm  # noqa: PLC0415 - an optional extra

    yield from tqdm(cuts, total=count, desc="prepare", unit="photo", mininterval=1.0)
