"""`janus door` and `janus lock`, with and without a running door."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from edge.audit import Audit
from edge.cli import main
from edge.control import ControlSocket, is_locked_down
from edge.instance import sole_door


@pytest.fixture
def site(tmp_path, monkeypatch):
    (tmp_path / "janus.toml").write_text(
        '[relay]\npin_factory = "mock"\n[store]\ngallery = "g.sqlite"\naudit = "a.sqlite"\n'
    )
    monkeypatch.setenv("JANUS_CONFIG", str(tmp_path / "janus.toml"))
    return tmp_path


def noted(site):
    with closing(Audit(site / "a.sqlite")) as audit:
        return [(each.kind, each.facts.get("state")) for each in audit.events()]


def test_what_an_operator_says_reaches_the_running_door(site, capsys):
    heard = []
    with closing(ControlSocket(site, lambda word: heard.append(word) or "locked")):
        assert main(["door"]) == 0
        assert main(["door", "release"]) == 0
    assert heard == ["state", "release"]
    assert capsys.readouterr().out == "locked\nlocked\n"


def test_a_lockdown_can_be_ordered_before_the_door_runs(site, capsys):
    assert main(["door", "lockdown"]) == 0
    assert "no door runs; a lockdown holds when one starts" in capsys.readouterr().out
    assert is_locked_down(site)
    assert main(["door", "resume"]) == 0
    assert "no lockdown holds" in capsys.readouterr().out
    assert not is_locked_down(site)
    assert noted(site) == [("door", "operator locks down"), ("door", "operator resumes")]


def test_a_release_without_a_door_is_refused(site, capsys):
    assert main(["door", "release"]) == 5
    assert "no door runs, so the strike stays locked" in capsys.readouterr().err
    assert not (site / "a.sqlite").exists()


def test_asking_changes_nothing(site, capsys):
    assert main(["door"]) == 0
    assert "no door runs; no lockdown holds" in capsys.readouterr().out
    assert sorted(each.name for each in site.iterdir()) == ["janus.toml"]


def test_a_word_that_is_none_is_refused(site, capsys):
    with pytest.raises(SystemExit):
        main(["door", "unlock"])
    assert "invalid choice: 'unlock'" in capsys.readouterr().err


def test_lock_takes_the_pin_and_says_so(site, capsys):
    assert main(["lock"]) == 0
    assert "GPIO 17 was taken and is locked" in capsys.readouterr().out


def test_lock_leaves_the_pin_to_a_running_door(site, capsys):
    with sole_door(site):
        assert main(["lock"]) == 5
    assert "the running door holds the pin" in capsys.readouterr().err


def test_lock_locks_also_where_the_stores_cannot_be_reached(site, capsys, monkeypatch):
    (site / "file").touch()
    text = (site / "janus.toml").read_text().replace('"a.sqlite"', '"file/a.sqlite"')
    (site / "janus.toml").write_text(text)
    assert main(["lock"]) == 0
    said = capsys.readouterr()
    assert "is locked" in said.out
    assert "the strike is locked nevertheless" in said.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every socket")
def test_a_stranger_is_told_whose_door_it_is(site, capsys):
    with closing(ControlSocket(site, lambda word: word)):
        (site / "door.sock").chmod(0)
        assert main(["door"]) == 5
    assert "sudo -u janus" in capsys.readouterr().err
