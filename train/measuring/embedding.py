"""Cut and embed pictures one batch after the other: memory does not grow with the set.

What an encoder said of a crop can be kept in a file, so that a slow peer is asked once.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from edge.errors import ConfigError
from edge.vocabulary import FloatArray, PixelArray
from train.data.cutting import Cut
from train.data.datasets import Index
from train.data.framing import Crops, warn_of_refusals
from train.measuring.encoders import Encoder
from train.measuring.metrics import IntArray

_BATCH = 64
_SAVE_EVERY = 20  # batches


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """The pictures of *index* as embeddings (N, D), and as crops if they were kept."""

    index: Index
    embeddings: FloatArray
    crops: Crops | None

    @property
    def numbers(self) -> IntArray:
        """The number of each picture's subject (N,), in natural order of the names."""
        return Crops(self.index, np.empty((0, 0, 0, 3), np.uint8)).numbers


class EmbeddingCache:
    """Embeddings by what was embedded: a file in a directory, one for each encoder.

    Args:
        directory: made if missing.
        encoder: whose embeddings these are.

    Raises:
        ConfigError: if the file there is no such cache.
    """

    def __init__(self, directory: Path, encoder: Encoder) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(encoder.identity.encode()).hexdigest()[:16]
        self._path = directory / f"embeddings-{name}.npz"
        self._held: dict[bytes, FloatArray] = {}
        self._saved = 0
        if self._path.is_file():
            try:
                with np.load(self._path) as file:
                    keys, rows = file["keys"], file["rows"]
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as exc:
                raise ConfigError(
                    f"{self._path} is no cache of embeddings: {exc}; remove it"
                ) from exc
            self._held = {key.tobytes(): row for key, row in zip(keys, rows, strict=True)}
            self._saved = len(self._held)

    def embed(self, encoder: Encoder, crops: PixelArray) -> FloatArray:
        """Return the embeddings of *crops* (N, S, S, 3), asking *encoder* for unknown ones only."""
        keys = [hashlib.sha256(each.tobytes()).digest() for each in crops]
        unknown = [at for at, key in enumerate(keys) if key not in self._held]
        if unknown:
            for at, row in zip(unknown, encoder(crops[unknown]), strict=True):
                self._held[keys[at]] = row
        return np.stack([self._held[key] for key in keys])

    def save(self) -> None:
        """Write the file whole or not at all."""
        if len(self._held) == self._saved:
            return
        keys = np.frombuffer(b"".join(self._held), np.uint8).reshape(len(self._held), -1)
        partial = self._path.with_suffix(".partial.npz")
        np.savez(partial, keys=keys, rows=np.stack(list(self._held.values())))
        partial.replace(self._path)
        self._saved = len(self._held)


def embed_cuts(
    cuts: Iterable[Cut],
    encoder: Encoder,
    *,
    count: int,
    keep_crops: bool,
    cache: Path | None = None,
) -> Embedded:
    """Embed each of *cuts* as it comes, with a progress bar.

    Args:
        cuts: crops and refusals; the refused ones are left out, counted.
        encoder: embeds them.
        count: of pictures, for the bar.
        keep_crops: for a report with pictures: 38 kB each.
        cache: directory of known embeddings.

    Raises:
        DataSetError: if no picture can be used.
        ConfigError: if the cache is damaged.
    """
    from tqdm import tqdm  # noqa: PLC0415 - an optional extra

    known = None if cache is None else EmbeddingCache(cache, encoder)
    pictures, pixels, rows, refused = [], [], [], []
    shown = tqdm(cuts, total=count, desc="embed", unit="picture", mininterval=1.0)
    for number, batch in enumerate(_batches(shown)):
        refused += [(each.picture.path, each.reason) for each in batch if each.crop is None]
        kept = [(each.picture, each.crop) for each in batch if each.crop is not None]
        if not kept:
            continue
        crops = np.stack([crop for _, crop in kept])
        rows.append(encoder(crops) if known is None else known.embed(encoder, crops))
        pictures += [picture for picture, _ in kept]
        if keep_crops:
            pixels.append(crops)
        if known is not None and number % _SAVE_EVERY == _SAVE_EVERY - 1:
            known.save()
    if known is not None:
        known.save()
    warn_of_refusals(refused, len(pictures) + len(refused))
    index = Index(tuple(pictures), tuple(refused))
    crops_kept = Crops(index, np.concatenate(pixels)) if keep_crops else None
    return Embedded(index, np.concatenate(rows), crops_kept)


def _batches(cuts: Iterable[Cut]) -> Iterator[list[Cut]]:
    remaining = iter(cuts)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
