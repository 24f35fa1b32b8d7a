"""The table of what is asked of people, and how long anything is kept of them."""

from __future__ import annotations

from dataclasses import dataclass

from edge.config_reading import key


@dataclass(frozen=True, slots=True)
class PrivacyConfig:
    """What is asked of people before they are enrolled, and how long what is recorded stays."""

    require_consent: bool = key(False, "true: `janus enrol` refuses a new person without --consent")
    audit_days: int = key(365, "days that audit events are kept; 0: any", least=0, most=36500)
    audit_mb: int = key(
        256,
        "megabytes of audit events above which the oldest are removed; 0: any",
        least=0,
        most=65536,
    )
    snapshots: str = key(
        "none",
        "pictures of visits, sealed: none, refused (visits that were denied) or all",
        choices=("none", "refused", "all"),
    )
    snapshot_count: int = key(500, "snapshots that are kept", least=1, most=100000)
    snapshot_days: int = key(30, "days that a snapshot is kept", least=1, most=3650)
    snapshot_room_mb: int = key(
        500,
        "megabytes that must be free for a snapshot: the audit comes first",
        least=10,
        most=65536,
    )
