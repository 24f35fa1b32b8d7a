"""Print how far apart the TFLite runtimes are on one int8 encoder, in levels of its output.

    python bench/convert_runtimes.py edge/model --pictures ../shared/data/att-faces

The same file, the same crops: tflite-runtime, ai-edge-litert as the door runs it (with XNNPACK),
and ai-edge-litert with its built-in kernels alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_runtime.interpreter import Interpreter as EarlierInterpreter

from convert.parity import subset
from convert.pictures import read_pictures
from edge.bundles.bundle import inspect_bundle
from edge.vocabulary import FloatArray, PixelArray

_PICTURES = 100
_PLAIN = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


def levels_of(make: Callable[[], Any], crops: PixelArray) -> FloatArray:
    """Return the output's levels less its zero point, (N, D)."""
    interpreter = make()
    interpreter.allocate_tensors()
    (given,), (asked,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for crop in crops:
        interpreter.set_tensor(given["index"], (crop.astype(np.int16) - 128).astype(np.int8)[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(asked["index"])[0].astype(np.float32))
    return np.stack(rows) - asked["quantization"][1]


def main() -> None:
    """Run every way, compare every two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pictures", type=Path, required=True)
    arguments = parser.parse_args()
    content = inspect_bundle(arguments.bundle).encoder
    crops = read_pictures(arguments.pictures).crops
    some = crops.pixels[subset(crops.numbers, _PICTURES)]
    ways = {
        "tflite-runtime": levels_of(lambda: EarlierInterpreter(model_content=content), some),
        "ai-edge-litert": levels_of(lambda: Interpreter(model_content=content), some),
        "ai-edge-litert without XNNPACK": levels_of(
            lambda: Interpreter(model_content=content, experimental_op_resolver_type=_PLAIN), some
        ),
    }
    names = list(ways)
    for at, first in enumerate(names):
        for second in names[at + 1 :]:
            one, other = ways[first], ways[second]
            apart = np.abs(one - other).max(axis=1)
            lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
            cosines = np.sum(one * other, axis=1) / lengths
            print(
                f"{first} and {second}, {len(some)} crops: equal in {(apart == 0).mean():.0%}, at "
                f"most {apart.max():.0f} levels apart, cosine {cosines.min():.4f} at least, "
                f"{cosines.mean():.4f} on average"
            )


if __name__ == "__main__":
    main()
