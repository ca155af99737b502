"""The plot of the frontier: si-RMSE against time, the mean map of each data set beside it."""

import pathlib
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.study.frontier_graphs import MEAN_MAP
from benchmark.study.frontier_table import BAR
from benchmark.study.frontier_table import Line
from benchmark.study.frontier_table import folds_together
from benchmark.study.frontier_table import graph_of
from mai_depth.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(path: pathlib.Path, lines: Sequence[Line]) -> None:
    """Draws a line for each data set and training, a point an arm, and its folds as small points.

    A data set has a colour, a training (what follows the arm's `+`) a marker. The dotted line of
    the same colour is the mean depth map on that data set: above it a network does worse than not
    looking.

    Args:
        path: The PNG to write.
        lines: Of one data set or several; some with accuracy.
    """
    from matplotlib.figure import Figure

    measured = [line for line in lines if line.si_rmse is not None]
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(BAR, color="0.6", linestyle="--", linewidth=1)
    axes.annotate("no score counts above", (0.0, BAR), xycoords=("axes fraction", "data"),
                  va="bottom", fontsize=8, color="0.4")
    _draw_series(axes, measured)
    _name_arms(axes, [line for line in measured if line.arm != MEAN_MAP])
    axes.set(xlabel="time of one thread, the paper's graph = 1 (dotted: the mean map)",
             ylabel="si-RMSE")
    axes.grid(alpha=0.2)
    figure.legend(loc="outside right upper", fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png", bbox_inches="tight")


def _draw_series(axes: "Axes", measured: Sequence[Line]) -> None:
    from matplotlib import colormaps

    colors = dict(zip(dict.fromkeys(line.data for line in measured), colormaps["tab10"].colors * 9,
                      strict=False))
    markers = dict(zip(dict.fromkeys(map(_training, measured)), "Dosv^P" * 9, strict=False))
    for name, groups in _series(measured).items():
        first = groups[0][0]
        color = colors[first.data]
        means = [statistics.fmean(_errors(group)) for group in groups]
        if first.arm == MEAN_MAP:
            axes.axhline(means[0], color=color, linestyle=":")
            continue
        axes.plot([group[0].time for group in groups], means, color=color,
                  marker=markers[_training(first)], label=name)
        for group in groups:
            axes.plot([group[0].time] * len(group), _errors(group), ".", color=color, alpha=0.5)


def _series(lines: Sequence[Line]) -> dict[str, list[list[Line]]]:
    """By data set and training, the folds of each arm, the fastest first."""
    series: dict[str, list[list[Line]]] = {}
    for group in folds_together(lines):
        name = f"{group[0].data}, {_training(group[0])}".removesuffix(", ")
        series.setdefault(name, []).append(group)
    return {name: sorted(groups, key=lambda group: group[0].time)
            for name, groups in series.items()}


def _training(line: Line) -> str:
    return MEAN_MAP if line.arm == MEAN_MAP else line.arm.partition("+")[2]


def _errors(group: Sequence[Line]) -> list[float]:
    return [float(line.si_rmse or 0) for line in group]


def _name_arms(axes: "Axes", lines: Sequence[Line]) -> None:
    """Writes the arms above the axes, those of nearly one time beside each other."""
    names: list[dict[str, float]] = []
    for line in sorted(lines, key=lambda line: line.time):
        if not names or line.time > 1.04 * min(names[-1].values()):
            names.append({})
        names[-1][graph_of(line.arm)] = line.time
    axes.set_xscale("log")
    ticks = (0.05, 0.1, 0.2, 0.5, 1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    top = axes.secondary_xaxis("top")
    top.set_xticks([statistics.fmean(arms.values()) for arms in names],
                   [", ".join(arms) for arms in names], rotation=90, fontsize=8)
    top.minorticks_off()
