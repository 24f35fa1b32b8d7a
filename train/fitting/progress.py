"""What a person sees of a fit while it runs: a bar, and curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

TENSORBOARD = "tensorboard"
_UNSHOWN = ("epoch", "wall_s")


class Bar:
    """A progress bar over all steps: the loss, the figure that is watched, and the time left."""

    def __init__(self, name: str, *, steps: int, epochs: int, done: int, shown: bool) -> None:
        from tqdm import tqdm  # noqa: PLC0415 - an optional extra

        self._bar = tqdm(
            total=epochs * steps,
            initial=done * steps,
            desc=name,
            unit="step",
            mininterval=1.0,
            disable=not shown,
        )
        self._watched: dict[str, str] = {}

    def step(self, loss: float) -> None:
        """Count one step, whose loss was *loss*."""
        self._bar.set_postfix({"loss": f"{loss:.4f}", **self._watched}, refresh=False)
        self._bar.update()

    def epoch(self, entry: Mapping[str, float]) -> None:
        """Show an epoch's figures, the watched one until the next epoch ends."""
        shown = {name: f"{value:.4f}" for name, value in entry.items() if name not in _UNSHOWN}
        self._bar.set_postfix(shown)
        self._watched = {name: value for name, value in shown.items() if name != "loss"}

    def __enter__(self) -> Self:
        """Return the bar."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


class Curves:
    """Figures by epoch for TensorBoard, written by tf.summary; nothing where *directory* is None.

    The entries are plain numbers (`simple_value`): tf.summary.scalar would need the package
    tensorboard on the machine that fits.
    """

    def __init__(self, directory: Path | None) -> None:
        self._writer = None
        if directory is not None:
            import tensorflow as tf

            self._writer = tf.summary.create_file_writer(str(directory))

    def epoch(self, entry: Mapping[str, float], learning_rate: float) -> None:
        """Write an epoch's figures and the learning rate that it ended with."""
        if self._writer is None:
            return
        import tensorflow as tf

        summary = tf.compat.v1.Summary()
        figures = {name: value for name, value in entry.items() if name not in _UNSHOWN}
        for name, value in (*figures.items(), ("learning_rate", learning_rate)):
            summary.value.add(tag=name, simple_value=value)
        with self._writer.as_default(step=int(entry["epoch"])):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString())
        self._writer.flush()
