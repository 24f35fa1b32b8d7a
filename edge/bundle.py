"""A model bundle: a directory with manifest.json and the encoder that it describes.

What is verified is what is loaded: each file is read once, and hash and size are checked on those
very bytes. The manifest is accepted only in its canonical form, so the one kind of change that goes
unseen is one that yields another valid manifest, such as another threshold: hashes show damage and
mix-ups, they cannot show forgery.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from edge.errors import BundleError
from edge.vocabulary import CROP_SIZE_PX, OperatingPoint

SCHEMA = 1
MANIFEST_FILE = "manifest.json"
ENCODER_FILE = "encoder.tflite"

_MOST_MANIFEST_BYTES = 1 << 20
_MOST_ENCODER_BYTES = 64 << 20
_MOST_EMBEDDING_SIZE = 4096
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # a name, never a path
_SHA256 = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")


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
    manifest = parse_manifest(_read(path, _MOST_MANIFEST_BYTES), path)
    if manifest.alignment != alignment:
        raise BundleError(
            f"{path}: the encoder expects alignment {manifest.alignment!r}, this edge has "
            f"{alignment!r}; install a bundle made for it, or the matching release of janus-door"
        )
    facts, path = manifest.encoder, directory / manifest.encoder.file
    encoder = _read(path, _MOST_ENCODER_BYTES)
    if len(encoder) != facts.bytes:
        raise BundleError(
            f"{path} has {len(encoder):,} bytes, the manifest says {facts.bytes:,}; "
            "it was cut off or replaced: copy the bundle again"
        )
    found = hashlib.sha256(encoder).hexdigest()
    if found != facts.sha256:
        raise BundleError(
            f"{path} has sha256 {found[:12]}…, the manifest says {facts.sha256[:12]}…; "
            "it was damaged or belongs to another bundle: copy the bundle again"
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
    try:
        tree = json.loads(written.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise BundleError(f"{path} is not JSON ({exc}); copy the bundle again") from exc
    try:
        manifest = _manifest(tree)
    except _FieldError as exc:
        raise BundleError(f"{path}: {exc}; convert the model again") from exc
    if _canonical(manifest) != written:
        raise BundleError(
            f"{path} is not as `janus convert` writes it: it was damaged or edited; "
            "copy the bundle again"
        )
    return manifest


def _read(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a plain file (or a link to one) of at most *most_bytes*."""
    try:
        if not path.is_file():
            raise BundleError(
                f"{path} is missing or no file; point [encoder] bundle at a directory made by "
                "`janus convert`"
            )
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as exc:
        raise BundleError(f"{path} cannot be read: {exc.strerror}; check its permissions") from exc
    if len(content) > most_bytes:
        raise BundleError(
            f"{path} is larger than {most_bytes >> 20} MiB, which no bundle needs; "
            "install a bundle made by `janus convert`"
        )
    return content


def _canonical(manifest: Manifest) -> bytes:
    tree = {"schema": SCHEMA, **asdict(manifest)}
    return (json.dumps(tree, indent=2, sort_keys=True) + "\n").encode()


class _FieldError(Exception):
    """A field of the manifest is missing, unknown, of another type, or impossible."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _manifest(tree: object) -> Manifest:
    if isinstance(tree, dict) and tree.get("schema") != SCHEMA:
        raise _FieldError(
            f"schema is {tree.get('schema')!r}, this edge reads {SCHEMA}; install the release of "
            "janus-door that the bundle was made for"
        )
    top = _Fields(tree, "")
    top.take("schema", int)
    manifest = Manifest(
        name=top.text("name"),
        alignment=top.text("alignment"),
        encoder=_encoder(_Fields(top.take("encoder", dict), "encoder.")),
        operating_point=_operating_point(
            _Fields(top.take("operating_point", dict), "operating_point.")
        ),
        parity=top.mapping("parity", float),
        training=top.mapping("training", object),
        versions=top.mapping("versions", str),
    )
    top.done()
    recipe = manifest.training.get("recipe")
    _require(isinstance(recipe, str) and recipe != "", "training.recipe", recipe, "a recipe's name")
    return manifest


def _encoder(fields: _Fields) -> EncoderFacts:
    crop = (1, CROP_SIZE_PX, CROP_SIZE_PX, 3)
    file, sha256 = fields.text("file"), fields.text("sha256")
    _require(_FILE_NAME.fullmatch(file), "encoder.file", file, "a file name without a path")
    _require(_SHA256.fullmatch(sha256), "encoder.sha256", sha256, "64 lower-case hex digits")
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


def _operating_point(fields: _Fields) -> OperatingPoint:
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


class _Fields:
    """The fields of one JSON object; what is not taken by `done` is unknown."""

    def __init__(self, tree: object, prefix: str) -> None:
        if not isinstance(tree, dict):
            raise _FieldError(
                f"{prefix or 'the manifest'} is {type(tree).__name__}; expected an object"
            )
        self._left: dict[str, Any] = dict(tree)
        self._prefix = prefix

    def take(self, name: str, kind: type[T]) -> T:
        """Return the value of *name*, which must be there and of exactly that JSON type."""
        if name not in self._left:
            raise _FieldError(f"{self._prefix}{name} is missing")
        value = self._left.pop(name)
        # Not isinstance: true is no number, and 1 is not 1.0 in a canonical form.
        _require(type(value) is kind, self._prefix + name, value, f"of type {kind.__name__}")
        return value  # type: ignore[no-any-return]

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self.take(name, str)
        _require(value.strip() != "", self._prefix + name, value, "a text")
        return value

    def whole(self, name: str, most: int) -> int:
        """Return a whole number from 1 to *most*."""
        value = self.take(name, int)
        _require(1 <= value <= most, self._prefix + name, value, f"from 1 to {most:,}")
        return value

    def number(self, name: str, least: float, most: float) -> float:
        """Return a number from *least* to *most*."""
        value = self.take(name, float)
        _require(least <= value <= most, self._prefix + name, value, f"from {least:g} to {most:g}")
        return value

    def equal(self, name: str, wanted: object) -> None:
        """Take a value that this edge knows in one form only."""
        value = self.take(name, type(wanted))
        _require(value == wanted, self._prefix + name, value, f"{wanted!r}, as this edge needs")

    def mapping(self, name: str, kind: type[T]) -> dict[str, T]:
        """Return an object whose values are all of that JSON type, and finite."""
        found = self.take(name, dict)
        for key, value in found.items():
            where = f"{self._prefix}{name}.{key}"
            _require(
                kind is object or type(value) is kind, where, value, f"of type {kind.__name__}"
            )
            _require(_is_finite(value), where, value, "finite")
        return found

    def done(self) -> None:
        """Refuse what was not taken."""
        if self._left:
            raise _FieldError(f"{self._prefix}{min(self._left)} is unknown to this edge")


def _is_finite(value: object) -> bool:
    """Tell whether no number in a JSON value overflows to infinity."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _require(met: object, name: str, value: object, wanted: str) -> None:
    if not met:
        raise _FieldError(f"{name} is {str(value)[:80]!r}; expected {wanted}")
