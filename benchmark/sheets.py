"""Where a depth network is good and where it fails: pictures, and the metrics of each.

    python -m benchmark.sheets --model=student.keras --data_dir=DIR

Writes `good.png`, `median.png` and `worst.png`, sorted by si-RMSE, and `pictures.csv`. The sheets
show the pictures of DIR, whose licence may forbid to pass them on: by default they go to a folder
outside of any repository.
"""

import csv
import io
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags
from tqdm import tqdm

from mai_depth import command
from mai_depth import number_flags
from mai_depth.atomic import write_text_atomic
from mai_depth.data.sources import open_split
from mai_depth.environment import check_environment
from mai_depth.errors import UserError
from mai_depth.metrics import NAMES
from mai_depth.metrics import image_metrics
from mai_depth.paths import expand
from mai_depth.paths import flag_path
from mai_depth.predict.depth_network import DepthNetwork
from mai_depth.predict.depth_network import open_network
from mai_depth.training.sheet import choose_rows
from mai_depth.training.sheet import save_sheet

_MODEL = flags.DEFINE_string("model", None, "A .keras or .tflite file, 480x640 in and out.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Pictures: DIR/SPLIT/{rgb,depth}/NAME.{png,jpg}.")
_SPLIT = flags.DEFINE_string("split", "validation", "Split of --data_dir.")
_DEPTH_UNITS_PER_M = number_flags.define_float(
    "depth_units_per_m", 1000.0, "Units of the depth files per metre.", 1e-3, 1e6)
_MISSING_DEPTH_VALUE = number_flags.define_integer(
    "missing_depth_value", None, "Another number in the depth files that means missing, besides 0 "
    "and 65535.", 0, 65535)
_CACHE_DIR = flags.DEFINE_string("cache_dir", "~/.cache/mai_depth", "Folder for decoded pictures.")
_ROWS = number_flags.define_integer("rows", 6, "Pictures on a sheet.", 1, 40)
_SHEETS = flags.DEFINE_string("sheets", "~/mai_depth_sheets", "Folder for the sheets.")
_CSV = flags.DEFINE_string("csv", None, "The table of pictures. Default: SHEETS/pictures.csv.")


def main() -> None:
    """Measures every picture, then draws."""
    for flag in (_MODEL, _DATA_DIR):
        if not flag.value:
            raise UserError(f"--{flag.name}: give one")
    check_environment()
    folder = expand(_SHEETS.value, "sheets")
    table = flag_path(_CSV) or folder / "pictures.csv"
    _make(folder)
    if not table.parent.is_dir():
        raise UserError(f"--csv={table}: its folder is missing; give another")
    network, pairs = _network(), _pairs()
    metrics = [
        image_metrics(pairs.depth_m(index), network(np.asarray(pairs.rgb[index])))
        for index in tqdm(range(len(pairs)), unit="picture", leave=False, disable=None)]
    _write_table(table, pairs.names, metrics)
    order = [int(index) for index in np.argsort([row["si_rmse"] for row in metrics])
             if np.isfinite(metrics[index]["si_rmse"])]
    if not order:
        raise UserError(f"{table}: no picture has a finite si-RMSE; nothing to draw")
    for name, chosen in choose_rows(order, _ROWS.value).items():
        _draw(folder / f"{name}.png", pairs, chosen, metrics, network)
    print(f"{table}: {len(pairs)} pictures; {folder}: good.png, median.png, worst.png")


def _make(folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--sheets={folder}: cannot be made ({error.strerror}); give another folder"
                        ) from error


def _pairs():
    return open_split(
        str(flag_path(_DATA_DIR)), _SPLIT.value, depth_units_per_m=_DEPTH_UNITS_PER_M.value,
        cache_dir=str(expand(_CACHE_DIR.value, "cache_dir")),
        missing_depth_value=_MISSING_DEPTH_VALUE.value)


def _network() -> DepthNetwork:
    network = open_network(expand(_MODEL.value, "model"))
    height, width = network.input_size
    answer = network(np.zeros((height, width, 3), np.uint8)).shape
    if (height, width) != answer or answer != (480, 640):
        raise UserError(f"--model={_MODEL.value}: from {height}x{width} to {answer[0]}x"
                        f"{answer[1]}; give one from 480x640 to 480x640")
    return network


def _write_table(path: pathlib.Path, names: Sequence[str], metrics: Sequence[dict]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ("name", *NAMES), lineterminator="\n")
    writer.writeheader()
    for name, row in zip(names, metrics, strict=True):
        writer.writerow({"name": name, **{key: f"{value:.5f}" for key, value in row.items()}})
    write_text_atomic(path, text.getvalue())


def _draw(
    path: pathlib.Path, pairs, chosen: Sequence[int], metrics: Sequence[dict],
    network: DepthNetwork,
) -> None:
    captions = [f"{pairs.names[index]}: si-RMSE {metrics[index]['si_rmse']:.3f}, delta1 "
                f"{metrics[index]['delta1']:.2f}" for index in chosen]
    depths = [network(np.asarray(pairs.rgb[index])) for index in chosen]
    save_sheet(path, pairs, chosen, {pathlib.Path(_MODEL.value).stem: depths}, captions)


if __name__ == "__main__":
    command.run(main)
