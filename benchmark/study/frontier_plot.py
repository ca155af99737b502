"""The plot of the frontier: si-RMSE against time, the mean map of each data set beside it."""

import pathlib
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from benchmark.study.frontier_graphs import MEAN_MAP
from benchmark.study.frontier_table import BAR
from benchmark.study.frontier_table import Line
from benchmark.study.frontier_table import folds_together
from benchmark.study.frontier_table import graph_of
from mai_depth.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


_APART = 1.12  # factor between the places of two names
_COLUMNS = 3
_REFERENCE = "the reference"  # what the legend calls an arm without a `+`


def draw(path: pathlib.Path, lines: Sequence[Line]) -> None:
    """Draws a panel for each data set, in it a line for each training, its folds as small points.

    A training (what follows the arm's `+`) has a colour and a marker. The dotted line is the mean
    depth map on that data set: above it a network does worse than not looking.

    Args:
        path: The PNG to write.
        lines: Of one data set or several; some with accuracy.
    """
    from matplotlib.figure import Figure

    panels: dict[str, list[Line]] = {}
    for line in lines:
        if line.si_rmse is not None:
            panels.setdefault(line.data, []).append(line)
    rows = -(-(len(panels) + 1) // _COLUMNS)  # the legend has a place of its own
    figure = Figure(figsize=(4 * _COLUMNS, 3.6 * rows + 1), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).flatten()
    styles = _styles([line for measured in panels.values() for line in measured])
    for panel, (data, measured) in zip(axes, panels.items(), strict=False):
        _draw_panel(panel, data, measured, styles)
    for panel in axes[len(panels):]:
        panel.set_axis_off()
    shown: dict[str, Artist] = {}
    for panel in axes:
        shown |= {name: handle for handle, name in zip(
            *panel.get_legend_handles_labels(), strict=True) if name not in shown}
    axes[len(panels)].legend(list(shown.values()), list(shown), loc="center")
    figure.supxlabel("time of one thread, the paper's graph = 1", fontsize=10)
    figure.supylabel("si-RMSE", fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png", bbox_inches="tight")


def _styles(measured: Sequence[Line]) -> dict[str, dict[str, Any]]:
    """Colour and marker by training."""
    from matplotlib import colormaps

    names = [name for name in dict.fromkeys(map(_training, measured)) if name != MEAN_MAP]
    return {name: {"color": color, "marker": marker, "label": name or _REFERENCE}
            for name, color, marker in zip(
                names, colormaps["tab10"].colors * 9, "Dosv^P" * 9, strict=False)}


def _draw_panel(
    panel: "Axes", data: str, measured: Sequence[Line], styles: dict[str, dict[str, Any]]
) -> None:
    panel.text(0.97, 0.04, data, transform=panel.transAxes, ha="right", fontsize=10)
    panel.axhline(BAR, color="0.6", linestyle="--", linewidth=1, label="no score counts above")
    for training, groups in _series(measured).items():
        means = [statistics.fmean(_errors(group)) for group in groups]
        if training == MEAN_MAP:
            panel.axhline(means[0], color="0.2", linestyle=":", label="the mean map")
            continue
        style = styles[training]
        panel.plot([group[0].time for group in groups], means, **style)
        for group in groups:
            panel.plot([group[0].time] * len(group), _errors(group), ".", color=style["color"],
                       alpha=0.4)
    _name_arms(panel, [line for line in measured if line.arm != MEAN_MAP])
    panel.grid(alpha=0.2)


def _series(lines: Sequence[Line]) -> dict[str, list[list[Line]]]:
    """By training, the folds of each arm, the fastest first."""
    series: dict[str, list[list[Line]]] = {}
    for group in folds_together(lines):
        series.setdefault(_training(group[0]), []).append(group)
    return {name: sorted(groups, key=lambda group: group[0].time)
            for name, groups in series.items()}


def _training(line: Line) -> str:
    return MEAN_MAP if line.arm == MEAN_MAP else line.arm.partition("+")[2]


def _errors(group: Sequence[Line]) -> list[float]:
    return [float(line.si_rmse or 0) for line in group]


def _name_arms(panel: "Axes", lines: Sequence[Line]) -> None:
    """Writes the arms above the panel, those of nearly one time moved apart."""
    times = {graph_of(line.arm): line.time for line in sorted(lines, key=lambda line: line.time)}
    beside = 0.0
    for name, time in times.items():
        beside = max(time, _APART * beside)
        panel.annotate(
            name, (time, 1), (beside, 1.09), xycoords=("data", "axes fraction"),
            textcoords=("data", "axes fraction"), rotation=90, fontsize=8, ha="center",
            va="bottom", arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.5})
    panel.set_xscale("log")
    ticks = (0.05, 0.1, 0.2, 0.5, 1)
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.minorticks_off()
