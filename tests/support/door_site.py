"""Build a site in a folder: pictures of a person, a configuration, stores; everything is real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2

EMPTY = "empty.png"


def portrait(path: Path, *, size_px: int = 480, shift_px: int = 0) -> Path:
    """Write scikit-image's astronaut, the one real portrait that ships with a package."""
    from skimage import data

    rgb = data.astronaut()[:, :, ::-1]
    rgb = cv2.resize(rgb[0:400, 50 + shift_px : 450 + shift_px], (size_px, size_px))
    cv2.imwrite(str(path), rgb)
    return path


def frames(folder: Path, count: int) -> Path:
    """Write *count* pictures of the astronaut, each shifted by a pixel or two."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        portrait(folder / f"{i:03d}.png", shift_px=i % 5)
    return folder


def configure(site: Path, *, source: Path, **extra: str) -> Path:
    """Write janus.toml with a folder camera, GPIO by gpiozero's mock pins, and stores in *site*."""
    tables = {
        "camera": f'backend = "folder"\nsource = "{source}"',
        "relay": 'pin_factory = "mock"',
        "decision": "false_accept_per_visit = 0.05",
        "store": 'gallery = "gallery.sqlite"\naudit = "audit.sqlite"\nbundles = "bundles"',
    } | extra
    path = site / "janus.toml"
    path.write_text("".join(f"[{name}]\n{body}\n" for name, body in tables.items()))
    return path


def janus(*words: object, config: Path | None = None, **kwargs) -> subprocess.CompletedProcess:
    """Run the program as a user does."""
    environment = dict(os.environ)
    if config is not None:
        environment["JANUS_CONFIG"] = str(config)
    return subprocess.run(
        [sys.executable, "-m", "edge", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        **kwargs,
    )
