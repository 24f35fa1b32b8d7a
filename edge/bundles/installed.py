"""Which bundle a door opens: the one that is named, else the one installed last, else the shipped.

Installed bundles lie in one directory, each in a sub-directory named by the sha256 of its manifest.
One small file says which is in force and which was before. It is replaced by a rename, so whatever
ends an installation early, the door has the old bundle or the new one. Bundles are whole before
they are named there, and are removed only after they no longer are.
"""

from __future__ import annotations

import fcntl
import json
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.align import ALIGNMENT
from edge.bundles.bundle import Bundle, inspect_bundle, read_bundle
from edge.bundles.shipped import MANIFEST_SHA256
from edge.bundles.signing import Trust, read_trust
from edge.config import SHIPPED_BUNDLE, DoorConfig, EncoderConfig
from edge.errors import BundleError
from edge.stores.directory import write_directory, write_file

SELECTION_FILE = "selected.json"
SHIPPED = "shipped"
_NAME = re.compile(r"shipped|[0-9a-f]{64}")
_MOST_BYTES = 1024

log = logging.getLogger("janus")


@dataclass(frozen=True, slots=True)
class Selection:
    """Names of bundles: "shipped", or the sha256 of an installed one's manifest."""

    current: str = SHIPPED
    previous: str | None = None


def trust_of(config: EncoderConfig) -> Trust:
    """Return whose bundles the door opens.

    Raises:
        ConfigError: if a key cannot be read.
    """
    return read_trust(
        config.trusted_keys,
        allow_unsigned=config.allow_unsigned,
        pinned=frozenset({MANIFEST_SHA256}),
    )


def bundle_directory(config: DoorConfig) -> Path:
    """Return where the bundle in force lies.

    Raises:
        BundleError: if the file that says so is damaged.
    """
    if config.encoder.bundle is not None:
        return config.encoder.bundle
    return path_of(config.store.bundles, read_selection(config.store.bundles).current)


def open_bundle(config: DoorConfig) -> Bundle:
    """Read and verify the bundle in force.

    Raises:
        BundleError: if it is not to be trusted or does not fit.
        ConfigError: if a trusted key cannot be read.
    """
    return open_trusted(config, bundle_directory(config))


def open_trusted(config: DoorConfig, directory: Path) -> Bundle:
    """Read and verify the bundle in *directory* as the door would.

    Raises:
        BundleError: if it is not to be trusted or does not fit.
        ConfigError: if a trusted key cannot be read.
    """
    return read_bundle(directory, alignment=ALIGNMENT, trust=trust_of(config.encoder))


def path_of(bundles: Path, name: str) -> Path:
    """Return the directory of the bundle called *name* in a selection."""
    return SHIPPED_BUNDLE if name == SHIPPED else bundles / name


def read_selection(bundles: Path) -> Selection:
    """Return what is selected in *bundles*; the shipped bundle where nothing was installed.

    Raises:
        BundleError: if the file cannot be read or is none of ours.
    """
    path = bundles / SELECTION_FILE
    try:
        with path.open("rb") as file:
            tree = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        return Selection()
    except OSError as exc:
        raise BundleError(f"{path} cannot be read: {exc.strerror}; check its permissions") from exc
    except (ValueError, RecursionError) as exc:
        raise _damaged(path) from exc
    if not isinstance(tree, dict) or tree.keys() != {"current", "previous"}:
        raise _damaged(path)
    current, previous = tree["current"], tree["previous"]
    if not _is_name(current) or not (previous is None or _is_name(previous)):
        raise _damaged(path)
    return Selection(current, previous)


@contextmanager
def alone(bundles: Path) -> Iterator[None]:
    """Hold *bundles* against a second installation at the same time; the directory is made.

    Raises:
        BundleError: if another program installs right now, or the directory cannot be made.
    """
    try:
        bundles.mkdir(parents=True, exist_ok=True)
        lock = (bundles / ".lock").open("wb")
    except OSError as exc:
        raise BundleError(
            f"{bundles} cannot be written: {exc.strerror}; check the path and its owner"
        ) from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise BundleError(
                f"another program changes the bundles in {bundles}; try again when it is done"
            ) from exc
        yield


def store(bundles: Path, bundle: Bundle) -> str:
    """Put *bundle* among the installed ones, whole and as it was verified; return its name.

    Raises:
        BundleError: if it cannot be written.
    """
    name = bundle.bundle_id
    if name == MANIFEST_SHA256:
        return SHIPPED
    try:
        inspect_bundle(bundles / name)
    except BundleError:  # not there yet, or damaged since
        write_directory(bundles / name, bundle.contents)
    return name


def select(bundles: Path, selection: Selection) -> None:
    """Make *selection* the one in force: after a crash it is this or the one before.

    Raises:
        BundleError: if it cannot be written.
    """
    tree = {"current": selection.current, "previous": selection.previous}
    written = json.dumps(tree, indent=2, sort_keys=True) + "\n"
    write_file(bundles / SELECTION_FILE, written.encode())


def prune(bundles: Path) -> None:
    """Remove installed bundles that are no longer selected, and what a crash left half-written."""
    kept = read_selection(bundles)
    for each in sorted(bundles.iterdir()):
        if each.name in (kept.current, kept.previous) or not each.is_dir():
            continue
        if _is_name(each.name) or each.name.startswith("."):
            try:
                shutil.rmtree(each)
            except OSError as exc:
                log.warning("%s is no longer needed, but stays: %s", each, exc.strerror)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _damaged(path: Path) -> BundleError:
    return BundleError(
        f"{path} does not say which bundle is installed: it was damaged or edited; remove it and "
        "install the bundle again (`janus bundle install`)"
    )
