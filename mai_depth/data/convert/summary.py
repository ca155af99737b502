"""What was converted, for a person to check: a histogram of depth and a sheet of pictures."""

import itertools
import math
import os

import numpy as np
from PIL import Image
from PIL import ImageDraw

from mai_depth.atomic import atomic_path
from mai_depth.colormap import colorize
from mai_depth.colormap import depth_range

MILLIMETRES = 65536  # counters, one for each depth in millimetres
SHEET_PAIRS = 24

_BARS = 12
_BAR_WIDTH = 50
_TILE = (200, 150)
_COLUMNS = 3
_TEXT_HEIGHT = 16
_DEEP_SHARE = 0.999
_SPARSE = 0.25  # of the pixels


def depth_at(counts: np.ndarray, share: float) -> float:
    """Finds a quantile of counted depths.

    Args:
        counts: [65536], how many pixels have each depth in millimetres; the first is ignored.
        share: 0.5 for the median.

    Returns:
        Metres; 0 where nothing was measured.
    """
    measured = counts.copy()
    measured[0] = 0
    total = np.cumsum(measured)
    if not total[-1]:
        return 0.0
    return int(np.searchsorted(total, share * total[-1])) / 1000


def max_depth_m(counts: np.ndarray) -> float:
    """Returns how far a camera sees: 99.9 % of measured depth is nearer, rounded up to 0.1 m."""
    return math.ceil(depth_at(counts, _DEEP_SHARE) * 10 - 1e-6) / 10


def histogram(counts: np.ndarray) -> str:
    """Draws the depths as bars of text.

    Args:
        counts: [65536], as in `depth_at`.

    Returns:
        A line for each of at most 12 ranges and one for what lies beyond.
    """
    measured = int(counts[1:].sum())
    if not measured:
        return "no depth was measured"
    width = _round_width(max_depth_m(counts) / _BARS)
    edges = [round(width * 1000 * index) for index in range(_BARS + 1)]
    shares = [100 * int(counts[max(low, 1) : high].sum()) / measured
              for low, high in itertools.pairwise(edges)]
    beyond = 100 * int(counts[edges[-1] :].sum()) / measured
    decimals = next(digits for digits in range(4) if math.isclose(width, round(width, digits)))
    most = max(*shares, beyond)
    lines = ["depth in metres, share of what was measured"]
    filled = np.flatnonzero(shares)
    for index in range(filled[0], filled[-1] + 1):
        share, low, high = shares[index], index * width, (index + 1) * width
        bar = "#" * round(_BAR_WIDTH * share / most)
        lines.append(f"{low:6.{decimals}f} to {high:5.{decimals}f} {share:5.1f} % {bar}".rstrip())
    if beyond:
        bar = "#" * round(_BAR_WIDTH * beyond / most)
        lines.append(f"  beyond       {beyond:5.1f} % {bar}".rstrip())
    return "\n".join(lines)


def draw_sheet(
    path: str | os.PathLike, pairs: list[tuple[str, np.ndarray, np.ndarray]]
) -> None:
    """Draws pictures beside their depth: near is warm, far is cold, missing is black.

    Args:
        path: The PNG to write.
        pairs: Name, RGB uint8 [height, width, 3], depth [height, width] in metres.
    """
    width, height = _TILE
    rows = -(-len(pairs) // _COLUMNS)
    sheet = Image.new("RGB", (min(len(pairs), _COLUMNS) * (2 * width + 8),
                              rows * (height + _TEXT_HEIGHT)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (name, rgb, depth_m) in enumerate(pairs):
        left = index % _COLUMNS * (2 * width + 8)
        top = index // _COLUMNS * (height + _TEXT_HEIGHT)
        near, far = depth_range(depth_m)
        text = f"{name[-40:]}   {near:.2f} to {far:.2f} m"
        draw.text((left + 3, top + 2), text, fill="black")
        sheet.paste(Image.fromarray(rgb).resize(_TILE, Image.Resampling.BILINEAR),
                    (left, top + _TEXT_HEIGHT))
        colors = Image.fromarray(colorize(_reduced(depth_m), near, far))
        sheet.paste(colors, (left + width, top + _TEXT_HEIGHT))
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _reduced(depth_m: np.ndarray) -> np.ndarray:
    """Depth at the size of a tile; of sparse depth the nearest point in each pixel's block, since
    sampling would miss most points of a laser scanner."""
    width, height = _TILE
    rows = np.arange(height) * depth_m.shape[0] // height
    columns = np.arange(width) * depth_m.shape[1] // width
    if np.count_nonzero(depth_m) > _SPARSE * depth_m.size:
        return depth_m[rows[:, None], columns]
    tile = np.full((height, width), np.inf, np.float32)
    y, x = np.nonzero(depth_m)
    np.minimum.at(tile, (y * height // depth_m.shape[0], x * width // depth_m.shape[1]),
                  depth_m[y, x])
    return np.where(np.isfinite(tile), tile, 0)


def _round_width(width: float) -> float:
    """The next number above that is 1, 2, 2.5 or 5 times a power of ten, at least 1 cm."""
    width = max(width, 0.01)
    power = 10.0 ** math.floor(math.log10(width))
    return next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= width * 0.999)
