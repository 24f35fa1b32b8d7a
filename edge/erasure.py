"""How the configured door forgets somebody: in its stores, and in every backup of them.

Apart from edge/privacy.py, for a running door does none of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edge.access.opening import state_path
from edge.access.state import AccessStore
from edge.audit import Audit
from edge.config import DoorConfig
from edge.errors import GalleryError
from edge.gallery import GalleryStore
from edge.privacy import snapshots_of
from edge.stores.backup import ACCESS, AUDIT, BackupLedger, Contents, KnownBackup
from edge.stores.backup_file import erase_slots
from edge.stores.subjects import Person
from edge.stores.traces import database_files, find_traces

FORGET = "forget"


def contents_of(config: DoorConfig, *, bundles: bool = False) -> Contents:
    """Return what `janus backup` backs up of this door, and where `janus restore` puts it."""
    return Contents(
        gallery=config.store.gallery,
        storage_key=config.store.storage_key,
        others={AUDIT: config.store.audit, ACCESS: state_path(config)},
        bundles=config.store.bundles if bundles else None,
    )


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased of one person, and what could not be reached.

    Args:
        references: how many of the model in use there were.
        snapshots: how many pictures of visits.
        backups: those from which the person was erased.
        unreached: those that may still hold the person, each with the reason.
        searched: the files in which the person's key, name tag and id were looked for afterwards.
    """

    references: int
    snapshots: int
    backups: tuple[KnownBackup, ...]
    unreached: tuple[tuple[KnownBackup, str], ...]
    searched: tuple[Path, ...]


def erase(config: DoorConfig, gallery: GalleryStore, audit: Audit, person: Person) -> Erasure:
    """Erase *person* from everything that Janus keeps, and look whether anything is left.

    The audit notes it first, so that no erasure goes unnoted; it keeps the id, which then leads to
    nobody. Backups that were out of reach when somebody else was forgotten are made good for.

    Raises:
        GalleryError: if something cannot be erased; the message says what is still there.
    """
    audit.note(FORGET, subject_id=person.subject_id, references=person.references)
    marks = gallery.marks(person)
    references = gallery.forget(person.name)
    snapshots = snapshots_of(config).forget(person.subject_id)
    access = state_path(config)
    if access.exists():
        with AccessStore(access, create=False) as state:
            state.forget(person.subject_id)
    searched = (*database_files(config.store.gallery), *database_files(access))
    looked_for = (*marks, person.subject_id.encode())
    if find_traces(searched, looked_for):
        # Never seen, for keys are overwritten where they lie; but a proof does not rely on that.
        gallery.wipe(rewrite=True)
    if left := find_traces(searched, looked_for):
        raise GalleryError(
            f"{person.name} opens no door any more, but a trace is still in "
            f"{', '.join(map(str, left))}; move what was restored or copied there away"
        )
    erased, unreached = erase_from_backups(config, forgotten_ids(audit))
    may_hold = tuple(each for each in unreached if each[0].made_on >= person.enrolled_on)
    return Erasure(references, snapshots, erased, may_hold, searched)


def erase_from_backups(
    config: DoorConfig, subject_ids: Collection[str]
) -> tuple[tuple[KnownBackup, ...], tuple[tuple[KnownBackup, str], ...]]:
    """Erase subjects from every backup that can be reached.

    Returns: the backups that held one of them until now, and those out of reach with the reason.

    Raises:
        GalleryError: if the gallery cannot be read.
    """
    with BackupLedger(config.store.gallery, key=config.store.storage_key) as ledger:
        backups = ledger.backups()
    erased, unreached = [], []
    for each in backups:
        try:
            found = erase_slots(each.path, each.backup_id, subject_ids)
        except OSError as exc:
            unreached.append((each, exc.strerror or str(exc)))
        except GalleryError as exc:
            unreached.append((each, str(exc)))
        else:
            erased += [each] if found else []
    return tuple(erased), tuple(unreached)


def forgotten_ids(audit: Audit) -> frozenset[str]:
    """Return the ids of those of whom the audit says that they were forgotten."""
    return frozenset(str(event.facts.get("subject_id")) for event in audit.events_of_kind(FORGET))
