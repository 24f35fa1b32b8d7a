"""References of enrolled subjects in one SQLite file, each bound to the model that made it.

One model is in use at a time. `edge.bundles.succession` prepares the file for another, whose
references then lie beside the first one's: a door never sees references of two models, nor of the
wrong one.

Names, references and crops are sealed (`edge.stores.sealing`). A forgotten subject's key is
overwritten where it lies, and the write-ahead log is emptied before `forget` returns: whatever
sealed bytes SQLite leaves in a page, nothing opens them any more (docs/privacy.md says why).
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edge.errors import GalleryError, GalleryModelMismatchError
from edge.stores.gallery_layout import (
    NO_TRACES,
    TRACES_IN_FILE,
    TRACES_IN_LOG,
    VECTOR_TYPE,
    gallery_layout,
)
from edge.stores.keyfile import KeyFile, key_place
from edge.stores.naming import spelling
from edge.stores.sealing import CROP, VECTOR, StorageKey, SubjectKey
from edge.stores.store import BUSY_S, Database, Store
from edge.stores.subjects import Person, Subjects
from edge.vocabulary import Embedding, FloatArray, Gallery, PixelArray

# Twice that of vocabulary.Embedding: what could be enrolled can be loaded, whatever the rounding.
_UNIT_TOLERANCE = 2e-3

log = logging.getLogger("janus")


class GalleryStore(Store):
    """The gallery on the disk; `close` may be called twice.

    Args:
        path: the SQLite file.
        model_id: the model whose embeddings are used; a new gallery is made and bound to it. A
            gallery of another model is bound anew if it was prepared for this one, or if nobody is
            enrolled in it, for then nothing is lost. None opens an existing gallery of whatever
            model, to list and forget people.
        key: the file of the storage key; None: the systemd credential if there is one, else
            `storage.key` beside the gallery, which is made with a new gallery.
        busy_s: how long to wait for another program's lock.

    Raises:
        GalleryModelMismatchError: if people are enrolled with another model.
        GalleryError: if the file is absent (model_id None only), damaged, locked or unreadable, or
            the storage key is not the one that sealed it.
    """

    def __init__(
        self,
        path: Path,
        model_id: str | None,
        *,
        key: Path | None = None,
        busy_s: float = BUSY_S,
    ) -> None:
        keys = KeyFile(key_place(path, key))
        layout = gallery_layout(keys)
        self._database = Database(path, layout, create=model_id is not None, busy_s=busy_s)
        self._subjects = Subjects(self._database, keys)
        # The version of the file that `load` has seen last; None: this object changed it since.
        self._loaded_version: int | None = None
        try:
            self.model_id = self._bind(model_id)
            with self._database.reading() as rows:
                self._subjects.storage_key(rows)  # without it, nobody could be told from anybody
            self._finish_forgetting()
        except BaseException:
            self.close()
            raise

    def enrol(
        self,
        name: str,
        embeddings: Sequence[Embedding],
        *,
        crops: Sequence[PixelArray] = (),
        alignment: str = "",
        consent: str = "",
    ) -> str:
        """Add references to the subject of that name, new or known: all of them or none.

        Args:
            name: 1 to 100 characters; compared without regard to case.
            embeddings: one or more references, by this gallery's model.
            crops: the aligned faces behind them, (112, 112, 3) uint8 RGB each, where the site
                chose to keep them; else none.
            alignment: the id of the geometry that cut the crops.
            consent: what is to be recorded of the person's consent; empty leaves what there is.

        Returns: the subject's id, 8 hexadecimal digits that say nothing about the person.

        Raises:
            EnrolmentError: if the name cannot be used.
            GalleryModelMismatchError: if an embedding is another model's.
            GalleryError: if the store cannot be written; it is then as it was.
        """
        spelling(name)  # raises before anything is written
        vectors = [self._encoded(each) for each in embeddings]
        if len({len(each) for each in vectors}) != 1:
            raise GalleryError(
                f"{len(vectors)} references of {sorted({each.vector.size for each in embeddings})} "
                "values cannot be enrolled; pass one or more of one length"
            )
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._database.writing() as rows:
            self._require_size(rows, len(vectors[0]) // VECTOR_TYPE.itemsize)
            subject_id, key = self._subjects.add(rows, name, now=now, consent=consent)
            kept: list[int | None] = [
                _keep(rows, subject_id, key, alignment, each) for each in crops
            ]
            rows.executemany(
                "INSERT INTO reference (subject_id, vector, enrolled_on, model_id, crop_id) "
                "VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        subject_id,
                        key.seal_row(vector, VECTOR, self.model_id),
                        now,
                        self.model_id,
                        crop_id,
                    )
                    for vector, crop_id in zip(vectors, kept or [None] * len(vectors), strict=True)
                ],
            )
        self._loaded_version = None
        return subject_id

    def forget(self, name: str) -> int:
        """Erase a subject, every reference of any model and every crop.

        Returns: how many references of the model in use there were.

        Raises:
            GalleryError: if nobody has that name (the message names the nearest), or the store
                cannot be written, or traces cannot be wiped yet; the message says which.
        """
        with self._database.writing() as rows:
            person = self._subjects.find(rows, name)
            self._subjects.erase(rows, person.subject_id)
            rows.execute("UPDATE model SET traces = max(traces, ?)", (TRACES_IN_LOG,))
        self._loaded_version = None
        try:
            self.wipe()
        except GalleryError as exc:
            raise GalleryError(
                f"{person.name} is deleted and opens no door any more, but traces are still in "
                f"the file: {exc}. The next `janus people` wipes them"
            ) from exc
        return person.references

    def find(self, name: str) -> Person:
        """Return the subject of that name, compared without regard to case.

        Raises:
            GalleryError: if there is none; the message names the nearest.
        """
        with self._database.reading() as rows:
            return self._subjects.find(rows, name)

    def marks(self, person: Person) -> tuple[bytes, ...]:
        """Return the bytes that must be nowhere on the disk once *person* is forgotten."""
        with self._database.reading() as rows:
            return self._subjects.marks(rows, person.subject_id)

    def people(self) -> tuple[Person, ...]:
        """Return everybody who is enrolled, by name."""
        with self._database.reading() as rows:
            return self._subjects.everybody(rows)

    def names(self) -> dict[str, str]:
        """Return the name of each subject id."""
        with self._database.reading() as rows:
            return self._subjects.names(rows)

    def load(self) -> Gallery:
        """Return every reference, each checked; (0, 0) if nobody is enrolled.

        Raises:
            GalleryModelMismatchError: if another program bound the gallery to another model.
            GalleryError: if a reference is damaged, or the store cannot be read.
        """
        with self._database.reading() as rows:
            # First in the transaction: a change after this is one that `changed` will report.
            version = _version(rows)
            size = self._bound_size(rows)
            by = self._subjects.storage_key(rows)
            found = rows.execute(_REFERENCES, (self.model_id,)).fetchall()
        gallery = Gallery(
            model_id=self.model_id,
            subject_ids=tuple(subject_id for subject_id, _, _ in found),
            matrix=self._decoded(found, size, by),
        )
        self._loaded_version = version
        return gallery

    def changed(self) -> bool:
        """Tell whether `load` would return something else than it did last; costs microseconds."""
        with self._database.reading() as rows:
            return _version(rows) != self._loaded_version

    def _bind(self, model_id: str | None) -> str:
        """Return the model that this gallery is bound to from now on."""
        with self._database.reading() as rows:
            bound = str(self._model(rows)[0])
        if bound and model_id in {None, bound}:
            return bound
        if model_id is None:
            raise self._database.absent()  # its making was cut short: nobody was ever enrolled
        with self._database.writing() as rows:
            bound, _, _ = self._model(rows)
            if bound != model_id:  # another program may have bound it meanwhile
                known = rows.execute(
                    "SELECT size FROM known_model WHERE model_id = ?", (model_id,)
                ).fetchone()
                if known is None and rows.execute("SELECT 1 FROM reference").fetchone():
                    raise GalleryModelMismatchError(gallery_model=bound, loaded_model=model_id)
                if known is None:
                    rows.execute("DELETE FROM known_model")  # of nobody any more
                    rows.execute("INSERT INTO known_model VALUES (?, 0)", (model_id,))
                size = 0 if known is None else known[0]
                rows.execute("UPDATE model SET model_id = ?, size = ?", (model_id, size))
        return model_id

    def _model(self, rows: sqlite3.Connection) -> tuple[str, int, int]:
        row = rows.execute("SELECT model_id, size, traces FROM model").fetchone()
        if row is None:
            raise self._database.damaged("it does not say which model made it")
        return row[0], row[1], row[2]

    def _bound_size(self, rows: sqlite3.Connection) -> int:
        """Return the embedding's length, 0 while unknown, after a check of the model."""
        model_id, size, _ = self._model(rows)
        if model_id != self.model_id:
            raise GalleryModelMismatchError(gallery_model=model_id, loaded_model=self.model_id)
        return size

    def _require_size(self, rows: sqlite3.Connection, size: int) -> None:
        bound = self._bound_size(rows)
        if bound not in {0, size}:
            raise GalleryError(
                f"a reference of {size} values does not fit this gallery, whose references have "
                f"{bound}; the model id is the same, so report this as a defect"
            )
        rows.execute("UPDATE model SET size = ?", (size,))
        rows.execute("UPDATE known_model SET size = ? WHERE model_id = ?", (size, self.model_id))

    def _encoded(self, embedding: Embedding) -> bytes:
        if embedding.model_id != self.model_id:
            raise GalleryModelMismatchError(
                gallery_model=self.model_id, loaded_model=embedding.model_id
            )
        return embedding.vector.astype(VECTOR_TYPE).tobytes()

    def _decoded(
        self, found: Sequence[tuple[str, bytes, bytes]], size: int, by: StorageKey
    ) -> FloatArray:
        """Return (N, size) float32 unit rows, or say whose row is not one."""
        vectors = []
        key, key_is_of = None, ""
        for subject_id, sealed, vector in found:
            if key is None or subject_id != key_is_of:  # a subject's rows follow one another
                key, key_is_of = self._subjects.unwrapped(sealed, subject_id, by), subject_id
            plain = key.open_row(vector, VECTOR, self.model_id)
            if plain is None or len(plain) != size * VECTOR_TYPE.itemsize:
                raise self._database.damaged(
                    f"a reference of subject {subject_id} does not open as one of {size} values"
                )
            vectors.append(plain)
        joined = np.frombuffer(b"".join(vectors), dtype=VECTOR_TYPE)
        matrix = joined.reshape(len(found), size).astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
        # `<=` is false for NaN too.
        unfit = np.flatnonzero(~(np.abs(lengths - 1.0) <= _UNIT_TOLERANCE))
        if unfit.size:
            raise self._database.damaged(
                f"a reference of subject {found[unfit[0]][0]} is not of unit length"
            )
        return matrix

    def wipe(self, *, rewrite: bool = False) -> None:
        """Let nothing deleted remain in the log, nor, where the file is rewritten, in the file.

        Raises:
            GalleryError: if another program or a full disk is in the way.
        """
        with self._database.reading() as rows:
            _, _, traces = self._model(rows)
        if rewrite or traces == TRACES_IN_FILE:
            self._database.vacuum()
        else:
            self._database.empty_log()

    def _finish_forgetting(self) -> None:
        """Wipe what a `forget` that was cut short, or an unsealed gallery, left behind."""
        with self._database.reading() as rows:
            _, _, traces = self._model(rows)
        if traces != NO_TRACES:
            try:
                self.wipe()
                # Only here: `forget` saves a write, and to empty an empty log again costs nothing.
                with self._database.writing() as rows:
                    rows.execute("UPDATE model SET traces = ?", (NO_TRACES,))
            except GalleryError as exc:
                log.warning("traces of a forgotten subject cannot be wiped yet: %s", exc)


_REFERENCES = (
    "SELECT subject.subject_id, key, vector FROM reference "
    "JOIN subject ON subject.subject_id = reference.subject_id JOIN subject_key USING (slot) "
    "WHERE model_id = ? ORDER BY subject.subject_id, reference_id"
)


def _keep(
    rows: sqlite3.Connection, subject_id: str, key: SubjectKey, alignment: str, crop: PixelArray
) -> int:
    """Store one crop and return its id."""
    kept = rows.execute(
        "INSERT INTO crop (subject_id, alignment, pixels) VALUES (?, ?, ?)",
        (subject_id, alignment, key.seal_row(crop.tobytes(), CROP)),
    )
    return int(kept.lastrowid or 0)


def _version(rows: sqlite3.Connection) -> int:
    """Return a number that differs after another connection's commit."""
    (version,) = rows.execute("PRAGMA data_version").fetchone()
    return int(version)
