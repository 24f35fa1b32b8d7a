"""What `janus config --example` prints: a configuration of all that edge/config.py knows."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from edge.config import DoorConfig


def example_config() -> str:
    """Return a TOML file with every key at its default, its meaning, unit and bounds above it."""
    lines = ["# Janus: the door's configuration. Every key is shown with its default.", ""]
    for section in fields(DoorConfig):
        table = section.default
        if table is MISSING:  # pragma: no cover - every section has a default
            continue
        lines += [f"# {(type(table).__doc__ or '').splitlines()[0]}", f"[{section.name}]"]
        for key in fields(type(table)):
            lines.append(f"# {key.metadata['meaning']}{_bounds(key)}")
            lines.append(_toml_line(key, getattr(table, key.name)))
        lines.append("")
    return "\n".join(lines)


def _bounds(described: Field[Any]) -> str:
    least, most = described.metadata["least"], described.metadata["most"]
    choices = described.metadata["choices"]
    if choices and not isinstance(choices[0], str):
        return f" ({', '.join(map(str, choices))})"
    return "" if least is None else f" ({least:g} to {most:g})"


def _toml_line(described: Field[Any], value: object) -> str:
    name = described.name
    if value is None:
        return f"# {name} = " + ("…" if str(described.type).startswith("int") else '"…"')
    if isinstance(value, tuple):
        return f"{name} = {list(value)}"
    if isinstance(value, bool):
        return f"{name} = {str(value).lower()}"
    return f'{name} = "{value}"' if isinstance(value, str | Path) else f"{name} = {value}"
