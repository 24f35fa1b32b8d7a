"""The eyes' own bundle: a directory with manifest.json and the two networks that it describes.

It is apart from the encoder's, because the two change at different times: a new encoder needs no
new eyes, and new eyes leave every embedding comparable that they align alike.
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
)

SCHEMA = 1
# How the networks are asked and answer (edge/eyes.py); changes if any pixel or unit does.
GEOMETRY = "grey-letterbox/strides-8-16-32/refiner-64-half-template/v1"
FINDER_FILE = "finder.tflite"
REFINER_FILE = "refiner.tflite"
_MOST_NETWORK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """A network's file."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class EyesManifest:
    """What the eyes' bundle says about itself.

    Args:
        name: for people.
        geometry: how the networks are asked and answer, `GEOMETRY`.
        finder: the file that finds faces.
        refiner: the file that places landmarks.
        score: the lowest score that counts unless the configuration says otherwise, 0 to 1.
        parity: how near the int8 networks are to the float ones, by measure.
        training: whatever is known, as JSON values.
        versions: tool → version.
    """

    name: str
    geometry: str
    finder: NetworkFacts
    refiner: NetworkFacts
    score: float
    parity: Mapping[str, float]
    training: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EyesBundle:
    """Verified eyes: `finder` and `refiner` hold the bytes that were hashed."""

    manifest: EyesManifest
    finder: bytes
    refiner: bytes


def read_eyes(directory: Path) -> EyesBundle:
    """Read and verify the eyes in *directory*.

    Raises:
        BundleError: naming the file, what is wrong with it, and what to do.
    """
    path = directory / MANIFEST_FILE
    manifest = parse_eyes_manifest(read_manifest(directory), path)
    if manifest.geometry != GEOMETRY:
        raise BundleError(
            f"{path}: the eyes expect geometry {manifest.geometry!r}, this edge has {GEOMETRY!r}; "
            "install eyes made for it, or the matching release of janus-door"
        )
    finder, refiner = (
        read_verified(
            directory / facts.file,
            sha256=facts.sha256,
            size_bytes=facts.bytes,
            most_bytes=_MOST_NETWORK_BYTES,
        )
        for facts in (manifest.finder, manifest.refiner)
    )
    return EyesBundle(manifest, finder, refiner)


def describe_network(file: str, content: bytes) -> NetworkFacts:
    """Return the facts of a network's file."""
    return NetworkFacts(file, hashlib.sha256(content).hexdigest(), len(content))


def eyes_manifest_bytes(manifest: EyesManifest) -> bytes:
    """Return the canonical form: equal manifests give equal bytes.

    Raises:
        BundleError: if `read_eyes` would refuse it.
    """
    written = _canonical(manifest)
    parse_eyes_manifest(written, Path(MANIFEST_FILE))
    return written


def parse_eyes_manifest(written: bytes, path: Path) -> EyesManifest:
    """Validate the manifest *written* at *path*, field by field.

    Raises:
        BundleError: naming the field and what it should be.
    """
    tree = parse_json(written, path)
    try:
        manifest = _manifest(tree)
    except FieldError as exc:
        raise BundleError(f"{path}: {exc}; convert the eyes again") from exc
    check_canonical(_canonical(manifest), written, path)
    return manifest


def _canonical(manifest: EyesManifest) -> bytes:
    return canonical({"schema": SCHEMA, **asdict(manifest)})


def _manifest(tree: object) -> EyesManifest:
    if isinstance(tree, dict) and tree.get("schema") != SCHEMA:
        raise FieldError(
            f"schema is {tree.get('schema')!r}, this edge reads {SCHEMA}; install the release of "
            "janus-door that the eyes were made for"
        )
    top = Fields(tree, "")
    top.take("schema", int)
    manifest = EyesManifest(
        name=top.text("name"),
        geometry=top.text("geometry"),
        finder=_network(Fields(top.take("finder", dict), "finder.")),
        refiner=_network(Fields(top.take("refiner", dict), "refiner.")),
        score=top.number("score", 0.0, 1.0),
        parity=top.mapping("parity", float),
        training=top.mapping("training", object),
        versions=top.mapping("versions", str),
    )
    top.done()
    return manifest


def _network(fields: Fields) -> NetworkFacts:
    facts = NetworkFacts(
        file=fields.file_name("file"),
        sha256=fields.sha256("sha256"),
        bytes=fields.whole("bytes", _MOST_NETWORK_BYTES),
    )
    fields.done()
    return facts
