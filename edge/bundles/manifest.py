"""What a bundle says about itself: manifest.json, in one canonical form, every field checked.

Equal manifests are equal bytes, so a signature over the bytes is one over the meaning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.bundles.fields import FieldError, Fields, canonical, check_canonical, parse_json, require
from edge.errors import BundleError
from edge.vocabulary import CROP_SIZE_PX, EvidenceMap, OperatingPoint

SCHEMA = 2
MANIFEST_FILE, SIGNATURE_FILE = "manifest.json", "manifest.sig"
ENCODER_FILE = "encoder.tflite"
FINDER_FILE, REFINER_FILE = "finder.tflite", "refiner.tflite"
CARD_FILE = "MODEL_CARD.md"

MOST_FILE_BYTES = 64 << 20
MOST_FILES = 32
_MOST_EMBEDDING_SIZE = 4096
_MOST_POINTS = 1000
_CROP_SHAPE = (1, CROP_SIZE_PX, CROP_SIZE_PX, 3)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file: the sha256 of its bytes in lower-case hex, and how many there are."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class EncoderFacts:
    """The tensors that encoder.tflite must have; `value_range` is the pixels' own."""

    embedding_size: int
    input_shape: tuple[int, int, int, int] = _CROP_SHAPE
    input_dtype: str = "int8"
    value_range: tuple[int, int] = (0, 255)


@dataclass(frozen=True, slots=True)
class EyesFacts:
    """What is known of finder.tflite and refiner.tflite.

    Args:
        geometry: how the networks are asked and answer, `edge.eyes.GEOMETRY`.
        score: the lowest score that counts, 0 to 1.
        parity: how near the int8 networks are to the float ones, by measure.
        training: whatever is known, as JSON values.
        versions: tool → version.
    """

    geometry: str
    score: float
    parity: Mapping[str, float]
    training: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says about itself.

    Args:
        name: for people.
        files: every file of the bundle but manifest and signature, by name.
        alignment: the id of the geometry that the encoder was trained with.
        encoder: its tensors.
        eyes: what is known of the eyes' networks; None where the bundle has none.
        operating_point: the threshold with its evidence.
        evidence: what a score is worth.
        parity: how near the int8 encoder is to the float one, by measure.
        training: `recipe`, and whatever else is known, as JSON values.
        versions: tool → version.
    """

    name: str
    files: Mapping[str, FileFacts]
    alignment: str
    encoder: EncoderFacts
    operating_point: OperatingPoint
    evidence: EvidenceMap
    parity: Mapping[str, float]
    training: Mapping[str, Any]
    versions: Mapping[str, str]
    eyes: EyesFacts | None = None

    @property
    def model_id(self) -> str:
        """Sha256 over encoder and alignment: equal where embeddings are comparable.

        Nothing else is in it: new eyes, another threshold or another card leave galleries valid.
        """
        named = f"{self.files[ENCODER_FILE].sha256} {self.alignment}"
        return hashlib.sha256(named.encode()).hexdigest()


def describe_files(contents: Mapping[str, bytes]) -> dict[str, FileFacts]:
    """Return the facts of files by name, for `Manifest.files`."""
    return {
        name: FileFacts(hashlib.sha256(content).hexdigest(), len(content))
        for name, content in contents.items()
    }


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the canonical form: equal manifests give equal bytes.

    Raises:
        BundleError: if an edge would refuse it.
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
        wanted = _canonical(manifest)
    except FieldError as exc:
        raise BundleError(f"{path}: {exc}; convert the model again") from exc
    except RecursionError as exc:  # free fields may nest deeper than Python follows
        raise BundleError(f"{path} is nested too deeply; copy the bundle again") from exc
    check_canonical(wanted, written, path)
    return manifest


def _canonical(manifest: Manifest) -> bytes:
    return canonical({"schema": SCHEMA, **asdict(manifest)})


def _manifest(tree: object) -> Manifest:
    if isinstance(tree, dict) and tree.get("schema") != SCHEMA:
        raise FieldError(
            f"schema is {str(tree.get('schema'))[:80]}, this edge reads {SCHEMA}; install the "
            "release of janus-door that the bundle was made for"
        )
    top = Fields(tree, "")
    top.take("schema", int)
    eyes = top.section("eyes", optional=True)
    manifest = Manifest(
        name=top.text("name"),
        files=_files(top.take("files", dict)),
        alignment=top.text("alignment"),
        encoder=_encoder(Fields(top.take("encoder", dict), "encoder.")),
        eyes=None if eyes is None else _eyes(eyes),
        operating_point=_operating_point(
            Fields(top.take("operating_point", dict), "operating_point.")
        ),
        evidence=_evidence(Fields(top.take("evidence", dict), "evidence.")),
        parity=top.mapping("parity", float),
        training=top.mapping("training", object),
        versions=top.mapping("versions", str),
    )
    top.done()
    recipe = manifest.training.get("recipe")
    require(isinstance(recipe, str) and recipe != "", "training.recipe", recipe, "a recipe's name")
    _require_networks(manifest)
    return manifest


def _require_networks(manifest: Manifest) -> None:
    """Refuse a table of files that has not the networks which the other fields speak of."""
    require(ENCODER_FILE in manifest.files, "files", sorted(manifest.files), f"{ENCODER_FILE} too")
    for name in (FINDER_FILE, REFINER_FILE):
        if manifest.eyes is None:
            require(name not in manifest.files, "eyes", None, f"facts, for there is a {name}")
        else:
            require(name in manifest.files, "files", sorted(manifest.files), f"{name}, as of eyes")


def _files(table: dict[str, Any]) -> dict[str, FileFacts]:
    require(len(table) <= MOST_FILES, "files", len(table), f"at most {MOST_FILES} files")
    fields = Fields(table, "files.")
    found = {}
    for name in table:
        require(name not in (MANIFEST_FILE, SIGNATURE_FILE), "files", name, "other files only")
        facts = Fields(fields.named(name), f"files.{name}.")
        found[name] = FileFacts(facts.sha256("sha256"), facts.whole("bytes", MOST_FILE_BYTES))
        facts.done()
    return found


def _encoder(fields: Fields) -> EncoderFacts:
    fields.equal("input_shape", list(_CROP_SHAPE))
    fields.equal("input_dtype", "int8")
    fields.equal("value_range", [0, 255])
    facts = EncoderFacts(embedding_size=fields.whole("embedding_size", _MOST_EMBEDDING_SIZE))
    fields.done()
    return facts


def _eyes(fields: Fields) -> EyesFacts:
    facts = EyesFacts(
        geometry=fields.text("geometry"),
        score=fields.number("score", 0.0, 1.0),
        parity=fields.mapping("parity", float),
        training=fields.mapping("training", object),
        versions=fields.mapping("versions", str),
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


def _evidence(fields: Fields) -> EvidenceMap:
    scores = fields.numbers("scores", -1.0, 1.0, count=_MOST_POINTS)
    ratios = fields.numbers("log_likelihood_ratios", -1e6, 1e6, count=_MOST_POINTS)
    fields.done()
    try:
        return EvidenceMap(scores, ratios)
    except ValueError as exc:
        raise FieldError(f"evidence: {str(exc)[:200]}") from exc
