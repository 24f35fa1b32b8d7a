"""What the student is to get right, as one Keras model that is compiled and ready to fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor as Tensor

    from train.door.schedule import Schedule

_CLIPPED_NORM = 5.0
_EPSILON = 1e-12


def taught(encoder: keras.Model, schedule: Schedule, subjects: int) -> keras.Model:
    """Return a model of *encoder*'s input that is fitted on targets, or on [targets, labels].

    Args:
        encoder: pixels → (B, D), not of unit length.
        schedule: decay, and the weights of the terms.
        subjects: how many people the labels number from 0; a label of -1 counts for nothing.
    """
    import keras

    optimizer = keras.optimizers.AdamW(
        schedule.sizes[0][2],
        beta_2=0.99,
        weight_decay=schedule.decay,
        global_clipnorm=_CLIPPED_NORM,
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta"])
    if schedule.labels:
        cosines = _centres()(subjects)(encoder.output)
        model = keras.Model(encoder.input, [encoder.output, cosines])
        model.compile(
            optimizer,
            loss=[_distillation(schedule.relation), _softmax(schedule.margin, schedule.scale)],
            loss_weights=[1.0, schedule.labels],
        )
    else:
        model = keras.Model(encoder.input, encoder.output)
        model.compile(optimizer, loss=_distillation(schedule.relation))
    optimizer.build(model.trainable_variables)
    return model


def _distillation(relation: float) -> Any:  # noqa: ANN401 - a function of Keras tensors
    """Return 1 - cos to the target, and the squared error of similarities within the batch."""
    from keras import ops

    def loss(targets: Tensor, embeddings: Tensor) -> Tensor:
        unit = ops.normalize(embeddings, axis=-1, epsilon=_EPSILON)
        apart = 1.0 - ops.sum(unit * targets, axis=1)
        off = ops.matmul(unit, ops.transpose(unit)) - ops.matmul(targets, ops.transpose(targets))
        return apart + relation * ops.mean(ops.square(off), axis=1)

    return loss


def _softmax(margin: float, scale: float) -> Any:  # noqa: ANN401 - a function of Keras tensors
    """Return CosFace's cross-entropy (Wang et al. 2018) over known people."""
    from keras import ops

    def loss(labels: Tensor, cosines: Tensor) -> Tensor:
        numbers = ops.cast(ops.reshape(labels, (-1,)), "int32")
        known = ops.cast(numbers >= 0, cosines.dtype)
        numbers = ops.maximum(numbers, 0)
        margins = margin * ops.one_hot(numbers, cosines.shape[-1])
        entropy = ops.sparse_categorical_crossentropy(
            numbers, scale * (cosines - margins), from_logits=True
        )
        return ops.sum(entropy * known) / ops.maximum(ops.sum(known), 1.0)

    return loss


def _centres() -> Any:  # noqa: ANN401 - a class of Keras, which is untyped
    """Return the layer of one centre a person: embeddings (B, D) → cosines (B, subjects)."""
    import keras
    from keras import ops

    class Centres(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, subjects: int) -> None:
            super().__init__(name="centres")
            self.subjects = subjects

        def build(self, input_shape: tuple[int, ...]) -> None:
            self.centres = self.add_weight(
                (self.subjects, input_shape[-1]), "glorot_uniform", name="centres"
            )

        def call(self, embeddings: Tensor) -> Tensor:
            unit = ops.normalize(embeddings, axis=-1, epsilon=_EPSILON)
            centres = ops.normalize(self.centres, axis=-1, epsilon=_EPSILON)
            return ops.matmul(unit, ops.transpose(centres))

    return Centres
