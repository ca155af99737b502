"""The frontier: accuracy against time, one change of the graph at a time from the paper's on.

    python -m benchmark.study.frontier --cost --arm64=DIR            # builds and times all graphs
    python -m benchmark.study.frontier --accuracy=frontier_accuracy.csv  # what learning measured
    python -m benchmark.study.frontier                               # table and plot again

Writes FRONTIER.csv, one line for each arm and fold, and a plot beside it. Lines of accuracy come
from `python -m benchmark.study.learning --arm=ARM --fold=K`, where ARM is an arm of this ladder,
`mean_map`, or an arm with `+` and a word for another training of the same graph (`stop16+fine`). A
score counts only at a si-RMSE of at most 0.22: without that bar a graph that looks at no picture
and answers with the mean map would win.
"""

import importlib.util
import pathlib
import tempfile
from collections.abc import Mapping

from absl import flags
from absl import logging

from benchmark.study.accuracy_table import read_table
from benchmark.study.frontier_graphs import Cost
from benchmark.study.frontier_graphs import measure_costs
from benchmark.study.frontier_plot import draw
from benchmark.study.frontier_table import read_frontier
from benchmark.study.frontier_table import scored
from benchmark.study.frontier_table import text
from benchmark.study.frontier_table import with_accuracy
from benchmark.study.frontier_table import with_costs
from benchmark.study.frontier_table import write_frontier
from mai_depth import command
from mai_depth import number_flags
from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.errors import UserError
from mai_depth.paths import expand
from mai_depth.paths import flag_path

_OUTPUT = flags.DEFINE_string(
    "output", "benchmark/results/frontier.csv", "The table; the plot is written beside it.")
_COST = flags.DEFINE_bool("cost", False, "Build the graphs and measure what each costs.")
_ARM64 = flags.DEFINE_string(
    "arm64", None, "With --cost: folder with an emulated arm64 LiteRT, to count instructions.")
_MIN_SECS = number_flags.define_float(
    "min_secs", 3.0, "With --cost: seconds of timed runs of each graph.", 0.0, 86_400.0)
_ACCURACY = flags.DEFINE_string(
    "accuracy", None, "Take over the lines of a table of benchmark.study.learning.")


def main() -> None:
    """Measures or takes over what the flags ask for, writes the table and the plot."""
    output = expand(_OUTPUT.value, "output")
    lines = read_frontier(output) if output.exists() else []
    accuracy = flag_path(_ACCURACY)
    found = read_table(accuracy) if accuracy else []
    if _COST.value:
        lines = with_costs(lines, _measured_costs())
    if not lines:
        raise UserError(f"{output}: holds no costs yet; give --cost first")
    lines = scored(with_accuracy(lines, found))
    write_frontier(output, lines)
    print(text(lines))
    if any(line.si_rmse is not None for line in lines):
        if importlib.util.find_spec("matplotlib") is None:
            raise UserError("matplotlib is not installed: pip install matplotlib")
        draw(output.with_suffix(".png"), lines)


def _measured_costs() -> Mapping[str, Cost]:
    check_environment()
    start_tensorflow()
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        return measure_costs(pathlib.Path(folder), _ARM64.value and str(flag_path(_ARM64)),
                             _MIN_SECS.value)


if __name__ == "__main__":
    command.run(main)
