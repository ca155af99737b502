"""python -m benchmark --graph=student.tflite [--graph=other.tflite ...]

Speed, accuracy and score of .tflite depth graphs, all measured in alternation. Needs numpy,
pillow, absl-py and ai-edge-litert, no TensorFlow. The flags of the speed part are named as in
LiteRT's benchmark_model.
"""

import os
import pathlib
import sys

from absl import flags

from benchmark import plot
from benchmark import result_files
from benchmark import table
from benchmark.arm64 import CPUS
from benchmark.conditions import read_load_average
from benchmark.measurement import measure
from benchmark.options import Options
from benchmark.report import Report
from mai_depth import command
from mai_depth import number_flags
from mai_depth.atomic import write_text_atomic
from mai_depth.errors import UserError
from mai_depth.network.pretrained import named_file
from mai_depth.paths import expand
from mai_depth.paths import flag_path
from mai_depth.tflite.graph import MAX_THREADS

_GRAPH = flags.DEFINE_multi_string(
    "graph", [], "A .tflite file, or the name of a shipped network, whose integers are measured; "
    "repeat it or separate by commas.")
_NUM_THREADS = number_flags.define_multi_integer(
    "num_threads", [1], "Threads of LiteRT; repeat it for a table each.", 1, MAX_THREADS)
number_flags.define_integer(
    "warmup_runs", 1, "Warm-up runs before each block, not counted.", 0, 1_000_000)
number_flags.define_integer(
    "num_runs", 50, "Minimum number of timed runs of each graph.", 1, 1_000_000)
number_flags.define_float(
    "min_secs", 1.0, "Minimum seconds of timed runs of each graph.", 0.0, 86_400.0)
flags.DEFINE_bool("use_xnnpack", True, "Let the XNNPACK delegate take what it can.")
flags.DEFINE_bool("roofline", True, "Time a matrix product and a memory copy of this CPU as well.")
flags.DEFINE_string("end_to_end", None, "A picture file: also time from its bytes to metres.")
flags.DEFINE_string("data_dir", None, "Data in MAI layout: measure accuracy and score.")
flags.DEFINE_string("split", "validation", "Split of --data_dir.")
number_flags.define_float(
    "depth_units_per_m", 1000.0, "Units of the depth files per metre.", 1e-3, 1e6)
number_flags.define_integer(
    "missing_depth_value", None, "Another number in the depth files that means missing, besides 0 "
    "and 65535.", 0, 65535)
flags.DEFINE_bool("nyu_crop", False, "Count only Eigen's crop of NYU.")
flags.DEFINE_bool("pooled", False, "Pool the pixels of 32 images as the organisers' script does.")
flags.DEFINE_string("camera", None, "A calibration of mai_depth.calibrate: multiply depth by its "
                    "factor before measuring accuracy.")
flags.DEFINE_bool("profile", False, "Time every operator by itself, and the graph "
                  "without its resizes beside a matrix product.")
flags.DEFINE_string("arm64", None, "Folder with an emulated arm64 LiteRT: count instructions.")
flags.DEFINE_enum("arm64_cpu", CPUS[0], CPUS, "The emulated CPU: Raspberry Pi 4 or 5.")
_CSV = flags.DEFINE_string("csv", None, "Append one line for each graph to this file.")
_JSON = flags.DEFINE_string("json", None, "Write everything measured to this file; a list "
                           "where --num_threads is repeated.")
_MARKDOWN = flags.DEFINE_string("markdown", None, "Write the table as Markdown to this file.")
_PLOT = flags.DEFINE_string("plot", None, "Draw latency against si-RMSE into this PNG, for the "
                           "first --num_threads.")
_CHECK = flags.DEFINE_bool("check", False, "Exit with 1 if a row has a warning.")


def main() -> int:
    """Measures, prints, writes.

    Returns:
        1 if a graph crashed, or with --check has a warning; else 0.
    """
    graphs = [_file_of(part) for value in _GRAPH.value for part in _split(value)]
    if not graphs:
        raise UserError("--graph: give at least one .tflite file or shipped network, for instance "
                        "--graph=indoor_student_90m")
    _check_paths(graphs)
    _check_outputs()
    names = set(Options.__dataclass_fields__) - {"graphs", "num_threads"}
    options = {name: flags.FLAGS[name].value for name in names}
    load_average, reports = read_load_average(), []
    for count in _NUM_THREADS.value:
        chosen = Options(tuple(graphs), num_threads=count, **options)
        reports.append(measure(chosen, load_average))
        print(table.text(reports[-1]))
    _write(reports)
    measured = [row for report in reports for row in report.rows]
    for row in measured:
        for line in filter(None, [row.fault, *row.warnings]):
            print(f"warning: {row.graph}: {line}", file=sys.stderr)
    doubtful = any(row.warnings for row in measured)
    return int(any(report.failed for report in reports) or (_CHECK.value and doubtful))


def _check_paths(graphs: list[str]) -> None:
    for path in graphs:
        expand(path, "graph")
    for name in ("data_dir", "end_to_end", "arm64", "camera"):
        flag_path(flags.FLAGS[name])
    if flags.FLAGS["camera"].value and not flags.FLAGS["data_dir"].value:
        raise UserError("--camera: affects accuracy only; give --data_dir as well")


def _check_outputs() -> None:
    """Refuses what could not be written after minutes of measuring."""
    for flag in (_CSV, _JSON, _MARKDOWN, _PLOT):
        if not flag.value:
            continue
        path = _file(flag).absolute()
        if path.is_dir():
            raise UserError(f"--{flag.name}={flag.value}: is a folder; give a file")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
            raise UserError(f"--{flag.name}={flag.value}: its folder is missing or not writable; "
                            "give another")
    if _CSV.value:
        result_files.check_csv(_file(_CSV))
    if _PLOT.value:
        plot.check(_file(_PLOT), with_data=bool(flags.FLAGS.data_dir))


def _write(reports: list[Report]) -> None:
    if _CSV.value:
        for report in reports:
            result_files.append_csv(_file(_CSV), report)
    if _JSON.value:
        result_files.write_json(_file(_JSON), reports)
    if _MARKDOWN.value:
        write_text_atomic(_file(_MARKDOWN), "\n".join(map(table.markdown, reports)))
    if _PLOT.value:
        plot.draw(_file(_PLOT), reports[0])


def _file(flag: flags.FlagHolder) -> pathlib.Path:
    return expand(flag.value, flag.name)


def _split(value: str) -> list[str]:
    """Splits at commas, unless a file has that name."""
    return [value] if os.path.exists(value) else [part for part in value.split(",") if part]


def _file_of(value: str) -> str:
    shipped = named_file(value, ".tflite", "graph")
    return value if shipped is None else os.fspath(shipped)


if __name__ == "__main__":
    command.run(main)
