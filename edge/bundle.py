"""A model bundle: a directory with manifest.json and the encoder that it describes.

What is verified is what is loaded: each file is read once, and hash and size are checked on those
very bytes. The manifest is accepted only in its canonical form, so the one kind of change that goes
unseen is one that yields another valid manifest, such as another threshold: hashes show damage and
mix-ups, they cannot show forgery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.errors import BundleError
from edge.manifest import (
    MANIFEST_FILE,
    FieldError,
    Fields,
    canonical,
    check_canonical,
    parse_json,
    read_manifest,
    read_verified,
    require,
)
from edge.vocabulary import CROP_SIZE_PX, OperatingPoint

SCHEMA = 1
ENCODER_FILE = "encoder.tflite"

_MOST_ENCODER_BYTES = 64 << 20
_MOST_EMBEDDING_SIZE = 4096


@dataclass(frozen=True, slots=True)
class EncoderFacts:
    """The encoder file and the tensors that it must have; `value_range` is the pixels' own."""

    file: str
    sha256: str
    bytes: int
    input_shape: tuple[int, int, int, int]
    input_dtype: str
    value_range: tuple[int, int]
    embedding_size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says about itself.

    Args:
        name: for people.
        alignment: the id of the geometry that the encoder was trained with.
        encoder: the file and its tensors.
        operating_point: the threshold with its evidence.
        parity: how near the int8 encoder is to the float one, by measure.
        training: `recipe`, and whatever else is known, as JSON values.
        versions: tool → version.
    """

    name: str
    alignment: str
    encoder: EncoderFacts
    operating_point: OperatingPoint
    parity: Mapping[str, float]
    training: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: `encoder` holds the bytes that were hashed."""

    directory: Path
    manifest: Manifest
    encoder: bytes

    @property
    def name(self) -> str:
        """The bundle's name, for people."""
        return self.manifest.name

    @property
    def operating_point(self) -> OperatingPoint:
        """The threshold with its evidence."""
        return self.manifest.operating_point

    @property
    def model_id(self) -> str:
        """Sha256 over encoder and alignment: equal where embeddings are comparable."""
        named = f"{self.manifest.encoder.sha256} {self.manifest.alignment}"
        return hashlib.sha256(named.encode()).hexdigest()


def read_bundle(directory: Path, *, alignment: str) -> Bundle:
    """Read and verify the bundle in *directory*.

    Args:
        directory: holds manifest.json and the file that it names.
        alignment: the id of this edge's geometry, `edge.align.ALIGNMENT`.

    Raises:
        BundleError: naming the file, what is wrong with it, and what to do.
    """
    path = directory / MANIFEST_FILE
    manifest = parse_manifest(read_manifest(directory), path)
    if manifest.alignment != alignment:
        raise BundleError(
            f"{path}: the encoder expects alignment {manifest.alignment!r}, this edge has "
            f"{alignment!r}; install a bundle made for it, or the matching release of janus-door"
        )
    if manifest.parity.get("passed") != 1.0:
        raise BundleError(
            f"{path}: the int8 encoder did not pass parity with the float one, so nobody knows "
            "whom it lets in; convert the model again, without --force"
        )
    facts = manifest.encoder
    encoder = read_verified(
        directory / facts.file,
        sha256=facts.sha256,
        size_bytes=facts.bytes,
        most_bytes=_MOST_ENCODER_BYTES,
    )
    return Bundle(directory, manifest, encoder)


def describe_encoder(encoder: bytes, *, embedding_size: int) -> EncoderFacts:
    """Return the facts of *encoder*, a full-int8 network from crops to (1, embedding_size)."""
    return EncoderFacts(
        file=ENCODER_FILE,
        sha256=hashlib.sha256(encoder).hexdigest(),
        bytes=len(encoder),
        input_shape=(1, CROP_SIZE_PX, CROP_SIZE_PX, 3),
        input_dtype="int8",
        value_range=(0, 255),
        embedding_size=embedding_size,
    )


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the canonical form: equal manifests give equal bytes.

    Raises:
        BundleError: if `read_bundle` would refuse it.
    """
    written = _canonical(manifest)
    parse_manifest(written, Path(MANIFEST_FILE))
    return written


def parse_manifest(written: bytes, path: Path) -> Manifest:
    """Validate the manifest *written* at *path*, field by field.

    Raises:
        BundleError: naming the field and what it should be.
    """
    tree = parse_json(written, path)
    try:
        manifest = _manifest(tree)
    except FieldError as exc:
        raise BundleError(f"{path}: {exc}; convert the model again") from exc
    check_canonical(_canonical(manifest), written, path)
    return manifest


def _canonical(manifest: Manifest) -> bytes:
    return canonical({"schema": SCHEMA, **asdict(manifest)})


def _manifest(tree: object) -> Manifest:
    if isinstance(tree, dict) and tree.get("schema") != SCHEMA:
        raise FieldError(
            f"schema is {tree.get('schema')!r}, this edge reads {SCHEMA}; install the release of "
            "janus-door that the bundle was made for"
        )
    top = Fields(tree, "")
    top.take("schema", int)
    manifest = Manifest(
        name=top.text("name"),
        alignment=top.text("alignment"),
        encoder=_encoder(Fields(top.take("encoder", dict), "encoder.")),
        operating_point=_operating_point(
            Fields(top.take("operating_point", dict), "operating_point.")
        ),
        parity=top.mapping("parity", float),
        training=top.mapping("training", object),
        versions=top.mapping("versions", str),
    )
    top.done()
    recipe = manifest.training.get("recipe")
    require(isinstance(recipe, str) and recipe != "", "training.recipe", recipe, "a recipe's name")
    return manifest


def _encoder(fields: Fields) -> EncoderFacts:
    crop = (1, CROP_SIZE_PX, CROP_SIZE_PX, 3)
    file, sha256 = fields.file_name("file"), fields.sha256("sha256")
    fields.equal("input_shape", list(crop))
    fields.equal("input_dtype", "int8")
    fields.equal("value_range", [0, 255])
    facts = EncoderFacts(
        file=file,
        sha256=sha256,
        bytes=fields.whole("bytes", _MOST_ENCODER_BYTES),
        input_shape=crop,
        input_dtype="int8",
        value_range=(0, 255),
        embedding_size=fields.whole("embedding_size", _MOST_EMBEDDING_SIZE),
    )
    fields.done()
    return facts


def _operating_point(fields: Fields) -> OperatingPoint:
    point = OperatingPoint(
        threshold=fields.number("threshold", -1.0, 1.0),
        fmr=fields.number("fmr", 0.0, 1.0),
        fnmr=fields.number("fnmr", 0.0, 1.0),
        comparisons=fields.whole("comparisons", 10**12),
        mated=fields.whole("mated", 10**12),
        data_id=fields.text("data_id"),
    )
    fields.done()
    return point
