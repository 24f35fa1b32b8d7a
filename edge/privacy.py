"""What the configured door keeps of people, and for how long."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from edge.audit import Audit
from edge.config import DoorConfig
from edge.errors import GalleryError
from edge.stores.keyfile import KeyFile, key_place
from edge.stores.snapshots import Snapshots
from edge.vocabulary import Decision, Outcome, PixelArray

log = logging.getLogger("janus")

_MEGABYTE = 1_000_000
_PICTURED = {"none": set(), "refused": {Outcome.DENY}, "all": {Outcome.DENY, Outcome.GRANT}}


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
