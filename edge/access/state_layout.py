"""The tables of what the gate remembers."""

from __future__ import annotations

from edge.errors import AccessError
from edge.stores.store import Layout

LAYOUT = Layout(
    noun="access state",
    application_id=0x4A616E50,  # "JanP"
    migrations=(
        (
            # `proven_in` is the run of the machine in which the subject entered the PIN last.
            """CREATE TABLE pin (
                subject_id TEXT NOT NULL PRIMARY KEY,
                salt BLOB NOT NULL,
                digest BLOB NOT NULL,
                duress BLOB,
                memory_kib INTEGER NOT NULL,
                passes INTEGER NOT NULL,
                proven_in TEXT NOT NULL)""",
            # `who` is "door", "visitor 7" (a track of the running program) or "subject 3f2a9c01".
            # `left_s` of the pause were left at `written_s` in run `boot_id`; -1: an operator.
            """CREATE TABLE attempt (
                who TEXT NOT NULL PRIMARY KEY,
                failures INTEGER NOT NULL,
                left_s REAL NOT NULL,
                written_s REAL NOT NULL,
                boot_id TEXT NOT NULL)""",
            # Entries and, with subject_id NULL, exits, in their order; `age_s` at `written_s`.
            """CREATE TABLE passage (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                subject_id TEXT,
                age_s REAL NOT NULL,
                written_s REAL NOT NULL,
                boot_id TEXT NOT NULL)""",
            # On which local day a member of a group that others wait for entered.
            """CREATE TABLE first_in (
                group_name TEXT NOT NULL,
                local_day TEXT NOT NULL,
                seq INTEGER NOT NULL,
                PRIMARY KEY (group_name, seq))""",
        ),
    ),
    error=AccessError,
    if_absent="`janus run` and `janus pins set` make it",
    if_damaged="move it away, restore a backup or set the PINs again (`janus pins set`)",
)
