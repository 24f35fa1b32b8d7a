"""How a TOML file becomes frozen tables: keys, types, bounds, choices; it knows no table itself."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import Field, field, fields
from pathlib import Path
from typing import Any, TypeVar

from edge.errors import ConfigError
from edge.nearest import nearest_word

SYSTEM_PATH = Path("/etc/janus/janus.toml")
ENVIRONMENT_VARIABLE = "JANUS_CONFIG"

T = TypeVar("T")


def key(
    default: object,
    meaning: str,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[object, ...] = (),
) -> Any:  # noqa: ANN401 - dataclasses.field is typed as the value that it stands for
    """Describe one key: its default, its meaning with the unit, and what it may be."""
    bounds = {"meaning": meaning, "least": least, "most": most, "choices": choices}
    return field(default=default, metadata=bounds)


def find_config(named: Path | None) -> Path:
    """Return the file that is in force: *named*, else $JANUS_CONFIG, else /etc/janus/janus.toml.

    Raises:
        ConfigError: if that file does not exist.
    """
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    path = named or (Path(from_environment) if from_environment else SYSTEM_PATH)
    try:
        found = path.is_file()
    except OSError as exc:
        raise ConfigError(f"{path} cannot be reached: {exc.strerror}; check --config") from exc
    if not found:
        raise ConfigError(
            f"there is no configuration at {path}; write one with "
            f"`janus config --example > janus.toml` and pass --config janus.toml, or set "
            f"{ENVIRONMENT_VARIABLE}"
        )
    return path


def read_tables(path: Path) -> Mapping[str, object]:
    """Return the tables of the TOML file at *path*, not validated.

    Raises:
        ConfigError: if it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read as TOML: {exc}") from exc


def parse_tables(tables: Mapping[str, object], kind: type[T], *, base: Path) -> T:
    """Validate *tables* against the fields of *kind*, each a table; paths start at *base*.

    Raises:
        ConfigError: with the field, the value and the nearest valid one.
    """
    known: dict[str, Field[Any]] = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    sections: dict[str, Any] = {}
    for name, table in tables.items():
        if name not in known:
            raise ConfigError(f"unknown table [{name}]{nearest(name, known)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{name} = {table!r} is a table: write [{name}] and keys below it")
        sections[name] = parse_table(name, table, type(known[name].default), base)
    return kind(**sections)


def parse_table(name: str, table: Mapping[str, object], kind: type[T], base: Path) -> T:
    """Validate the keys of one table against the fields of *kind*; paths start at *base*.

    Raises:
        ConfigError: with the field, the value and the nearest valid one.
    """
    known: dict[str, Field[Any]] = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"[{name}] has no key {key!r}{nearest(key, known)}")
        values[key] = _parse_value(f"[{name}] {key}", value, known[key], base)
    return kind(**values)


def _parse_value(where: str, value: object, described: Field[Any], base: Path) -> object:
    """Check one value against its field's type, choices and bounds; never coerce silently."""
    wanted = str(described.type)
    if wanted.startswith("tuple["):
        return _parse_list(where, value, wanted, base)
    if "Path" in wanted:
        return _parse_path(where, value, base)
    wanted = wanted.removesuffix(" | None")
    value = float(value) if wanted == "float" and type(value) is int else value
    if type(value).__name__ != wanted:
        raise ConfigError(f"{where} = {value!r}; expected {_ARTICLES[wanted]}")
    choices = described.metadata["choices"]
    if choices and value not in choices:
        listed = ", ".join(map(repr, choices))
        near = nearest(value, choices)
        if isinstance(value, int):
            near = f"; the nearest is {min(choices, key=lambda each: abs(each - value))}"
        raise ConfigError(f"{where} = {value!r}; expected one of {listed}{near}")
    least, most = described.metadata["least"], described.metadata["most"]
    if least is not None and most is not None and not least <= value <= most:
        near = min(max(value, least), most)
        near = least if near != near else near  # noqa: PLR0124 - NaN is not equal to itself
        raise ConfigError(
            f"{where} = {value!r}; expected {least:g} to {most:g}; the nearest is {near:g}"
        )
    return value


def _parse_list(where: str, value: object, wanted: str, base: Path) -> tuple[object, ...]:
    """Check a list of paths, texts or whole numbers."""
    each_type, example = next(
        (found, shown) for named, found, shown in _LISTS if wanted.startswith(f"tuple[{named}")
    )
    if not isinstance(value, list) or any(
        each_type is not None and type(each) is not each_type for each in value
    ):
        raise ConfigError(f"{where} = {value!r}; expected {example}")
    return tuple(_parse_path(where, each, base) if each_type is None else each for each in value)


def _parse_path(where: str, value: object, base: Path) -> Path:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where} = {value!r}; expected a path in quotes")
    try:
        return base / Path(value).expanduser()
    except RuntimeError as exc:
        raise ConfigError(f"{where} = {value!r}: {exc}") from exc


# What a list holds, its type (paths are checked one by one), and how one is written.
_LISTS: tuple[tuple[str, type | None, str], ...] = (
    ("Path", None, 'paths in brackets: ["door.pub"]'),
    ("str", str, 'texts in brackets: ["one", "two"]'),
    ("int", int, "whole numbers in brackets: [5, 6]"),
)
_ARTICLES = {
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}


def nearest(wrong: object, known: Mapping[str, object] | tuple[object, ...]) -> str:
    """Return a hint that names the nearest of *known*."""
    names = [str(each) for each in known]
    close = nearest_word(str(wrong), names, likeness=0.5)
    return f"; known are {', '.join(names)}" if close is None else f"; did you mean {close!r}?"
