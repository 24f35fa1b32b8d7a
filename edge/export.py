"""Everything that is kept of one person, in files that the person can read."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from edge.audit import Audit
from edge.config import DoorConfig
from edge.errors import GalleryError
from edge.privacy import snapshots_of
from edge.stores.directory import write_directory
from edge.stores.gallery_layout import VECTOR_TYPE, gallery_layout
from edge.stores.keyfile import KeyFile, key_place
from edge.stores.sealing import CROP, VECTOR
from edge.stores.store import BUSY_S, Database, Store
from edge.stores.subjects import Person, Subjects
from edge.vocabulary import CROP_SIZE_PX

_FILE = "person.json"


def export_person(
    config: DoorConfig, person: Person, audit: Audit, directory: Path
) -> tuple[str, ...]:
    """Write person.json, the kept crops and the snapshots into the new *directory*.

    Returns: the names of the files.

    Raises:
        GalleryError: if there is something already, or something kept does not open.
        BundleError: if the files cannot be written.
    """
    if directory.exists():
        raise GalleryError(f"{directory} exists already; choose another name")
    with _Kept(config) as kept:
        references, files = kept.references(person), kept.crops(person)
    snapshots = snapshots_of(config)
    for each in snapshots.all():
        if each.subject_id == person.subject_id:
            files[f"visit-{each.seq}.jpg"] = snapshots.open(each)
    record = {
        **asdict(person),
        "references": references,
        "events": [asdict(event) for event in audit.events_of(person.subject_id)],
    }
    files[_FILE] = (json.dumps(record, ensure_ascii=False, indent=2) + "\n").encode()
    write_directory(directory, files)
    directory.chmod(0o700)
    return tuple(sorted(files))


class _Kept(Store):
    """The gallery, as one person's own copy is made of it."""

    def __init__(self, config: DoorConfig) -> None:
        path = config.store.gallery
        keys = KeyFile(key_place(path, config.store.storage_key))
        self._database = Database(path, gallery_layout(keys), create=False, busy_s=BUSY_S)
        self._subjects = Subjects(self._database, keys)

    def references(self, person: Person) -> list[dict[str, object]]:
        """Return every reference of any model: when, by which model, and its numbers in base64."""
        with self._database.reading() as rows:
            key = self._subjects.key_of(rows, person.subject_id, self._subjects.storage_key(rows))
            found = rows.execute(
                "SELECT enrolled_on, model_id, vector FROM reference WHERE subject_id = ? "
                "ORDER BY reference_id",
                (person.subject_id,),
            )
            references: list[dict[str, object]] = []
            for enrolled_on, model_id, sealed in found:
                vector = key.open_row(sealed, VECTOR, model_id)
                if vector is None:
                    raise self._database.damaged(f"a reference of {person.subject_id} is sealed")
                numbers = base64.b64encode(vector).decode()
                references.append(
                    {
                        "enrolled_on": enrolled_on,
                        "model_id": model_id,
                        "type": VECTOR_TYPE.str,
                        "base64": numbers,
                    }
                )
            return references

    def crops(self, person: Person) -> dict[str, bytes]:
        """Return the kept crops as PNG files, by name."""
        files = {}
        with self._database.reading() as rows:
            key = self._subjects.key_of(rows, person.subject_id, self._subjects.storage_key(rows))
            found = rows.execute(
                "SELECT crop_id, pixels FROM crop WHERE subject_id = ? ORDER BY crop_id",
                (person.subject_id,),
            )
            for number, (_, sealed) in enumerate(found, 1):
                pixels = key.open_row(sealed, CROP)
                if pixels is None:
                    raise self._database.damaged(f"a crop of {person.subject_id} does not open")
                rgb = np.frombuffer(pixels, np.uint8).reshape(CROP_SIZE_PX, CROP_SIZE_PX, 3)
                _, coded = cv2.imencode(".png", rgb[:, :, ::-1])
                files[f"crop-{number}.png"] = coded.tobytes()
        return files
