"""The metrics of the MAI 2021 depth challenge in NumPy: the definition for the whole project.

All functions take `y_true` and `y_pred`, depth in metres of the same shape, 0 = missing, and use
only the pixels where the truth is valid (finite, more than 1 mm); predictions elsewhere never
matter. A prediction is clamped below at 1 mm before a logarithm or a ratio. Sums are float64.
Without a valid pixel every metric is NaN.
"""

from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np

from mai_depth.depth import MIN_DEPTH_M
from mai_depth.depth import valid_mask
from mai_depth.errors import UserError

NAMES = ("si_rmse", "rmse", "log10", "abs_rel", "delta1", "delta2", "delta3")
NYU_CROP = (slice(45, 471), slice(41, 601))
"""Eigen's evaluation crop [426, 560] of a 480x640 NYU picture."""

_FLAT = 1e-7  # relative deviation below which a map is flat except for rounding


def si_rmse(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Scale-invariant root mean squared error of the natural logarithm.

    `sqrt(mean(d^2) - mean(d)^2)`, `d = ln(y_pred) - ln(y_true)` (Eigen et al. 2014), which is the
    standard deviation of `d`: 0 for a prediction that is right up to its scale.
    """
    return _si_rmse(_log_error(*_valid(y_true, y_pred)))


def rmse(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Root mean squared error, `sqrt(mean((y_true - y_pred)^2))`, in metres."""
    return _rmse(*_valid(y_true, y_pred))


def log10(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean absolute error of the decimal logarithm, `mean(|log10 y_pred - log10 y_true|)`."""
    return _log10(_log_error(*_valid(y_true, y_pred)))


def abs_rel(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean absolute relative error (REL of the paper), `mean(|y_pred - y_true| / y_true)`."""
    return _abs_rel(*_valid(y_true, y_pred))


def delta(y_true: np.ndarray, y_pred: np.ndarray, power: int = 1) -> float:
    """Share of the pixels with `max(y_pred / y_true, y_true / y_pred) < 1.25^power`.

    Args:
        y_true: The true depth.
        y_pred: The predicted depth.
        power: 1, 2 or 3 for delta1, delta2, delta3 (Eigen et al. 2014).

    Returns:
        A share from 0 to 1; a NaN prediction counts as wrong.
    """
    return _delta(_ratio(*_valid(y_true, y_pred)), power)


def image_metrics(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """Computes all metrics of one image.

    Args:
        y_true: [height, width] depth in metres, 0 = missing.
        y_pred: [height, width] depth in metres.

    Returns:
        The metrics by name, in the order of `NAMES`; all NaN if no pixel is valid.
    """
    truth, prediction = _valid(y_true, y_pred)
    error, ratio = _log_error(truth, prediction), _ratio(truth, prediction)
    values = [_si_rmse(error), _rmse(truth, prediction), _log10(error), _abs_rel(truth, prediction)]
    values += [_delta(ratio, power) for power in (1, 2, 3)]
    return dict(zip(NAMES, values, strict=True))


def mean_metrics(metrics: Sequence[dict[str, float]]) -> dict[str, float]:
    """Averages the metrics of images, as the challenge does.

    Args:
        metrics: `image_metrics` of each image. Images without valid pixels do not count; an image
            with a NaN prediction does (its deltas are numbers), so that a broken model shows as
            NaN.

    Returns:
        The means by name, NaN without images, and `images`, the number of images that count.
    """
    counted = [image for image in metrics if not np.isnan(image["delta1"])]
    means = {name: _mean(np.array([image[name] for image in counted])) for name in NAMES}
    return {**means, "images": len(counted)}


def pooled_metrics(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Computes the metrics over the pixels of all pairs at once.

    The organisers' training script does so for each batch of 32. `si_rmse` then contains the error
    of each picture's scale, and is larger than the mean over images.

    Args:
        pairs: `(y_true, y_pred)` of each image, depth in metres.

    Returns:
        The metrics by name and `images`, the number of images with a valid pixel.
    """
    total, pixels, images = np.zeros(len(NAMES) + 1), 0, 0
    for y_true, y_pred in pairs:
        truth, prediction = _valid(y_true, y_pred)
        total += _sums(truth, prediction)
        pixels += truth.size
        images += truth.size > 0
    mean_d, mean_d2, mean_square, *rest = total / pixels if pixels else np.full(8, np.nan)
    scale_invariant = np.sqrt(np.maximum(mean_d2 - mean_d**2, 0.0))
    values = [scale_invariant, np.sqrt(mean_square), *rest]
    means = {name: float(value) for name, value in zip(NAMES, values, strict=True)}
    return {**means, "images": images}


def median_scale(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Scales a prediction so that its median over the valid pixels is that of the truth.

    For models whose depth has no unit (relative depth).

    Args:
        y_true: Depth in metres, any shape, 0 = missing.
        y_pred: Depth in any unit, the same shape.

    Returns:
        `y_pred` times one factor; unchanged if no pixel is valid.
    """
    truth, prediction = _valid(y_true, y_pred)
    if not truth.size:
        return np.asarray(y_pred)
    return np.asarray(y_pred) * (np.median(truth) / np.median(_clamp(prediction)))


def affine_align(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Scales and shifts a prediction so that it fits the truth in least squares, in depth.

    `min over scale, shift of sum((scale * y_pred + shift - y_true)^2)` over the valid pixels.
    Figures of networks that answer depth up to scale and shift are published this way (Marigold, Ke
    et al. 2024). Networks that answer inverse depth (MiDaS, Ranftl et al. 2022; Depth Anything) are
    fitted in inverse depth. Both are often measured in Eigen's crop, `NYU_CROP`.

    Args:
        y_true: Depth in metres, any shape, 0 = missing.
        y_pred: Depth in any unit, the same shape.

    Returns:
        float64 metres, at least 1 mm; a flat prediction becomes the mean of the truth. Unchanged if
        no pixel is valid.
    """
    truth, prediction = _valid(y_true, y_pred)
    if not truth.size:
        return np.asarray(y_pred)
    with np.errstate(invalid="ignore"):  # a broken model's infinities become NaN
        middle = prediction.mean()
        variance = np.mean((prediction - middle) ** 2)
        covariance = np.mean((prediction - middle) * (truth - truth.mean()))
        flat = variance <= (_FLAT * middle) ** 2
        scale = 0.0 if flat else covariance / variance
        return _clamp(truth.mean() + scale * (np.asarray(y_pred, np.float64) - middle))


def mai_score(si_rmse: float, runtime_ms: float, c: float = 1.5625e-6) -> float:
    """The challenge's score, `2^(-20 si_rmse) / (c * runtime_ms)` (Ignatov et al. 2021).

    Half the runtime is worth 0.05 of si-RMSE. Table 1 of the paper uses the default `c`, its
    Table 2 uses `10 * c`.

    Args:
        si_rmse: Mean scale-invariant error over the images.
        runtime_ms: Time of one picture in milliseconds (the challenge: on a Raspberry Pi 4).
        c: The challenge's constant.

    Returns:
        The score; larger is better.

    Raises:
        UserError: The error is not a number >= 0 or the runtime is not a number > 0.
    """
    if not (np.isfinite(si_rmse) and si_rmse >= 0):
        raise UserError(f"si_rmse: {si_rmse} has no score; give a finite number >= 0")
    if not (np.isfinite(runtime_ms) and runtime_ms > 0):
        raise UserError(f"runtime_ms: {runtime_ms} has no score; give a finite number > 0")
    return float(2.0 ** (-20.0 * si_rmse) / (c * runtime_ms))


def _valid(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the valid pixels of both as float64 [pixels]."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.shape != y_pred.shape:  # [H, W] against [H, W, 1] would broadcast to [H, H, W]
        raise ValueError(f"y_true {y_true.shape} and y_pred {y_pred.shape} differ in shape")
    mask = valid_mask(y_true)
    return y_true[mask].astype(np.float64), y_pred[mask].astype(np.float64)


def _clamp(prediction: np.ndarray) -> np.ndarray:
    return np.maximum(prediction, MIN_DEPTH_M)  # keeps NaN


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")  # np.mean([]) warns


def _log_error(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return np.log(_clamp(prediction)) - np.log(truth)


def _ratio(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    prediction = _clamp(prediction)
    return np.maximum(prediction / truth, truth / prediction)


def _si_rmse(log_error: np.ndarray) -> float:
    return float(np.std(log_error)) if log_error.size else float("nan")


def _rmse(truth: np.ndarray, prediction: np.ndarray) -> float:
    return float(np.sqrt(_mean((truth - prediction) ** 2)))


def _log10(log_error: np.ndarray) -> float:
    return _mean(np.abs(log_error)) / float(np.log(10.0))


def _abs_rel(truth: np.ndarray, prediction: np.ndarray) -> float:
    return _mean(np.abs(prediction - truth) / truth)


def _delta(ratio: np.ndarray, power: int) -> float:
    return np.count_nonzero(ratio < 1.25**power) / ratio.size if ratio.size else float("nan")


def _sums(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Returns the sums over pixels that `pooled_metrics` needs, [8]."""
    d = _log_error(truth, prediction)
    ratio = np.exp(np.abs(d))
    return np.array([
        d.sum(),
        (d**2).sum(),
        ((truth - prediction) ** 2).sum(),
        np.abs(d).sum() / np.log(10.0),
        (np.abs(prediction - truth) / truth).sum(),
        *((ratio < 1.25**power).sum() for power in (1, 2, 3)),
    ])
