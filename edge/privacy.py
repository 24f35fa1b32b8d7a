"""What the configured door keeps of people, for how long, and how it forgets one of them."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge.access.opening import state_path
from edge.access.state import AccessStore
from edge.audit import Audit
from edge.config import DoorConfig
from edge.errors import GalleryError
from edge.gallery import GalleryStore
from edge.stores.backup import ACCESS, AUDIT, BackupLedger, Contents, KnownBackup
from edge.stores.backup_file import erase_slots
from edge.stores.keyfile import KeyFile, key_place
from edge.stores.snapshots import Snapshots
from edge.stores.subjects import Person
from edge.stores.traces import database_files, find_traces
from edge.vocabulary import Decision, Outcome, PixelArray

log = logging.getLogger("janus")

_MEGABYTE = 1_000_000
FORGET = "forget"
_PICTURED = {"none": set(), "refused": {Outcome.DENY}, "all": {Outcome.DENY, Outcome.GRANT}}


def contents_of(config: DoorConfig, *, bundles: bool = False) -> Contents:
    """Return what `janus backup` backs up of this door, and where `janus restore` puts it."""
    return Contents(
        gallery=config.store.gallery,
        storage_key=config.store.storage_key,
        others={AUDIT: config.store.audit, ACCESS: state_path(config)},
        bundles=config.store.bundles if bundles else None,
    )


def snapshots_of(config: DoorConfig) -> Snapshots:
    """Return the snapshots of this door, whether it takes any or not."""
    return Snapshots(
        config.store.snapshots,
        KeyFile(key_place(config.store.gallery, config.store.storage_key)),
        most=config.privacy.snapshot_count,
        most_days=config.privacy.snapshot_days,
        room_bytes=config.privacy.snapshot_room_mb * _MEGABYTE,
    )


class SnapshotTaker:
    """Keeps a picture of those decisions of which the configuration asks for one."""

    def __init__(self, config: DoorConfig) -> None:
        self._outcomes = _PICTURED[config.privacy.snapshots]
        self._snapshots = snapshots_of(config)

    def __call__(self, seq: int, decision: Decision, pixels: PixelArray) -> bool:
        """Keep *pixels*, (H, W, 3) uint8 RGB, of the decision that `Audit.record` numbered *seq*.

        Call it after the relay was told: it writes to the disk. It raises nothing.

        Returns: whether the picture was kept.
        """
        if decision.outcome not in self._outcomes:
            return False
        return self._snapshots.keep(seq, decision.subject_id, pixels, datetime.now(UTC))


def retain_events(config: DoorConfig, audit: Audit, now: datetime) -> int:
    """Let go of audit events whose time is over; return how many went.

    Raises:
        AuditError: if the audit cannot be written.
    """
    days, megabytes = config.privacy.audit_days, config.privacy.audit_mb
    since_utc = now - timedelta(days=days) if days else None
    return audit.retain(since_utc=since_utc, most_bytes=megabytes * _MEGABYTE)


def retain_snapshots(config: DoorConfig, now: datetime) -> None:
    """Erase snapshots whose time is over; where that fails, the log says so."""
    try:
        snapshots_of(config).prune(now)
    except GalleryError as exc:
        log.warning("%s", exc)


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
