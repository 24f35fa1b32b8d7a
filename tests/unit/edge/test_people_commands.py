"""`janus people` and `janus forget` on a real gallery and a real audit."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest

from edge.audit import Audit
from edge.cli import build_parser
from edge.commands import people
from edge.errors import AuditError, ConfigError, GalleryError
from edge.gallery import GalleryStore
from edge.vocabulary import Embedding

MODEL = "a" * 64


class Terminal(io.StringIO):
    """Standard input as a person at a terminal gives it."""

    def isatty(self):
        return True


def embedding(seed):
    vector = np.random.default_rng(seed).standard_normal(32).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), MODEL)


@pytest.fixture
def janus(tmp_path):
    """Run a command line as `janus` does, without its last-resort error handling."""
    config = tmp_path / "janus.toml"
    config.write_text('[store]\ngallery = "gallery.sqlite"\naudit = "audit.sqlite"\n')

    def run(*words):
        arguments = build_parser(people.COMMANDS).parse_args([*words, "--config", str(config)])
        return arguments.run(arguments)

    return run


@pytest.fixture
def enrolled(tmp_path):
    """Ada with two references, Zoë with one; their ids by name."""
    with GalleryStore(tmp_path / "gallery.sqlite", MODEL) as store:
        return {
            "Ada": store.enrol("Ada", [embedding(1), embedding(2)]),
            "Zoë": store.enrol("Zoë", [embedding(3)]),
        }


def names_in(tmp_path):
    with GalleryStore(tmp_path / "gallery.sqlite", MODEL) as store:
        return [person.name for person in store.people()]


def test_people_prints_a_line_for_each(janus, enrolled, capsys):
    """Name, id, references, day."""
    assert janus("people") == 0
    head, ada, zoe = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "subject", "references", "enrolled", "(UTC)"]
    assert ada.split()[:3] == ["Ada", enrolled["Ada"], "2"]
    assert zoe.split()[:3] == ["Zoë", enrolled["Zoë"], "1"]


def test_people_prints_json_for_programs(janus, enrolled, capsys):
    """One array; names as they are."""
    assert janus("people", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["subject_id"], each["references"]) for each in listed] == [
        ("Ada", enrolled["Ada"], 2),
        ("Zoë", enrolled["Zoë"], 1),
    ]
    assert all(each["enrolled_on"].endswith("+00:00") for each in listed)


def test_an_empty_gallery_says_how_to_begin(janus, tmp_path, capsys):
    """On standard error, so that a program reading the list gets an empty one."""
    GalleryStore(tmp_path / "gallery.sqlite", MODEL).close()
    assert janus("people") == 0
    shown = capsys.readouterr()
    assert (shown.out, "janus enrol" in shown.err) == ("", True)
    assert janus("people", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_looking_at_an_absent_gallery_does_not_make_one(janus, tmp_path):
    """A mistaken path in the configuration is told."""
    with pytest.raises(GalleryError, match="there is no gallery"):
        janus("people")
    assert not (tmp_path / "gallery.sqlite").exists()


def test_forget_erases_and_notes_the_id_but_not_the_name(janus, tmp_path, enrolled, capsys):
    """The audit keeps who was erased only as what no longer leads to a person."""
    assert janus("forget", "ada", "--yes") == 0
    assert "Ada is forgotten, with 2 reference(s)" in capsys.readouterr().out
    assert names_in(tmp_path) == ["Zoë"]
    with Audit(tmp_path / "audit.sqlite") as audit:
        (event,) = audit.events()
    assert (event.kind, event.facts) == (
        "forget",
        {"subject_id": enrolled["Ada"], "references": 2},
    )
    stored = b"".join(each.read_bytes() for each in tmp_path.glob("*.sqlite*"))
    assert b"Ada" not in stored


@pytest.mark.parametrize(
    ("typed", "left"), [("Ada\n", ["Zoë"]), ("no\n", ["Ada", "Zoë"]), ("", ["Ada", "Zoë"])]
)
@pytest.mark.usefixtures("enrolled")
def test_forget_asks_a_person_to_type_the_name(janus, tmp_path, monkeypatch, typed, left):
    """Anything else keeps the person, and the exit code says so."""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    code = janus("forget", "ada")
    assert names_in(tmp_path) == left
    assert code == (1 if "Ada" in left else 0)


def test_forget_does_not_guess_where_nobody_can_be_asked(janus, tmp_path, enrolled, monkeypatch):
    """A script has to say --yes."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("Ada\n"))
    with pytest.raises(ConfigError, match="--yes"):
        janus("forget", "Ada")
    assert names_in(tmp_path) == ["Ada", "Zoë"]


def test_forgetting_somebody_unknown_changes_nothing(janus, tmp_path, enrolled):
    """The nearest name is offered, and nothing is noted."""
    with pytest.raises(GalleryError, match="did you mean 'Ada'"):
        janus("forget", "Adda", "--yes")
    assert names_in(tmp_path) == ["Ada", "Zoë"]
    with Audit(tmp_path / "audit.sqlite") as audit:
        assert audit.events() == ()


def test_nobody_is_forgotten_while_the_audit_cannot_be_written(janus, tmp_path, enrolled):
    """An erasure that nobody could account for does not happen."""
    (tmp_path / "audit.sqlite").mkdir()
    with pytest.raises(AuditError):
        janus("forget", "Ada", "--yes")
    assert names_in(tmp_path) == ["Ada", "Zoë"]
