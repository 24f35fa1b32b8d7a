"""Backups: whole, sealed, and true to whoever was forgotten."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
from contextlib import closing

import numpy as np
import pytest

from edge.access.state import AccessStore
from edge.audit import Audit
from edge.cli import build_parser
from edge.commands import backup, people
from edge.commands.backup import back_up as real_back_up
from edge.errors import AuditError, ConfigError, GalleryError
from edge.gallery import GalleryStore
from edge.stores import backup as backups
from edge.stores.backup_file import read_header, read_slots
from edge.vocabulary import Decision, Embedding, Outcome, Reason

MODEL = "a" * 64
PASSPHRASE = "correct horse battery"  # noqa: S105


def embedding(seed):
    vector = np.random.default_rng(seed).standard_normal(32).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), MODEL)


class Site:
    """A door's stores and configuration in a folder, and `janus` run there."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.config = folder / "janus.toml"
        self.config.write_text(
            '[store]\ngallery = "state/gallery.sqlite"\naudit = "state/audit.sqlite"\n'
            'bundles = "state/bundles"\nsnapshots = "state/snapshots"\n'
        )
        self.gallery, self.audit = folder / "state/gallery.sqlite", folder / "state/audit.sqlite"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text(PASSPHRASE + "\n")

    def janus(self, *words):
        commands = (*backup.COMMANDS, *people.COMMANDS)
        if words[0] == "restore" or (words[0] == "backup" and not str(words[1]).startswith("--")):
            words = (*words, "--passphrase-file", self.passphrase)
        arguments = build_parser(commands).parse_args(
            [*map(str, words), "--config", str(self.config)]
        )
        return arguments.run(arguments)

    def enrol(self, *names):
        crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
        with GalleryStore(self.gallery, MODEL) as store:
            for i, name in enumerate(names):
                store.enrol(name, [embedding(i)], crops=[crop], alignment="x/v1", consent="signed")

    def listed(self):
        with backups.BackupLedger(self.gallery) as ledger:
            return ledger.backups()

    def names(self):
        with GalleryStore(self.gallery, None) as store:
            store.load()
            return [person.name for person in store.people()]

    def kinds(self):
        with Audit(self.audit) as audit:
            assert audit.verify() is None
            return [event.kind for event in audit.events()]


@pytest.fixture(autouse=True)
def cheap_passphrases(monkeypatch):
    """A second of scrypt for each backup is for the door, not for each test."""

    def cheap(*arguments):
        return real_back_up(*arguments, cost_log2=10)

    monkeypatch.setattr(backup, "back_up", cheap)


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "site")
    site.enrol("Ada", "Eve", "Zoë")
    with Audit(site.audit) as audit:
        audit.note("start")
    AccessStore(site.folder / "state/access.sqlite").close()
    return site


@pytest.fixture
def file(tmp_path, site):
    """A backup of the site."""
    file = tmp_path / "door.janus"
    assert site.janus("backup", file) == 0
    return file


def test_a_backup_restores_a_lost_door_on_another_machine(tmp_path, file, site, capsys):
    """With nothing but the file and the passphrase: people, consent, audit, access state."""
    other = Site(tmp_path / "other")
    assert other.janus("restore", file, "--yes") == 0
    assert "3 people, the audit, the access state" in capsys.readouterr().out
    assert other.names() == ["Ada", "Eve", "Zoë"]
    with GalleryStore(other.gallery, MODEL) as new, GalleryStore(site.gallery, MODEL) as old:
        np.testing.assert_array_equal(new.load().matrix, old.load().matrix)
        assert new.find("ada").consent == "signed"
    assert other.kinds() == ["start", "backup", "restore"]
    assert (other.folder / "state/access.sqlite").exists()
    keys = [each.folder / "state/storage.key" for each in (site, other)]
    assert keys[0].read_bytes() != keys[1].read_bytes()
    assert {each.stat().st_mode & 0o777 for each in other.gallery.parent.glob("*.sqlite")} == {
        0o600
    }
    assert not list(other.gallery.parent.glob(".janus*"))


def test_nothing_of_a_person_lies_open_in_a_backup(file, site):
    content = file.read_bytes()
    key = (site.folder / "state/storage.key").read_bytes().split()[-1]
    # Not "Ada": three bytes stand in so much ciphertext by chance, now and then.
    for lies_open in (
        "Zoë".encode(),
        b"signed",
        b"SQLite",
        key,
        embedding(0).vector.tobytes()[:16],
    ):
        assert lies_open not in content
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(file.parent.glob(".*"))


def test_what_was_enrolled_since_is_replaced_and_the_audit_is_not(file, site):
    """An audit that goes back in time would hide what happened since."""
    site.enrol("Bob")
    with Audit(site.audit) as audit:
        audit.note("error", number=1)
    assert site.janus("restore", file, "--yes") == 0
    assert site.names() == ["Ada", "Eve", "Zoë"]
    assert site.kinds() == ["start", "backup", "backed up", "error", "restore"]


@pytest.mark.parametrize("which", ["gallery", "audit"])
def test_a_damaged_store_is_replaced_and_kept_as_evidence(file, site, which):
    damaged = getattr(site, which)
    damaged.write_bytes(b"noise" * 4000)
    assert site.janus("restore", file, "--yes") == 0
    assert site.names() == ["Ada", "Eve", "Zoë"]
    assert site.kinds()[-1] == "restore"
    (aside,) = damaged.parent.glob(f"{which}.sqlite.damaged-*")
    assert aside.read_bytes() == b"noise" * 4000


def test_who_is_forgotten_is_erased_from_every_backup(tmp_path, file, site, capsys):
    """Without the passphrase; on any machine; and the file holds the key no more."""
    second = tmp_path / "second.janus"
    site.janus("backup", second)
    with GalleryStore(site.gallery, MODEL) as store:
        ada = store.find("Ada").subject_id
    with file.open("rb") as opened:
        slot = read_slots(opened, read_header(opened, file))[ada]
    assert slot in file.read_bytes()
    assert site.janus("forget", "Ada", "--yes") == 0
    shown = capsys.readouterr().out
    assert f"erased from the backup {file}" in shown
    assert f"erased from the backup {second}" in shown
    assert "key, the name tag and the id in gallery.sqlite" in shown
    for each in (file, second):
        assert slot not in each.read_bytes()
        assert ada.encode() not in each.read_bytes()
        other = Site(tmp_path / f"other-{each.stem}")
        assert other.janus("restore", each, "--yes") == 0
        assert other.names() == ["Eve", "Zoë"]


def test_a_backup_out_of_reach_is_named_and_made_good_for_later(tmp_path, file, site, capsys):
    away = file.rename(tmp_path / "in-a-drawer.janus")
    site.enrol("Bob")
    assert site.janus("forget", "Ada", "--yes") == 4
    said = capsys.readouterr().err
    assert f"the backup {file} of " in said
    assert "may still hold this person (No such file or directory)" in said
    assert site.names() == ["Bob", "Eve", "Zoë"]
    # A copy that Janus never saw still brings back nobody on this door.
    assert site.janus("restore", away, "--yes") == 0
    assert "1 people were forgotten since, and stay so" in capsys.readouterr().out
    assert site.names() == ["Eve", "Zoë"]
    away.rename(file)
    site.janus("forget", "Eve", "--yes")
    with file.open("rb") as opened:
        assert len(read_slots(opened, read_header(opened, file))) == 1, "Ada and Eve are gone"
    assert len(site.listed()) == 2, "where it was made, and where it was found"


def test_the_ledger_lists_backups_and_takes_note_of_what_is_gone(file, site, capsys):
    capsys.readouterr()
    assert site.janus("backup", "--list") == 0
    backup_id, _, path = capsys.readouterr().out.split()
    assert path == str(file)
    file.unlink()
    site.janus("backup", "--list")
    assert "not there now" in capsys.readouterr().out
    assert site.janus("backup", "--gone", backup_id) == 0
    assert site.janus("forget", "Ada", "--yes") == 0
    assert site.janus("backup", "--erase-forgotten") == 0


def test_a_wrong_passphrase_changes_nothing(file, site):
    site.passphrase.write_text("something else entirely\n")
    before = site.gallery.read_bytes()
    with pytest.raises(GalleryError, match="this is not the passphrase"):
        site.janus("restore", file, "--yes")
    assert site.gallery.read_bytes() == before
    assert not list(site.gallery.parent.glob(".janus*"))


@pytest.mark.parametrize("where", [0.02, 0.2, 0.5, 0.9, 0.999])
def test_an_altered_backup_restores_nothing(file, site, where):
    content = bytearray(file.read_bytes())
    content[int(len(content) * where)] ^= 1
    file.write_bytes(content)
    with pytest.raises(GalleryError, match=r"altered|damaged|passphrase|does not open|no backup"):
        site.janus("restore", file, "--yes")
    assert site.names() == ["Ada", "Eve", "Zoë"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.99])
def test_a_backup_that_was_cut_off_restores_nothing(file, site, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(GalleryError, match=r"cut off|damaged"):
        site.janus("restore", file, "--yes")
    assert site.names() == ["Ada", "Eve", "Zoë"]


def test_a_backup_of_several_chunks_cannot_be_shortened_by_one(tmp_path, site):
    big = site.folder / "state/bundles/one/weights.bin"
    big.parent.mkdir(parents=True)
    big.write_bytes(np.random.default_rng(1).bytes(3_000_000))
    file = tmp_path / "big.janus"
    assert site.janus("backup", file, "--bundles") == 0
    content = file.read_bytes()
    with file.open("rb") as opened:
        body_at = read_header(opened, file).body_at
    chunk = (1 << 20) + 16
    for shortened in (content[: body_at + chunk], content[: body_at + 2 * chunk]):
        file.write_bytes(shortened)
        with pytest.raises(GalleryError, match="cut off"):
            site.janus("restore", file, "--yes")
    swapped = content[:body_at] + content[body_at + chunk :][:chunk] + content[body_at:][:chunk]
    file.write_bytes(swapped + content[body_at + 2 * chunk :])
    with pytest.raises(GalleryError, match="altered"):
        site.janus("restore", file, "--yes")
    file.write_bytes(content)
    other = Site(tmp_path / "other")
    assert other.janus("restore", file, "--yes") == 0
    restored = other.folder / "state/bundles/one/weights.bin"
    assert restored.read_bytes() == big.read_bytes()


def test_a_backup_is_not_written_over_another(file, site):
    with pytest.raises(GalleryError, match="exists already"):
        site.janus("backup", file)


def test_a_short_passphrase_is_refused(tmp_path, site):
    site.passphrase.write_text("short\n")
    with pytest.raises(GalleryError, match="12 are the least"):
        site.janus("backup", tmp_path / "new.janus")
    assert not (tmp_path / "new.janus").exists()


def test_a_backup_that_cannot_be_written_leaves_nothing_behind(tmp_path, site, capsys):
    with pytest.raises(GalleryError, match="cannot be written"):
        site.janus("backup", tmp_path / "nowhere" / "new.janus")
    assert not list(site.gallery.parent.glob(".janus*"))
    site.janus("backup", "--list")
    assert capsys.readouterr().out == ""


def test_who_is_forgotten_while_a_backup_is_written_is_not_in_it(tmp_path, site, monkeypatch):
    """Between the copy and the end of the writing: the erasure waits for no backup."""
    write = backups.write_backup

    def write_while_another_forgets(*arguments):
        write(*arguments)
        with GalleryStore(site.gallery, None) as store:
            store.forget("Ada")

    monkeypatch.setattr(backups, "write_backup", write_while_another_forgets)
    file = tmp_path / "new.janus"
    site.janus("backup", file)
    with file.open("rb") as opened:
        assert len(read_slots(opened, read_header(opened, file))) == 2


def test_a_store_that_is_in_use_is_not_replaced(file, site):
    with GalleryStore(site.gallery, MODEL) as store:
        store.load()
        with pytest.raises(GalleryError, match="in use by another program"):
            site.janus("restore", file, "--yes")
        assert len(store.people()) == 3


def test_restoring_asks_first(file, site, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(ConfigError, match="--yes"):
        site.janus("restore", file)


def test_a_broken_audit_in_a_backup_is_refused(tmp_path, site):
    with Audit(site.audit) as audit:
        audit.note("stop")
    with closing(sqlite3.connect(site.audit, isolation_level=None)) as rows:
        rows.execute("DROP TRIGGER event_is_not_altered")
        rows.execute("UPDATE event SET kind = 'else' WHERE seq = 1")
    file = tmp_path / "door.janus"
    site.janus("backup", file)
    with pytest.raises(AuditError, match="the audit in the backup is broken: event 1"):
        Site(tmp_path / "other").janus("restore", file, "--yes")


def test_the_export_of_one_person_holds_all_that_is_kept(tmp_path, site, capsys):
    with GalleryStore(site.gallery, MODEL) as store:
        ada = store.find("Ada")
    with Audit(site.audit) as audit:
        audit.record(Decision(Outcome.GRANT, Reason.MATCH, 1.0, ada.subject_id, 0.8, 0.4, 3, MODEL))
    assert site.janus("people", "export", "ada", tmp_path / "ada") == 0
    written = sorted(each.name for each in (tmp_path / "ada").iterdir())
    assert written == ["crop-1.png", "person.json"]
    kept = json.loads((tmp_path / "ada" / "person.json").read_text())
    assert (kept["name"], kept["consent"]) == ("Ada", "signed")
    assert kept["references"][0]["model_id"] == MODEL
    assert [event["kind"] for event in kept["events"]] == ["decision", "export"]
    with pytest.raises(GalleryError, match="exists already"):
        site.janus("people", "export", "ada", tmp_path / "ada")
