"""Where pictures of people come from: each reader gives one index of (path, subject, source).

A picture is read when it is asked for, so an index of 46,000 crops costs no memory. What cannot be
read is listed, counted and skipped, never silently.
"""

from __future__ import annotations

import csv
import logging
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np

from edge.errors import PictureError
from edge.pictures.picture import SUFFIXES, read_picture
from edge.vocabulary import FloatArray, PixelArray
from train.errors import DataSetError

# Cosine with the mean of one's other pictures, below which a web label is more likely wrong.
LEAST_TYPICAL = 0.3
CROP_MARGIN_PX = 16  # on each side of the crops in archives
_LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")  # columns: …_x, …_y

_LOG = logging.getLogger("janus.train")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of one subject; ``load()`` gives (H, W, 3) uint8 RGB.

    ``landmarks`` (5, 2) are those of the face in it, in its pixels, where a listing has them.
    """

    path: str
    subject: str
    source: str
    load: Callable[[], PixelArray] = field(compare=False, repr=False)
    landmarks: FloatArray | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Index:
    """Pictures in a fixed order, and the paths that could not be read with the reason."""

    pictures: tuple[Picture, ...]
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """Every subject once, in natural order (s2 before s10)."""
        return tuple(sorted({each.subject for each in self.pictures}, key=natural))

    def only(self, subjects: Sequence[str]) -> Index:
        """Return the pictures of *subjects*."""
        wanted = frozenset(subjects)
        return Index(tuple(each for each in self.pictures if each.subject in wanted))

    def singles(self) -> tuple[str, ...]:
        """Return the subjects with one picture: kept for non-mated pairs, useless for mated."""
        counts = Counter(each.subject for each in self.pictures)
        return tuple(sorted((name for name, count in counts.items() if count == 1), key=natural))


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key under which s2 comes before s10."""
    return [
        (part.isdigit(), int(part) if part.isdigit() else 0, part)
        for part in re.split(r"(\d+)", name)
    ]


def named_among(names: Iterable[str], subjects: Iterable[str]) -> tuple[str, ...]:
    """Return the *subjects* that *names* lists, with or without their source, as in celeba/ada."""
    listed = frozenset(names)
    return tuple(each for each in subjects if {each, each.rpartition("/")[2]} & listed)


def read_folder(directory: Path) -> Index:
    """Read one folder per person; folders above them (train/, test/) are allowed.

    The subject is the name of the folder that holds the picture, the source the folders above it.

    Raises:
        DataSetError: if there are no two subjects.
    """
    paths = [each for each in directory.rglob("*") if each.suffix.lower() in SUFFIXES]
    named = [each for each in paths if each.is_file() and each.parent != directory]
    named.sort(key=lambda each: natural(str(each.relative_to(directory))))
    return _checked(
        directory,
        [
            Picture(
                str(each.relative_to(directory)),
                each.parent.name,
                str(each.parent.parent.relative_to(directory)),
                partial(read_picture, each),
            )
            for each in named
        ],
        "one folder per person with pictures in it, such as DIR/ada/1.jpg and DIR/eve/1.jpg",
    )


def read_att(directory: Path) -> Index:
    """Read the AT&T Database of Faces: s1 … s40, each with 1.pgm … 10.pgm (92x112 grey).

    Raises:
        DataSetError: if there are no two subjects.
    """
    paths = sorted(
        directory.glob("s*/*.pgm"), key=lambda each: natural(f"{each.parent.name}/{each.name}")
    )
    return _checked(
        directory,
        [
            Picture(f"{p.parent.name}/{p.name}", p.parent.name, "att", partial(read_picture, p))
            for p in paths
        ],
        "the AT&T tree: DIR/s1/1.pgm … DIR/s40/10.pgm",
    )


def read_crops(directory: Path, *, strangers: bool = False, wide: bool = False) -> Index:
    """Read archives of aligned crops: ``index.csv`` (file, source, subject, …) beside the zips.

    Crops are 144x144 with a margin of 16 pixels, which is cut off unless *wide* is set. Where the
    listing has a column `typicality`, pictures below `LEAST_TYPICAL` are left out: a wrong label is
    taken for a false match.

    Args:
        directory: holds index.csv and the archives.
        strangers: take the rows without a subject too, each as a subject of its own named by its
            file: nobody knows who they are, but no two are the same person.
        wide: leave the margin on, for encoders that see more of a face than the door's.

    Raises:
        DataSetError: if there is no index.csv, or fewer than two subjects.
    """
    listing = directory / "index.csv"
    if not listing.is_file():
        raise DataSetError(f"there is no {listing}; expected index.csv beside SOURCE.zip archives")
    with listing.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if _is_wanted(row, strangers=strangers)]
    return _checked(
        directory,
        [
            Picture(
                row["file"],
                f"{row['source']}/{row['subject']}" if row["subject"] else row["file"],
                row["source"],
                partial(
                    _read_member if wide else _read_crop,
                    directory / f"{row['source']}.zip",
                    row["file"],
                ),
                _listed_landmarks(row, 0 if wide else CROP_MARGIN_PX),
            )
            for row in rows
        ],
        "index.csv with the columns file, source and subject",
    )


def _listed_landmarks(row: dict[str, str], margin_px: int) -> FloatArray | None:
    """Return the five landmarks of a listing's *row*, less the margin that is cut off."""
    try:
        points = [[float(row[f"{name}_{axis}"]) for axis in "xy"] for name in _LANDMARKS]
    except (KeyError, ValueError, TypeError):
        return None  # a listing without them
    landmarks = np.array(points, np.float32) - np.float32(margin_px)
    return landmarks if np.isfinite(landmarks).all() else None


def _is_wanted(row: dict[str, str], *, strangers: bool) -> bool:
    if not row["subject"]:
        return strangers
    return float(row.get("typicality") or LEAST_TYPICAL) >= LEAST_TYPICAL


def read_lfw(archive: Path) -> Index:
    """Read Labeled Faces in the Wild: ``Name/Name_0001.webp`` in a zip, or in a folder.

    Raises:
        DataSetError: if it is neither.
    """
    if archive.is_dir():
        found = read_folder(archive).pictures
        return Index(tuple(replace(each, source="lfw") for each in found))
    try:
        with zipfile.ZipFile(archive) as held:
            names = sorted(each for each in held.namelist() if Path(each).suffix in SUFFIXES)
    except (OSError, zipfile.BadZipFile) as exc:
        raise DataSetError(f"{archive} is not a zip of LFW pictures: {exc}") from exc
    pictures = [
        Picture(name, Path(name).parent.name, "lfw", partial(_read_member, archive, name))
        for name in names
    ]
    return _checked(archive, pictures, "NAME/NAME_0001.webp inside the zip")


def read_lfw_pairs(path: Path) -> list[tuple[str, str, bool, int]]:
    """Read LFW's pairs.txt: (stem of the first picture, of the second, mated, fold).

    Raises:
        DataSetError: if the file is missing, or not laid out as LFW's.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        folds, per_fold = (int(each) for each in lines[0].split())
    except (OSError, ValueError, IndexError) as exc:
        raise DataSetError(
            f"{path} is no pairs.txt of LFW: {exc}; expected a first line such as `10 300`"
        ) from exc
    pairs = []
    for number, line in enumerate(lines[1 : 1 + 2 * folds * per_fold]):
        match line.split():
            case [name, first, second]:
                pair = (name, first, name, second)
            case [name, first, other, second]:
                pair = (name, first, other, second)
            case _:
                raise DataSetError(f"{path}, line {number + 2}: expected 3 or 4 fields: {line!r}")
        a, i, b, j = pair
        pairs.append((f"{a}_{int(i):04d}", f"{b}_{int(j):04d}", a == b, number // (2 * per_fold)))
    return pairs


def readable(index: Index) -> tuple[Index, list[PixelArray]]:
    """Load every picture once; return the index of those that can be read, and their pixels.

    Raises:
        DataSetError: if none can.
    """
    kept, pixels, refused = [], [], []
    for each in index.pictures:
        try:
            pixels.append(each.load())
        except PictureError as exc:
            refused.append((each.path, str(exc)))
        else:
            kept.append(each)
    for path, reason in refused:
        _LOG.warning("skipped %s: %s", path, reason)
    if not kept:
        raise DataSetError(f"none of {len(refused)} pictures can be read; see the warnings above")
    return Index(tuple(kept), tuple(refused)), pixels


def _checked(where: Path, pictures: list[Picture], layout: str) -> Index:
    index = Index(tuple(pictures))
    found = len(index.subjects)
    if found < 2:  # noqa: PLR2004 - a pair needs two
        what = f"{where} has {len(pictures)} pictures of {found} subjects"
        if not where.exists():
            what = f"there is no {where}"
        raise DataSetError(f"{what}; expected {layout}, for two people at least")
    if singles := index.singles():
        named = ", ".join(singles[:5]) + (" …" if len(singles) > 5 else "")  # noqa: PLR2004
        _LOG.info("%d subjects have one picture, for non-mated pairs only: %s", len(singles), named)
    return index


@lru_cache(maxsize=8)
def _open_archive(archive: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive)


def _read_member(archive: Path, name: str) -> PixelArray:
    try:
        encoded = _open_archive(archive).read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as exc:
        raise PictureError(f"{archive.name} does not hold {name}: {exc}") from exc
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise PictureError(f"{name} in {archive.name} is no picture that OpenCV can decode")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def _read_crop(archive: Path, name: str) -> PixelArray:
    inner = slice(CROP_MARGIN_PX, -CROP_MARGIN_PX)
    return _read_member(archive, name)[inner, inner]
