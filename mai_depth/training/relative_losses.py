"""Losses for labels that come from a teacher, not from a sensor, for pictures of any camera.

If the camera is unknown, metres are a guess, and `silog` with a variance focus of 1 compares only
the shape. A teacher without a unit answers with inverse depth up to scale and shift. Both make
gross errors, at mirrors and windows for instance, so each loss leaves out the pixels of a picture
with the largest error, chosen again at every step.

Shapes, units and results are those of `losses`.
"""

from typing import Any

import keras
from keras import ops

from mai_depth.depth import MIN_DEPTH_M
from mai_depth.training.losses import ImageLoss
from mai_depth.training.losses import any_pixel
from mai_depth.training.losses import image_mean
from mai_depth.training.losses import log_error
from mai_depth.training.losses import silog
from mai_depth.training.losses import valid_pixels

_SMALLEST_SPREAD = 1e-6  # of inverse depth, 1/m: float32 has no more digits for a near wall


def trimmed_silog(
    y_true: Any,
    y_pred: Any,
    variance_focus: float = 1.0,
    trim: float = 0.1,
    max_depth_m: float | None = None,
) -> Any:
    """`silog` without the worst pixels of each image, per image.

    The worst are those with the largest error after the best scale, `|g - mean(g)|`,
    `g = ln(y_pred) - ln(y_true)`.

    Args:
        y_true: The true depth.
        y_pred: The predicted depth.
        variance_focus: See `silog`.
        trim: Share of the valid pixels to leave out, rounded down.
        max_depth_m: Deeper truth does not count.

    Returns:
        [batch], 0 for an image without valid pixels.
    """
    mask = valid_pixels(y_true, max_depth_m)
    error = log_error(y_true, y_pred, mask)
    deviation = ops.abs(error - ops.reshape(image_mean(error, mask), (-1, 1, 1, 1)))
    kept = _smallest(deviation, mask, trim)
    loss = silog(ops.where(kept, y_true, 0.0), y_pred, variance_focus, max_depth_m)
    return _unless_broken(loss, y_pred, mask)


def scale_shift_invariant_loss(y_true: Any, y_pred: Any, trim: float = 0.2) -> Any:
    """Scale- and shift-invariant trimmed loss of MiDaS (Ranftl et al. 2022, eq. 7), per image.

    `sum(|p - t|) / (2 M)` over the M valid pixels without the worst ones, where `p` and `t` are the
    inverse depths of prediction and truth, each minus its median and divided by its mean absolute
    deviation from it (eq. 5, 6).

    Args:
        y_true: [batch, height, width, 1] inverse depth of any scale and shift, larger = nearer,
            0 (or what else `valid_pixels` refuses) = missing.
        y_pred: Depth in metres; less than 1 mm counts as 1 mm, and has no gradient.
        trim: Share of the valid pixels to leave out, rounded down.

    Returns:
        [batch], 0 for an image without valid pixels.
    """
    mask = valid_pixels(y_true)
    depth = ops.where(mask, ops.cast(y_pred, "float32"), 1.0)
    predicted = _normalized(1.0 / ops.maximum(depth, MIN_DEPTH_M), mask)
    truth = _normalized(ops.where(mask, ops.cast(y_true, "float32"), 0.0), mask)
    error = ops.abs(predicted - truth)
    kept = _smallest(error, mask, trim)
    loss = image_mean(ops.where(kept, error, 0.0), mask) / 2.0
    return _unless_broken(loss, y_pred, mask)


@keras.saving.register_keras_serializable("mai_depth")
class TrimmedSiLog(ImageLoss):
    """`trimmed_silog` as a Keras loss, the mean over the images that have a valid pixel.

    Args:
        variance_focus: See `trimmed_silog`.
        trim: See `trimmed_silog`.
        max_depth_m: See `trimmed_silog`.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.
    """

    def __init__(
        self,
        variance_focus: float = 1.0,
        trim: float = 0.1,
        max_depth_m: float | None = None,
        name: str = "trimmed_silog",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.variance_focus = variance_focus
        self.trim = trim
        self.max_depth_m = max_depth_m

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses of the images, [batch]."""
        losses = trimmed_silog(y_true, y_pred, self.variance_focus, self.trim, self.max_depth_m)
        return self.count(losses, any_pixel(valid_pixels(y_true, self.max_depth_m)))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = {"variance_focus": self.variance_focus, "trim": self.trim,
                  "max_depth_m": self.max_depth_m}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("mai_depth")
class ScaleShiftInvariantLoss(ImageLoss):
    """`scale_shift_invariant_loss` as a Keras loss: `y_true` inverse depth, `y_pred` metres.

    The mean over the images that have a valid pixel.

    Args:
        trim: Share of the valid pixels to leave out.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.
    """

    def __init__(
        self, trim: float = 0.2, name: str = "scale_shift_invariant_loss", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        self.trim = trim

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses of the images, [batch]."""
        losses = scale_shift_invariant_loss(y_true, y_pred, self.trim)
        return self.count(losses, any_pixel(valid_pixels(y_true)))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "trim": self.trim}


def _normalized(inverse_depth: Any, mask: Any) -> Any:
    """Returns inverse depth minus its median, divided by the mean absolute deviation from it."""
    difference = inverse_depth - _median(inverse_depth, mask)
    spread = ops.reshape(image_mean(ops.abs(difference), mask), (-1, 1, 1, 1))
    return difference / ops.maximum(spread, _SMALLEST_SPREAD)


def _median(values: Any, mask: Any) -> Any:
    """The median over the mask, [batch, 1, 1, 1]; of two middle values the lower, as in PyTorch."""
    return _value_of_rank(values, mask, (_pixels(mask) - 1) // 2)


def _smallest(error: Any, mask: Any, trim: float) -> Any:
    """Drops the share `trim` of a mask where the error is largest; ties are kept."""
    count = _pixels(mask)
    dropped = ops.cast(ops.floor(trim * ops.cast(count, "float32")), "int32")
    error = ops.stop_gradient(error)
    limit = _value_of_rank(error, mask, count - dropped - 1)
    return ops.logical_and(mask, error <= limit)


def _value_of_rank(values: Any, mask: Any, rank: Any) -> Any:
    """The value of `rank` [batch, 1] in the mask, from 0 for the smallest; 0 if there is none."""
    flat = ops.reshape(ops.where(mask, values, float("inf")), (-1, _size(values)))
    found = ops.take_along_axis(ops.sort(flat, axis=1), ops.maximum(rank, 0), axis=1)
    found = ops.where(rank < 0, 0.0, found)
    return ops.reshape(found, (-1, 1, 1, 1))


def _size(values: Any) -> int:
    return values.shape[1] * values.shape[2] * values.shape[3]


def _pixels(mask: Any) -> Any:
    """Number of pixels in the mask, int32 [batch, 1]."""
    return ops.sum(ops.cast(mask, "int32"), axis=(1, 2, 3))[:, None]


def _unless_broken(loss: Any, y_pred: Any, mask: Any) -> Any:
    """NaN if the prediction at a valid pixel is not finite: trimming could drop that pixel."""
    whole = ops.all(ops.logical_or(ops.isfinite(y_pred), ops.logical_not(mask)), axis=(1, 2, 3))
    return ops.where(whole, loss, float("nan"))
