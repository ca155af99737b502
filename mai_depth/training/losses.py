"""The losses of depth and of distillation, each as a function and a `keras.losses.Loss`.

The functions return one value per image, [batch]; an image without a valid pixel gives 0. The
classes average over the images that have one, so that the others do not dilute the mean. BTS pools
the pixels of the whole batch instead. Here the loss of an image depends neither on the rest of the
batch nor on how it is split among replicas, as in the challenge's metric. The price: the scale of
one image relative to another weighs `1 - variance_focus` instead of 1.

Depth is [batch, height, width, 1] in metres, 0 = missing; a pixel is valid when its truth is
finite, more than 1 mm and at most `max_depth_m`. No gradient is ever NaN because of a missing
pixel or a perfect prediction: what is masked is replaced before the logarithm, not after it.
"""

from typing import Any

import keras
from keras import ops

from mai_depth.depth import MIN_DEPTH_M
from mai_depth.training.replicas import mean_over_replicas

LOGIT_MARGIN = 1e-4
"""Depth is clipped to `max_depth_m * [1e-4, 1 - 1e-4]` before the inverse of the sigmoid."""

_SMALLEST_SQUARE = 1e-12  # below this the square root has gradient 0


def valid_pixels(y_true: Any, max_depth_m: float | None = None) -> Any:
    """Tells where the truth counts; `depth.valid_mask` for tensors.

    Args:
        y_true: Depth in metres, any shape.
        max_depth_m: Deeper truth does not count; None for no limit.

    Returns:
        Booleans of the same shape.
    """
    mask = ops.logical_and(ops.isfinite(y_true), y_true > MIN_DEPTH_M)
    return mask if max_depth_m is None else ops.logical_and(mask, y_true <= max_depth_m)


def silog(
    y_true: Any, y_pred: Any, variance_focus: float = 0.85, max_depth_m: float | None = None
) -> Any:
    """Scale-invariant logarithmic loss of BTS (Lee et al. 2019), per image.

    `10 * sqrt(mean(g^2) - variance_focus * mean(g)^2)`, `g = ln(y_pred) - ln(y_true)` over the
    valid pixels. A prediction is clamped below at 1 mm, where it has no gradient.

    Args:
        y_true: The true depth.
        y_pred: The predicted depth.
        variance_focus: 0 punishes a wrong scale like any other error, 1 not at all.
        max_depth_m: Deeper truth does not count.

    Returns:
        [batch], 0 for an image without valid pixels.
    """
    mask = valid_pixels(y_true, max_depth_m)
    error = log_error(y_true, y_pred, mask)
    mean = image_mean(error, mask)
    deviation = error - ops.reshape(mean, (-1, 1, 1, 1))
    # mean(g^2) - f mean(g)^2 = variance(g) + (1 - f) mean(g)^2, which cannot become negative.
    variance = image_mean(ops.square(deviation), mask)
    return 10.0 * _safe_sqrt(variance + (1.0 - variance_focus) * ops.square(mean))


def gradient_loss(
    y_true: Any, y_pred: Any, scales: int = 3, max_depth_m: float | None = None
) -> Any:
    """Multi-scale gradient matching loss (Li and Snavely 2018, MegaDepth), per image.

    The sum over scales of the mean of `|g(x + s) - g(x)|` over horizontal and vertical neighbours
    at the distance `s = 1, 2, 4`, on the grid of every s-th pixel; `g = ln(y_pred) - ln(y_true)`.
    A difference counts if both its pixels are valid.

    Args:
        y_true: The true depth.
        y_pred: The predicted depth.
        scales: Number of scales, at least 1.
        max_depth_m: Deeper truth does not count.

    Returns:
        [batch], 0 for an image without a pair of valid neighbours.
    """
    mask = valid_pixels(y_true, max_depth_m)
    error = log_error(y_true, y_pred, mask)
    return sum(_scale_loss(error, mask, 2**scale) for scale in range(scales))


def distillation_loss(teacher_logits: Any, student_logits: Any) -> Any:
    """L2 distillation loss, per image: `mean((student_logits - teacher_logits)^2)`.

    Args:
        teacher_logits: [batch, height, width, channels] features before the teacher's last
            activation; NaN (see `depth_to_logits`) and infinity = missing.
        student_logits: The same of the student.

    Returns:
        [batch], the mean over the entries where the teacher is finite, 0 if there are none.
    """
    mask = ops.isfinite(teacher_logits)
    difference = _masked(student_logits, mask) - _masked(teacher_logits, mask)
    return image_mean(ops.square(difference), mask)


def depth_to_logits(depth_m: Any, max_depth_m: float) -> Any:
    """Inverts the student's head: `logit(clip(depth_m / max_depth_m, 1e-4, 1 - 1e-4))`.

    So any teacher of metric depth gives a target for the student's head.

    Args:
        depth_m: Depth in metres, any shape, 0 or not finite = missing.
        max_depth_m: The factor of the student's sigmoid in metres.

    Returns:
        Logits of the same shape, NaN where the depth is missing.
    """
    depth_m = ops.cast(depth_m, "float32")
    mask = valid_pixels(depth_m)
    share = ops.clip(
        _masked(depth_m, mask) / max_depth_m, LOGIT_MARGIN, 1.0 - LOGIT_MARGIN
    )
    logits = ops.log(share) - ops.log1p(-share)
    return ops.where(mask, logits, float("nan"))


class ImageLoss(keras.losses.Loss):
    """Averages the losses of the images that have something to compare."""

    def __init__(self, name: str, reduction: str = "sum_over_batch_size", dtype: Any = None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def count(self, losses: Any, counted: Any) -> Any:
        """Scales [batch] losses so that Keras' mean over the batch is the mean over `counted`.

        On several devices both means are over the whole batch: one may have nothing to compare.
        """
        if self.reduction not in ("sum_over_batch_size", "mean"):
            return losses
        counted = ops.cast(counted, losses.dtype)
        share = mean_over_replicas(ops.mean(counted))
        return losses * counted / ops.where(share > 0, share, 1.0)


@keras.saving.register_keras_serializable("mai_depth")
class SiLog(ImageLoss):
    """`silog` as a Keras loss, the mean over the images that have a valid pixel.

    Args:
        variance_focus: See `silog`.
        max_depth_m: See `silog`.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.
    """

    def __init__(
        self,
        variance_focus: float = 0.85,
        max_depth_m: float | None = None,
        name: str = "silog",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.variance_focus = variance_focus
        self.max_depth_m = max_depth_m

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses of the images, [batch]."""
        losses = silog(y_true, y_pred, self.variance_focus, self.max_depth_m)
        return self.count(losses, any_pixel(valid_pixels(y_true, self.max_depth_m)))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = {"variance_focus": self.variance_focus, "max_depth_m": self.max_depth_m}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("mai_depth")
class GradientLoss(ImageLoss):
    """`gradient_loss` as a Keras loss, the mean over the images that have two valid neighbours.

    Args:
        scales: See `gradient_loss`.
        max_depth_m: See `gradient_loss`.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.
    """

    def __init__(
        self,
        scales: int = 3,
        max_depth_m: float | None = None,
        name: str = "gradient_loss",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.scales = scales
        self.max_depth_m = max_depth_m

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses of the images, [batch]."""
        mask = valid_pixels(y_true, self.max_depth_m)
        pairs = [
            any_pixel(pair)
            for scale in range(self.scales)
            for pair in _pair_masks(mask[:, :: 2**scale, :: 2**scale])
        ]
        losses = gradient_loss(y_true, y_pred, self.scales, self.max_depth_m)
        return self.count(losses, ops.any(ops.stack(pairs), axis=0))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = {"scales": self.scales, "max_depth_m": self.max_depth_m}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("mai_depth")
class DistillationLoss(ImageLoss):
    """`distillation_loss` as a Keras loss: `y_true` the teacher's logits, `y_pred` the student's.

    The mean over the images in which the teacher has a finite entry.

    Args:
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.
    """

    def __init__(self, name: str = "distillation_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses of the images, [batch]."""
        return self.count(distillation_loss(y_true, y_pred), any_pixel(ops.isfinite(y_true)))


def _masked(values: Any, mask: Any) -> Any:
    """Returns float32 values, 1 where masked out: a number whose logarithm has a gradient."""
    return ops.where(mask, ops.cast(values, "float32"), 1.0)


def log_error(y_true: Any, y_pred: Any, mask: Any) -> Any:
    """Returns `ln(y_pred) - ln(y_true)`, the prediction at least 1 mm, 0 where masked out."""
    prediction = ops.maximum(_masked(y_pred, mask), MIN_DEPTH_M)
    return ops.log(prediction) - ops.log(_masked(y_true, mask))


def any_pixel(mask: Any) -> Any:
    """Tells which images have a pixel in the mask, [batch]."""
    return ops.any(mask, axis=(1, 2, 3))


def image_mean(values: Any, mask: Any) -> Any:
    """Returns the mean over the pixels of the mask, [batch], 0 where there is none."""
    weights = ops.cast(mask, "float32")
    count = ops.sum(weights, axis=(1, 2, 3))
    return ops.sum(values * weights, axis=(1, 2, 3)) / ops.maximum(count, 1.0)


def _safe_sqrt(square: Any) -> Any:
    """Returns the square root, with gradient 0 instead of infinity at 0; NaN stays NaN."""
    tiny = square <= _SMALLEST_SQUARE  # false for NaN, which must never look like a loss of 0
    return ops.where(tiny, 0.0, ops.sqrt(ops.where(tiny, 1.0, square)))


def _pair_masks(mask: Any) -> tuple[Any, Any]:
    """Tells where both vertical neighbours, and both horizontal ones, are valid."""
    return (
        ops.logical_and(mask[:, 1:], mask[:, :-1]),
        ops.logical_and(mask[:, :, 1:], mask[:, :, :-1]),
    )


def _scale_loss(error: Any, mask: Any, step: int) -> Any:
    error, mask = error[:, ::step, ::step], mask[:, ::step, ::step]
    steps = (error[:, 1:] - error[:, :-1], error[:, :, 1:] - error[:, :, :-1])
    weights = [ops.cast(pair, "float32") for pair in _pair_masks(mask)]
    pairs = list(zip(steps, weights, strict=True))
    total = sum(ops.sum(ops.abs(s) * w, axis=(1, 2, 3)) for s, w in pairs)
    count = sum(ops.sum(w, axis=(1, 2, 3)) for w in weights)
    return total / ops.maximum(count, 1.0)
