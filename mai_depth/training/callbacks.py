"""The callbacks of a training: average the weights, measure, save, or stop."""

import importlib.util
import pathlib
from collections.abc import Callable
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from mai_depth.stopping import Request
from mai_depth.stopping import Stopped


class NonFinite(Exception):
    """A loss, a weight or a metric is NaN or infinite; nothing of it has been saved.

    Attributes:
        epoch: The epoch, counted from 0.
        step: The step within it, or None after the last one.
    """

    def __init__(self, what: str, epoch: int, step: int | None = None):
        super().__init__(what)
        self.epoch = epoch
        self.step = step


class AverageWeights(keras.callbacks.Callback):
    """Keeps an exponential moving average of all weights, BatchNorm statistics included.

    Args:
        trained: The model that is trained.
        average: Another of the same build, which becomes the average.
        momentum: 0 copies the weights at the end of each epoch instead.
        steps: Number of steps it has already seen.
    """

    def __init__(
        self, trained: keras.Model, average: keras.Model, momentum: float, steps: int = 0
    ):
        super().__init__()
        self.pairs = list(zip(average.weights, trained.weights, strict=True))
        self.momentum = momentum
        self.steps = steps
        self._assign = tf.function(self._move)

    def _move(self, share: tf.Tensor) -> None:
        for average, trained in self.pairs:
            average.assign(average + share * (tf.cast(trained, average.dtype) - average))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Moves the average a little towards the weights."""
        if self.momentum:
            self.steps += 1
            # The first steps count more, or the average would remember the random start.
            momentum = min(self.momentum, (1 + self.steps) / (10 + self.steps))
            self._assign(tf.constant(1 - momentum))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Copies the weights if no average is wanted."""
        if not self.momentum:
            self._assign(tf.constant(1.0))


class WatchSteps(keras.callbacks.Callback):
    """Ends a training after a step whose loss is not finite or during which a signal arrived.

    Args:
        request: Records a signal.
    """

    def __init__(self, request: Request):
        super().__init__()
        self.request = request
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes the epoch for the message."""
        self.epoch = epoch
        self._stop_if_asked()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Checks the running means: once a term is not finite, its mean stays so."""
        bad = [name for name, value in logs.items() if not np.isfinite(value)]
        if bad:
            # The total is not finite either; report the term that made it so.
            raise NonFinite(next((n for n in bad if n != "total_loss"), bad[0]), self.epoch, batch)
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.request.signum is not None:
            raise Stopped(self.request.signum)


class KeepEpoch(keras.callbacks.Callback):
    """Measures and saves each epoch, once all its numbers are known to be finite.

    Args:
        variables: Everything that the training changes.
        measure: Returns the metrics of the average model on the validation pictures.
        keep: Saves an epoch: the number of epochs done, the values of `variables`, the losses and
            the metrics.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        measure: Callable[[], dict[str, float]],
        keep: Callable[[int, list[np.ndarray], dict[str, float], dict[str, float]], None],
    ):
        super().__init__()
        self.variables = variables
        self.measure = measure
        self.keep = keep

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Reads all variables, measures, and passes both to `keep`."""
        arrays = [variable.value.numpy() for variable in self.variables]
        for variable, array in zip(self.variables, arrays, strict=True):
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise NonFinite(f"weight {variable.path}", epoch)
        metrics = self.measure()
        losses = dict(logs)
        logs.update({f"val_{name}": value for name, value in metrics.items() if name != "images"})
        if not np.isfinite(metrics["si_rmse"]):
            raise NonFinite("validation si_rmse", epoch)
        self.keep(epoch + 1, arrays, losses, metrics)


def tensorboard(folder: pathlib.Path) -> list[keras.callbacks.Callback]:
    """Logs to `folder/tensorboard` if TensorBoard is installed; else no callback."""
    if importlib.util.find_spec("tensorboard") is None:
        return []
    return [keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)]
