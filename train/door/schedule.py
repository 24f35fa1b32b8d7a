"""What decides a run of the door's encoder besides crops, teacher and seed."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from edge.errors import ConfigError
from train.door.backbones import STAGES


@dataclass(frozen=True, slots=True)
class Schedule:
    """One plan of fitting; a *share* is steps done over all steps.

    Args:
        passes: how often every crop and mixture is seen.
        batch: crops a step.
        decay: AdamW's weight decay.
        relation: weight of the squared error between student's and teacher's similarities.
        labels: weight of the margin softmax over the people whose names are known; 0 for none.
        margin, scale: of that softmax (cosine, and its factor).
        mixtures: how many mixed crops are added to those of the set.
        sizes: stages: side of the crops in pixels, strength of their disturbance, highest learning
            rate (a warm-up, then cosine to nothing at the end of the stage), and until which share.
            A network that is given larger pictures must learn anew how large things are, so its
            rate rises again.
        stem, stages, head, embedding: of `train.door.backbones.residual_encoder`.
        average: what the moving average of the weights keeps of itself, a step.
        precision: Keras's policy for the maps; mixed_bfloat16 fits a quarter to a third more crops
            a second where the processor has it (AVX512_BF16, and every recent GPU).
    """

    passes: float = 12.0
    batch: int = 64
    decay: float = 0.02
    relation: float = 10.0
    labels: float = 0.0
    margin: float = 0.2
    scale: float = 24.0
    mixtures: int = 45_000
    sizes: tuple[tuple[int, float, float, float], ...] = (
        (64, 0.5, 2e-3, 0.5),
        (96, 0.65, 1.5e-3, 1.0),
    )
    stem: int = 24
    stages: tuple[tuple[int, str], ...] = STAGES
    head: int = 256
    average: float = 0.997
    precision: str = "mixed_bfloat16"

    def steps(self, crops: int) -> int:
        """Return how many steps a run over *crops* a pass has."""
        return max(1, round(self.passes * crops / self.batch))

    def stage_at(self, share: float) -> tuple[int, float, float]:
        """Return side in pixels, strength of the disturbance and learning rate at *share*."""
        begun = 0.0
        for size_px, strength, highest, until in self.sizes:
            if share < until or until == self.sizes[-1][-1]:
                done = min(1.0, (share - begun) / (until - begun))
                warm = min(1.0, 0.05 + done / 0.02)
                falling = 0.5 + 0.5 * math.cos(math.pi * max(0.0, done - 0.02) / 0.98)
                return size_px, strength, highest * warm * falling + 1e-6
            begun = until
        raise ValueError("a schedule has at least one stage")


def parse_schedule(given: Sequence[str]) -> Schedule:
    """Return the default schedule with each NAME=VALUE of *given* applied.

    Raises:
        ConfigError: if there is no such setting, or the value is of another type.
    """
    found = Schedule()
    known = [each.name for each in fields(Schedule)]
    for setting in given:
        name, separator, text = setting.partition("=")
        if not separator or name not in known:
            raise ConfigError(
                f"--set {setting}: expected NAME=VALUE with one of {', '.join(known)}"
            )
        default = getattr(Schedule(), name)
        try:
            value = text if isinstance(default, str) else ast.literal_eval(text)
            value = type(default)(value)
        except (ValueError, TypeError, SyntaxError) as exc:
            raise ConfigError(
                f"--set {setting}: expected {type(default).__name__}, such as {default!r}"
            ) from exc
        found = replace(found, **{name: value})
    return found
