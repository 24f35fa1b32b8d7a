"""The tables of the gallery, and how those of earlier releases become them."""

from __future__ import annotations

import numpy as np

from edge.errors import GalleryError
from edge.stores.store import Layout

VECTOR_TYPE = np.dtype("<f4")

LAYOUT = Layout(
    noun="gallery",
    application_id=0x4A616E47,  # "JanG"
    migrations=(
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
    ),
    error=GalleryError,
    if_absent="`janus enrol NAME PHOTO` makes it",
    if_damaged="move it away, then restore a backup or enrol again (`janus enrol`)",
)
