"""A small wheelhouse: pip, and a janus-door that needs nothing and says what it is called with."""

from __future__ import annotations

import ensurepip
import hashlib
import shutil
import zipfile
from pathlib import Path

_CLI = """
import sys

def main():
    print("# version {version}: janus " + " ".join(sys.argv[1:]))
"""


def write_wheelhouse(
    directory: Path, version: str = "0.1.0", *, service: str | None = None
) -> Path:
    """Write the wheelhouse and return its directory; *service* replaces the module of that name."""
    directory.mkdir(parents=True)
    bundled = Path(ensurepip.__file__).parent / "_bundled"
    shutil.copy(next(bundled.glob("pip-*.whl")), directory)
    _write_wheel(
        directory / f"janus_door-{version}-py3-none-any.whl",
        version,
        {
            "edge/__init__.py": "",
            "edge/config.py": "class DoorConfig: pass\n",
            "edge/service.py": service or "def open_encoder(config): pass\n",
            "edge/cli.py": _CLI.replace("{version}", version),
        },
    )
    sums = [
        f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n"
        for each in sorted(directory.glob("*.whl"))
    ]
    (directory / "SHA256SUMS").write_text("".join(sums))
    return directory


def _write_wheel(path: Path, version: str, modules: dict[str, str]) -> None:
    info = f"janus_door-{version}.dist-info"
    files = modules | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: janus-door\nVersion: {version}\n"
        "Provides-Extra: pi\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\njanus = edge.cli:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in (files | {f"{info}/RECORD": record}).items():
            wheel.writestr(name, content)
