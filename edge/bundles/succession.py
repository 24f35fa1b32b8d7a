"""Prepare a gallery for another model, and let go of models that nobody returns to.

Everything here leaves the references of the model in use as they are, so a door may run meanwhile,
and whatever ends it early, the gallery serves the old model as before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from edge.errors import GalleryModelMismatchError
from edge.stores.gallery_layout import NO_TRACES, TRACES_IN_FILE, VECTOR_TYPE, gallery_layout
from edge.stores.keyfile import KeyFile, key_place
from edge.stores.naming import folded
from edge.stores.sealing import CROP, VECTOR
from edge.stores.store import BUSY_S, Database, Store
from edge.stores.subjects import Subjects
from edge.vocabulary import CROP_SIZE_PX, Embedding, PixelArray

_CROP_SHAPE = (CROP_SIZE_PX, CROP_SIZE_PX, 3)
_UNPREPARED = (
    "SELECT crop_id, subject_id, pixels FROM crop WHERE alignment = ? AND crop_id NOT IN "
    "(SELECT crop_id FROM reference WHERE model_id = ? AND crop_id IS NOT NULL)"
)
# The models that nobody returns to.
_OTHERS = (
    "SELECT model_id FROM known_model WHERE model_id NOT IN (SELECT model_id FROM model) "
    "AND model_id NOT IN (SELECT value FROM json_each(?))"
)


class Succession(Store):
    """The gallery at *path* while one model follows another; `close` may be called twice.

    Args:
        path: an existing gallery.
        key: the file of its storage key; None: as `edge.gallery.GalleryStore` finds it.

    Raises:
        GalleryError: if the file is absent, damaged, locked or unreadable.
    """

    def __init__(self, path: Path, *, key: Path | None = None) -> None:
        keys = KeyFile(key_place(path, key))
        self._database = Database(path, gallery_layout(keys), create=False, busy_s=BUSY_S)
        self._subjects = Subjects(self._database, keys)

    def prepare(
        self, model_id: str, alignment: str, embed: Callable[[PixelArray], Embedding]
    ) -> int:
        """Make the gallery one of *model_id* too: every kept crop gets a reference by it.

        Args:
            model_id: the new model.
            alignment: the geometry that it expects; crops of another are left out.
            embed: (112, 112, 3) uint8 RGB → its embedding by the new model.

        Returns: how many references were added.

        Raises:
            GalleryModelMismatchError: if *embed* is another model's.
            GalleryError: if the store cannot be read or written; it is then as it was.
        """
        with self._database.reading() as rows:
            by = self._subjects.storage_key(rows)
            # Outside the writing: embedding takes long, and the door must be able to write.
            made = []
            for crop_id, subject_id, sealed in rows.execute(_UNPREPARED, (alignment, model_id)):
                key = self._subjects.key_of(rows, subject_id, by)
                vector = self._vector(embed, key.open_row(sealed, CROP), model_id)
                made.append((crop_id, len(vector), key.seal_row(vector, VECTOR, model_id)))
        with self._database.writing() as rows:
            rows.execute("INSERT OR IGNORE INTO known_model VALUES (?, 0)", (model_id,))
            added = 0
            for crop_id, _, vector in made:
                # Whoever was forgotten meanwhile has no crop any more, and stays forgotten.
                added += rows.execute(
                    "INSERT INTO reference (subject_id, vector, enrolled_on, model_id, crop_id) "
                    "SELECT subject_id, ?, (SELECT min(enrolled_on) FROM reference "
                    "WHERE crop_id = crop.crop_id), ?, crop_id FROM crop WHERE crop_id = ?",
                    (vector, model_id, crop_id),
                ).rowcount
            if made:
                size = made[0][1] // VECTOR_TYPE.itemsize
                rows.execute("UPDATE known_model SET size = ? WHERE model_id = ?", (size, model_id))
                rows.execute("UPDATE model SET size = ? WHERE model_id = ?", (size, model_id))
        return added

    def left_out(self, model_id: str, alignment: str) -> tuple[str, ...]:
        """Return the names of those who could have no reference by *model_id*, crops counted."""
        with self._database.reading() as rows:
            names = self._subjects.names(rows)
            found = rows.execute(
                "SELECT subject_id FROM subject WHERE subject_id NOT IN "
                "(SELECT subject_id FROM reference WHERE model_id = ?) AND subject_id NOT IN "
                "(SELECT subject_id FROM crop WHERE alignment = ?)",
                (model_id, alignment),
            )
            return tuple(sorted((names[each] for (each,) in found), key=folded))

    def retain(self, model_ids: Collection[str]) -> int:
        """Erase the references of every model but *model_ids* and the one in use.

        Returns: how many references were erased.

        Raises:
            GalleryError: if the store cannot be written.
        """
        kept = json.dumps(sorted(model_ids))
        with self._database.writing() as rows:
            others = [model_id for (model_id,) in rows.execute(_OTHERS, (kept,))]
            erased = 0
            for each in others:
                found = rows.execute("DELETE FROM reference WHERE model_id = ?", (each,))
                erased += found.rowcount
                rows.execute("DELETE FROM known_model WHERE model_id = ?", (each,))
            if erased:
                rows.execute("UPDATE model SET traces = ?", (TRACES_IN_FILE,))
        if erased:
            self._database.vacuum()
            with self._database.writing() as rows:
                rows.execute("UPDATE model SET traces = ?", (NO_TRACES,))
        return erased

    def _vector(
        self, embed: Callable[[PixelArray], Embedding], pixels: bytes | None, model_id: str
    ) -> bytes:
        if pixels is None or len(pixels) != np.prod(_CROP_SHAPE):
            raise self._database.damaged("a kept crop does not open as one of 112 x 112 pixels")
        embedding = embed(np.frombuffer(pixels, np.uint8).reshape(_CROP_SHAPE).copy())
        if embedding.model_id != model_id:
            raise GalleryModelMismatchError(gallery_model=model_id, loaded_model=embedding.model_id)
        return embedding.vector.astype(VECTOR_TYPE).tobytes()
