"""How ``--data`` may be laid out: a name for each reader, and sets that come with packages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edge.vocabulary import PixelArray
from train.data.datasets import Index, Picture, read_att, read_crops, read_folder, read_lfw
from train.errors import DataSetError

_LOG = logging.getLogger("janus.train")
_DIGITS = 3000  # of MNIST's 60,000: enough for its pairs, and small in memory as 112x112 crops


def read_celebrities(directory: Path) -> Index:
    """Read folders of people below ``eval/`` where there is one (loose photos lie beside it)."""
    people = directory / "eval"
    return read_folder(people if people.is_dir() else directory)


def read_olivetti(directory: Path) -> Index:
    """Read the Olivetti faces (64x64 grey, 40 people) that scikit-learn has fetched.

    Offline, with *directory* an AT&T tree of the same sitters, the stand-in is cut from it: the
    92x92 pixels of the face, brought to 64x64.

    Raises:
        DataSetError: if neither is there.
    """
    from sklearn.datasets import fetch_olivetti_faces  # here: an optional extra

    try:
        faces = fetch_olivetti_faces(download_if_missing=False)
    except OSError as exc:
        if not any(directory.glob("s*/*.pgm")):
            raise DataSetError(
                f"the Olivetti faces are not in scikit-learn's cache, and {directory} is no AT&T "
                "tree to cut the stand-in from; fetch them once with "
                "sklearn.datasets.fetch_olivetti_faces(), or give the AT&T tree with --data"
            ) from exc
        _LOG.info("the Olivetti faces are not cached; cutting the stand-in from %s", directory)
        stand_in = read_att(directory).pictures
        return Index(
            tuple(
                Picture(each.path, each.subject, "att-64x64", partial(_cut_olivetti, each))
                for each in stand_in
            )
        )
    grey = np.rint(faces.images * 255).astype(np.uint8)
    return _in_memory("olivetti", grey, [f"s{each + 1}" for each in faces.target])


def read_mnist(directory: Path) -> Index:
    """Read MNIST digits (28x28) from Keras's cache, or scikit-learn's digits (8x8) without it.

    A digit plays the subject. *directory* may hold Keras's ``mnist.npz``.
    """
    from sklearn.datasets import load_digits  # here: an optional extra

    places = (directory, Path("~/.keras/datasets").expanduser())
    archive = next((each / "mnist.npz" for each in places if (each / "mnist.npz").is_file()), None)
    if archive is not None:
        with np.load(archive) as held:
            grey, digits = held["x_train"][:_DIGITS], held["y_train"][:_DIGITS]
    else:
        _LOG.info("there is no mnist.npz; using scikit-learn's 1,797 digits of 8x8 pixels")
        bundled = load_digits()
        grey, digits = np.rint(bundled.images * 255 / 16).astype(np.uint8), bundled.target
    return _in_memory("mnist", grey, [f"digit {each}" for each in digits])


def _in_memory(source: str, grey: PixelArray, subjects: list[str]) -> Index:
    return Index(
        tuple(
            Picture(f"{source}/{at}", subject, source, partial(_rgb, grey[at]))
            for at, subject in enumerate(subjects)
        )
    )


def _rgb(grey: PixelArray) -> PixelArray:
    return np.repeat(grey[..., None], 3, axis=2)


def _cut_olivetti(picture: Picture) -> PixelArray:
    # Rows 14 to 106 of 112: forehead to chin; the full width of 92 pixels.
    return cv2.resize(picture.load()[14:106], (64, 64), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


READERS: dict[str, Callable[[Path], Index]] = {
    "att": read_att,
    "celebrities": read_celebrities,
    "crops": read_crops,
    "folder": read_folder,
    "lfw": read_lfw,
    "mnist": read_mnist,
    "olivetti": read_olivetti,
}
"""How ``--data`` may be laid out."""
