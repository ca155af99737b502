"""Sums over the devices of `tf.distribute`, for a step that runs on each of them.

Outside of `strategy.run`, and with a single device, they return their argument.
"""

from typing import Any

import tensorflow as tf


def count_replicas() -> int:
    """The number of devices that run this step."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(value: Any) -> Any:
    """The sum of a tensor over all devices."""
    return _reduced(value, tf.distribute.ReduceOp.SUM)


def mean_over_replicas(value: Any) -> Any:
    """The mean of a tensor over all devices."""
    return _reduced(value, tf.distribute.ReduceOp.MEAN)


def _reduced(value: Any, how: tf.distribute.ReduceOp) -> Any:
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(how, value)
