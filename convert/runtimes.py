"""The int8 encoder in every TFLite runtime that is installed, as the edge runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.operators import Network, read_network
from edge.errors import BundleError
from edge.vocabulary import FloatArray, PixelArray

_REFUSED_OPERATOR = re.compile(r"builtin opcode '(\w+)' version '(\d+)'")


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Embeddings (N, D) float32, unit rows, and the median time of one crop, two threads."""

    embeddings: FloatArray
    call_ms: float


def embed_int8(encoder: bytes, crops: PixelArray, runtime: str) -> FloatArray:
    """Return `edge.embed`'s embeddings of *crops*, (N, D) float32, unit rows.

    Args:
        encoder: full-int8 .tflite bytes.
        crops: (N, 112, 112, 3) uint8 RGB, N >= 1.
        runtime: a key of `edge.tflite.RUNTIMES` that is installed.

    Raises:
        BundleError: if the runtime refuses the encoder, naming operator and layer, or crashes.
    """
    return run_encoder(encoder, crops, runtime).embeddings


def run_encoder(encoder: bytes, crops: PixelArray, runtime: str, *, in_float: bool = False) -> Run:
    """Return what *encoder* makes of *crops*, and how fast.

    Args:
        encoder: .tflite bytes; full-int8 ones go through `edge.embed`, as at the door.
        crops: (N, 112, 112, 3) uint8 RGB, N >= 1.
        runtime: a key of `edge.tflite.RUNTIMES` that is installed.
        in_float: whether the encoder takes float32 pixels.

    Raises:
        BundleError: if the runtime refuses the encoder, naming operator and layer, or crashes.
    """
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory(prefix="janus-") as directory:
        model, inputs, outputs = (Path(directory) / name for name in ("m.tflite", "i.npy", "o.npz"))
        model.write_bytes(encoder)
        np.save(inputs, crops)
        named = [str(model), str(inputs), runtime, str(outputs), "float" if in_float else "int8"]
        ended = subprocess.run(
            [sys.executable, "-m", "convert.embedding_worker", *named],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        if ended.returncode:
            raise BundleError(_why_failed(ended, runtime, encoder))
        with np.load(outputs) as found:
            return Run(found["embeddings"], float(found["call_ms"]))


def _why_failed(ended: subprocess.CompletedProcess[str], runtime: str, encoder: bytes) -> str:
    said = ended.stdout.strip()
    if refused := _REFUSED_OPERATOR.search(said):
        name, version = refused[1], int(refused[2])
        layers = layers_with(read_network(encoder), name, version)
        return (
            f"{runtime} has no operator {name} version {version}, which "
            f"{', '.join(layers) or 'the encoder'} needs; replace that layer by one that every "
            "runtime has"
        )
    if ended.returncode < 0:
        return f"{runtime} died of signal {-ended.returncode} on the encoder; do not deploy it"
    return f"{runtime} cannot run the encoder: {said or 'see the lines above'}"


def layers_with(network: Network, name: str, version: int) -> list[str]:
    """Return the layers whose operator has that builtin name and version."""
    return [
        each.layer for each in network.operators if (each.name, each.version) == (name, version)
    ]
