"""Aligned face → embedding, by an int8 TFLite network."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edge.errors import BundleError
from edge.tflite import Network, dequantize, open_network
from edge.vocabulary import CROP_SIZE_PX, AlignedFace, Embedding

_INPUT_SHAPE = (1, CROP_SIZE_PX, CROP_SIZE_PX, 3)


class Embedder(Protocol):
    """Makes embeddings that are comparable within `model_id`."""

    @property
    def model_id(self) -> str:
        """The sha256 that names encoder and alignment."""

    def embed(self, face: AlignedFace) -> Embedding:
        """Return the features of one face: (D,) float32, unit length."""


class TfliteEmbedder:
    """An int8 network; not for two threads at a time.

    Args:
        network: the encoder.
        model_id: names encoder and alignment.

    Raises:
        BundleError: if its tensors are not one int8 (1, 112, 112, 3) and one int8 (1, D).
    """

    def __init__(self, network: Network, model_id: str) -> None:
        self._network = network
        self._model_id = model_id
        if len(network.outputs) != 1:
            raise BundleError(
                f"the encoder has {len(network.outputs)} outputs; expected one: convert the model "
                "again"
            )
        shape_in, shape_out = network.input_shape, network.outputs[0].shape
        if shape_in != _INPUT_SHAPE or len(shape_out) != 2 or shape_out[0] != 1 or shape_out[1] < 1:  # noqa: PLR2004
            raise BundleError(
                f"the encoder maps {shape_in} to {shape_out}; expected {_INPUT_SHAPE} to (1, D): "
                "convert the model again"
            )
        self._output = network.outputs[0]

    @property
    def model_id(self) -> str:
        """The sha256 that names encoder and alignment."""
        return self._model_id

    def embed(self, face: AlignedFace) -> Embedding:
        """Return the features of one face: (D,) float32, unit length.

        Raises:
            BundleError: if the network fails, or gives zero for every feature.
        """
        self._network.run(face.pixels[np.newaxis])
        levels = self._network.levels(self._output)[0]
        features = dequantize(levels, self._output.quantization)
        norm = np.linalg.norm(features)
        if norm == 0:
            raise BundleError(
                "the encoder gives zero for every feature of a face, so it has no direction to "
                "compare; the network has collapsed: train and convert it again"
            )
        return Embedding((features / norm).astype(np.float32), self._model_id)


def open_embedder(
    encoder: bytes, model_id: str, *, runtime: str = "auto", threads: int = 2
) -> Embedder:
    """Load *encoder* into an interpreter.

    Args:
        encoder: the bytes of a full-int8 .tflite file. The caller has verified their hash:
            tflite-runtime 2.14 trusts what it loads, and damaged bytes can end the program there.
        model_id: names encoder and alignment.
        runtime: a key of `edge.tflite.RUNTIMES`, or auto for the first that is installed.
        threads: of the interpreter, at least 1.

    Raises:
        ConfigError: if the runtime is unknown, not installed, or does not start.
        BundleError: if the bytes are no such network.
    """
    network = open_network(encoder, "encoder", runtime=runtime, threads=threads)
    return TfliteEmbedder(network, model_id)
