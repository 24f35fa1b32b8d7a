"""The tables of the gallery, and how those of earlier releases become them."""

from __future__ import annotations

import sqlite3

import numpy as np

from edge.errors import GalleryError
from edge.stores.keyfile import KeyFile
from edge.stores.sealing import CROP, NAME, VECTOR, StorageKey, SubjectKey
from edge.stores.store import Layout

VECTOR_TYPE = np.dtype("<f4")
# What `traces` in the table `model` says is still to be wiped.
NO_TRACES, TRACES_IN_LOG, TRACES_IN_FILE = 0, 1, 2

PLAIN = (
    (
        # One row. `model_id` is empty until the gallery is bound, `size` (the embedding's
        # length D) is 0 until somebody is enrolled; `traces` is 1 from the deletion of a
        # subject until the file has been rewritten.
        """CREATE TABLE model (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            model_id TEXT NOT NULL,
            size INTEGER NOT NULL,
            traces INTEGER NOT NULL)""",
        "INSERT INTO model VALUES (1, '', 0, 0)",
        """CREATE TABLE subject (
            subject_id TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL,
            folded_name TEXT NOT NULL UNIQUE,
            enrolled_on TEXT NOT NULL)""",
        """CREATE TABLE reference (
            reference_id INTEGER PRIMARY KEY,
            subject_id TEXT NOT NULL REFERENCES subject ON DELETE CASCADE,
            vector BLOB NOT NULL,
            enrolled_on TEXT NOT NULL)""",
        "CREATE INDEX reference_of_subject ON reference (subject_id)",
    ),
    (
        # `model` stays the one in use. Each reference belongs to one of the known models, so
        # that a new encoder's lie beside the old one's until nobody can return to that.
        "CREATE TABLE known_model (model_id TEXT NOT NULL PRIMARY KEY, size INTEGER NOT NULL)",
        "INSERT INTO known_model SELECT model_id, size FROM model WHERE model_id != ''",
        # (112, 112, 3) uint8 RGB, row by row; `alignment` is the geometry that cut it.
        """CREATE TABLE crop (
            crop_id INTEGER PRIMARY KEY,
            subject_id TEXT NOT NULL REFERENCES subject ON DELETE CASCADE,
            alignment TEXT NOT NULL,
            pixels BLOB NOT NULL)""",
        "CREATE INDEX crop_of_subject ON crop (subject_id)",
        "ALTER TABLE reference ADD COLUMN model_id TEXT NOT NULL DEFAULT ''",
        "UPDATE reference SET model_id = (SELECT model_id FROM model)",
        "ALTER TABLE reference ADD COLUMN crop_id INTEGER REFERENCES crop ON DELETE CASCADE",
        "CREATE INDEX reference_of_crop ON reference (crop_id)",
    ),
)

_SEALED_TABLES = (
    # Rows of this table are added at the end, overwritten in place and never removed: SQLite moves
    # none of them to another page, so that an overwritten key is nowhere else in the file. The id
    # is that of the subject, `key` its key sealed by the storage key, `name_tag` tells which name.
    """CREATE TABLE subject_key (
        slot INTEGER PRIMARY KEY,
        subject_id TEXT NOT NULL,
        name_tag BLOB NOT NULL,
        key BLOB NOT NULL)""",
    # `name` and `consent` are sealed by the subject's key, as are `vector` and `pixels` below.
    """CREATE TABLE sealed_subject (
        subject_id TEXT NOT NULL PRIMARY KEY,
        slot INTEGER NOT NULL REFERENCES subject_key,
        name BLOB NOT NULL,
        consent BLOB,
        enrolled_on TEXT NOT NULL)""",
    """CREATE TABLE sealed_crop (
        crop_id INTEGER PRIMARY KEY,
        subject_id TEXT NOT NULL REFERENCES sealed_subject ON DELETE CASCADE,
        alignment TEXT NOT NULL,
        pixels BLOB NOT NULL)""",
    """CREATE TABLE sealed_reference (
        reference_id INTEGER PRIMARY KEY,
        subject_id TEXT NOT NULL REFERENCES sealed_subject ON DELETE CASCADE,
        vector BLOB NOT NULL,
        enrolled_on TEXT NOT NULL,
        model_id TEXT NOT NULL,
        crop_id INTEGER REFERENCES sealed_crop ON DELETE CASCADE)""",
    # Backups that Janus made, so that `janus forget` finds them.
    """CREATE TABLE backup (
        backup_id TEXT NOT NULL,
        path TEXT NOT NULL,
        made_on TEXT NOT NULL,
        PRIMARY KEY (backup_id, path))""",
    # Which storage key seals; empty only within the migration that follows.
    "ALTER TABLE model ADD COLUMN key_id TEXT NOT NULL DEFAULT ''",
)
_SEALED_INSTEAD = (
    "DROP TABLE reference",
    "DROP TABLE crop",
    "DROP TABLE subject",
    "ALTER TABLE sealed_subject RENAME TO subject",
    "ALTER TABLE sealed_crop RENAME TO crop",
    "ALTER TABLE sealed_reference RENAME TO reference",
    "CREATE INDEX reference_of_subject ON reference (subject_id)",
    "CREATE INDEX crop_of_subject ON crop (subject_id)",
    "CREATE INDEX reference_of_crop ON reference (crop_id)",
)


def gallery_layout(keys: KeyFile) -> Layout:
    """Return the gallery's layout; what an earlier release stored openly is sealed by *keys*."""

    def seal(rows: sqlite3.Connection) -> None:
        _seal_everything(rows, keys.newest())

    return Layout(
        noun="gallery",
        application_id=0x4A616E47,  # "JanG"
        migrations=(*PLAIN, (*_SEALED_TABLES, seal, *_SEALED_INSTEAD)),
        error=GalleryError,
        if_absent="`janus enrol NAME PHOTO` makes it",
        if_damaged=(
            "move it away, then restore a backup (`janus restore`) or enrol again (`janus enrol`)"
        ),
    )


def _seal_everything(rows: sqlite3.Connection, by: StorageKey) -> None:
    """Copy what lies open into the sealed tables; the open rows are wiped at the next opening."""
    people = rows.execute("SELECT subject_id, name, folded_name, enrolled_on FROM subject")
    for slot, (subject_id, name, folded_name, enrolled_on) in enumerate(people.fetchall(), 1):
        key = SubjectKey.new(subject_id)
        rows.execute(
            "INSERT INTO subject_key VALUES (?, ?, ?, ?)",
            (slot, subject_id, by.name_tag(folded_name), key.wrapped(by)),
        )
        rows.execute(
            "INSERT INTO sealed_subject VALUES (?, ?, ?, NULL, ?)",
            (subject_id, slot, key.seal_row(_bytes(name), NAME), enrolled_on),
        )
        crops = rows.execute(
            "SELECT crop_id, alignment, pixels FROM crop WHERE subject_id = ?", (subject_id,)
        )
        for crop_id, alignment, pixels in crops:
            rows.execute(
                "INSERT INTO sealed_crop VALUES (?, ?, ?, ?)",
                (crop_id, subject_id, alignment, key.seal_row(_bytes(pixels), CROP)),
            )
        references = rows.execute(
            "SELECT reference_id, vector, enrolled_on, model_id, crop_id FROM reference "
            "WHERE subject_id = ?",
            (subject_id,),
        )
        for reference_id, vector, on, model_id, crop_id in references:
            rows.execute(
                "INSERT INTO sealed_reference VALUES (?, ?, ?, ?, ?, ?)",
                (
                    reference_id,
                    subject_id,
                    key.seal_row(_bytes(vector), VECTOR, model_id),
                    on,
                    model_id,
                    crop_id,
                ),
            )
    rows.execute("UPDATE model SET key_id = ?", (by.key_id,))
    rows.execute(
        "UPDATE model SET traces = ? WHERE traces OR EXISTS (SELECT 1 FROM subject)",
        (TRACES_IN_FILE,),
    )


def _bytes(value: object) -> bytes:
    """Return a column as bytes; what a damaged one holds is refused when it is read again."""
    return value if isinstance(value, bytes) else str(value).encode()
