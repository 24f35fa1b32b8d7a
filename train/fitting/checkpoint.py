"""Where a fit goes on after it was killed: all that a step depends on, in one file."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import ConfigError
from edge.vocabulary import FloatArray
from train.recipes import Recipe

if TYPE_CHECKING:
    import keras

CHECKPOINT_FILE = "checkpoint.npz"
HISTORY_FILE = "history.jsonl"


@dataclass(slots=True)
class Past:
    """What happened so far: one entry an epoch, and the core's weights at the best of them."""

    history: list[dict[str, float]] = field(default_factory=list)
    best: list[FloatArray] = field(default_factory=list)


def save(run: Path, state: list[keras.Variable], recipe: Recipe, past: Past) -> None:
    """Write the checkpoint whole or not at all, and the history beside it as JSON lines."""
    arrays = {f"state{at}": np.array(each) for at, each in enumerate(state)}
    arrays |= {f"best{at}": each for at, each in enumerate(past.best)}
    held = {"recipe": repr(recipe), "history": past.history, "best": len(past.best)}
    partial = run / "checkpoint.partial.npz"
    np.savez(partial, about=np.array(json.dumps(held)), **arrays)
    partial.replace(run / CHECKPOINT_FILE)
    lines = "".join(json.dumps(each) + "\n" for each in past.history)
    (run / HISTORY_FILE).write_text(lines, encoding="utf-8")


def restore(checkpoint: bytes, state: list[keras.Variable], recipe: Recipe, run: Path) -> Past:
    """Set *state* to what the *checkpoint* of *run* holds; return what happened until then.

    Raises:
        ConfigError: if it was written by another recipe.
    """
    with np.load(io.BytesIO(checkpoint)) as held:
        about = json.loads(str(held["about"]))
        if about["recipe"] != repr(recipe):
            raise ConfigError(
                f"{run / CHECKPOINT_FILE} belongs to other settings, so it cannot be resumed; pass "
                "those settings again, or choose another --out. It was written by "
                f"{about['recipe']}"
            )
        for at, variable in enumerate(state):
            variable.assign(held[f"state{at}"])
        return Past(about["history"], [held[f"best{at}"] for at in range(about["best"])])
