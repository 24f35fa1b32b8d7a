"""Embed crops by `edge.embed` in a process of its own, which never imports TensorFlow.

tflite-runtime 2.14 fails in a process that has imported TensorFlow ("vector::reserve"), and a
runtime that crashes must not take the conversion with it. It is also how the door runs.

    python -m convert.embedding_worker ENCODER.tflite CROPS.npy RUNTIME EMBEDDINGS.npy
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge.align import TEMPLATE
from edge.embed import Embedder, open_embedder
from edge.errors import DoorError
from edge.vocabulary import AlignedFace, Box, Detection, FloatArray, PixelArray

_THREADS = 2


def as_aligned(crop: PixelArray) -> AlignedFace:
    """Return a crop that is aligned already as what `edge.align` would have made of it."""
    size = float(crop.shape[0])
    detection = Detection(Box(0.0, 0.0, size, size), TEMPLATE.copy(), score=1.0)
    return AlignedFace(crop, np.eye(2, 3, dtype=np.float32), detection)


def embed_all(embedder: Embedder, crops: PixelArray, label: str) -> FloatArray:
    """Return (N, D) float32 unit rows of *crops* (N, 112, 112, 3) uint8, with a progress bar."""
    bar = tqdm(crops, desc=label, unit="crop", leave=False)
    return np.stack([embedder.embed(as_aligned(each)).vector for each in bar])


def main(encoder: str, crops: str, runtime: str, embeddings: str) -> int:
    """Read both files, embed, write *embeddings*; an error is one line on standard output."""
    try:
        embedder = open_embedder(
            Path(encoder).read_bytes(), "unnamed", runtime=runtime, threads=_THREADS
        )
        np.save(embeddings, embed_all(embedder, np.load(crops), runtime))
    except DoorError as exc:
        print(exc)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
