"""The sheet to look at after labelling: pictures beside their depth."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image
from PIL import ImageDraw

from mai_depth.atomic import atomic_path
from mai_depth.colormap import colorize
from mai_depth.colormap import depth_range
from mai_depth.depth import read_depth

SHOWN = 24

_TILE = (240, 180)  # width and height
_COLUMNS = 4


def save_label_sheet(
    path: str | os.PathLike, pairs: Sequence[tuple[pathlib.Path, pathlib.Path]], is_metric: bool
) -> int:
    """Draws pictures beside their depth, near warm and far cold, each in its own range.

    Args:
        path: The PNG to write.
        pairs: (picture, depth) files; at most `SHOWN` of them are drawn, evenly spread.
        is_metric: Whether it is depth in millimetres, not inverse depth without a unit.

    Returns:
        The number of pictures drawn.
    """
    chosen = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, SHOWN).astype(int))]
    width, height = _TILE
    rows = -(-len(chosen) // _COLUMNS)
    sheet = Image.new("RGB", (min(len(chosen), _COLUMNS) * 2 * width, rows * height), "white")
    for number, (rgb, depth) in enumerate(chosen):
        corner = (number % _COLUMNS * 2 * width, number // _COLUMNS * height)
        sheet.paste(_tile(rgb, depth, is_metric), corner)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
    return len(chosen)


def _tile(rgb: pathlib.Path, depth: pathlib.Path, is_metric: bool) -> Image.Image:
    width, height = _TILE
    tile = Image.new("RGB", (2 * width, height))
    with Image.open(rgb) as photo:
        tile.paste(photo.convert("RGB").resize(_TILE), (0, 0))
    metres = read_depth(depth)
    if not is_metric:  # the largest code is nearest, and the colours are for depth
        metres = metres.max() + 1 - metres
    near, far = depth_range(metres)
    colors = Image.fromarray(colorize(metres, near, far))
    tile.paste(colors.resize(_TILE, Image.Resampling.NEAREST), (width, 0))
    captions = [((5, 4), rgb.stem[-28:])]
    if is_metric:
        captions.append(((width + 5, 4), f"{near:.1f}-{far:.1f} m"))
    draw = ImageDraw.Draw(tile)
    for corner, caption in captions:
        draw.rectangle(draw.textbbox(corner, caption), fill="white")
        draw.text(corner, caption, fill="black")
    return tile
