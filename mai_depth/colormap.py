"""Depth as colours with a legend, without matplotlib, so that it runs on a board."""

import functools
import math

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from mai_depth.depth import valid_mask

# Polynomials for red, green and blue, lowest power first, over 0 (far) to 1 (near).
_POLYNOMIALS = {
    # Google's own polynomial form of Turbo (Mikhailov, 2019).
    "turbo": np.array([
        [0.13572138, 4.61539260, -42.66032258, 132.13108234, -152.94239396, 59.28637943],
        [0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604],
        [0.10667330, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973],
    ]),
    # Least squares to matplotlib's Inferno (Smith and van der Walt, 2015; CC0): within 6 of 255.
    "inferno": np.array([
        [0.00029, 0.10145, 11.67787, -42.04922,
         78.09552, -72.64073, 26.07045, -0.27938],
        [-0.01123, 1.32659, -14.37827, 75.81556,
         -194.45428, 264.83412, -180.08695, 47.96137],
        [0.01912, 0.79274, 29.36525, -210.60842,
         622.11890, -942.39117, 711.11453, -209.78005],
    ]),
}
COLORMAPS = tuple(_POLYNOMIALS)

_PERCENTILES = (2, 98)  # so that a few wrong pixels do not use up the range
_MIN_SPREAD = 1.05  # a wall seen head-on is one colour, not a rainbow of noise
_MIN_LEGEND_HEIGHT = 96
_MAX_TICKS = 7


def colorize(
    depth_m: np.ndarray, near_m: float, far_m: float, colormap: str = "turbo"
) -> np.ndarray:
    """Draws depth: near is warm, far is cold, missing is black.

    Args:
        depth_m: [height, width] in metres, 0 = missing.
        near_m: Depth of the warmest colour.
        far_m: Depth of the coldest colour.
        colormap: One of `COLORMAPS`.

    Returns:
        uint8 [height, width, 3] RGB.
    """
    valid = valid_mask(depth_m)
    share = (far_m - np.where(valid, depth_m, far_m)) / max(far_m - near_m, 1e-6)
    steps = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    colors = _colors(colormap)[steps]
    colors[~valid] = 0
    return colors


def depth_range(depth_m: np.ndarray) -> tuple[float, float]:
    """Finds the range of depth for a picture's colours.

    Args:
        depth_m: Any shape, in metres, 0 = missing.

    Returns:
        The 2nd and the 98th percentile of the valid pixels, at least 5 % apart; 0 and 1 if there
        are none.
    """
    measured = depth_m[valid_mask(depth_m)]
    if not measured.size:
        return 0.0, 1.0
    near, far = (float(value) for value in np.percentile(measured, _PERCENTILES))
    middle, spread = math.sqrt(near * far), math.sqrt(_MIN_SPREAD)
    return min(near, middle / spread), max(far, middle * spread)


def add_legend(
    rgb: np.ndarray, near_m: float, far_m: float, colormap: str = "turbo"
) -> np.ndarray:
    """Puts a scale in metres to the right of a coloured picture: far on top, near below.

    Args:
        rgb: uint8 [height, width, 3].
        near_m: Depth of the warmest colour.
        far_m: Depth of the coldest colour.
        colormap: One of `COLORMAPS`.

    Returns:
        uint8 [height', width', 3], wider; a picture of fewer than 96 rows is padded with white
        below.
    """
    height, width = max(rgb.shape[0], _MIN_LEGEND_HEIGHT), rgb.shape[1]
    text = min(max(height // 28, 10), 64)
    bar_left, bar_width, margin = width + text // 2, text, text
    label_left = bar_left + bar_width + text // 2
    canvas = Image.new("RGB", (label_left + 3 * text, height), "white")
    canvas.paste(Image.fromarray(rgb), (0, 0))
    rows = height - 2 * margin
    bar = _colors(colormap)[np.linspace(0, 255, rows).astype(np.uint8)]
    bar = np.repeat(bar[:, None], bar_width, axis=1)
    canvas.paste(Image.fromarray(bar), (bar_left, margin))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=text)
    # As many as fit, each with a line of space above and below.
    for label, value in ticks(near_m, far_m, min(rows // (3 * text) + 1, _MAX_TICKS)):
        row = margin + (far_m - value) / max(far_m - near_m, 1e-6) * (rows - 1)
        draw.line((bar_left + bar_width, row, label_left - 2, row), fill="black")
        draw.text((label_left, row), label, fill="black", font=font, anchor="lm")
    return np.asarray(canvas)


def ticks(near_m: float, far_m: float, count: int) -> list[tuple[str, float]]:
    """Chooses round depths for a scale.

    Args:
        near_m: Its lower end in metres.
        far_m: Its upper end in metres.
        count: Number of ticks, at most; there is always one.

    Returns:
        (text, metres) in rising order: multiples of 1, 2 or 5 times a power of ten, the last text
        with the unit.
    """
    spread = max(far_m - near_m, 1e-6)
    for exponent in range(math.floor(math.log10(spread)) - 1, math.ceil(math.log10(spread)) + 2):
        for digit in (1, 2, 5):
            step = digit * 10.0**exponent
            first, last = math.ceil(near_m / step - 1e-9), math.floor(far_m / step + 1e-9)
            if last - first + 1 <= max(count, 1):
                decimals = max(-exponent, 0)
                values = [index * step for index in range(first, last + 1)]
                # The range can lie between two round numbers.
                values = values or [(near_m + far_m) / 2]
                labels = [f"{value:.{decimals}f}" for value in values]
                return list(zip([*labels[:-1], labels[-1] + " m"], values, strict=True))
    raise AssertionError("a step of ten times the spread has at most one multiple in it")


@functools.cache
def _colors(colormap: str) -> np.ndarray:
    """The colours from far to near: uint8 [256, 3]."""
    polynomial = _POLYNOMIALS[colormap]
    powers = np.linspace(0, 1, 256)[:, None] ** np.arange(polynomial.shape[1])
    return np.rint(255 * np.clip(powers @ polynomial.T, 0, 1)).astype(np.uint8)
