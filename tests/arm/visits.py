"""Render two visits, the same on every machine: an astronaut's, and a stranger's.

    python tests/arm/visits.py FOLDER [--every N] [--film FILE]

FOLDER gets a picture to enrol (`portrait.png`) and the frames, one sub-folder a visit, in the order
of time. FILE gets the astronaut standing, as raw BGR frames to be played in a loop. Photographs:
those of scikit-image ([demo]).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from edge.demo.portraits import ASTRONAUT, astronaut, astronaut_photo, garage_photo, stranger
from edge.demo.visitor import FRAME_RATE_HZ, VISIT_S, Visit, VisitorCamera

STRANGER = 52
_STANDS = range(25, 50)  # of the first visit
_VISITS = (
    Visit(ASTRONAUT, astronaut(), begins_s=0.0, expected=ASTRONAUT),
    Visit("stranger", stranger(STRANGER), begins_s=VISIT_S),
)


def main() -> None:
    """Write every *N*-th frame."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--film", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    camera = VisitorCamera(garage_photo(), _VISITS, duration_s=2 * VISIT_S)
    for index in range(0, camera.frames_in_all, arguments.every):
        visit = camera.visit_at(index / FRAME_RATE_HZ)
        folder = arguments.folder / "frames" / visit.label
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"{index:03d}.png", camera.frame(index).pixels)
    write(arguments.folder / "portrait.png", astronaut_photo())
    if arguments.film:
        stands = [camera.frame(index).pixels[..., ::-1].tobytes() for index in _STANDS]
        arguments.film.write_bytes(b"".join(stands + stands[::-1]))


def write(path: Path, rgb) -> None:
    """Write a lossless picture."""
    if not cv2.imwrite(str(path), rgb[..., ::-1]):
        raise SystemExit(f"{path} cannot be written")


if __name__ == "__main__":
    main()
