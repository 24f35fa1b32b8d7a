"""The float encoder that fine-tuning begins with, found from what a user has at hand."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bundles.bundle import inspect_bundle
from edge.bundles.manifest import MANIFEST_FILE
from edge.errors import ConfigError
from edge.vocabulary import CROP_SIZE_PX
from train.measuring.encoders import ENCODER_FILE

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True, eq=False)
class Initial:
    """An encoder with weights that can be fitted; *digest* is the sha256 of its file."""

    path: Path
    digest: str
    model: keras.Model

    @contextlib.contextmanager
    def frozen_statistics(self) -> Iterator[None]:
        """Keep batch normalisation as it is: a site's few pictures would bend its statistics."""
        import keras

        kind = keras.layers.BatchNormalization
        layers = [
            each
            for each in self.model._flatten_layers()  # noqa: SLF001 - Keras has no public way
            if isinstance(each, kind) and each.trainable
        ]
        for each in layers:
            each.trainable = False
        try:
            yield
        finally:
            for each in layers:
                each.trainable = True

    def save(self, path: Path) -> None:
        """Write the model whole or not at all."""
        partial = path.with_name(f"{path.stem}.partial{path.suffix}")  # Keras asks for the suffix
        self.model.save(partial)
        partial.replace(path)


def open_initial(source: Path) -> Initial:
    """Open the encoder at *source*: an encoder.keras, a run, or a bundle whose run is beside it.

    Raises:
        ConfigError: if there is none with float weights, saying which file to give.
        BundleError: if *source* is a damaged bundle.
    """
    path = _float_file(source)
    import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as exc:
        raise ConfigError(f"--init {path} cannot be loaded by Keras: {exc}") from exc
    wanted = (None, CROP_SIZE_PX, CROP_SIZE_PX, 3)
    if tuple(model.input_shape) != wanted or len(model.output_shape) != 2:  # noqa: PLR2004
        raise ConfigError(
            f"--init {path} maps {model.input_shape} to {model.output_shape}; an encoder maps "
            f"{wanted} to one embedding a crop"
        )
    return Initial(path, _digest(path), model)


def _float_file(source: Path) -> Path:
    if source.suffix == ".keras" and source.is_file():
        return source
    if (source / MANIFEST_FILE).is_file():
        return _beside_bundle(source)
    if (source / ENCODER_FILE).is_file():
        return source / ENCODER_FILE
    raise ConfigError(
        f"--init {source} is no encoder with float weights; give the directory of a run of `janus "
        f"train`, its {ENCODER_FILE}, or a bundle whose run lies beside it"
    )


def _beside_bundle(directory: Path) -> Path:
    """Return the file that the bundle was converted from, known by its sha256."""
    training = inspect_bundle(directory).manifest.training
    wanted = str(training.get("encoder_keras_sha256", ""))
    around = (directory, directory.resolve().parent)
    for path in (each / ENCODER_FILE for each in around):
        if path.is_file() and _digest(path) == wanted:
            return path
    raise ConfigError(
        f"--init {directory} is an int8 bundle: it has no float weights to tune. Give the "
        f"{ENCODER_FILE} that it was converted from, sha256 {wanted[:12] or 'not stated'}…, made "
        f"by recipe {training.get('recipe')}: --init RUN. It is not in "
        f"{' or '.join(map(str, around))}"
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
