"""How much of a depth map the score sees: the map as it is, and as 16x20 and 8x10 averages.

    python -m benchmark.study.eighty_numbers --data_dir=NYUV2
    python -m benchmark.study.eighty_numbers --only_plot     # again, from the CSV file alone

Networks, the mean depth map of the training pictures and the truth itself are averaged over blocks
of the picture and resized back by bilinear interpolation, as a network with so coarse a map would
answer. Intervals are of the block bootstrap over neighbouring pictures.
"""

import importlib.util
import pathlib
from collections.abc import Callable
from collections.abc import Iterator

import numpy as np
from absl import flags
from tqdm import tqdm

from benchmark.study.averaged_maps import COLUMNS
from benchmark.study.averaged_maps import FORMS
from benchmark.study.averaged_maps import averaged
from benchmark.study.averaged_maps import draw
from benchmark.study.averaged_maps import lines_of
from benchmark.study.averaged_maps import metrics_of
from benchmark.study.averaged_maps import text
from benchmark.study.averaged_maps import write_lines
from benchmark.study.data_set import open_data_set
from benchmark.study.mean_map import mean_depth_map
from benchmark.study.results import read_lines
from mai_depth import command
from mai_depth import number_flags
from mai_depth.data.description import read_description
from mai_depth.data.samples import read_rgb
from mai_depth.depth import read_depth
from mai_depth.depth import valid_mask
from mai_depth.environment import check_environment
from mai_depth.errors import UserError
from mai_depth.network.pretrained import network_file
from mai_depth.paths import expand
from mai_depth.paths import flag_path
from mai_depth.predict.depth_network import open_network

_DATA_DIR = flags.DEFINE_string("data_dir", None, "DIR/{train,validation}/{rgb,depth}.")
_MODEL = flags.DEFINE_list(
    "model", ["indoor_fast", "indoor_balanced", "indoor_student_90m", "indoor_accurate",
              "indoor_sharp"],
    ".keras or .tflite files, or names of shipped networks.")
_OUTPUT = flags.DEFINE_string(
    "output", "benchmark/results/eighty_numbers.csv", "The table; the plot is written beside it.")
_BLOCK = number_flags.define_integer(
    "block", 10, "Neighbouring pictures that the intervals take as one scene.", 1, 1000)
_ONLY_PLOT = flags.DEFINE_bool("only_plot", False, "Measure nothing: draw what --output holds.")

MEAN_MAP, TRUTH = "mean map", "truth"
IMAGE_SIZE = (480, 640)  # which all blocks of `FORMS` divide


def main() -> None:
    """Measures, writes the table and draws it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("matplotlib is not installed: pip install matplotlib")
    output = expand(_OUTPUT.value, "output")
    if not _ONLY_PLOT.value:
        folder = flag_path(_DATA_DIR)
        if not folder:
            raise UserError("--data_dir: give the folder of NYU Depth V2")
        check_environment()
        write_lines(output, lines_of(_measure(folder.absolute()), _BLOCK.value))
    lines = read_lines(output)
    if not lines or set(COLUMNS) - set(lines[0]):
        raise UserError(f"{output}: is not a table of this command; give --data_dir to measure")
    draw(output.with_suffix(".png"), lines)
    print(text(lines))


def _measure(data_dir: pathlib.Path) -> dict[tuple[str, str], np.ndarray]:
    answers = dict(_networks())
    data = open_data_set(f"{data_dir}/validation")
    units = read_description(data_dir).units_per_m or 1000.0
    mean = mean_depth_map(data_dir / "train", units)
    answers[MEAN_MAP] = lambda rgb: mean
    found: dict[tuple[str, str], list[list[float]]] = {}
    for pair in tqdm(data.pairs, desc="pictures", leave=False, disable=None):
        truth = read_depth(pair.depth.path, data.units_per_m)
        if truth.shape != IMAGE_SIZE:
            raise UserError(f"{pair.depth.path}: is {truth.shape[0]}x{truth.shape[1]}, but blocks "
                            "are of 480x640; convert the folder to that size")
        if not valid_mask(truth).any():
            continue
        rgb = np.asarray(read_rgb(pair.rgb.path))
        maps = {name: answer(rgb) for name, answer in answers.items()} | {TRUTH: truth}
        for name, depth in maps.items():
            for form, size in FORMS.items():
                tried = averaged(depth, size) if size else depth
                found.setdefault((name, form), []).append(metrics_of(truth, tried))
    return {key: np.array(values) for key, values in found.items()}


def _networks() -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    for name in _MODEL.value:
        path = expand(network_file(name, "model"), "model")
        yield path.stem, open_network(path)


if __name__ == "__main__":
    command.run(main)
