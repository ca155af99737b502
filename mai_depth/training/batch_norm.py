"""BatchNormalization in training: synchronized over all devices, or fused into one operation.

Only the training copy is changed, never the one that is saved.
"""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from mai_depth.training.replicas import mean_over_replicas

_FUSED_TYPES = (tf.float16, tf.bfloat16, tf.float32)


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """One operation instead of Keras' dozen, which saves a fifth of a student's step.

    The results differ from those of Keras in their last bits.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalizes [batch, height, width, channels]; in training by the batch's statistics."""
        if not (training and self.trainable and mask is None and self._can_be_fused(inputs)):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=self.gamma, offset=self.beta, mean=tf.zeros([0]),
            variance=tf.zeros([0]), epsilon=self.epsilon, is_training=True)
        # The operation returns the unbiased estimate; Keras averages the batch's own variance.
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * (count - 1) / count)
        return outputs

    def _can_be_fused(self, inputs: Any) -> bool:
        return (len(inputs.shape) == 4 and self.axis in (-1, 3) and self.scale and self.center
                and not self.renorm and not self.synchronized and inputs.dtype in _FUSED_TYPES)

    def _move(self, average: keras.Variable, value: Any) -> None:
        average.assign(average * self.momentum + value * (1.0 - self.momentum))


def prepare_batch_norm(model: keras.Model, synchronized: bool) -> None:
    """Prepares a model's BatchNormalization for training; call it in the strategy's scope.

    Args:
        model: The model to train.
        synchronized: Use the statistics of the whole batch, not those of each device's part.
    """
    for layer in _layers(model):
        if synchronized:
            layer.synchronized = True
        else:  # the layer keeps its weights and its place in the graph
            layer.__class__ = FusedBatchNormalization


def average_statistics(model: keras.Model) -> None:
    """Makes the moving statistics of all devices their mean; call it on each device after a step.

    Moving averages are linear: this is the mean of what each device would have had by itself.
    """
    averages = [average for layer in _layers(model)
                for average in (layer.moving_mean, layer.moving_variance)]
    if not averages:
        return
    # A single all-reduce; each has its price.
    flat = mean_over_replicas(tf.concat([tf.reshape(one, [-1]) for one in averages], axis=0))
    parts = tf.split(flat, [one.shape.num_elements() for one in averages])
    for average, part in zip(averages, parts, strict=True):
        average.assign(tf.reshape(part, average.shape))


def _layers(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        elif type(layer) in (keras.layers.BatchNormalization, FusedBatchNormalization):
            yield layer
