"""Measures networks of the learning study beside the mean depth map, and compares its arms.

    python -m benchmark.study.learning --model=A.keras --arm=rooms --fold=0 --mean_map=DIR/train \\
      --data=folds=FOLDS/0/validation,OTHER/train@1.0325 --output=learning.csv --pictures=all.csv
    python -m benchmark.study.learning --pictures=all.csv --compare=nyu,rooms
    python -m benchmark.study.learning --model=A.keras --data=DIR/validation \\
      --corruption=blur2,blur4,noise8 --output=learning.csv

A line of --output is the mean over the pictures of one data set, a line of --pictures one picture.
What the files hold stays; the same model measured again replaces its lines.
"""

import dataclasses
import hashlib
import math
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags

from benchmark.study.accuracy_table import METRICS
from benchmark.study.accuracy_table import Accuracy
from benchmark.study.accuracy_table import read_table
from benchmark.study.accuracy_table import write_lines
from benchmark.study.corruptions import CORRUPTIONS
from benchmark.study.data_set import DataSet
from benchmark.study.data_set import open_data_set
from benchmark.study.mean_map import mean_depth_map
from benchmark.study.paired import Difference
from benchmark.study.paired import compare
from benchmark.study.picture_accuracy import Model
from benchmark.study.picture_accuracy import mean_accuracy
from benchmark.study.picture_accuracy import measure
from mai_depth import command
from mai_depth import number_flags
from mai_depth.checksum import file_sha256
from mai_depth.data.description import read_description
from mai_depth.environment import check_environment
from mai_depth.errors import UserError
from mai_depth.paths import expand
from mai_depth.paths import flag_path
from mai_depth.predict.depth_network import open_network

_MODEL = flags.DEFINE_list("model", [], ".keras or .tflite files, 480x640 in and out.")
_DATA = flags.DEFINE_list(
    "data", [], "Data sets: [NAME=]DIR/SPLIT[@FOCAL_LENGTH]. NAME: in the tables. FOCAL_LENGTH: of "
    "the camera in picture widths; predictions are multiplied by FOCAL_LENGTH / 0.811. Default: "
    "what DIR/dataset.json says, else they are taken as they are.")
_CORRUPTION = flags.DEFINE_list(
    "corruption", [], "Measure on spoiled pictures too, each way as a data set NAME, CORRUPTION: "
    f"{', '.join(CORRUPTIONS)}.")
_MEAN_MAP = flags.DEFINE_string(
    "mean_map", None, "DIR/train of which the mean depth map is measured too, as arm mean_map.")
_ARM = flags.DEFINE_string("arm", None, "Name of what is tried. Default: each model's file name.")
_FOLD = number_flags.define_integer("fold", None, "The fold the models were trained on.", 0, 99)
_OUTPUT = flags.DEFINE_string("output", None, "Table of means to append to, a .csv file.")
_PICTURES = flags.DEFINE_string("pictures", None, "Table of pictures, a .csv file.")
_COMPARE = flags.DEFINE_list(
    "compare", [], "Two arms: print the mean difference over the pictures in --pictures that both "
    "have, with its 95 % interval, for each data set.")
_BLOCK = number_flags.define_integer(
    "block", 10, "Neighbouring pictures that the interval takes as one scene.", 1, 1000)

_HEADS = ("si-RMSE", "RMSE m", "REL", "delta1", "REL scaled", "delta1 scaled", "REL aligned",
          "delta1 aligned", "edge F1")  # of METRICS


def main() -> None:
    """Measures, writes and compares, as far as the flags ask for it."""
    if not _DATA.value and (_MODEL.value or not _COMPARE.value):
        raise UserError("--data: give data sets to measure on, or --compare two arms")
    if _COMPARE.value and not (len(_COMPARE.value) == 2 and _PICTURES.value):
        raise UserError(f"--compare={','.join(_COMPARE.value)}: give two arms, and --pictures")
    if _DATA.value:
        _measure()
    if _COMPARE.value:
        first, second = _COMPARE.value
        pictures = read_table(flag_path(_PICTURES))
        for data, differences in compare(pictures, (first, second), _BLOCK.value).items():
            print("\n".join(_compared(data, differences, _models(pictures, data))))


def _measure() -> None:
    output, table = flag_path(_OUTPUT), flag_path(_PICTURES)
    if not output:
        raise UserError("--output: give the .csv file to append to")
    if not (_MODEL.value or _MEAN_MAP.value):
        raise UserError("--model: give networks to measure, or --mean_map")
    for path, flag in ((output, _OUTPUT), (table, _PICTURES)):
        _check_table(path, flag.name)
    for name in _CORRUPTION.value:
        if name not in CORRUPTIONS:
            raise UserError(f"--corruption={name}: give one of {', '.join(CORRUPTIONS)}")
    data_sets = [open_data_set(text) for text in _DATA.value]
    check_environment()
    models = [_network(path) for path in _MODEL.value]
    if _MEAN_MAP.value:
        models.append(_mean_map())
    for data in data_sets:
        _measure_on(data, models, output, table)
        for name in _CORRUPTION.value:
            spoiled = [_on_spoiled(model, name) for model in models]
            _measure_on(dataclasses.replace(data, name=f"{data.name}, {name}"), spoiled, output,
                        table)


def _on_spoiled(model: Model, corruption: str) -> Model:
    spoil = CORRUPTIONS[corruption]
    return dataclasses.replace(model, predict=lambda rgb: model.predict(spoil(rgb)))


def _check_table(path: pathlib.Path | None, flag: str) -> None:
    """Refuses, before minutes of work, a table that could not be written."""
    if path and path.exists():
        read_table(path)
    elif path and not path.parent.is_dir():
        raise UserError(f"--{flag}={path}: its folder is missing; give another")


def _measure_on(
    data: DataSet, models: Sequence[Model], output: pathlib.Path, table: pathlib.Path | None
) -> None:
    pictures = list(measure(models, data, _FOLD.value))
    if not pictures:
        raise UserError(f"--data: no picture of {data.name} has valid depth; leave it out")
    of_models = [pictures[index :: len(models)] for index in range(len(models))]
    means = [mean_accuracy(lines) for lines in of_models]
    write_lines(output, means)
    if table:
        write_lines(table, [line for lines in of_models for line in lines])
    print("\n".join(_measured(data.name, means)), flush=True)


def _network(text: str) -> Model:
    path = expand(text, "model").absolute()
    network = open_network(path)
    height, width = network.input_size

    def predict(rgb: np.ndarray) -> np.ndarray:
        if rgb.shape[:2] != (height, width):
            raise UserError(f"--model={text}: takes {height}x{width}, but a picture is "
                            f"{rgb.shape[0]}x{rgb.shape[1]}; convert the folder to that size")
        return np.asarray(network(rgb))

    return Model(_ARM.value or path.stem, f"{path.parent.name}/{path.stem}", file_sha256(path),
                 predict)


def _mean_map() -> Model:
    folder = expand(_MEAN_MAP.value, "mean_map").absolute()
    mean = mean_depth_map(folder, read_description(folder.parent).units_per_m or 1000.0)
    return Model("mean_map", "/".join(folder.parts[-2:]),
                 hashlib.sha256(mean.tobytes()).hexdigest(), lambda rgb: mean)


def _measured(name: str, means: Sequence[Accuracy]) -> list[str]:
    focal = means[0].focal_length
    width = max(len(line.arm) for line in means)
    camera = f"focal length {focal:g}" if focal else "predictions as they are"
    lines = [f"{name}: {means[0].images} pictures, {camera}",
             "  ".join(["  " + " " * width, *_HEADS])]
    for line in means:
        cells = [f"{getattr(line, metric):.4f}".rjust(len(head))
                 for metric, head in zip(METRICS, _HEADS, strict=True)]
        lines.append("  ".join([f"  {line.arm:{width}}", *cells]))
    return lines


def _models(pictures: Sequence[Accuracy], data: str) -> str:
    """How many models stand behind the means of each arm: seeds and folds."""
    counts = [len({(line.fold, line.sha256) for line in pictures
                   if (line.arm, line.data) == (arm, data)}) for arm in _COMPARE.value]
    return ", ".join(f"{arm} ({count} {'model' if count == 1 else 'models'})"
                     for arm, count in zip(_COMPARE.value, counts, strict=True))


def _compared(data: str, differences: Sequence[Difference], models: str) -> list[str]:
    first, second = _COMPARE.value
    width = max(10, len(first), len(second))
    lines = [f"{data}: {differences[0].images} pictures in blocks of {_BLOCK.value}; {models}",
             f"  {'':22} {first:>{width}} {second:>{width}} {'difference':>10}  95 % interval"]
    for found in differences:
        interval = ("needs two blocks" if math.isnan(found.low)
                    else f"{found.low:+.4f} to {found.high:+.4f}")
        lines.append(f"  {found.metric:22} {found.first:{width}.4f} {found.second:{width}.4f} "
                     f"{found.mean:+10.4f}  {interval}")
    return lines


if __name__ == "__main__":
    command.run(main)
