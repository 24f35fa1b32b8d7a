"""Build bundles of made-up networks: the bytes are no TFLite files, but everything else is real."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.bundles.manifest import EncoderFacts, EyesFacts, Manifest, describe_files, manifest_bytes
from edge.bundles.signing import Trust, fingerprint_of, sign
from edge.eyes import GEOMETRY as EYES_GEOMETRY
from edge.vocabulary import EvidenceMap, OperatingPoint

GEOMETRY = "a-geometry/v1"
FILES = {
    "MODEL_CARD.md": b"# A card\n" * 20,
    "encoder.tflite": bytes(range(256)) * 8,
    "finder.tflite": b"finds" * 100,
    "refiner.tflite": b"places" * 50,
}
EYES = EyesFacts(
    geometry=EYES_GEOMETRY,
    score=0.5,
    parity={"finder_moved": 0.004},
    training={"photos": 1500},
    versions={"tensorflow": "2.21.0"},
)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
TRUSTED = Trust({fingerprint_of(KEY.public_key()): KEY.public_key()})
UNSIGNED = Trust(allow_unsigned=True)


def manifest(files: Mapping[str, bytes] = FILES, **changes) -> Manifest:
    """Return a valid manifest of *files*, with eyes if the finder is among them."""
    plain = Manifest(
        name="test",
        files=describe_files(files),
        alignment=GEOMETRY,
        encoder=EncoderFacts(embedding_size=16),
        eyes=EYES if "finder.tflite" in files else None,
        operating_point=OperatingPoint(0.4, 1e-3, 0.05, 30_000, 900, "made up"),
        evidence=EvidenceMap((-0.5, 0.2, 0.9), (-3.0, 0.5, 6.0)),
        parity={"cosine_mean": 0.998, "cosine_min": 0.97, "passed": 1.0},
        training={"recipe": "att", "epochs": 12, "subjects": ["a", "b"], "seed": None},
        versions={"tensorflow": "2.21.0"},
    )
    return dataclasses.replace(plain, **changes)


def contents(files=FILES, *, written=None, key=KEY, **changes) -> dict[str, bytes]:
    """Return a whole bundle; *written* replaces the manifest, *key* None leaves it unsigned."""
    written = manifest_bytes(manifest(files, **changes)) if written is None else written
    signature = {} if key is None else {"manifest.sig": sign(written, key)}
    return {**files, "manifest.json": written, **signature}


def write(directory: Path, files: Mapping[str, bytes]) -> Path:
    """Write *files* into *directory* and return it."""
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def rewritten(path: str, value=None, *, remove=False) -> bytes:
    """Return a valid manifest's canonical JSON with the field at *path* (a/b/c) changed."""
    tree = json.loads(manifest_bytes(manifest()))
    *parents, last = path.split("/")
    at = tree
    for parent in parents:
        at = at[parent]
    if remove:
        del at[last]
    else:
        at[last] = value
    return (json.dumps(tree, indent=2, sort_keys=True) + "\n").encode()
