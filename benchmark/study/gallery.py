"""Draws photographs beside the depth that several networks see in them.

    python -m benchmark.study.gallery --model=old.keras,new.keras --input=PHOTOS \\
      --output=gallery.jpg

A row has one range of colours for all networks, so that one that sees everything twice too far is
seen to; the number in a map is its depth in the middle of the picture.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags
from PIL import Image
from PIL import ImageDraw
from tqdm import tqdm

from mai_depth import command
from mai_depth import number_flags
from mai_depth.atomic import atomic_path
from mai_depth.colormap import colorize
from mai_depth.colormap import depth_range
from mai_depth.errors import UserError
from mai_depth.paths import flag_path
from mai_depth.predict.camera_picture import CameraPicture
from mai_depth.predict.camera_picture import read_picture
from mai_depth.predict.depth_network import open_network
from mai_depth.predict.picture_list import list_pictures
from mai_depth.predict.prediction import predict

_MODEL = flags.DEFINE_list("model", [], ".keras or .tflite files, a column each.")
_INPUT = flags.DEFINE_string("input", None, "Folder of photographs, or a .txt with a path a line.")
_OUTPUT = flags.DEFINE_string("output", None, "The picture to write, .jpg or .png.")
_COUNT = number_flags.define_integer("count", 24, "Photographs, evenly spread.", 1, 1000)
_COLUMNS = number_flags.define_integer("columns", 2, "Photographs side by side.", 1, 20)

_TILE = (240, 180)  # width and height
_TITLE_HEIGHT = 18


def main() -> None:
    """Draws the sheet that the flags ask for."""
    if not (_MODEL.value and _INPUT.value and _OUTPUT.value):
        raise UserError("--model, --input and --output: give all three")
    output = flag_path(_OUTPUT)
    if output.suffix not in (".jpg", ".png"):
        raise UserError(f"--output={output}: give a .jpg or .png file")
    networks = {pathlib.Path(path).stem: open_network(path) for path in _MODEL.value}
    if len(networks) < len(_MODEL.value):
        raise UserError("--model: two files of one name cannot be told apart; copy one")
    found = list_pictures(flag_path(_INPUT), output.parent)
    chosen = np.unique(np.linspace(0, len(found) - 1, _COUNT.value).astype(int))
    rows = []
    for index in tqdm(chosen, desc="pictures"):
        picture = read_picture(found[index].path)
        depths = [predict(network, picture).depth_m(_TILE) for network in networks.values()]
        rows.append(gallery_row(picture, depths))
    with atomic_path(output) as temporary:
        kind = "JPEG" if output.suffix == ".jpg" else "PNG"
        gallery(rows, ["photo", *networks], _COLUMNS.value).save(temporary, kind, quality=90)
    print(f"{output}: {len(rows)} photographs")


def gallery_row(picture: CameraPicture, depths_m: Sequence[np.ndarray]) -> Image.Image:
    """Draws a photograph and the depth that networks give it.

    Args:
        picture: The photograph.
        depths_m: Each [180, 240] in metres.

    Returns:
        The tiles side by side, 240x180 each.
    """
    width, height = _TILE
    row = Image.new("RGB", (width * (1 + len(depths_m)), height))
    row.paste(picture.rgb.resize(_TILE, Image.Resampling.BILINEAR), (0, 0))
    limits = depth_range(np.stack(depths_m))
    draw = ImageDraw.Draw(row)
    for number, depth in enumerate(depths_m, start=1):
        row.paste(Image.fromarray(colorize(depth, *limits)), (number * width, 0))
        middle, text = (number * width + width // 2, height // 2), f"{depth[90, 120]:.2f} m"
        draw.rectangle(draw.textbbox(middle, text, anchor="mm"), fill="white")
        draw.text(middle, text, fill="black", anchor="mm")
    return row


def gallery(rows: Sequence[Image.Image], titles: Sequence[str], columns: int) -> Image.Image:
    """Puts rows of one size below and beside each other, under their titles.

    Args:
        rows: Of `gallery_row`.
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
            draw.text((column * width + tile * _TILE[0] + 4, 3), title, fill="black")
    for number, row in enumerate(rows):
        column, line = number % columns, number // columns
        sheet.paste(row, (column * width, _TITLE_HEIGHT + line * height))
    return sheet


if __name__ == "__main__":
    command.run(main)
