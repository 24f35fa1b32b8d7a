"""Photos of people become the crops that the door's encoder sees: detect, align, keep without loss.

The door's own detector and alignment do it, so that training and door agree to the pixel.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge.vocabulary import PixelArray
from train.cutting import Cut, cut_faces
from train.datasets import Index, read_folder

_TILE_PX, _TILES_ACROSS, _CAPTION_PX = 160, 6, 18
_LISTING = "index.csv"
_COLUMNS = ("file", "source", "subject", "photo", "refused")


def prepare(photos: Path, out: Path) -> tuple[int, int]:
    """Cut the photos of one folder per person into ``OUT/PERSON/*.png`` and ``OUT/index.csv``.

    A second call goes on where the first stopped: photos in the listing are not read again. Of what
    was refused, ``OUT/refused.png`` shows each photo with the reason.

    Returns:
        How many crops and how many refusals *out* now holds.

    Raises:
        DataSetError: if *photos* has no folders of people.
    """
    index = read_folder(photos)
    out.mkdir(parents=True, exist_ok=True)
    listing = out / _LISTING
    rows = _listed(listing)
    done = {row["photo"] for row in rows}
    todo = Index(tuple(each for each in index.pictures if each.path not in done))
    # Written anew, not appended to: a run that was killed may have left half a line at its end.
    with listing.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        for cut in _with_progress(cut_faces(todo), len(todo.pictures)):
            row = _kept(cut, out)
            writer.writerow(row)
            lines.flush()
            rows.append(row)
    refused = [row for row in rows if row["refused"]]
    if refused:
        sheet = contact_sheet(photos, [(row["photo"], row["refused"]) for row in refused])
        cv2.imwrite(str(out / "refused.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return len(rows) - len(refused), len(refused)


def contact_sheet(photos: Path, refused: list[tuple[str, str]]) -> PixelArray:
    """Return one picture with a tile for each refused photo, its name and the reason below it."""
    down = -(-len(refused) // _TILES_ACROSS)
    tall = _TILE_PX + 2 * _CAPTION_PX
    sheet = np.full((down * tall, _TILES_ACROSS * _TILE_PX, 3), 255, np.uint8)
    for at, (name, reason) in enumerate(refused):
        top, left = at // _TILES_ACROSS * tall, at % _TILES_ACROSS * _TILE_PX
        picture = cv2.imread(str(photos / name))
        if picture is not None:
            scale = (_TILE_PX - 4) / max(picture.shape[:2])
            size = (max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale)))
            tile = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[..., ::-1]
            sheet[top : top + size[1], left : left + size[0]] = tile
        for line, text in enumerate((name[-24:], reason[:24])):
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
    return [row for row in rows if None not in row.values()]


def _kept(cut: Cut, out: Path) -> dict[str, str]:
    name = f"{cut.picture.subject}/{cut.picture.path.replace(os.sep, '_')}.png"
    if cut.crop is not None:
        (out / cut.picture.subject).mkdir(exist_ok=True)
        cv2.imwrite(str(out / name), cv2.cvtColor(cut.crop, cv2.COLOR_RGB2BGR))
    return {
        "file": name if cut.crop is not None else "",
        "source": cut.picture.source,
        "subject": cut.picture.subject,
        "photo": cut.picture.path,
        "refused": cut.reason,
    }


def _with_progress(cuts: Iterator[Cut], count: int) -> Iterator[Cut]:
    from tqdm import tqdm  # noqa: PLC0415 - an optional extra

    yield from tqdm(cuts, total=count, desc="prepare", unit="photo", mininterval=1.0)
