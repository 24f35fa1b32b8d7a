"""How wrong the eyes are: focal cross-entropy of scores plus landmark errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# The refiner's errors are minimised in eye distances: 17.6 of its pixels, 32 a unit.
_UNITS_OF_EYE_DISTANCE = 17.6 / 32


def finder_loss(outputs: Sequence[Any], targets: Sequence[Any]) -> Any:  # noqa: ANN401
    """Return focal cross-entropy of the scores plus landmark errors in face sizes."""
    import tensorflow as tf

    wrong, apart, faces = 0.0, 0.0, 0.0
    for at, (face, counts, offsets, weights) in enumerate(targets):
        logits = outputs[2 * at][..., 0]
        score = tf.sigmoid(logits)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(face, logits)
        focus = tf.where(face > 0.5, (1 - score) ** 1.5, 0.6 * score**2)  # noqa: PLR2004
        wrong += tf.reduce_sum(counts * focus * entropy)
        error = tf.abs(outputs[2 * at + 1] - offsets) * weights[..., tf.newaxis]
        # Quadratic below 3 % of the face, where the reference itself is not sure.
        apart += tf.reduce_sum(tf.where(error < 0.03, error**2 / 0.06, error - 0.015))  # noqa: PLR2004
        faces += tf.reduce_sum(face)
    return wrong / tf.maximum(faces, 8.0) + 1.2 * apart / tf.maximum(faces, 1.0)


def refiner_loss(outputs: Sequence[Any], targets: Sequence[Any]) -> Any:  # noqa: ANN401
    """Return focal cross-entropy of the score plus landmark errors in eye distances."""
    import tensorflow as tf

    (placed, logits), (wanted, face) = outputs, targets
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(face, logits[:, 0])
    score = tf.sigmoid(logits[:, 0])
    wrong = tf.reduce_mean(entropy * tf.where(face > 0.5, 1 - score, score))  # noqa: PLR2004
    away = tf.reshape(placed - wanted, (-1, 5, 2)) / _UNITS_OF_EYE_DISTANCE
    # The small term keeps the root's slope finite where the error is zero.
    error = tf.reduce_mean(tf.sqrt(tf.reduce_sum(away**2, -1) + 1e-5), -1)
    return wrong + 2 * tf.reduce_sum(error * face) / tf.maximum(tf.reduce_sum(face), 1.0)
