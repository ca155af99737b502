"""One factor for a camera from measured distances: least squares in log depth.

Only a scale is fitted: with a shift it would fit a user's few points and be wrong elsewhere.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mai_depth.depth import valid_mask
from mai_depth.errors import UserError

DISAGREES = 1.25  # a point that is off by more than this factor deserves a second look


class Fit(NamedTuple):
    """A fitted scale.

    Attributes:
        scale: What the network's depth is multiplied by.
        standard_error: Of log scale; None of one point.
        off: For each point, its own scale divided by the median of all: one bad point drags the
            mean, and would accuse the good ones as well.
    """

    scale: float
    standard_error: float | None
    off: tuple[float, ...]

    def disagreeing(self) -> list[int]:
        """The numbers of the points that are off by more than `DISAGREES`, the worst first."""
        far = [index for index, off in enumerate(self.off)
               if abs(math.log(off)) > math.log(DISAGREES)]
        return sorted(far, key=lambda index: -abs(math.log(self.off[index])))


def fit_scale(answered_m: Sequence[float], measured_m: Sequence[float]) -> Fit:
    """Fits `measured = scale * answered`.

    The mean of `log measured - log answered` is the least-squares answer; its standard error is
    the deviation of the points over the root of their number.

    Args:
        answered_m: What the network says, one for each point, more than 0.
        measured_m: The true distances.

    Returns:
        The fit.
    """
    logs = np.log(np.asarray(measured_m, np.float64) / np.asarray(answered_m, np.float64))
    mean = float(logs.mean())
    error = float(logs.std(ddof=1) / math.sqrt(logs.size)) if logs.size > 1 else None
    return Fit(math.exp(mean), error, tuple(float(off) for off in np.exp(logs - np.median(logs))))


def mean_depth_ratio(answered_m: np.ndarray, measured_m: np.ndarray) -> float:
    """Makes one point of a whole picture: its pixels err together, so they count as one.

    Args:
        answered_m: [height, width], of the network.
        measured_m: The same of a sensor, 0 = missing.

    Returns:
        The geometric mean of measured by answered depth.

    Raises:
        UserError: No pixel has both.
    """
    both = valid_mask(answered_m) & valid_mask(measured_m)
    if not both.any():
        raise UserError("no pixel with depth")
    return float(np.exp(np.mean(np.log(measured_m[both] / answered_m[both], dtype=np.float64))))
