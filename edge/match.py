"""One probe against the whole gallery by one matrix product; pure."""

from __future__ import annotations

import numpy as np

from edge.errors import GalleryModelMismatchError
from edge.vocabulary import Candidate, Embedding, Gallery


def rank(probe: Embedding, gallery: Gallery, most: int = 5) -> tuple[Candidate, ...]:
    """Return the subjects who are most alike, best first, each with the best of its references.

    Args:
        probe: the face at the door.
        gallery: N references; N may be 0.
        most: how many subjects to return at most; equal scores are ordered by subject id.

    Returns: up to *most* candidates with cosine scores in [-1, 1].

    Raises:
        GalleryModelMismatchError: if probe and gallery are of different models.
    """
    if probe.model_id != gallery.model_id:
        raise GalleryModelMismatchError(gallery_model=gallery.model_id, loaded_model=probe.model_id)
    if not gallery.subject_ids:
        return ()
    # Unit vectors in float32: rounding leads out of [-1, 1] by a few 1e-7.
    scores = np.clip(gallery.matrix @ probe.vector, -1.0, 1.0)
    best: dict[str, float] = {}
    lowest = 1.0
    for row in np.argsort(-scores):
        score = float(scores[row])
        # Rows come best first, so a subject's first row is its best; ties are seen to the end.
        if len(best) >= most and score < lowest:
            break
        if gallery.subject_ids[row] not in best:
            best[gallery.subject_ids[row]] = lowest = score
    ranked = sorted(best.items(), key=lambda each: (-each[1], each[0]))
    return tuple(Candidate(subject_id, score) for subject_id, score in ranked[:most])
