"""Another storage key for everything that one seals, without a moment at which nothing opens.

The key file holds both keys first, the new one on top; then the gallery's keys are sealed anew in
one transaction, then the snapshots one by one; at last the old key leaves the file. Whatever ends
it early, the file holds what opens each part, and the next rotation finishes this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.errors import GalleryError
from edge.stores.gallery_layout import gallery_layout
from edge.stores.keyfile import KeyFile, is_credential, key_place
from edge.stores.naming import folded
from edge.stores.sealing import NAME, StorageKey
from edge.stores.snapshots import Snapshots
from edge.stores.store import BUSY_S, Database, Store
from edge.stores.subjects import Subjects


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did; ``leftover`` keys are still in a credential, to be taken out by hand."""

    key_id: str
    subjects: int
    snapshots: int
    leftover: int


def rotate(gallery: Path, key: Path | None, snapshots: Snapshots | None) -> Rotated:
    """Seal everything by a new key; a rotation that was cut short is finished instead.

    Raises:
        GalleryError: if the key cannot be replaced or a store not be written; run it again then.
    """
    keys = KeyFile(key_place(gallery, key))
    held = keys.read()
    fixed = is_credential(keys.path)
    if len(held) == 1:
        if fixed:
            raise GalleryError(
                f"{keys.path} is a credential, which only systemd replaces: put the line that "
                "`janus keys storage --print` shows above the present one, load the credential "
                "again, and rotate again"
            )
        held = (StorageKey.new(), *held)
        keys.write(held)
    newest = held[0]
    subjects = 0
    if gallery.exists():
        with _Rewrapping(gallery, keys) as store:
            subjects = store.rewrap(newest)
    resealed = snapshots.reseal() if snapshots is not None else 0
    if not fixed:
        keys.write((newest,))
    return Rotated(newest.key_id, subjects, resealed, len(held) - 1 if fixed else 0)


class _Rewrapping(Store):
    """The gallery, whose subjects' keys get another storage key."""

    def __init__(self, path: Path, keys: KeyFile) -> None:
        self._database = Database(path, gallery_layout(keys), create=False, busy_s=BUSY_S)
        self._subjects = Subjects(self._database, keys)

    def rewrap(self, newest: StorageKey) -> int:
        """Seal every subject's key by *newest*, all of them or none; return how many there are."""
        with self._database.writing() as rows:
            old = self._subjects.storage_key(rows)
            found = rows.execute(
                "SELECT slot, subject.subject_id, key, name FROM subject "
                "JOIN subject_key USING (slot)"
            ).fetchall()
            for slot, subject_id, sealed, sealed_name in found:
                key = self._subjects.unwrapped(sealed, subject_id, old)
                name = key.open_row(sealed_name, NAME)
                if name is None:
                    raise self._database.damaged(f"the name of subject {subject_id} does not open")
                rows.execute(
                    "UPDATE subject_key SET name_tag = ?, key = ? WHERE slot = ?",
                    (newest.name_tag(folded(name.decode())), key.wrapped(newest), slot),
                )
            rows.execute("UPDATE model SET key_id = ?", (newest.key_id,))
        self._database.empty_log()
        return len(found)
