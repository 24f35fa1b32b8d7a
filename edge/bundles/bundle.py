"""A model bundle: a directory with manifest.json, every file that it names, and nothing else.

What is verified is what is used: each file is read once, and signature, size and hash are checked
on those very bytes, the signature before anything is parsed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.bundles.manifest import (
    ENCODER_FILE,
    FINDER_FILE,
    MANIFEST_FILE,
    MOST_FILE_BYTES,
    MOST_FILES,
    REFINER_FILE,
    SIGNATURE_FILE,
    Manifest,
    parse_manifest,
)
from edge.bundles.signing import MOST_SIGNATURE_BYTES, Trust, parse_signature
from edge.errors import BundleError
from edge.eyes import GEOMETRY, Eyes
from edge.vocabulary import EvidenceMap, OperatingPoint

_MOST_MANIFEST_BYTES = 1 << 20
_MOST_BYTES = 96 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files are those that its manifest describes.

    Args:
        directory: where it was read.
        manifest: what it says about itself.
        contents: the bytes of every file by name, manifest and signature included.
        signer: the fingerprint of the key that signed it; whether that key is trusted is known
            of bundles from `read_bundle` only.
    """

    directory: Path
    manifest: Manifest
    contents: Mapping[str, bytes]
    signer: str | None

    @property
    def name(self) -> str:
        """The bundle's name, for people."""
        return self.manifest.name

    @property
    def operating_point(self) -> OperatingPoint:
        """The threshold with its evidence."""
        return self.manifest.operating_point

    @property
    def evidence(self) -> EvidenceMap:
        """What a score is worth."""
        return self.manifest.evidence

    @property
    def model_id(self) -> str:
        """Sha256 over encoder and alignment: equal where embeddings are comparable."""
        return self.manifest.model_id

    @property
    def bundle_id(self) -> str:
        """Sha256 over the manifest, and so over everything: equal bundles have equal ids."""
        return hashlib.sha256(self.contents[MANIFEST_FILE]).hexdigest()

    @property
    def encoder(self) -> bytes:
        """The encoder's file."""
        return self.contents[ENCODER_FILE]

    @property
    def eyes(self) -> Eyes | None:
        """The eyes' two networks, where the bundle has them."""
        if self.manifest.eyes is None:
            return None
        return Eyes(
            self.contents[FINDER_FILE], self.contents[REFINER_FILE], self.manifest.eyes.score
        )


def read_bundle(directory: Path, *, alignment: str, trust: Trust) -> Bundle:
    """Read the bundle in *directory* for a door: trusted, whole, fitting this edge.

    Args:
        directory: holds manifest.json, manifest.sig and the files that the manifest names.
        alignment: the id of this edge's geometry, `edge.align.ALIGNMENT`.
        trust: whose signature counts.

    Raises:
        BundleError: naming the file, what is wrong with it, and what to do.
    """
    return check_bundle(read_contents(directory), directory, alignment=alignment, trust=trust)


def inspect_bundle(directory: Path) -> Bundle:
    """Read a bundle for looking at: its files are as its manifest says, whoever signed it.

    Raises:
        BundleError: naming the file, what is wrong with it, and what to do.
    """
    return parse_bundle(read_contents(directory), directory)


def check_bundle(
    contents: Mapping[str, bytes], directory: Path, *, alignment: str, trust: Trust
) -> Bundle:
    """Return the bundle that *contents* are, as `read_bundle` does; reads nothing."""
    trust.check(_manifest_of(contents, directory), contents.get(SIGNATURE_FILE), directory)
    bundle = parse_bundle(contents, directory)
    _require_fit(bundle, alignment)
    return bundle


def parse_bundle(contents: Mapping[str, bytes], directory: Path) -> Bundle:
    """Return the bundle that *contents* are, if each file is the one that the manifest describes.

    Args:
        contents: file name → bytes.
        directory: for messages.

    Raises:
        BundleError: naming the file and what is wrong with it.
    """
    path = directory / MANIFEST_FILE
    manifest = parse_manifest(_manifest_of(contents, directory), path)
    signature = contents.get(SIGNATURE_FILE)
    signer = None
    if signature is not None:
        signer, _ = parse_signature(signature, directory / SIGNATURE_FILE)
    unnamed = sorted(contents.keys() - manifest.files.keys() - {MANIFEST_FILE, SIGNATURE_FILE})
    if unnamed:
        raise BundleError(
            f"{directory / unnamed[0]} is not named in {MANIFEST_FILE}, so it belongs to another "
            "bundle or to none; remove it, or copy the bundle again"
        )
    for name, facts in sorted(manifest.files.items()):
        _check_file(directory / name, contents.get(name), facts.sha256, facts.bytes)
    return Bundle(directory, manifest, contents, signer)


def _manifest_of(contents: Mapping[str, bytes], directory: Path) -> bytes:
    if MANIFEST_FILE not in contents:
        raise _missing(directory / MANIFEST_FILE)
    return contents[MANIFEST_FILE]


def _missing(path: Path) -> BundleError:
    return BundleError(
        f"{path} is missing or no file; point [encoder] bundle at a directory made by "
        "`janus convert`, or copy the bundle again"
    )


def _check_file(path: Path, content: bytes | None, sha256: str, size_bytes: int) -> None:
    if content is None:
        raise _missing(path)
    if len(content) != size_bytes:
        raise BundleError(
            f"{path} has {len(content):,} bytes, the manifest says {size_bytes:,}; "
            "it was cut off or replaced: copy the bundle again"
        )
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise BundleError(
            f"{path} has sha256 {found[:12]}…, the manifest says {sha256[:12]}…; "
            "it was damaged or belongs to another bundle: copy the bundle again"
        )


def _require_fit(bundle: Bundle, alignment: str) -> None:
    """Refuse a bundle of another geometry, or one that did not pass parity."""
    manifest, path = bundle.manifest, bundle.directory / MANIFEST_FILE
    if manifest.alignment != alignment:
        raise BundleError(
            f"{path}: the encoder expects alignment {manifest.alignment!r}, this edge has "
            f"{alignment!r}; install a bundle made for it, or the matching release of janus-door"
        )
    if manifest.eyes is not None and manifest.eyes.geometry != GEOMETRY:
        raise BundleError(
            f"{path}: the eyes expect geometry {manifest.eyes.geometry!r}, this edge has "
            f"{GEOMETRY!r}; install a bundle made for it, or the matching release of janus-door"
        )
    if manifest.parity.get("passed") != 1.0:
        raise BundleError(
            f"{path}: the int8 encoder did not pass parity with the float one, so nobody knows "
            "whom it lets in; convert the model again, without --force"
        )


def read_contents(directory: Path) -> dict[str, bytes]:
    """Return the bytes of every file in *directory*, each read once and none of them far too large.

    Raises:
        BundleError: if one cannot be read, is no plain file (nor a link to one), or is too large.
    """
    try:
        names = sorted(each.name for each in directory.iterdir())
    except FileNotFoundError as exc:
        raise _missing(directory / MANIFEST_FILE) from exc
    except OSError as exc:
        raise BundleError(
            f"{directory} is no directory that can be read: {exc.strerror}; point [encoder] bundle "
            "at one made by `janus convert`"
        ) from exc
    if len(names) > MOST_FILES + 2:
        raise BundleError(
            f"{directory} holds {len(names)} files, more than any bundle; point [encoder] bundle "
            "at a directory made by `janus convert`"
        )
    contents: dict[str, bytes] = {}
    for name in names:
        left = _MOST_BYTES - sum(map(len, contents.values()))
        contents[name] = _read(directory / name, min(left, _most_bytes(name)))
    return contents


def _most_bytes(name: str) -> int:
    limits = {MANIFEST_FILE: _MOST_MANIFEST_BYTES, SIGNATURE_FILE: MOST_SIGNATURE_BYTES}
    return limits.get(name, MOST_FILE_BYTES)


def _read(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a plain file (or a link to one) of at most *most_bytes*."""
    try:
        if not path.is_file():
            raise _missing(path)
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as exc:
        raise BundleError(f"{path} cannot be read: {exc.strerror}; check its permissions") from exc
    if len(content) > most_bytes:
        raise BundleError(
            f"{path} is larger than {max(most_bytes / (1 << 20), 0.001):.3g} MiB, which no bundle "
            "needs; install a bundle made by `janus convert`"
        )
    return content
