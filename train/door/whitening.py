"""A linear map of embeddings, learnt after the encoder, that its last layer then holds."""

from __future__ import annotations

import numpy as np

from edge.vocabulary import FloatArray
from train.metrics import IntArray


def whitening(
    embeddings: FloatArray, subjects: IntArray, unknown: FloatArray, plain: float
) -> tuple[FloatArray, FloatArray]:
    """Return mean (D,) and matrix (D, D) that shrink what varies within people, and is not who.

    Cosine counts every direction alike. Those in which pictures of one person differ (WCCN, Hatch
    et al. 2006) are scaled down, and those in which strangers differ as a crowd: turned heads,
    children. A student fitted for a short time takes these for resemblance.

    Args:
        embeddings: (N, D), not of unit length.
        subjects: (N,) numbers.
        unknown: (M, D) of strangers, one picture each; their mean becomes the origin.
        plain: share of equal spread mixed into the covariance; 1 changes nothing but the origin.
    """
    names, whose = np.unique(subjects, return_inverse=True)
    centres = np.stack([embeddings[subjects == each].mean(axis=0) for each in names])
    within, crowd = np.cov((embeddings - centres[whose]).T), np.cov(unknown.T)
    size = len(within)
    mixed = (within / np.trace(within) + crowd / np.trace(crowd)) / 2
    spreads, axes = np.linalg.eigh((1 - plain) * mixed + plain / size * np.eye(size))
    matrix = axes @ np.diag(spreads**-0.5) @ axes.T
    # Unit variance of the mean dimension, as before: int8 then uses its whole range.
    seen = np.cov(np.concatenate([embeddings, unknown]).T)
    matrix /= np.sqrt(np.diag(matrix @ seen @ matrix).mean())
    return unknown.mean(axis=0), matrix.astype(np.float32)
