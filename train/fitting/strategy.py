"""One fit on several devices or machines, by tf.distribute.

Every process has all pictures and draws the same batches, so nothing but numbers travels. Each
replica embeds its share of a step's pictures; the embeddings are gathered, and the loss of the
whole batch is taken everywhere, so that any loss (pairs across shares, hardest triplets) is that of
one process. The replicas' gradients are summed. Keras's own `fit` fails or misreports there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge.errors import ConfigError
from train.errors import WorkerLostError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

STRATEGIES = ("none", "mirrored", "multiworker")
_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True, slots=True, eq=False)
class Team:
    """The replicas that fit one core together.

    ``chief`` is true in the one process that writes files and draws the progress bar.
    """

    strategy: tf.distribute.Strategy
    chief: bool

    @property
    def replicas(self) -> int:
        """How many devices share a step, in all processes together."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def _processes(self) -> int:
        resolver = self.strategy.cluster_resolver
        return len(resolver.cluster_spec().job_tasks("worker")) if resolver else 1

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the scope in which variables that are fitted must be made."""
        return self.strategy.scope()  # type: ignore[no-any-return]

    def run(self, function: Any, arguments: tuple[tf.Tensor, ...]) -> tf.Tensor:  # noqa: ANN401
        """Run *function* on every replica, inside a tf.function; return the first one's result."""
        results = self.strategy.run(function, arguments)
        return self.strategy.experimental_local_results(results)[0]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Turn what TensorFlow raises when another process is gone into an error of ours.

        Raises:
            WorkerLostError: saying what to do.
        """
        import tensorflow as tf

        gone = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
        try:
            yield
        except gone as exc:
            if self._processes == 1:
                raise
            raise WorkerLostError(
                "another worker stopped or cannot be reached, so the fit cannot go on; look at "
                "that worker's last line, then start every worker again with --resume"
            ) from exc

    def from_chief(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the chief's *values* (float64 or int64, of one shape everywhere)."""
        import tensorflow as tf

        if self._processes == 1:
            return values

        @tf.function  # type: ignore[untyped-decorator]
        def send(own: tf.Tensor) -> tf.Tensor:
            def replica(own: tf.Tensor) -> tf.Tensor:
                here = tf.distribute.get_replica_context()
                first = tf.equal(here.replica_id_in_sync_group, 0)
                return here.all_reduce("SUM", tf.where(first, own, tf.zeros_like(own)))

            return self.run(replica, (own,))

        with self.together():
            return np.asarray(send(tf.constant(values)))

    def bytes_from_chief(self, held: bytes) -> bytes:
        """Return the bytes that the chief holds, in every process."""
        size = int(self.from_chief(np.array(len(held), np.int64)))
        if size == 0:
            return b""  # a collective over nothing ends the process
        # Collectives add numbers, so bytes travel as 64-bit integers.
        padded = np.zeros(-(-size // 8) * 8, np.uint8)
        if self.chief:
            padded[:size] = np.frombuffer(held, np.uint8)
        return self.from_chief(padded.view(np.int64)).tobytes()[:size]


def one_process() -> Team:
    """Return the team of one device, TensorFlow's default."""
    import tensorflow as tf

    return Team(tf.distribute.get_strategy(), chief=True)


def open_team(name: str) -> Team:
    """Return the team that *name* asks for: `none`, `mirrored` or `multiworker`.

    `mirrored` takes every GPU of this machine, or every logical CPU where there is none;
    `multiworker` the processes that the environment variable TF_CONFIG names, of which this is one.
    It must be opened before TensorFlow does anything else, and waits until all of them are there.

    Raises:
        ConfigError: if there is no such strategy, or TF_CONFIG is missing or wrong.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"--strategy {name}: expected one of {', '.join(STRATEGIES)}")
    import tensorflow as tf

    if name == "none":
        return one_process()
    logging.getLogger("tensorflow").setLevel(logging.WARNING)  # it tells of every collective
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        names = [each.name for each in devices]
        return Team(tf.distribute.MirroredStrategy(names), chief=True)
    chief = is_chief(os.environ.get("TF_CONFIG", ""))
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError, tf.errors.OpError) as exc:
        raise ConfigError(
            f"the workers that TF_CONFIG names cannot be joined: {exc}. Check that every worker "
            "has the same cluster, an index of its own, and a free port"
        ) from exc
    return Team(strategy, chief)


def is_chief(config: str) -> bool:
    """Return whether TF_CONFIG, as JSON text, makes this process the one that writes files.

    Raises:
        ConfigError: if it does not name a cluster of workers and one of them.
    """
    try:
        held = json.loads(config)
        cluster, task = held["cluster"], held["task"]
        index, workers = int(task["index"]), len(cluster["worker"])
        others = {*cluster, task["type"]} - {"worker"}
    except (ValueError, KeyError, TypeError) as exc:
        raise ConfigError(
            f"--strategy multiworker needs the environment variable TF_CONFIG, such as {_EXAMPLE}; "
            f"it is {config!r}"
        ) from exc
    if others or not 0 <= index < workers:
        raise ConfigError(
            f"TF_CONFIG names workers 0 to {workers - 1} and this process as {task}; expected one "
            f"of those, and no other kind of task, such as {_EXAMPLE}"
        )
    return index == 0


@contextlib.contextmanager
def shared_statistics(core: keras.Model, team: Team) -> Iterator[None]:
    """Let batch normalisation take its statistics over the whole batch, not over one share."""
    import keras

    layers = [each for each in core.layers if isinstance(each, keras.layers.BatchNormalization)]
    for each in layers:
        each.synchronized = team.replicas > 1
    try:
        yield
    finally:
        for each in layers:
            each.synchronized = False
