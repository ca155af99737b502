"""The metrics of `metrics.py` as `keras.metrics.Metric`: per image, then the mean over images.

Depth is [batch, height, width, 1] in metres, 0 = missing. Images without a valid pixel do not
count; if no image counts the result is NaN, never a perfect 0.
"""

from typing import Any

import keras
from keras import ops

from mai_depth.depth import MIN_DEPTH_M
from mai_depth.training.losses import valid_pixels


class _ImageMetric(keras.metrics.Mean):
    """Mean over images of `image_values(truth, prediction, weights, count)`, [batch]."""

    def __init__(self, name: str, dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            y_true: The true depth.
            y_pred: The predicted depth.
            sample_weight: [batch] weights of the images, or None.
        """
        mask = valid_pixels(ops.cast(y_true, "float32"))
        truth, prediction = (
            ops.where(mask, ops.cast(depth, "float32"), 1.0) for depth in (y_true, y_pred)
        )
        weights = ops.cast(mask, "float32")
        count = ops.maximum(ops.sum(weights, axis=(1, 2, 3)), 1.0)
        values = self.image_values(
            truth, prediction, lambda pixels: ops.sum(pixels * weights, axis=(1, 2, 3)) / count
        )
        counted = ops.cast(ops.any(mask, axis=(1, 2, 3)), "float32")
        if sample_weight is not None:
            counted = counted * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        super().update_state(values, sample_weight=counted)

    def image_values(self, truth: Any, prediction: Any, mean: Any) -> Any:
        """Returns the metric of each image, [batch]; `mean` averages over its valid pixels."""
        raise NotImplementedError

    def result(self) -> Any:
        """Returns the mean over the images so far, NaN if none had a valid pixel."""
        return ops.where(self.count > 0, super().result(), float("nan"))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("mai_depth")
class SiRmse(_ImageMetric):
    """`metrics.si_rmse`: `sqrt(mean(d^2) - mean(d)^2)`, `d = ln(y_pred) - ln(y_true)`.

    Args:
        name: Name of the metric.
        dtype: Type of the sums.
    """

    def __init__(self, name: str = "si_rmse", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def image_values(self, truth: Any, prediction: Any, mean: Any) -> Any:
        """Returns the standard deviation of the logarithmic error of each image, [batch]."""
        error = _log_error(truth, prediction)
        deviation = error - ops.reshape(mean(error), (-1, 1, 1, 1))
        return ops.sqrt(mean(ops.square(deviation)))


@keras.saving.register_keras_serializable("mai_depth")
class Rmse(_ImageMetric):
    """`metrics.rmse`: `sqrt(mean((y_true - y_pred)^2))` in metres.

    Args:
        name: Name of the metric.
        dtype: Type of the sums.
    """

    def __init__(self, name: str = "rmse", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def image_values(self, truth: Any, prediction: Any, mean: Any) -> Any:
        """Returns the root mean squared error of each image in metres, [batch]."""
        return ops.sqrt(mean(ops.square(truth - prediction)))


@keras.saving.register_keras_serializable("mai_depth")
class Log10(_ImageMetric):
    """`metrics.log10`: `mean(|log10 y_pred - log10 y_true|)`.

    Args:
        name: Name of the metric.
        dtype: Type of the sums.
    """

    def __init__(self, name: str = "log10", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def image_values(self, truth: Any, prediction: Any, mean: Any) -> Any:
        """Returns the mean absolute error of the decimal logarithm of each image, [batch]."""
        return mean(ops.abs(_log_error(truth, prediction))) / ops.log(10.0)


@keras.saving.register_keras_serializable("mai_depth")
class AbsRel(_ImageMetric):
    """`metrics.abs_rel`: `mean(|y_pred - y_true| / y_true)`.

    Args:
        name: Name of the metric.
        dtype: Type of the sums.
    """

    def __init__(self, name: str = "abs_rel", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def image_values(self, truth: Any, prediction: Any, mean: Any) -> Any:
        """Returns the mean relative error of each image, [batch]."""
        return mean(ops.abs(prediction - truth) / truth)


@keras.saving.register_keras_serializable("mai_depth")
class Delta(_ImageMetric):
    """`metrics.delta`: share of the pixels with `max(p / t, t / p) < 1.25^power`.

    Args:
        power: 1, 2 or 3.
        name: Name of the metric; `delta1` and so on if None.
        dtype: Type of the sums.
    """

    def __init__(self, power: int = 1, name: str | None = None, dtype: Any = None):
        super().__init__(name=name or f"delta{power}", dtype=dtype)
        self.power = power

    def image_values(self, truth: Any, prediction: Any, mean: Any) -> Any:
        """Returns the share of correct pixels of each image, [batch]."""
        prediction = ops.maximum(prediction, MIN_DEPTH_M)
        ratio = ops.maximum(prediction / truth, truth / prediction)
        return mean(ops.cast(ratio < 1.25**self.power, "float32"))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "power": self.power}


def depth_metrics() -> list[keras.metrics.Metric]:
    """Returns a fresh metric for each name of `metrics.NAMES`, in that order."""
    return [SiRmse(), Rmse(), Log10(), AbsRel(), Delta(1), Delta(2), Delta(3)]


def _log_error(truth: Any, prediction: Any) -> Any:
    return ops.log(ops.maximum(prediction, MIN_DEPTH_M)) - ops.log(truth)
