"""Draws photographs beside the depth that several networks see in them.

    python -m benchmark.study.gallery --model=old.keras,new.keras --input=PHOTOS \\
      --output=gallery.jpg

A row has one range of colours for all networks, so that one that sees everything twice too far
stands out; the number in a map is its depth in the middle of the picture.
"""

import pathlib

import numpy as np
from absl import flags
from tqdm import tqdm

from benchmark.study.photo_sheet import TILE
from benchmark.study.photo_sheet import photo_row
from benchmark.study.photo_sheet import photo_sheet
from mai_depth import command
from mai_depth import number_flags
from mai_depth.atomic import atomic_path
from mai_depth.errors import UserError
from mai_depth.paths import flag_path
from mai_depth.predict.camera_picture import read_picture
from mai_depth.predict.depth_network import open_network
from mai_depth.predict.picture_list import list_pictures
from mai_depth.predict.prediction import predict

_MODEL = flags.DEFINE_list("model", [], ".keras or .tflite files, a column each.")
_INPUT = flags.DEFINE_string("input", None, "Folder of photographs, or a .txt with a path a line.")
_OUTPUT = flags.DEFINE_string("output", None, "The picture to write, .jpg or .png.")
_COUNT = number_flags.define_integer("count", 24, "Photographs, evenly spread.", 1, 1000)
_COLUMNS = number_flags.define_integer("columns", 2, "Photographs side by side.", 1, 20)


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
        depths = [predict(network, picture).depth_m(TILE) for network in networks.values()]
        rows.append(photo_row(picture, depths))
    with atomic_path(output) as temporary:
        kind = "JPEG" if output.suffix == ".jpg" else "PNG"
        photo_sheet(rows, ["photo", *networks], _COLUMNS.value).save(temporary, kind, quality=90)
    print(f"{output}: {len(rows)} photographs")


if __name__ == "__main__":
    command.run(main)
