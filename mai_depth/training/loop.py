"""The epochs of a training on one device or on many, as `keras.Model.fit` runs them on one.

Keras' own loop fails with several processes (keras#20585).
"""

import signal
from collections.abc import Callable
from collections.abc import Sequence

import keras
import tensorflow as tf

from mai_depth.stopping import Request
from mai_depth.training.batch_norm import average_statistics
from mai_depth.training.distiller import Distiller
from mai_depth.training.replicas import sum_over_replicas
from mai_depth.training.workers import Workers


class Loop:
    """Steps and epochs of a compiled model.

    Args:
        distiller: Compiled, and built in the scope of `workers`.
        workers: The devices.
        request: Records a signal to this process.
    """

    def __init__(self, distiller: Distiller, workers: Workers, request: Request):
        self.distiller = distiller
        self.workers = workers
        self.request = request
        # What all processes have heard of after the same step, so that they stop together.
        self.agreed = request if workers.processes == 1 else Request()
        self._step = tf.function(self._on_all_devices, reduce_retracing=True)

    def fit(
        self,
        make_batches: Callable[[tf.distribute.InputContext], tf.data.Dataset],
        epochs: range,
        steps: int,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Trains some epochs.

        Args:
            make_batches: Returns the batches of this process's devices, one after the other.
            epochs: Their numbers, from 0.
            steps: Steps per epoch.
            callbacks: Called as by `keras.Model.fit`; after a step they get all running means.
        """
        batches = iter(self.workers.strategy.distribute_datasets_from_function(make_batches))
        called = keras.callbacks.CallbackList(
            callbacks, add_progbar=self.workers.is_chief, model=self.distiller,
            epochs=epochs.stop, steps=steps, verbose=1)
        called.on_train_begin()
        for epoch in epochs:
            self.distiller.reset_metrics()
            called.on_epoch_begin(epoch)
            logs: dict[str, float] = {}
            for step in range(steps):
                called.on_train_batch_begin(step)
                logs = self._take_step(next(batches))
                called.on_train_batch_end(step, logs)
            called.on_epoch_end(epoch, logs)
        called.on_train_end()

    def _take_step(self, batch: dict[str, tf.Tensor]) -> dict[str, float]:
        asked = float(self.request.signum is not None)
        logs, asked = self.workers.first(self._step(batch, tf.constant(asked)))
        if self.workers.processes > 1 and asked.numpy():
            self.agreed.signum = self.request.signum or signal.SIGTERM
        return {name: float(value) for name, value in logs.items()}

    def _on_all_devices(self, batch: dict[str, tf.Tensor], asked: tf.Tensor) -> tuple:
        return self.workers.strategy.run(self._on_one_device, args=(batch, asked))

    def _on_one_device(self, batch: dict[str, tf.Tensor], asked: tf.Tensor) -> tuple:
        logs = self.distiller.train_step(batch)
        if self.workers.replicas > 1 and not self.workers.synchronized:
            average_statistics(self.distiller.student)
        # An argument is on no device; its copy is on this one.
        return logs, sum_over_replicas(tf.identity(asked))
