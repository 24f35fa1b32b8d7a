"""Write what an int8 encoder gives for crops: its levels, (N, D) int8, before unit length.

    python tests/arm/levels.py ENCODER.tflite CROPS.npy RUNTIME LEVELS.npy

Runs on the machine in question, emulated or not; imports the edge and nothing of the workstation.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edge.tflite import open_network


def main(encoder: str, crops: str, runtime: str, levels: str) -> None:
    """Run every crop through the encoder by the edge's own code."""
    network = open_network(Path(encoder).read_bytes(), "encoder", runtime=runtime, threads=1)
    rows = []
    for crop in np.load(crops):
        network.run(crop[np.newaxis])
        rows.append(network.levels(network.outputs[0])[0])
    np.save(levels, np.stack(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
