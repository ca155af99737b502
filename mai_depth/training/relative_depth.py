"""Inverse depth without a unit: fitted to metres, or averaged without them. Needs only NumPy."""

from collections.abc import Sequence

import numpy as np

from mai_depth.depth import valid_mask

_BEYOND = 2.0  # how many times nearer or farther than the depths that it was fitted to


def fit_to_metres(inverse_depth: np.ndarray, depth_m: np.ndarray) -> np.ndarray | None:
    """Fits the scale and shift of inverse depth to a picture's metres.

    `min over scale, shift of sum((scale * inverse_depth + shift - 1 / depth_m)^2)` over the pixels
    with metres (Ranftl et al. 2022, eq. 4). The far end of a fit can reach infinity and beyond, so
    the result is limited to half the smallest and twice the largest depth of `depth_m`.

    Args:
        inverse_depth: [height, width], larger = nearer, up to scale and shift.
        depth_m: The same picture's depth in metres, 0 = missing.

    Returns:
        float32 [height, width] in metres; None if no positive scale fits: the two contradict each
        other, or one of them is flat.
    """
    valid = valid_mask(depth_m)
    if not valid.any():
        return None
    target = 1.0 / depth_m[valid].astype(np.float64)
    line = _fit(inverse_depth[valid], target)
    if line is None:
        return None
    scale, shift = line
    fitted = scale * inverse_depth.astype(np.float64) + shift
    limited = np.clip(fitted, target.min() / _BEYOND, target.max() * _BEYOND)
    return (1.0 / limited).astype(np.float32)


def mean_inverse_depth(answers: Sequence[np.ndarray]) -> np.ndarray:
    """Averages inverse depth without a unit, each map fitted to the scale and shift of the first.

    Args:
        answers: [height, width] each, larger = nearer. One that contradicts the first is left out.

    Returns:
        float32 [height, width], from 0 to 1; all 0 if the mean is flat.
    """
    first = answers[0].astype(np.float64)
    lines = [(answer, _fit(answer, first)) for answer in answers[1:]]
    mean = np.mean([first, *(line[0] * answer + line[1] for answer, line in lines if line)], axis=0)
    spread = np.ptp(mean)
    return ((mean - mean.min()) / (spread or 1.0)).astype(np.float32)


def _fit(values: np.ndarray, target: np.ndarray) -> tuple[float, float] | None:
    """Least squares: (scale, shift) of `scale * values + shift` to the target; None if flat."""
    values = values.astype(np.float64)
    difference = values - values.mean()
    variance = np.mean(difference**2)
    covariance = np.mean(difference * (target - target.mean()))
    if not (variance > 0 and covariance > 0):
        return None
    scale = covariance / variance
    return scale, target.mean() - scale * values.mean()
