"""Depth as colours, without matplotlib, so that it runs on a board."""

import numpy as np

from mai_depth.depth import valid_mask

# Polynomial form of Google's Turbo colour map (Mikhailov, 2019): red, green, blue, lowest power
# first.
_TURBO = np.array([
    [0.13572138, 4.61539260, -42.66032258, 132.13108234, -152.94239396, 59.28637943],
    [0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604],
    [0.10667330, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973],
])


def turbo(values: np.ndarray) -> np.ndarray:
    """Maps 0..1 to the Turbo colours, from dark blue to dark red.

    Args:
        values: Any shape; clipped to 0..1.

    Returns:
        uint8 [..., 3] RGB.
    """
    powers = np.clip(values, 0, 1)[..., None] ** np.arange(_TURBO.shape[1])
    return np.rint(255 * np.clip(powers @ _TURBO.T, 0, 1)).astype(np.uint8)


def colorize(depth_m: np.ndarray, near_m: float, far_m: float) -> np.ndarray:
    """Draws depth: near is warm, far is cold, missing is black.

    Args:
        depth_m: [height, width] in metres, 0 = missing.
        near_m: What gets the warmest colour.
        far_m: What gets the coldest colour.

    Returns:
        uint8 [height, width, 3] RGB.
    """
    share = (far_m - depth_m) / max(far_m - near_m, 1e-6)
    return np.where(valid_mask(depth_m)[..., None], turbo(share), 0).astype(np.uint8)
