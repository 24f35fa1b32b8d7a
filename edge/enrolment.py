"""A photo or a few frames become a reference, or a sentence that says what to change."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from edge.align import align
from edge.config import QualityConfig
from edge.detect import Detector
from edge.embed import Embedder
from edge.errors import EnrolmentError
from edge.match import rank
from edge.quality import flaws, for_enrolment
from edge.vocabulary import Detection, Embedding, Gallery, PixelArray

# A bystander or a picture on the wall is much smaller than the person who is enrolled.
_BYSTANDER_SCALE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A face as it is enrolled: its embedding, and the crop that it is of."""

    embedding: Embedding
    crop: PixelArray


@dataclass(frozen=True, slots=True)
class Enroller:
    """The stages that enrolment shares with the door, so that both see faces alike."""

    detector: Detector
    embedder: Embedder
    limits: QualityConfig

    def embed(self, pixels: PixelArray) -> Embedding:
        """Return the embedding of the one face in *pixels* (H, W, 3) uint8 RGB.

        Raises:
            EnrolmentError: no face, several faces, or a face that is not fit to be a reference.
        """
        return self.refer(pixels).embedding

    def refer(self, pixels: PixelArray) -> Reference:
        """Return the one face in *pixels* (H, W, 3) uint8 RGB as a reference.

        Raises:
            EnrolmentError: no face, several faces, or a face that is not fit to be a reference.
        """
        face = align(pixels, self._only_face(pixels))
        if found := flaws(face, for_enrolment(self.limits)):
            reasons = ", ".join(
                f"{flaw.name.lower().replace('_', ' ')} ({flaw.value})" for flaw in found
            )
            raise EnrolmentError(f"the face is {reasons}")
        return Reference(self.embedder.embed(face), face.pixels)

    def _only_face(self, pixels: PixelArray) -> Detection:
        found = self.detector.detect(pixels)
        if not found:
            raise EnrolmentError(
                "no face is found; take a picture from the front, with the whole head in it"
            )
        rivals = [
            each for each in found[1:] if each.box.width >= _BYSTANDER_SCALE * found[0].box.width
        ]
        if rivals:
            raise EnrolmentError(
                f"{len(rivals) + 1} faces are found; take a picture with one person only"
            )
        return found[0]


def conflict(
    embeddings: list[Embedding], own_ids: AbstractSet[str], gallery: Gallery, threshold: float
) -> str | None:
    """Return the id of another enrolled subject whom the new references match, or None.

    Args:
        embeddings: the new references.
        own_ids: the subject whom they are meant for, if already enrolled.
        gallery: who is enrolled.
        threshold: cosine at and above which two embeddings match.
    """
    for embedding in embeddings:
        for candidate in rank(embedding, gallery):
            if candidate.score >= threshold and candidate.subject_id not in own_ids:
                return candidate.subject_id
    return None


def least_alike(embeddings: list[Embedding]) -> float:
    """Return the lowest cosine between two of *embeddings*; 1 if there are no two."""
    vectors = np.stack([each.vector for each in embeddings])
    return float(min((vectors @ vectors.T).min(), 1.0))
