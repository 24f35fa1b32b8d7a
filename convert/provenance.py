"""Where an encoder comes from: what its training run wrote, and with which versions it is made."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from convert.encoder import ENCODER_FILE
from edge.errors import BundleError
from edge.tflite import installed_runtimes
from train.data.datasets import named_among
from train.data.sampling import split_subjects
from train.errors import DataSetError

_NAMES = {"validated", "held_out"}  # lists of people, in a run's metrics.json
_VALIDATED = "the people that the run was validated on"
FITTED_ON_UNKNOWN = "everybody in it; whom the encoder was fitted on is not known here"
UNKNOWN_RECIPE = "unknown"
_OPENCV = "opencv-python-headless"  # alignment's pixels are its
_DISTRIBUTIONS = ("janus-door", "tensorflow", "tensorflow-cpu", "keras", "numpy", _OPENCV)


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The float encoder and what `train` wrote beside it; empty where it wrote nothing."""

    encoder: Path
    recipe: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def name(self) -> str:
        """The recipe's name, or unknown."""
        return str(self.recipe.get("name", UNKNOWN_RECIPE))

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says about the training; nobody's name is among it."""
        fingerprint = hashlib.sha256(self.encoder.read_bytes()).hexdigest()
        metrics = {key: value for key, value in self.metrics.items() if key not in _NAMES}
        facts = {"recipe": self.name, "settings": self.recipe, "metrics": metrics}
        return {**facts, "encoder_keras_sha256": fingerprint}


def read_run(source: Path) -> TrainingRun:
    """Find the encoder at *source*, a run's directory or an encoder.keras, and the facts beside it.

    Raises:
        BundleError: if there is no encoder, or a file of the run is no JSON object.
    """
    encoder = source / ENCODER_FILE if source.is_dir() else source
    if not encoder.is_file():
        raise BundleError(
            f"there is no {encoder}; give the directory of a run made by `janus train`, or an "
            "encoder.keras"
        )
    read = [_read_json(encoder.parent / name) for name in ("recipe.json", "metrics.json")]
    return TrainingRun(encoder, *read)


def unfitted(run: TrainingRun, subjects: Sequence[str]) -> tuple[tuple[str, ...] | None, str]:
    """Choose whom of *subjects* to calibrate on: never people that the encoder was fitted on.

    Those whom the run lists as validated are taken. Where it lists only whom it held out, its
    split is made again, if *subjects* are the run's own, and its validated people are taken; if
    there are none, the tested ones, on whom its figures are then no longer independent of the
    threshold.

    Returns:
        Names, or None for all of them; and a sentence that says so.
    """
    listed = frozenset(map(str, _listed(run.metrics.get("validated"))))
    if validated := named_among(listed, subjects):
        return validated, _VALIDATED
    held_out = frozenset(map(str, _listed(run.metrics.get("held_out"))))
    tested = named_among(held_out, subjects)
    if not listed and not held_out:
        return None, FITTED_ON_UNKNOWN
    if not tested:
        return None, "everybody in it"
    settings = {key: int(run.recipe.get(key, 0)) for key in ("validated", "tested", "fold", "seed")}
    try:
        split = split_subjects(tuple(subjects), **settings)
    except DataSetError:
        split = None
    if split is not None and set(split.tested) == held_out and split.validated:
        return split.validated, _VALIDATED
    return tested, (
        "the people that the run was tested on, for it validated on nobody: its figures on them "
        "are not independent of this threshold"
    )


def versions() -> dict[str, str]:
    """Return tool → version of everything that shapes the bytes and figures of a bundle."""
    found = {"python": platform.python_version()}
    for name in (*_DISTRIBUTIONS, *installed_runtimes()):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # tensorflow has two distributions, and one suffices
    return found


def _listed(value: object) -> list[object]:
    """Return *value* if it is a list, else an empty one: other versions of train wrote less."""
    return value if isinstance(value, list) else []


def _read_json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise BundleError(f"{path} is not JSON ({exc}); train again or remove it") from exc
    if not isinstance(tree, dict):
        raise BundleError(f"{path} holds no JSON object; train again or remove it")
    return tree
