"""The sheet of photographs beside the depth that several networks see in them."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from PIL import ImageDraw

from mai_depth.colormap import colorize
from mai_depth.colormap import depth_range
from mai_depth.predict.camera_picture import CameraPicture

TILE = (240, 180)
"""Width and height of a photograph or a map."""

_TITLE_HEIGHT = 18


def photo_row(picture: CameraPicture, depths_m: Sequence[np.ndarray]) -> Image.Image:
    """Draws a photograph and the depth that networks give it.

    Args:
        picture: The photograph.
        depths_m: Each [180, 240] in metres.

    Returns:
        The tiles side by side, 240x180 each.
    """
    width, height = TILE
    row = Image.new("RGB", (width * (1 + len(depths_m)), height))
    row.paste(picture.rgb.resize(TILE, Image.Resampling.BILINEAR), (0, 0))
    limits = depth_range(np.stack(depths_m))
    draw = ImageDraw.Draw(row)
    for number, depth in enumerate(depths_m, start=1):
        row.paste(Image.fromarray(colorize(depth, *limits)), (number * width, 0))
        middle, text = (number * width + width // 2, height // 2), f"{depth[90, 120]:.2f} m"
        draw.rectangle(draw.textbbox(middle, text, anchor="mm"), fill="white")
        draw.text(middle, text, fill="black", anchor="mm")
    return row


def photo_sheet(rows: Sequence[Image.Image], titles: Sequence[str], columns: int) -> Image.Image:
    """Puts rows of one size below and beside each other, under their titles.

    Args:
        rows: Of `photo_row`.
        titles: Of the tiles in a row.
        columns: Rows side by side.

    Returns:
        The sheet.
    """
    width, height = rows[0].size
    lines, columns = -(-len(rows) // columns), min(columns, len(rows))
    sheet = Image.new("RGB", (width * columns, _TITLE_HEIGHT + height * lines), "white")
    draw = ImageDraw.Draw(sheet)
    for column in range(columns):
        for tile, title in enumerate(titles):
            draw.text((column * width + tile * TILE[0] + 4, 3), title, fill="black")
    for number, row in enumerate(rows):
        column, line = number % columns, number // columns
        sheet.paste(row, (column * width, _TITLE_HEIGHT + line * height))
    return sheet
