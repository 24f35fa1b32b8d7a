"""One step of a fit: embed each picture once, take the loss, and move the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.vocabulary import PixelArray
from train.data.sampling import Batch
from train.fitting.losses import Objective
from train.fitting.strategy import Team

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def make_step(
    core: keras.Model,
    objective: Objective,
    *,
    optimizer: keras.Optimizer,
    augment: keras.layers.Layer,
    pictures: PixelArray,
    team: Team,
) -> Callable[[Batch], float]:
    """Return the step: it changes *core* and *objective* by one batch and returns its loss.

    Args:
        core: fitted, in float32 or mixed precision; the loss is taken in float32.
        objective: what is minimised.
        optimizer: built for the core's variables, then the objective's.
        augment: applied to the pictures of every step.
        pictures: (N, h, w, c) uint8 that the batches number.
        team: who shares the work.
    """
    import tensorflow as tf

    bank = tf.constant(pictures)
    weights = core.trainable_variables
    fitted = [*weights, *objective.variables]

    def replica(
        chosen: tf.Tensor, subjects: tf.Tensor, pairs: tf.Tensor, mated: tf.Tensor
    ) -> tf.Tensor:
        here = tf.distribute.get_replica_context()
        rank, count = here.replica_id_in_sync_group, tf.shape(chosen)[0]
        start, stop = count * rank // team.replicas, count * (rank + 1) // team.replicas
        # No replica may sit out: with fewer pictures than replicas it embeds one and drops it.
        share = chosen[start : tf.maximum(stop, start + 1)]
        with tf.GradientTape() as tape:
            seen = augment(tf.cast(tf.gather(bank, share), tf.float32), training=True)
            own = tf.cast(core(seen, training=True), tf.float32)[: stop - start]
        gathered = here.all_reduce("SUM", tf.pad(own, [[start, count - stop], [0, 0]]))
        with tf.GradientTape() as whole:
            whole.watch(gathered)
            loss = objective.loss(gathered, subjects, pairs, mated)
        slopes, *others = whole.gradient(
            loss, [gathered, *(each.value for each in objective.variables)]
        )
        mine = tf.convert_to_tensor(slopes)[start:stop]  # a sparse one, of losses that gather rows
        gradients = tape.gradient(own, [each.value for each in weights], output_gradients=mine)
        # `apply` sums over the replicas: shares of the core's gradient, but each replica has all of
        # the objective's own.
        optimizer.apply([*gradients, *(each / team.replicas for each in others)], fitted)
        return loss

    # Batches differ in size: each picture is embedded once a step, however many pairs it is in.
    numbers = tf.TensorSpec([None], tf.int64)
    signature = numbers, numbers, tf.TensorSpec([None, 2], tf.int64), tf.TensorSpec([None])

    # Nothing here branches in Python; looking for it would take a second.
    @tf.function(input_signature=signature, autograph=False)  # type: ignore[untyped-decorator]
    def step(*batch: tf.Tensor) -> tf.Tensor:
        return team.run(replica, batch)

    def apply(batch: Batch) -> float:
        with team.together():
            return float(step(batch.pictures, batch.subjects, batch.pairs, batch.mated))

    return apply
