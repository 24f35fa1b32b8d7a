"""JSON in one canonical form, each field checked by name: what manifests are read with."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from edge.errors import BundleError

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # a name, never a path
_SHA256 = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")


def parse_json(written: bytes, path: Path) -> object:
    """Return the JSON value *written* at *path*.

    Raises:
        BundleError: if it is none.
    """
    try:
        tree: object = json.loads(written.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise BundleError(f"{path} is not JSON ({exc}); copy the bundle again") from exc
    return tree


def canonical(tree: dict[str, Any]) -> bytes:
    """Return the one form in which a manifest is written: equal trees give equal bytes."""
    return (json.dumps(tree, indent=2, sort_keys=True) + "\n").encode()


def check_canonical(wanted: bytes, written: bytes, path: Path) -> None:
    """Refuse a manifest that says the same in another form.

    Raises:
        BundleError: if *written* differs from *wanted*.
    """
    if wanted != written:
        raise BundleError(
            f"{path} is not as `janus convert` writes it: it was damaged or edited; "
            "copy the bundle again"
        )


class FieldError(Exception):
    """A field of the manifest is missing, unknown, of another type, or impossible."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


class Fields:
    """The fields of one JSON object; what is not taken by `done` is unknown."""

    def __init__(self, tree: object, prefix: str) -> None:
        if not isinstance(tree, dict):
            raise FieldError(
                f"{prefix or 'the manifest'} is {type(tree).__name__}; expected an object"
            )
        self._left: dict[str, Any] = dict(tree)
        self._prefix = prefix

    def take(self, name: str, kind: type[T]) -> T:
        """Return the value of *name*, which must be there and of exactly that JSON type."""
        if name not in self._left:
            raise FieldError(f"{self._prefix}{name} is missing")
        value = self._left.pop(name)
        # Not isinstance: true is no number, and 1 is not 1.0 in a canonical form.
        require(type(value) is kind, self._prefix + name, value, f"of type {kind.__name__}")
        return value  # type: ignore[no-any-return]

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self.take(name, str)
        require(value.strip() != "", self._prefix + name, value, "a text")
        return value

    def whole(self, name: str, most: int) -> int:
        """Return a whole number from 1 to *most*."""
        value = self.take(name, int)
        require(1 <= value <= most, self._prefix + name, value, f"from 1 to {most:,}")
        return value

    def number(self, name: str, least: float, most: float) -> float:
        """Return a number from *least* to *most*."""
        value = self.take(name, float)
        require(least <= value <= most, self._prefix + name, value, f"from {least:g} to {most:g}")
        return value

    def equal(self, name: str, wanted: object) -> None:
        """Take a value that this edge knows in one form only."""
        value = self.take(name, type(wanted))
        require(value == wanted, self._prefix + name, value, f"{wanted!r}, as this edge needs")

    def mapping(self, name: str, kind: type[T]) -> dict[str, T]:
        """Return an object whose values are all of that JSON type, and finite."""
        found = self.take(name, dict)
        for key, value in found.items():
            where = f"{self._prefix}{name}.{key}"
            require(kind is object or type(value) is kind, where, value, f"of type {kind.__name__}")
            require(_is_finite(value), where, value, "finite")
        return found

    def numbers(self, name: str, least: float, most: float, *, count: int) -> tuple[float, ...]:
        """Return at most *count* numbers from *least* to *most*."""
        values = self.take(name, list)
        require(len(values) <= count, self._prefix + name, len(values), f"at most {count} numbers")
        for at, value in enumerate(values):
            where = f"{self._prefix}{name}.{at}"
            wanted = f"a number from {least:g} to {most:g}"
            require(type(value) is float and least <= value <= most, where, value, wanted)
        return tuple(values)

    def section(self, name: str, *, optional: bool = False) -> Fields | None:
        """Return the fields of an object, or None where it is null and *optional*."""
        if optional and name in self._left and self._left[name] is None:
            del self._left[name]
            return None
        return Fields(self.take(name, dict), f"{self._prefix}{name}.")

    def named(self, name: str) -> dict[str, Any]:
        """Return the object called *name*, a file name without a path."""
        wanted = "a file name without a path"
        require(_FILE_NAME.fullmatch(name), self._prefix.removesuffix("."), name, wanted)
        return self.take(name, dict)

    def sha256(self, name: str) -> str:
        """Return a hash in lower-case hex."""
        value = self.text(name)
        require(_SHA256.fullmatch(value), self._prefix + name, value, "64 lower-case hex digits")
        return value

    def done(self) -> None:
        """Refuse what was not taken."""
        if self._left:
            raise FieldError(f"{self._prefix}{min(self._left)} is unknown to this edge")


def _is_finite(value: object) -> bool:
    """Tell whether no number in a JSON value overflows to infinity."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def require(met: object, name: str, value: object, wanted: str) -> None:
    """Refuse the *value* of field *name* unless *met*.

    Raises:
        FieldError: saying what is *wanted*.
    """
    if not met:
        raise FieldError(f"{name} is {str(value)[:80]!r}; expected {wanted}")
