"""What is minimised. Mated pairs are labelled 1, non-mated pairs 0, in every loss.

A loss takes a batch's embeddings (U, D), the subjects (U,) that they show, pairs (B, 2) of
positions in the batch and their labels (B,); it uses what it needs. Euclidean distances live here
only: no score leaves the encoder but by cosine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.errors import ConfigError
from train.measuring.metrics import IntArray

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor as Tensor

    from train.recipes import Recipe

Loss = Callable[["Tensor", "Tensor", "Tensor", "Tensor"], "Tensor"]
_SMALLEST_SQUARE = 1e-12  # below it a distance is constant, so its gradient at 0 is 0, not NaN


def euclidean(one: Tensor, other: Tensor) -> Tensor:
    """Return the distances (B,) of rows of *one* and *other* (B, D); the gradient at 0 is 0."""
    from keras import ops

    squares = ops.sum(ops.square(one - other), axis=-1)
    return ops.sqrt(ops.maximum(squares, _SMALLEST_SQUARE))


def contrastive(distances: Tensor, mated: Tensor, margin: float) -> Tensor:
    """Return mean(mated * d² + (1 - mated) * max(margin - d, 0)²)."""
    from keras import ops

    pulled = mated * ops.square(distances)
    pushed = (1.0 - mated) * ops.square(ops.maximum(margin - distances, 0.0))
    return ops.mean(pulled + pushed)


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss, and the variables of its own that are fitted with the encoder and then dropped.

    ``boundary()`` is the Euclidean distance below which the loss itself calls a pair mated, or None
    where it has no such distance.
    """

    loss: Loss
    boundary: Callable[[], float | None]
    variables: tuple[keras.Variable, ...] = ()


def make_objective(recipe: Recipe, subjects: IntArray, core: keras.Model) -> Objective:
    """Return the loss that *recipe* names, for people numbered *subjects* and *core*'s embeddings.

    Raises:
        ConfigError: if there is no such loss.
    """
    if recipe.loss not in LOSSES:
        raise ConfigError(f"loss = {recipe.loss!r}; expected one of {', '.join(LOSSES)}")
    return LOSSES[recipe.loss](recipe, int(subjects.max()) + 1, core.output_shape[-1])


def _contrastive(recipe: Recipe, _subjects: int, _size: int) -> Objective:
    def loss(embeddings: Tensor, _numbers: Tensor, pairs: Tensor, mated: Tensor) -> Tensor:
        return contrastive(_pair_distances(embeddings, pairs), mated, recipe.margin)

    return Objective(loss, lambda: recipe.margin / 2)


def _sigmoid_bce(_recipe: Recipe, _subjects: int, _size: int) -> Objective:
    """Binary cross-entropy of sigmoid(offset - slope * d): near pairs tend to 1, mated."""
    import keras
    from keras import ops

    slope, offset = keras.Variable(1.0, name="slope"), keras.Variable(1.0, name="offset")

    def loss(embeddings: Tensor, _numbers: Tensor, pairs: Tensor, mated: Tensor) -> Tensor:
        logits = offset - slope * _pair_distances(embeddings, pairs)
        return ops.mean(ops.binary_crossentropy(mated, logits, from_logits=True))

    return Objective(loss, lambda: float(offset / slope), (slope, offset))


def _triplet(recipe: Recipe, *, semi_hard: bool) -> Objective:
    """Triplets of unit embeddings in a batch: max(d(anchor, mate) - d(anchor, other) + margin, 0).

    Batch-hard takes each anchor's farthest mate and nearest other (Hermans et al. 2017). Semi-hard
    takes, for each anchor and mate, the nearest other that is farther than the mate, and the
    farthest other if there is none (Schroff et al. 2015).
    """
    from keras import ops

    far = 4.0  # more than any distance between unit vectors

    def loss(embeddings: Tensor, numbers: Tensor, _pairs: Tensor, _mated: Tensor) -> Tensor:
        unit = ops.normalize(embeddings, axis=-1, epsilon=_SMALLEST_SQUARE)
        squares = 2.0 - 2.0 * ops.matmul(unit, ops.transpose(unit))
        distances = ops.sqrt(ops.maximum(squares, _SMALLEST_SQUARE))
        same = ops.cast(ops.equal(numbers[:, None], numbers[None, :]), distances.dtype)
        mates = same - ops.eye(ops.shape(numbers)[0], dtype=distances.dtype)
        if not semi_hard:
            farthest = ops.max(distances * mates, axis=1)
            nearest = ops.min(distances + far * same, axis=1)
            return ops.mean(ops.maximum(farthest - nearest + recipe.margin, 0.0))
        beyond = ops.cast(distances[:, None, :] > distances[:, :, None], distances.dtype)
        harder = distances[:, None, :] + far * (1.0 - beyond * (1.0 - same[:, None, :]))
        nearest = ops.min(harder, axis=2)
        fallback = ops.max(distances * (1.0 - same), axis=1)[:, None]
        chosen = ops.where(nearest < far, nearest, fallback)
        losses = ops.maximum(distances - chosen + recipe.margin, 0.0) * mates
        return ops.sum(losses) / ops.maximum(ops.sum(mates), 1.0)

    return Objective(loss, lambda: None)


def _margin_softmax(recipe: Recipe, subjects: int, size: int) -> Objective:
    """Cross-entropy over subjects of scale * (cos - margin for the true one): CosFace, 2018."""
    import keras
    from keras import ops

    centres = keras.Variable(
        keras.initializers.GlorotUniform()((subjects, size)), name="subject_centres"
    )

    def loss(embeddings: Tensor, numbers: Tensor, _pairs: Tensor, _mated: Tensor) -> Tensor:
        unit = ops.normalize(embeddings, axis=-1, epsilon=_SMALLEST_SQUARE)
        cosines = ops.matmul(unit, ops.transpose(ops.normalize(centres, axis=-1)))
        margins = recipe.margin * ops.one_hot(numbers, subjects)
        logits = recipe.scale * (cosines - margins)
        return ops.mean(ops.sparse_categorical_crossentropy(numbers, logits, from_logits=True))

    return Objective(loss, lambda: None, (centres,))


def _pair_distances(embeddings: Tensor, pairs: Tensor) -> Tensor:
    from keras import ops

    return euclidean(ops.take(embeddings, pairs[:, 0], 0), ops.take(embeddings, pairs[:, 1], 0))


LOSSES: dict[str, Callable[[Recipe, int, int], Objective]] = {
    "contrastive": _contrastive,
    "sigmoid-bce": _sigmoid_bce,
    "batch-hard": lambda recipe, _subjects, _size: _triplet(recipe, semi_hard=False),
    "semi-hard": lambda recipe, _subjects, _size: _triplet(recipe, semi_hard=True),
    "margin-softmax": _margin_softmax,
}
