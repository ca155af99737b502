"""How well a depth map reproduces the edges of objects, in NumPy.

`y_true` and `y_pred` are as in `mai_depth.metrics`: metres, of the same shape, and predictions do
not matter where the truth is missing.
"""

import numpy as np

from mai_depth.depth import MIN_DEPTH_M
from mai_depth.depth import valid_mask

THRESHOLDS = np.linspace(1.05, 1.25, 10)
"""Ratios of two depths above which there is an edge between them; also the weights of the mean."""

_WIDTHS = 40  # distances per picture width


def boundary_f1(y_true: np.ndarray, y_pred: np.ndarray, distance: int | None = None) -> float:
    """F1 of occluding edges, after Depth Pro (Bochkovskii et al. 2024, section 3.3).

    Of two pixels i and j beside or above each other, j lies behind an edge if
    `depth_j / depth_i > t`. An edge of the prediction is right if the truth has it between the same
    two pixels in the same direction: `F1 = 2 right / (edges of y_true + edges of y_pred)`, that is
    `2 P R / (P + R)` of precision P and recall R. The result is the mean over ten thresholds t from
    1.05 to 1.25, weighted with t; it ignores the scale of the prediction.

    Differences from Depth Pro:

    - **The two pixels lie a fortieth of the width apart**, 16 pixels of 640. Between neighbours
      (`distance=1`, as in the paper) a small network whose 64x80 values are resized has no edges
      at all, so that every such network has an F1 of 0.
    - Only pairs with both pixels valid in the truth count, and only thresholds at which the truth
      has an edge.
    - All four directions are counted together, as in the paper's formulas; the authors' code
      computes P and R of each direction and averages them.

    Args:
        y_true: [height, width] depth in metres, 0 = missing.
        y_pred: [height, width] depth in any unit of length.
        distance: Between the pixels of a pair, in pixels; None for a fortieth of the width.

    Returns:
        From 0 to 1, 1 for a prediction that is right up to scale; NaN if the truth has no edge.

    Raises:
        ValueError: The shapes differ or are not two-dimensional.
    """
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.ndim != 2 or y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true {y_true.shape} and y_pred {y_pred.shape}: give two maps of one shape")
    if distance is None:
        distance = max(1, round(y_true.shape[1] / _WIDTHS))
    valid = valid_mask(y_true)
    truth, prediction = _steps(y_true, valid, distance), _steps(y_pred, valid, distance)
    values = np.array([_f1(truth, prediction, np.log(t)) for t in THRESHOLDS])
    counted = ~np.isnan(values)
    if not counted.any():
        return float("nan")
    return float(np.average(values[counted], weights=THRESHOLDS[counted]))


def _steps(depth: np.ndarray, valid: np.ndarray, distance: int) -> np.ndarray:
    """Returns `ln(depth_j / depth_i)` of all pairs that are valid, rows first, [pairs]."""
    logs = np.log(np.maximum(np.where(valid, depth, 1.0).astype(np.float64), MIN_DEPTH_M))
    steps = []
    for array, mask in ((logs, valid), (logs.T, valid.T)):
        both = mask[distance:] & mask[:-distance]
        with np.errstate(invalid="ignore"):  # a broken model's infinities become NaN: no edge
            steps.append((array[distance:] - array[:-distance])[both])
    return np.concatenate(steps)


def _f1(truth: np.ndarray, prediction: np.ndarray, step: float) -> float:
    """F1 at one threshold, given as its logarithm; NaN if the truth has no edge."""
    edges = np.count_nonzero(np.abs(truth) > step)
    if not edges:
        return float("nan")
    right = sum(np.count_nonzero((sign * truth > step) & (sign * prediction > step))
                for sign in (1, -1))
    return 2 * right / (edges + np.count_nonzero(np.abs(prediction) > step))
