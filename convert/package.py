"""Manifest and files become a bundle directory: everything the edge needs, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.bundles.bundle import Bundle, inspect_bundle, parse_bundle
from edge.bundles.manifest import (
    FINDER_FILE,
    MANIFEST_FILE,
    REFINER_FILE,
    SIGNATURE_FILE,
    EyesFacts,
    Manifest,
    describe_files,
    manifest_bytes,
)
from edge.bundles.signing import sign
from edge.errors import BundleError
from edge.stores.directory import write_directory


def write_bundle(
    directory: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    *,
    key: Ed25519PrivateKey | None = None,
) -> Manifest:
    """Write the bundle to *directory*, which appears complete or not at all.

    A bundle that is there already is replaced; a crash leaves the old one or the new one.

    Args:
        directory: new, or a bundle.
        manifest: its table of files is made anew from *files*.
        files: name → bytes, of all but manifest and signature.
        key: signs the manifest; None leaves the bundle unsigned.

    Returns: the manifest as it was written.

    Raises:
        BundleError: if *directory* holds something else or cannot be written, or the edge would
            refuse the manifest.
    """
    check_target(directory)
    manifest = replace(manifest, files=describe_files(files))
    written = manifest_bytes(manifest)
    signature = {} if key is None else {SIGNATURE_FILE: sign(written, key)}
    contents = {**files, MANIFEST_FILE: written, **signature}
    parse_bundle(contents, directory)  # what cannot be read back is not written
    write_directory(directory, contents)
    return manifest


def own_files(bundle: Bundle) -> dict[str, bytes]:
    """Return the files of *bundle* that its manifest names: all but manifest and signature."""
    return {name: bundle.contents[name] for name in bundle.manifest.files}


def replace_eyes(directory: Path, facts: EyesFacts, finder: bytes, refiner: bytes) -> Manifest:
    """Give the bundle in *directory* other eyes; it is unsigned afterwards.

    Galleries stay valid: the model id is a function of the encoder and its alignment.

    Args:
        directory: a bundle.
        facts: what is known of the two networks.
        finder: the .tflite file that finds faces.
        refiner: the .tflite file that places landmarks.

    Raises:
        BundleError: if there is no whole bundle, or it cannot be written.
    """
    bundle = inspect_bundle(directory)
    files = own_files(bundle) | {FINDER_FILE: finder, REFINER_FILE: refiner}
    return write_bundle(directory, replace(bundle.manifest, eyes=facts), files)


def check_target(directory: Path) -> None:
    """Refuse a target that exists and is no bundle.

    Raises:
        BundleError: naming what is there.
    """
    if not directory.exists() and not directory.is_symlink():
        return
    if directory.is_symlink() or not directory.is_dir():
        raise BundleError(f"--out {directory} exists and is no directory; choose another")
    there = sorted(each.name for each in directory.iterdir())
    if not there:
        return
    if MANIFEST_FILE not in there:
        raise BundleError(
            f"--out {directory} holds {there[0]}, which is no part of a bundle; choose a new "
            "directory, or empty it"
        )
    try:
        inspect_bundle(directory)
    except BundleError as exc:
        raise BundleError(
            f"--out {directory} holds something that is no whole bundle, and is left as it is "
            f"({exc}); choose a new directory, or empty it"
        ) from exc
