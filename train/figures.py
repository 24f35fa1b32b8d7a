"""The pictures of a report, each as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge.vocabulary import FloatArray, PixelArray
from train.metrics import Comparisons, IntArray, det_curve, unit_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MATED, _NONMATED, _LINE = "#2a7f62", "#b5502f", "#444444"
_FLOOR = 1e-4  # lowest rate on a logarithmic axis


def loss_curves(history: Sequence[Mapping[str, float]], first: int | None = None) -> bytes:
    """Draw every figure of *history* but the time, by epoch; of the *first* epochs if told."""
    shown = history[:first]
    figure, axes = _figure(6, 3.2)
    for name in shown[0]:
        if name not in ("epoch", "wall_s"):
            axes.plot([each["epoch"] for each in shown], [each[name] for each in shown], label=name)
    axes.set_xlabel("epoch")
    axes.legend(frameon=False)
    return _png(figure)


def det_and_roc(compared: Comparisons) -> bytes:
    """Draw FNMR against FMR on logarithmic axes, and the true accept rate against FMR."""
    _, fmr, fnmr = det_curve(compared.mated, compared.nonmated)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(np.maximum(fmr, _FLOOR), np.maximum(fnmr, _FLOOR), color=_LINE)
    left.plot([_FLOOR, 1], [_FLOOR, 1], ":", color="#aaaaaa", label="equal error")
    left.set(xlabel="FMR", ylabel="FNMR", title="DET")
    left.legend(frameon=False)
    right.semilogx(np.maximum(fmr, _FLOOR), 1 - fnmr, color=_LINE)
    right.set(xlabel="FMR", ylabel="true accept rate", title="ROC", ylim=(0, 1.02))
    return _png(figure)


def histograms(compared: Comparisons, thresholds: Mapping[str, float]) -> bytes:
    """Draw how mated and non-mated scores spread, with the thresholds by FMR."""
    figure, axes = _figure(9, 3.2)
    bins = np.linspace(-1, 1, 81).tolist()
    axes.hist(compared.nonmated, bins, density=True, alpha=0.6, color=_NONMATED, label="non-mated")
    axes.hist(compared.mated, bins, density=True, alpha=0.6, color=_MATED, label="mated")
    for rate, threshold in thresholds.items():
        axes.axvline(threshold, color=_LINE, linestyle="--", linewidth=1)
        axes.text(threshold, axes.get_ylim()[1], f" FMR {rate}", va="top", fontsize=8)
    axes.set(xlabel="cosine score", ylabel="density")
    axes.legend(frameon=False)
    return _png(figure)


def ways_grid(
    crops: PixelArray, embeddings: FloatArray, numbers: IntArray, *, seed: int, columns: int = 8
) -> bytes:
    """Draw one probe, and its score with one random picture of everybody, as the articles do."""
    rng = np.random.default_rng(seed)
    probe = int(rng.integers(len(numbers)))
    shown = [_other_picture(numbers, each, probe, rng) for each in np.unique(numbers)]
    scores = unit_rows(embeddings)[shown] @ unit_rows(embeddings)[probe]
    best = int(np.argmax(scores))
    tiles = [(crops[probe], "probe", _LINE)]
    for at, (picture, score) in enumerate(zip(shown, scores, strict=True)):
        mate = numbers[picture] == numbers[probe]
        mark = " best" if at == best else ""
        tiles.append((crops[picture], f"{score:.2f}{mark}", _MATED if mate else _NONMATED))
    return tiled(tiles, columns)


def hardest_pairs(
    crops: PixelArray, embeddings: FloatArray, numbers: IntArray, *, mated: bool, count: int = 8
) -> bytes:
    """Draw the mated pairs with the lowest scores, or the non-mated ones with the highest."""
    unit = unit_rows(embeddings)
    first, second = np.triu_indices(len(unit), k=1)
    scores = (unit @ unit.T)[first, second]
    wanted = np.flatnonzero((numbers[first] == numbers[second]) == mated)
    order = wanted[np.argsort(scores[wanted] if mated else -scores[wanted])][:count]
    tiles = [
        (np.hstack([crops[first[at]], crops[second[at]]]), f"{scores[at]:.2f}", _LINE)
        for at in order
    ]
    return tiled(tiles, 4)


def pair_pictures(
    crops: PixelArray, pairs: IntArray, distances: FloatArray, mated: FloatArray
) -> bytes:
    """Draw pairs side by side with their Euclidean distance below, as the avengers article does."""
    tiles = [
        (
            np.hstack([crops[one], crops[other]]),
            f"distance {distance:.2f}",
            _MATED if same else _NONMATED,
        )
        for (one, other), distance, same in zip(pairs, distances, mated, strict=True)
    ]
    return tiled(tiles, 4)


def embedding_map(embeddings: FloatArray, numbers: IntArray) -> bytes:
    """Draw the embeddings of unit length along their two main directions, a colour a subject."""
    unit = unit_rows(embeddings)
    centred = unit - unit.mean(axis=0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    at = centred @ directions[:2].T
    figure, axes = _figure(5, 4.5)
    axes.scatter(at[:, 0], at[:, 1], c=numbers % 20, cmap="tab20", s=14)
    share = float((spread[:2] ** 2).sum() / (spread**2).sum())
    axes.set_title(f"two directions hold {share:.0%} of the spread", fontsize=9)
    return _png(figure)


def tiled(tiles: Sequence[tuple[PixelArray, str, str]], columns: int) -> bytes:
    """Draw pictures in rows of *columns*, each with a caption in a colour."""
    from matplotlib.figure import Figure

    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    width = tiles[0][0].shape[1] / tiles[0][0].shape[0]
    figure = Figure(figsize=(columns * 1.1 * width, rows * 1.35), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (pixels, caption, colour) in zip(grid, tiles, strict=False):  # the last row is open
        axes.imshow(pixels)
        axes.set_title(caption, fontsize=8, color=colour, pad=2)
    return _png(figure)


def _other_picture(numbers: IntArray, subject: int, probe: int, rng: np.random.Generator) -> int:
    own = np.flatnonzero(numbers == subject)
    others = own[own != probe]
    return int(rng.choice(others if others.size else own))


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _png(figure: Figure) -> bytes:
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=100)
    return written.getvalue()
