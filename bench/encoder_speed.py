"""Time of one embedding, one thread: ours as int8 in each runtime and as float, and dlib's.

    python bench/encoder_speed.py edge/model weights/door --calls 40

Each is a process of its own; the rounds go from one to the next, so that what else the machine
does meets all of them. Times are of the processor, so other programs count little. The crop is
noise: no network here asks what it sees. dlib's needs the extra `peers`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.bundles.bundle import inspect_bundle
from edge.tflite import RUNTIMES, installed_runtimes
from edge.vocabulary import CROP_SIZE_PX

_WARM_UP = 3


def caller(kind: str, file: Path) -> Callable[[], object]:
    """Return what embeds one crop once."""
    crop = np.random.default_rng(0).integers(0, 256, (CROP_SIZE_PX, CROP_SIZE_PX, 3), np.uint8)
    if kind == "dlib":
        from train.measuring.peers import DLIB_VIEW, open_dlib

        chips = np.random.default_rng(0).integers(
            0, 256, (1, DLIB_VIEW.side_px, DLIB_VIEW.side_px, 3), np.uint8
        )
        encode = open_dlib()
        return lambda: encode(chips)
    from convert.embedding_worker import as_aligned
    from edge.embed import open_embedder

    if kind == "float":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(file), num_threads=1)
        interpreter.allocate_tensors()
        (given,) = interpreter.get_input_details()

        def run() -> None:
            interpreter.set_tensor(given["index"], crop[None].astype(np.float32))
            interpreter.invoke()

        return run
    face = as_aligned(crop)
    embedder = open_embedder(file.read_bytes(), "timed", runtime=kind, threads=1)
    return lambda: embedder.embed(face)


def work(kind: str, file: Path, calls: int) -> None:
    """Print the median processor time of one call, in ms."""
    embed, taken_s = caller(kind, file), []
    for _ in range(_WARM_UP + calls):
        began_s = time.process_time()
        embed()
        taken_s.append(time.process_time() - began_s)
    print(f"{1000 * np.median(taken_s[_WARM_UP:]):.3f}")


def main() -> None:
    """Time every encoder in turns and print the medians over the rounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument(
        "encoder", type=Path, help="its float form: an encoder.keras, or its folder"
    )
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", metavar="KIND", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.bundle, arguments.calls)
        return
    from convert.encoder import load_encoder
    from convert.quantize import float_encoder

    int8 = inspect_bundle(arguments.bundle).encoder
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder) / f"{kind}.tflite" for kind in ("int8", "float")}
        files["int8"].write_bytes(int8)
        files["float"].write_bytes(float_encoder(load_encoder(arguments.encoder)))
        kinds = [*(each for each in RUNTIMES if each in installed_runtimes()), "float", "dlib"]
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(arguments.rounds):
            for kind, found in times.items():
                file = files["float" if kind == "float" else "int8"]
                command = [sys.executable, __file__, str(file), str(arguments.encoder)]
                command += ["--work", kind, "--calls", str(arguments.calls)]
                said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found.append(float(said.stdout.split()[-1]))
        sizes = {kind: len(file.read_bytes()) for kind, file in files.items()}
    medians = {kind: float(np.median(found)) for kind, found in times.items()}
    least = medians[kinds[0]]
    for kind, value in medians.items():
        name = kind if kind in ("float", "dlib") else f"int8, {kind}"
        print(f"{name:22} {value:8.2f} ms of CPU, {value / least:6.1f} times the first")
    share = sizes["int8"] / sizes["float"]
    print(f"int8 {sizes['int8']:,} bytes, float {sizes['float']:,}: {share:.2f}")


if __name__ == "__main__":
    main()
