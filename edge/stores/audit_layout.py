"""The table of the audit, and the triggers that keep any program from changing it."""

from __future__ import annotations

from edge.errors import AuditError
from edge.stores.store import Layout

RETENTION = "retention"
# What an event of that kind says: all events up to this number were removed, and the last of them
# had this hash. It stands in the chain like any other, so it can be altered no more than they can.
REMOVED_THROUGH, LAST_HASH = "removed_through", "last_hash"

# The statements below are put together of these constants.
# ruff: noqa: S608
_REFUSE = "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"

AUDIT_LAYOUT = Layout(
    noun="audit",
    application_id=0x4A616E41,  # "JanA"
    migrations=(
        (
            """CREATE TABLE event (
                seq INTEGER PRIMARY KEY,
                at_utc TEXT NOT NULL,
                kind TEXT NOT NULL,
                facts TEXT NOT NULL,
                hash TEXT NOT NULL)""",
            "CREATE INDEX event_at ON event (at_utc)",
            f"CREATE TRIGGER event_is_not_altered BEFORE UPDATE ON event {_REFUSE}",
            f"CREATE TRIGGER event_is_not_removed BEFORE DELETE ON event {_REFUSE}",
            # Also stops INSERT OR REPLACE, which removes rows without the trigger above.
            f"""CREATE TRIGGER event_comes_last BEFORE INSERT ON event
                WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM event) {_REFUSE}""",
        ),
        (
            # The oldest events may go, once an event says that they do.
            f"CREATE INDEX event_retention ON event (seq) WHERE kind = '{RETENTION}'",
            "DROP TRIGGER event_is_not_removed",
            f"""CREATE TRIGGER event_is_not_removed BEFORE DELETE ON event
                WHEN NOT EXISTS (SELECT 1 FROM event WHERE kind = '{RETENTION}'
                    AND json_extract(facts, '$.{REMOVED_THROUGH}') >= OLD.seq) {_REFUSE}""",
        ),
    ),
    error=AuditError,
    if_absent="`janus run` and `janus enrol` begin it",
    if_damaged="keep it as evidence: move it away, and a new one begins",
)
