"""Draw the two pictures of docs/convert.md: what int8 does to a layer, and to scores.

    python bench/convert_pictures.py runs/door --calibration ../shared/data/att-faces \
        --out docs/pictures

Numbers only: no face, no name. The encoder is a training run's; pictures are of people whom it was
not fitted on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from convert.encoder import embed_float, load_encoder
from convert.layers import every_output
from convert.operators import Operator, read_network
from convert.pictures import CalibrationPictures, read_index, read_pictures
from convert.provenance import read_run, unfitted
from convert.quantize import float_encoder, quantize_network
from convert.runtimes import embed_int8
from edge.tflite import installed_runtimes
from edge.vocabulary import FloatArray, PixelArray
from train.measuring.metrics import Comparisons, compare_all

_LEVELS = 256
_CROPS = 16
_INK, _SECOND = "#1f4e79", "#c55a11"


def main() -> None:
    """Read the run, convert it, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    run = read_run(arguments.run)
    wanted, _ = unfitted(run, read_index(arguments.calibration).subjects)
    pictures = read_pictures(arguments.calibration, wanted)
    model = load_encoder(run.encoder)
    encoder = quantize_network(model, pictures.representative)
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw_layer(
        float_encoder(model), encoder, pictures.representative[:_CROPS], arguments.out / "layer.png"
    )
    draw_scores(encoder, embed_float(model, pictures.crops.pixels), pictures, arguments.out)


def draw_layer(in_float: bytes, in_int8: bytes, crops: PixelArray, path: Path) -> None:
    """Draw what the first layer gives, and how loud its channels are."""
    import matplotlib.pyplot as plt

    chosen = next(each for each in read_network(in_int8).operators if each.name == "CONV_2D")
    name = chosen.outputs[0].name
    wanted, found = every_output(in_float, crops)[name], every_output(in_int8, crops)[name]
    (scale,), (zero_point,) = chosen.outputs[0].scales, chosen.outputs[0].zero_points
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    levels = (np.arange(-128, 129) - zero_point - 0.5) * scale
    left.hist(wanted.ravel(), levels, color=_INK, log=True, label="float")
    left.hist(
        found.ravel(), levels, color=_SECOND, log=True, histtype="step", label="int8, as values"
    )
    left.axvspan(low, high, alpha=0.08, color="grey")
    left.set(
        title=f"what the first layer gives: 256 levels of {scale:.3f}",
        xlabel=f"value ({low:.1f} to {high:.1f} can be told)",
        ylabel="how often, in 16 crops",
    )
    left.legend(frameon=False)
    ranges, steps = _channels(chosen, wanted)
    right.semilogy(ranges, color=_INK, label="largest value of the channel")
    right.semilogy(steps, color=_SECOND, label="its largest weight, times 100")
    right.axhline(
        (high - low) / _LEVELS, color="grey", linewidth=0.8, label="one level of the tensor"
    )
    right.set(title="its channels, by size", xlabel="channel", ylabel="value")
    right.legend(frameon=False)
    figure.savefig(path, dpi=80)
    beyond = float(np.mean(np.abs(wanted) > max(high, -low) / 2))
    print(f"{path}: {wanted.shape[-1]} channels, a level is {scale:.4f}; {beyond:.2e} of the")
    loudest = ranges[-1] / ranges[0]
    print(f"  values lie beyond half the range; the loudest channel is {loudest:.1f} times as loud")
    print("  as the quietest")


def _channels(layer: Operator, wanted: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the range of each channel and that of its weights, both by the channel's range."""
    ranges = np.abs(wanted).reshape(-1, wanted.shape[-1]).max(axis=0)
    order = np.argsort(ranges)
    return ranges[order], np.array(layer.inputs[1].scales, np.float32)[order] * 127 * 100


def draw_scores(
    encoder: bytes, in_float: FloatArray, pictures: CalibrationPictures, out: Path
) -> None:
    """Draw float scores beside int8 ones, and how far the latter are off."""
    import matplotlib.pyplot as plt

    crops = pictures.crops
    runtime = installed_runtimes()[0]
    before = compare_all(in_float, crops.numbers)
    after = compare_all(embed_int8(encoder, crops.pixels, runtime), crops.numbers)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    bins = np.linspace(-0.4, 1.0, 71)
    for compared, word, style in ((before, "float", "stepfilled"), (after, "int8", "step")):
        for scores, kind, colour in _kinds(compared):
            left.hist(
                scores,
                bins,
                density=True,
                histtype=style,
                color=colour,
                alpha=0.3 if word == "float" else 1.0,
                label=f"{kind}, {word}",
            )
    left.set(title="scores of float and int8", xlabel="cosine", ylabel="density")
    left.legend(frameon=False, fontsize=8)
    moved = after.scores - before.scores
    right.hist(moved, 80, color=_INK, log=True)
    right.set(
        title=f"int8 less float: {moved.mean():+.4f} ± {moved.std():.4f}",
        xlabel="change of the cosine",
        ylabel=f"of {moved.size:,} comparisons",
    )
    figure.savefig(out / "scores.png", dpi=80)
    print(f"{out / 'scores.png'}: {pictures.data_id}, {runtime}; change {moved.mean():+.5f}, ")
    print(f"  standard deviation {moved.std():.5f}, largest {np.abs(moved).max():.4f}")


def _kinds(compared: Comparisons) -> tuple[tuple[FloatArray, str, str], ...]:
    return (
        (compared.nonmated, "two people", _SECOND),
        (compared.mated, "one person", _INK),
    )


if __name__ == "__main__":
    main()
