"""The pictures of a report, each as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge.vocabulary import FloatArray, PixelArray
from train.measuring.metrics import Comparisons, IntArray, det_curve, equal_error_rate, unit_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MATED, _NONMATED, _LINE = "#2a7f62", "#b5502f", "#444444"
_UNKNOWN = "#eeeeee"
_MOST_SHOWN = 47  # people in a grid, beside the probe: six rows of eight
_MOST_NAMED = 60  # people whose names fit on a map


def loss_curves(history: Sequence[Mapping[str, float]], first: int | None = None) -> bytes:
    """Draw every figure of *history* but the time, by epoch; of the *first* epochs if told."""
    from matplotlib.figure import Figure

    shown = history[:first]
    names = [name for name in shown[0] if name not in ("epoch", "wall_s")]
    # Each has an axis of its own: a loss of 5 would flatten an error rate of 0.05.
    figure = Figure(figsize=(4.5 * len(names) + 1.5, 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot([each["epoch"] for each in shown], [each[name] for each in shown], color=_LINE)
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.grid(color="#dddddd", linewidth=0.5)
    return _png(figure)


def det_and_roc(compared: Comparisons) -> bytes:
    """Draw FNMR against FMR on logarithmic axes, and the true accept rate against FMR.

    Grey is where the count of comparisons cannot support a rate (fewer than 30 errors).
    """
    mated, nonmated = compared.mated, compared.nonmated
    _, fmr, fnmr = det_curve(mated, nonmated)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    least_fmr, least_fnmr = 1 / nonmated.size, 1 / mated.size
    seen = (fmr > 0) & (fnmr > 0)  # a rate of zero has no place on a logarithmic axis
    left.loglog(fmr[seen], fnmr[seen], color=_LINE)
    rate = equal_error_rate(mated, nonmated)
    if rate > 0:
        left.plot([rate], [rate], "o", color=_LINE)
        left.annotate(
            f"equal error {rate:.2%}",
            (rate, rate),
            (-8, -4),
            textcoords="offset points",
            ha="right",
        )
    left.axhspan(least_fnmr, min(1, 30 * least_fnmr), color=_UNKNOWN, linewidth=0)
    left.set(xlabel="FMR", ylabel="FNMR", title="DET")
    left.set(xlim=(least_fmr, 1), ylim=(least_fnmr, 1))
    right.semilogx(fmr[fmr > 0], 1 - fnmr[fmr > 0], color=_LINE)
    right.set(xlabel="FMR", ylabel="true accept rate", title="ROC")
    right.set(xlim=(least_fmr, 1), ylim=(0, 1.02))
    for axes in (left, right):
        axes.axvspan(least_fmr, min(1, 30 * least_fmr), color=_UNKNOWN, linewidth=0)
        axes.grid(color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
    return _png(figure)


def histograms(compared: Comparisons, thresholds: Mapping[str, float]) -> bytes:
    """Draw how mated and non-mated scores spread, with the thresholds by FMR."""
    figure, axes = _figure(9, 3.4)
    low, high = float(compared.scores.min()), float(compared.scores.max())
    bins = np.linspace(low, max(high, low + 1e-3), 81).tolist()
    axes.hist(compared.nonmated, bins, density=True, alpha=0.6, color=_NONMATED, label="non-mated")
    axes.hist(compared.mated, bins, density=True, alpha=0.6, color=_MATED, label="mated")
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top * (1 + 0.09 * len(thresholds)))
    for step, (rate, threshold) in enumerate(sorted(thresholds.items(), key=lambda each: -each[1])):
        # One above the other, from the right: so no label lies on another threshold's line.
        height = top * (1.03 + 0.09 * step)
        axes.plot([threshold, threshold], [0, height], color=_LINE, linestyle="--", linewidth=1)
        axes.text(threshold, height, f" {threshold:.3f}: FMR {rate}", va="center", fontsize=8)
    axes.set(xlabel="cosine score", ylabel="density")
    axes.legend(frameon=False, loc="upper left")
    return _png(figure)


def ways_grid(
    crops: PixelArray, embeddings: FloatArray, numbers: IntArray, *, seed: int, columns: int = 8
) -> bytes:
    """Draw one probe, and its score with one random picture of everybody, as the articles do.

    The probe is of a person with a second picture, where there is one; of very many people 47 are
    shown, that person among them.
    """
    rng = np.random.default_rng(seed)
    again = np.flatnonzero(np.bincount(numbers)[numbers] > 1)
    probe = int(rng.choice(again if again.size else np.arange(len(numbers))))
    people = np.unique(numbers)
    if len(people) > _MOST_SHOWN:
        others = rng.choice(people[people != numbers[probe]], _MOST_SHOWN - 1, replace=False)
        people = np.sort(np.append(others, numbers[probe]))
    shown = [_other_picture(numbers, each, probe, rng) for each in people]
    scores = unit_rows(embeddings)[shown] @ unit_rows(embeddings)[probe]
    best = int(np.argmax(scores))
    tiles = [(crops[probe], "probe", _LINE)]
    for at, (picture, score) in enumerate(zip(shown, scores, strict=True)):
        mate = numbers[picture] == numbers[probe]
        mark = " best" if at == best else ""
        tiles.append((crops[picture], f"{score:.2f}{mark}", _MATED if mate else _NONMATED))
    return tiled(tiles, columns)


def hardest_pairs(
    crops: PixelArray,
    embeddings: FloatArray,
    numbers: IntArray,
    *,
    mated: bool,
    names: Sequence[str] = (),
    count: int = 8,
) -> bytes:
    """Draw the mated pairs with the lowest scores, or the non-mated ones with the highest.

    Args:
        crops: (N, S, S, 3).
        embeddings: (N, D).
        numbers: (N,) subjects.
        mated: which pairs.
        names: (N,) of the pictures, written below the score, so that a wrong label can be found.
        count: of pairs.
    """
    pairs = hardest(embeddings, numbers, mated=mated, count=count)
    tiles = []
    for first, second, score in pairs:
        named = f"\n{_short(names[first])} · {_short(names[second])}" if names else ""
        caption = f"{score:.2f}{named}"
        tiles.append((np.hstack([crops[first], crops[second]]), caption, _LINE))
    return tiled(tiles, 4)


def hardest(
    embeddings: FloatArray, numbers: IntArray, *, mated: bool, count: int
) -> list[tuple[int, int, float]]:
    """Return the *count* pairs (picture, picture, score) that are hardest, hardest first."""
    unit = unit_rows(embeddings)
    found: list[tuple[int, int, float]] = []
    for at in range(len(unit) - 1):  # row by row: all pairs at once would fill the memory
        scores = unit[at + 1 :] @ unit[at]
        wanted = np.flatnonzero((numbers[at + 1 :] == numbers[at]) == mated)
        order = wanted[np.argsort(scores[wanted] if mated else -scores[wanted])][:count]
        found += [(at, int(at + 1 + other), float(scores[other])) for other in order]
        if len(found) > 50 * count:
            found = sorted(found, key=lambda each: each[2], reverse=not mated)[:count]
    return sorted(found, key=lambda each: each[2], reverse=not mated)[:count]


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


def embedding_map(embeddings: FloatArray, numbers: IntArray, names: Sequence[str] = ()) -> bytes:
    """Draw the embeddings of unit length along their two main directions, a colour a subject.

    Where the *names* of the subjects are given and few enough, each stands at its person's middle.
    """
    unit = unit_rows(embeddings)
    centred = unit - unit.mean(axis=0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    at = centred @ directions[:2].T
    figure, axes = _figure(8, 6.4)
    axes.scatter(at[:, 0], at[:, 1], c=numbers % 20, cmap="tab20", s=16)
    if 0 < len(names) <= _MOST_NAMED:
        for number in np.unique(numbers):
            x, y = at[numbers == number].mean(axis=0)
            axes.text(
                x, y, _short(names[number]), fontsize=8, ha="center", va="center", color=_LINE
            )
    share = float((lengths[:2] ** 2).sum() / max((lengths**2).sum(), 1e-12))
    axes.set_title(f"two directions hold {share:.0%} of the spread", fontsize=9)
    axes.set(xticks=[], yticks=[], aspect="equal")
    return _png(figure)


def tiled(tiles: Sequence[tuple[PixelArray, str, str]], columns: int) -> bytes:
    """Draw pictures in rows of *columns*, each with a caption in a colour."""
    from matplotlib.figure import Figure

    columns = max(1, min(columns, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    width = tiles[0][0].shape[1] / tiles[0][0].shape[0] if tiles else 1.0
    lines = max((caption.count("\n") + 1 for _, caption, _ in tiles), default=1)
    size = (columns * 1.1 * width, rows * (1.2 + 0.15 * lines))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (pixels, caption, colour) in zip(grid, tiles, strict=False):  # the last row is open
        axes.imshow(pixels)
        axes.set_title(caption, fontsize=8, color=colour, pad=2)
    return _png(figure)


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"


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
