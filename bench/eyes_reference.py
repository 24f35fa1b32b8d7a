"""Reference landmarks: the mean of 32 looks of YuNet, remembered by the picture's pixels.

Fewer looks, or looks that are alike, add noise of their own (docs/eyes.md has figures): those of
`train.eyes.looks.LOOKS` differ in turn, size and place, and half are at the mirrored picture. What
the halves differ by is told with each face; habits that all looks share are in no such figure.

    python bench/eyes_reference.py CACHE.npz [--sets lfw,att] [--workers 16]

looks at every picture whose landmarks `bench/eyes.py --cache CACHE.npz` measures against, on many
processors: 0.25 s of CPU for one of LFW's, 1.5 s for one of FRLL's. A run that is cut off goes on
where it was.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from eyes_sets import SETS, samples

from edge.vocabulary import FloatArray, PixelArray
from train.eyes.feeding import results
from train.eyes.looks import Looker, SeenFace, fingerprint

_ROOT = Path(__file__).parents[1]
_ALL = 1_000_000
_REMEMBERED_EVERY = 256


class Reference:
    """YuNet from its ONNX file, looking 32 times.

    Args:
        model: the ONNX file.
        cache: a file in which the faces of a picture are remembered, so that another run need not
            look again; written by `remember`. None: nothing is kept.
    """

    def __init__(self, model: Path, cache: Path | None = None) -> None:
        self._looker, self._cache = Looker(model), cache
        # Other looks make other faces: what they were is part of each key.
        self._salt = fingerprint(model).encode()
        self._known: dict[str, FloatArray] = {}
        if cache is not None and cache.is_file():
            with np.load(cache) as held:
                self._known = {name: held[name] for name in held.files}

    def faces(self, pixels: PixelArray) -> list[SeenFace]:
        """Return the faces in (H, W, 3) uint8 RGB *pixels* that half of the looks see."""
        key, rows = self.looked(pixels)
        self.know(key, rows)
        return [SeenFace(row[:10].reshape(5, 2).copy(), float(row[10])) for row in rows]

    def looked(self, pixels: PixelArray) -> tuple[str, FloatArray]:
        """Return the picture's key and (N, 11) landmarks and noise of its faces."""
        key = self._key(pixels)
        if key in self._known:
            return key, self._known[key]
        found = [np.append(face.landmarks, face.noise) for face in self._looker.faces(pixels)]
        return key, np.array(found, np.float32).reshape(-1, 11)

    def knows(self, pixels: PixelArray) -> bool:
        """Tell whether these pixels were looked at."""
        return self._key(pixels) in self._known

    def know(self, key: str, rows: FloatArray) -> None:
        """Keep what `looked` returned."""
        self._known[key] = rows

    def remember(self) -> None:
        """Write what was seen to the cache, whole or not at all."""
        if self._cache is not None:
            partial = self._cache.with_suffix(".part.npz")
            np.savez(partial, **self._known)
            partial.replace(self._cache)

    def _key(self, pixels: PixelArray) -> str:
        content = np.ascontiguousarray(pixels)
        shape = repr(pixels.shape).encode()
        return hashlib.sha256(self._salt + shape + content.data).hexdigest()


def main() -> None:
    """Look at whole sets."""
    parser = argparse.ArgumentParser(description="Look at whole sets on several processors.")
    parser.add_argument("cache", type=Path)
    parser.add_argument("--data", type=Path, default=_ROOT.parent / "shared" / "data")
    parser.add_argument(
        "--yunet", type=Path, default=_ROOT.parent / "shared/peers/yunet_n_640_640.onnx"
    )
    parser.add_argument("--sets", default=",".join(SETS), help="names with commas between")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    reference = Reference(given.yunet, given.cache)
    look = _Look(given.yunet)
    for name in given.sets.split(","):
        unknown = (
            each.pixels
            for each in samples(name, given.data, _ALL)
            if each.targets is None and not reference.knows(each.pixels)
        )
        for at, (key, rows) in enumerate(results(look, unknown, given.workers), 1):
            reference.know(key, rows)
            if at % _REMEMBERED_EVERY == 0:
                reference.remember()
        reference.remember()
        print(f"{name}: looked", flush=True)


class _Look:
    """Looks at one picture, in whichever process it is called."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._own: Reference | None = None

    def __call__(self, pixels: PixelArray) -> tuple[str, FloatArray]:
        self._own = self._own or Reference(self._model)
        return self._own.looked(pixels)


if __name__ == "__main__":
    main()
