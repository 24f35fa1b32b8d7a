"""Another bundle for the door, or the one before: verified, tried, and only then in force.

The order of steps is what makes it safe to be killed at any of them. The bundle is stored whole;
the gallery gets its references beside the old ones; the audit notes what comes; one rename puts the
bundle in force; and only then is removed what nobody can return to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.align import ALIGNMENT
from edge.audit import Audit
from edge.bundles import installed
from edge.bundles.bundle import Bundle
from edge.bundles.installed import (
    Selection,
    bundle_directory,
    open_trusted,
    path_of,
    read_selection,
)
from edge.bundles.succession import Succession
from edge.config import DoorConfig
from edge.detect import open_detector
from edge.embed import Embedder, open_embedder
from edge.errors import BundleError, ConfigError, GalleryError
from edge.vocabulary import (
    CROP_SIZE_PX,
    AlignedFace,
    Box,
    Detection,
    Embedding,
    PixelArray,
)


@dataclass(frozen=True, slots=True)
class Change:
    """What an installation or a rollback did.

    Args:
        bundle: now in force.
        embedded_again: how many references were made of kept crops.
        left_out: names of those who must be enrolled again.
    """

    bundle: Bundle
    embedded_again: int
    left_out: tuple[str, ...]


def install(config: DoorConfig, new: Path, *, accept_re_enrolment: bool = False) -> Change:
    """Verify the bundle in *new*, try it, and put it in force; the one before is kept.

    Raises:
        BundleError: if it is not to be trusted, does not fit or does not work; or if people would
            have to be enrolled again, which nobody accepted.
        ConfigError: if the configuration names a bundle, so that none that is installed counts.
        GalleryError, AuditError: if the stores cannot be read or written.
    """
    _require_choice(config)
    with installed.alone(config.store.bundles):
        return _install(config, new, accept_re_enrolment=accept_re_enrolment)


def _install(config: DoorConfig, new: Path, *, accept_re_enrolment: bool) -> Change:
    bundle = open_trusted(config, new)
    embedder = try_bundle(bundle, config)
    lost = _lost(config, bundle)
    if lost and not accept_re_enrolment:
        raise BundleError(
            f"{new} has another encoder, and no crops are kept of {_listed(lost)}, who would "
            "have to be enrolled again; pass --accept-re-enrolment to install it all the same"
        )
    name = installed.store(config.store.bundles, bundle)
    selected = read_selection(config.store.bundles)
    if name == selected.current:
        selection = selected
    else:
        selection = Selection(current=name, previous=selected.current)
    return _put_in_force(config, "install", selection, bundle=bundle, embedder=embedder)


def rollback(config: DoorConfig) -> Change:
    """Put the bundle before in force again, with its gallery; a second rollback undoes the first.

    Raises:
        BundleError: if there is none, or it is no longer to be trusted or does not work.
        ConfigError: if the configuration names a bundle, so that none that is installed counts.
        GalleryError, AuditError: if the stores cannot be read or written.
    """
    _require_choice(config)
    with installed.alone(config.store.bundles):
        return _rollback(config)


def _rollback(config: DoorConfig) -> Change:
    selected = read_selection(config.store.bundles)
    if selected.previous is None:
        raise BundleError(
            f"no bundle was in force before the present one in {config.store.bundles}; "
            "`janus bundle install` puts another one in force"
        )
    bundle = open_trusted(config, path_of(config.store.bundles, selected.previous))
    embedder = try_bundle(bundle, config)
    selection = Selection(current=selected.previous, previous=selected.current)
    return _put_in_force(config, "rollback", selection, bundle=bundle, embedder=embedder)


def try_bundle(bundle: Bundle, config: DoorConfig) -> Embedder:
    """Load the networks of *bundle*, embed one picture and look at one; return the embedder.

    Raises:
        BundleError: if a network does not load, or does not answer as the manifest says.
        ConfigError: if the runtime that is asked for is not installed.
    """
    runtime = config.encoder.runtime
    embedder = open_embedder(bundle.encoder, bundle.model_id, runtime=runtime)
    found = embed_crop(embedder, _test_picture()).vector.size
    wanted = bundle.manifest.encoder.embedding_size
    if found != wanted:
        raise BundleError(
            f"the encoder of {bundle.directory} gives {found} features, its manifest says "
            f"{wanted}; convert the model again"
        )
    # Also refuses a bundle without eyes where [detector] takes them.
    detector = open_detector(config.detector, runtime=runtime, eyes=bundle.eyes)
    detector.detect(np.zeros((120, 160, 3), np.uint8))
    return embedder


def embed_crop(embedder: Embedder, crop: PixelArray) -> Embedding:
    """Embed (112, 112, 3) uint8 RGB pixels of which nothing else is known."""
    nowhere = Detection(
        Box(0.0, 0.0, float(CROP_SIZE_PX), float(CROP_SIZE_PX)), np.zeros((5, 2), np.float32), 0.0
    )
    return embedder.embed(AlignedFace(crop, np.eye(2, 3, dtype=np.float32), nowhere))


def _test_picture() -> PixelArray:
    """Return a smooth pattern in colour: a network that has collapsed gives zeros for it."""
    ramp = np.linspace(0, 255, CROP_SIZE_PX)
    across, down = np.meshgrid(ramp, ramp)
    return np.asarray(np.stack([across, down, 255 - across], axis=-1), dtype=np.uint8)


def _require_choice(config: DoorConfig) -> None:
    if config.encoder.bundle is not None:
        raise ConfigError(
            f"[encoder] bundle = {str(config.encoder.bundle)!r} says which bundle the door opens, "
            "so that no installed one counts; remove that line first"
        )


def _put_in_force(
    config: DoorConfig,
    kind: str,
    selection: Selection,
    *,
    bundle: Bundle,
    embedder: Embedder,
) -> Change:
    """Prepare the gallery, note it, switch, and remove what nobody can return to."""
    before = read_selection(config.store.bundles)
    left_out = _left_out(config, bundle)
    embedded_again = 0
    if config.store.gallery.exists():
        with Succession(config.store.gallery, key=config.store.storage_key) as gallery:
            embedded_again = gallery.prepare(
                bundle.model_id, ALIGNMENT, lambda crop: embed_crop(embedder, crop)
            )
    with Audit(config.store.audit) as audit:
        # Before the deed, so that no change goes unnoted.
        audit.note(kind, model_id=bundle.model_id, bundle=bundle.bundle_id, re_enrol=len(left_out))
    installed.select(config.store.bundles, selection)
    if before != selection:
        _let_go(config, bundle, selection)
    return Change(bundle, embedded_again, left_out)


def _let_go(config: DoorConfig, bundle: Bundle, selection: Selection) -> None:
    """Remove bundles and references of models that are neither in force nor the ones before."""
    installed.prune(config.store.bundles)
    if not config.store.gallery.exists() or selection.previous is None:
        return
    try:
        previous = open_trusted(config, path_of(config.store.bundles, selection.previous))
    except BundleError:
        return  # nobody knows its model any more: nothing of its gallery is erased
    with Succession(config.store.gallery, key=config.store.storage_key) as gallery:
        gallery.retain({bundle.model_id, previous.model_id})


def _left_out(config: DoorConfig, bundle: Bundle) -> tuple[str, ...]:
    """Return the names of those whom the gallery cannot bring to the model of *bundle*."""
    if not config.store.gallery.exists():
        return ()
    try:
        with Succession(config.store.gallery, key=config.store.storage_key) as gallery:
            return gallery.left_out(bundle.model_id, ALIGNMENT)
    except GalleryError as exc:
        raise GalleryError(f"{exc}; no bundle was changed") from exc


def _lost(config: DoorConfig, bundle: Bundle) -> tuple[str, ...]:
    """Return the names of those whom the door knows now, and would not with *bundle*."""
    left_out = _left_out(config, bundle)
    try:
        present = open_trusted(config, bundle_directory(config))
    except BundleError:
        return left_out  # what is in force opens no door: perhaps it did before
    unknown_now = set(_left_out(config, present))
    return tuple(name for name in left_out if name not in unknown_now)


def _listed(names: tuple[str, ...]) -> str:
    return f"{len(names)} people ({', '.join(names)})" if len(names) > 1 else names[0]
