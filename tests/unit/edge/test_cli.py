"""The program `janus`: one line and an exit code for everything that can go wrong."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.metadata import version

import pytest

import edge
from edge import cli, errors
from edge.command import Command


def command(run, name="probe", **kwargs):
    return Command(name, "Try.", f"janus {name}", lambda _: None, run, **kwargs)


def raising(error):
    def run(_):
        raise error

    return run


@pytest.fixture
def offered(monkeypatch):
    """Let `janus` consist of the commands that a test names."""

    def offer(*commands):
        monkeypatch.setattr(cli, "commands", lambda: commands)

    return offer


def all_errors(branch=errors.DoorError):
    """Return the edge's tree; train adds a branch of its own where it is imported."""
    for each in branch.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from all_errors(each)


@pytest.mark.parametrize(
    "kind", [e for e in all_errors() if e is not errors.GalleryModelMismatchError]
)
def test_every_error_becomes_one_line_and_its_branchs_exit_code(kind, offered, capsys):
    offered(command(raising(kind("what, which value, what to do"))))
    assert cli.main(["probe"]) == kind.exit_code
    assert capsys.readouterr().err == "janus probe: what, which value, what to do\n"


def test_exit_codes_are_those_of_the_documented_tree():
    codes = {each.__name__: each.exit_code for each in all_errors()}
    documented = errors.__doc__
    for name, code in codes.items():
        line = next((line for line in documented.splitlines() if f" {name} " in f"{line} "), None)
        if line and any(word.isdigit() for word in line.split()):
            assert str(code) in line.split()
    assert set(codes.values()) == {2, 3, 4, 5, 6}


def test_unexpected_error_is_one_line_and_code_1(offered, capsys):
    offered(command(raising(ZeroDivisionError("division by zero"))))
    assert cli.main(["probe"]) == 1
    err = capsys.readouterr().err
    assert "unexpected ZeroDivisionError: division by zero" in err
    assert "Traceback" not in err


def test_interrupt_ends_with_the_shells_code(offered, capsys):
    offered(command(raising(KeyboardInterrupt())))
    assert cli.main(["probe"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--recipe", "att", "--out", "run"], ["x", "y"]])
def test_command_without_its_dependencies_says_what_to_install(offered, capsys, words):
    offered(command(raising(AssertionError), needs=("no_such_module",), extra="workstation"))
    assert cli.main(["probe", *words]) == 2
    err = capsys.readouterr().err
    assert "no_such_module" in err
    assert "pip install 'janus-door[workstation]'" in err
    assert err.count("\n") == 1


def test_command_without_its_dependencies_is_not_listed(offered, capsys):
    offered(command(lambda _: 0, "here"), command(lambda _: 0, "absent", needs=("no_such_module",)))
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    listing = capsys.readouterr().out
    assert caught.value.code == 0
    assert "here" in listing
    assert "absent" not in listing


@pytest.mark.parametrize("each", cli.commands(), ids=lambda each: each.name)
def test_every_command_has_help_with_an_example_that_parses(each, capsys):
    parser = cli.build_parser(cli.commands())
    with pytest.raises(SystemExit) as caught:
        parser.parse_args([each.name, "--help"])
    assert caught.value.code == 0
    assert f"janus {each.name}" in capsys.readouterr().out.split("example:")[1]
    words = shlex.split(each.example.split(" > ")[0])
    assert words[0] == "janus"
    found, unknown = parser.parse_known_args(words[1:])
    assert found.run is each
    assert each.missing() or not unknown


@pytest.mark.parametrize(
    ("command", "spared"),
    [
        # Some megabytes each, for as long as the door runs: docs/performance.md.
        ("run", ["cryptography", "email", "tarfile", "difflib", "zoneinfo", "train", "convert"]),
        # `ExecStopPost=janus lock` has to be quick: numpy alone would double its time.
        ("lock", ["numpy", "cv2", "sqlite3", "ai_edge_litert", "cryptography", "email"]),
    ],
)
def test_what_the_service_starts_imports_nothing_that_it_never_uses(command, spared):
    program = f"""
import sys
from edge.cli import build_parser, needed
build_parser(needed(["{command}"])).parse_args(["{command}"])
print(sorted({{each.partition(".")[0] for each in sys.modules}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "'edge'" in done.stdout
    for each in spared:
        assert f"'{each}'" not in done.stdout


def test_the_version_is_that_of_the_installed_package():
    assert edge.__version__ == version("janus-door")


def test_usage_error_ends_with_code_2():
    done = subprocess.run([sys.executable, "-m", "edge", "no-such-command"], capture_output=True)
    assert done.returncode == 2


def test_reader_that_goes_away_is_no_error():
    """`janus config --example | head -1` must not end in a traceback."""
    done = subprocess.run(
        f"{sys.executable} -m edge config --example | head -1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("# Janus")
