"""The walls of the house: what may import what, and what may never be a default."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EDGE_FILES = sorted((ROOT / "edge").rglob("*.py"))
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in EDGE_FILES
    if path.name != "__main__.py"
]
OUTPUTS = {
    "OutputDevice", "DigitalOutputDevice", "PWMOutputDevice", "LED", "PWMLED", "RGBLED", "Buzzer",
    "TonalBuzzer", "Motor", "Servo",
}  # fmt: skip
BANNED_WORDS = {"confidence", "certainty", "utils", "helper", "manager"}


def imported(path: Path) -> set[str]:
    """Return every module that *path* imports, at any depth of the code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_every_edge_module_imports_while_the_workstation_is_absent():
    """On the Pi there is no TensorFlow: no edge module may need it, nor train, nor convert."""
    code = f"""
import importlib, sys
ABSENT = ("tensorflow", "keras", "train", "convert", "skimage", "sklearn", "matplotlib",
          "gpiozero", "picamera2", "tflite_runtime", "ai_edge_litert")
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ImportError(f"{{name}} is absent here")
sys.meta_path.insert(0, Absent())
for name in {MODULES!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", EDGE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_fakes_are_imported_only_where_no_door_is_driven(path):
    """`edge.testing` is for the demo, replay and tests: `janus run` can never choose it."""
    if path == ROOT / "edge" / "commands" / "replay.py" or (ROOT / "edge" / "demo") in path.parents:
        return
    assert "edge.testing" not in imported(path)


@pytest.mark.parametrize("path", EDGE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_use_the_terms_of_the_field(path):
    """ISO/IEC 2382-37 has a word for it; these say too little or something untrue."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name.lower())
        elif isinstance(node, ast.Name):
            names.add(node.id.lower())
        elif isinstance(node, ast.arg):
            names.add(node.arg.lower())
    parts = {part for name in names for part in name.strip("_").split("_")}
    assert not parts & BANNED_WORDS


def names_in(path: Path) -> set[str]:
    """Return every name that *path* imports or takes from a module."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    taken = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return taken | {
        alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_only_relay_drives_the_strike():
    """The strike has one owner: others have inputs, or an LED and a buzzer of their own pins."""
    gpiozero = {path.name: names_in(path) for path in EDGE_FILES if "gpiozero" in imported(path)}
    outputs = {name for name, names in gpiozero.items() if names & OUTPUTS - {"LED", "Buzzer"}}
    assert outputs == {"relay.py"}
    signals = {name for name, names in gpiozero.items() if names & {"LED", "Buzzer"}}
    assert signals <= {"signals.py"}


def test_a_room_has_walls():
    """A file over 350 lines holds two ideas."""
    long = {
        str(path.relative_to(ROOT)): lines
        for package in ("edge", "train", "convert")
        for path in (ROOT / package).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 350
    }
    assert long == {}
