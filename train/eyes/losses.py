"""How wrong the eyes are: focal cross-entropy of scores plus landmark errors."""

from __future__ import annotations

from typing import Any

# The refiner's errors are minimised in the face's own eye distances, as they are measured, but no
# face counts more than twice: a profile's eyes fall into one. Upright: 17.6 pixels, 32 a unit.
_LEAST_EYE_DISTANCE = 17.6 / 32 / 2


def finder_loss(wanted: Any, found: Any) -> Any:  # noqa: ANN401 - a tensor
    """Return focal cross-entropy of the scores plus landmark errors in face sizes.

    Args:
        wanted: (N, cells, 13) of `GridTarget.packed`.
        found: (N, cells, 11), logits and offsets.
    """
    from keras import ops

    face, counts, weights = wanted[..., 0], wanted[..., 1], wanted[..., 2]
    logits = found[..., 0]
    score = ops.sigmoid(logits)
    focus = ops.where(face > 0.5, (1 - score) ** 1.5, 0.6 * score**2)  # noqa: PLR2004
    wrong = ops.sum(counts * focus * _entropy(face, logits))
    error = ops.abs(found[..., 1:] - wanted[..., 3:]) * weights[..., None]
    # Quadratic below 3 % of the face, where the reference itself is not sure.
    apart = ops.sum(ops.where(error < 0.03, error**2 / 0.06, error - 0.015))  # noqa: PLR2004
    faces = ops.sum(face)
    return wrong / ops.maximum(faces, 8.0) + 1.2 * apart / ops.maximum(faces, 1.0)


def refiner_loss(wanted: Any, found: Any) -> Any:  # noqa: ANN401 - a tensor
    """Return focal cross-entropy of the score plus landmark errors in eye distances.

    Args:
        wanted: (N, 11), landmarks and 1 for a face, 0 for none.
        found: (N, 11), landmarks and logit.
    """
    from keras import ops

    face, logits = wanted[:, 10], found[:, 10]
    score = ops.sigmoid(logits)
    wrong = ops.mean(_entropy(face, logits) * ops.where(face > 0.5, 1 - score, score))  # noqa: PLR2004
    across = ops.sqrt(ops.sum((wanted[:, 2:4] - wanted[:, :2]) ** 2, axis=-1))
    eyes = ops.maximum(across, _LEAST_EYE_DISTANCE)[:, None, None]
    away = ops.reshape(found[:, :10] - wanted[:, :10], (-1, 5, 2)) / eyes
    # The small term keeps the root's slope finite where the error is zero.
    error = ops.mean(ops.sqrt(ops.sum(away**2, axis=-1) + 1e-5), axis=-1)
    return wrong + 2 * ops.sum(error * face) / ops.maximum(ops.sum(face), 1.0)


def _entropy(wanted: Any, logits: Any) -> Any:  # noqa: ANN401 - tensors
    """Return the cross-entropy of each logit."""
    from keras import ops

    return ops.relu(logits) - logits * wanted + ops.softplus(-ops.abs(logits))
