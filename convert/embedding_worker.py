"""Embed crops by `edge.embed` in a process of its own, which never imports TensorFlow.

tflite-runtime 2.14 fails in a process that has imported TensorFlow ("vector::reserve"), and a
runtime that crashes must not take the conversion with it. It is also how the door runs.

    python -m convert.embedding_worker ENCODER.tflite CROPS.npy RUNTIME EMBEDDINGS.npz
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from convert.quantize import silenced
from edge.align import TEMPLATE
from edge.embed import open_embedder
from edge.errors import BundleError, DoorError
from edge.tflite import RUNTIMES
from edge.vocabulary import AlignedFace, Box, Detection, FloatArray, PixelArray

_THREADS = 2


def as_aligned(crop: PixelArray, landmarks: FloatArray | None = None) -> AlignedFace:
    """Return a crop that is aligned already as what `edge.align` would have made of it.

    Args:
        crop: (112, 112, 3) uint8 RGB.
        landmarks: (5, 2) in the crop; those of the template where they are unknown.
    """
    size = float(crop.shape[0])
    points = TEMPLATE if landmarks is None else landmarks
    detection = Detection(Box(0.0, 0.0, size, size), points.copy(), score=1.0)
    return AlignedFace(crop, np.eye(2, 3, dtype=np.float32), detection)


def open_encoder(
    encoder: bytes, runtime: str, *, in_float: bool
) -> Callable[[PixelArray], FloatArray]:
    """Return the function crop (112, 112, 3) uint8 → (D,) float32 of unit length.

    Args:
        encoder: .tflite bytes.
        runtime: a key of `edge.tflite.RUNTIMES`.
        in_float: whether they take float32 pixels from 0 to 255, which no door does; they are
            there to be compared with. Otherwise they go through `edge.embed`.

    Raises:
        BundleError, ConfigError: if the runtime refuses the encoder, or is not there.
    """
    if not in_float:
        embedder = open_embedder(encoder, "unnamed", runtime=runtime, threads=_THREADS)
        return lambda crop: embedder.embed(as_aligned(crop)).vector
    try:
        interpreter_class = importlib.import_module(RUNTIMES[runtime]).Interpreter
        with silenced():  # the runtimes greet on standard error
            interpreter = interpreter_class(model_content=encoder, num_threads=_THREADS)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as exc:
        raise BundleError(f"{runtime} refuses the encoder: {exc}; convert the model again") from exc
    given = interpreter.get_input_details()[0]["index"]
    asked = interpreter.get_output_details()[0]["index"]

    def embed(crop: PixelArray) -> FloatArray:
        interpreter.set_tensor(given, crop[np.newaxis].astype(np.float32))
        interpreter.invoke()
        features = np.asarray(interpreter.get_tensor(asked), np.float32).reshape(-1)
        return np.asarray(features / np.linalg.norm(features), np.float32)

    return embed


def embed_all(
    embed: Callable[[PixelArray], FloatArray], crops: PixelArray, label: str
) -> tuple[FloatArray, float]:
    """Return (N, D) float32 unit rows of *crops* (N, 112, 112, 3), and the median ms of a crop."""
    rows, taken_s = [], []
    # None: no bar where standard error is no terminal.
    for crop in tqdm(crops, desc=label, unit="crop", leave=False, disable=None):
        began_s = time.perf_counter()
        rows.append(embed(crop))
        taken_s.append(time.perf_counter() - began_s)
    return np.stack(rows), float(np.median(taken_s)) * 1000


def main(encoder: str, crops: str, runtime: str, embeddings: str, kind: str = "int8") -> int:
    """Read both files, embed, write *embeddings*; an error is one line on standard output."""
    try:
        embed = open_encoder(Path(encoder).read_bytes(), runtime, in_float=kind == "float")
        rows, call_ms = embed_all(embed, np.load(crops), runtime)
        np.savez(embeddings, embeddings=rows, call_ms=call_ms)
    except DoorError as exc:
        print(exc)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
