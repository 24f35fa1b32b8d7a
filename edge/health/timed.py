"""Stages whose time is measured: they obey the stages' protocols and change nothing."""

from __future__ import annotations

from typing import Protocol

from edge.health.vitals import Vitals
from edge.vocabulary import AlignedFace, Detection, Embedding, PixelArray


class TimedDetector:
    """A detector, see `edge.detect.Detector`."""

    class Inner(Protocol):
        """What is timed."""

        def detect(self, pixels: PixelArray) -> tuple[Detection, ...]:
            """Return the faces in *pixels*."""

    def __init__(self, detector: Inner, vitals: Vitals) -> None:
        self._detector, self._vitals = detector, vitals

    def detect(self, pixels: PixelArray) -> tuple[Detection, ...]:
        """Return what the detector finds."""
        with self._vitals.timing("detect"):
            return self._detector.detect(pixels)


class TimedEmbedder:
    """An embedder, see `edge.embed.Embedder`."""

    class Inner(Protocol):
        """What is timed."""

        @property
        def model_id(self) -> str:
            """The sha256 that names encoder and alignment."""

        def embed(self, face: AlignedFace) -> Embedding:
            """Return the features of one face."""

    def __init__(self, embedder: Inner, vitals: Vitals) -> None:
        self._embedder, self._vitals = embedder, vitals

    @property
    def model_id(self) -> str:
        """The embedder's."""
        return self._embedder.model_id

    def embed(self, face: AlignedFace) -> Embedding:
        """Return what the embedder gives."""
        with self._vitals.timing("embed"):
            return self._embedder.embed(face)
