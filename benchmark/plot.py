"""Draws latency against si-RMSE with lines of equal score. Needs matplotlib (the extra `plot`)."""

import importlib.util
import os
import pathlib
from typing import Any

import numpy as np

from benchmark.conditions import Conditions
from benchmark.report import Report
from benchmark.row import Row
from mai_depth.atomic import atomic_path
from mai_depth.errors import UserError
from mai_depth.metrics import mai_score

MARKERS = "os^D"  # ten colours each


def check(path: str | os.PathLike, with_data: bool) -> None:
    """Checks, before anything is measured, that there will be a plot.

    Args:
        path: The PNG to write.
        with_data: Whether accuracy is measured.

    Raises:
        UserError: matplotlib is not installed, or there is nothing to draw.
    """
    if not with_data:
        raise UserError(f"--plot={path}: draws accuracy too; give --data_dir")
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--plot: matplotlib is not installed: pip install matplotlib")


def draw(path: str | os.PathLike, report: Report) -> None:
    """Draws the rows that have both figures.

    Args:
        path: The PNG to write.
        report: What was measured.

    Raises:
        UserError: No row has a score.
    """
    from matplotlib.figure import Figure

    rows = [row for row in report.rows if row.score is not None]
    if not rows:
        raise UserError(f"--plot={path}: no graph has a score, so nothing was drawn; see the "
                        "warnings")
    figure = Figure(figsize=(9.5, 5.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    times = np.array([row.latency_ms_p50 for row in rows], float)
    errors = np.array([row.si_rmse for row in rows], float)
    scores = np.array([row.score for row in rows], float)
    x_limits = times.min() / 1.6, times.max() * 2.2
    y_limits = errors.min() / 1.15, errors.max() * 1.15
    _draw_scores(axes, x_limits, y_limits)
    points = zip(rows, times, errors, scores, strict=True)
    for number, (row, x, y, score) in enumerate(points):
        axes.plot(x, y, MARKERS[number // 10 % len(MARKERS)], color=f"C{number % 10}",
                  markersize=8, zorder=3, linestyle="none",
                  label=f"{pathlib.Path(row.graph).stem} ({_rounded(score)})")
    figure.legend(loc="outside right upper", fontsize=9, title="graph (score)")
    _label(axes, report.conditions, rows[0], x_limits, y_limits)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def _draw_scores(axes: Any, x_limits: tuple[float, float], y_limits: tuple[float, float]) -> None:
    """Lines 2^(-20 e) / (c t) = score at powers of ten or, close up, of two."""
    times = np.geomspace(*x_limits, 200)
    low, high = mai_score(y_limits[1], x_limits[1]), mai_score(y_limits[0], x_limits[0])
    base = 10.0 if high / low > 1e4 else 2.0
    for power in range(int(np.ceil(np.log(low) / np.log(base))),
                       int(np.log(high) / np.log(base)) + 1):
        score = base**power
        errors = np.log2(mai_score(0.0, 1.0) / (score * times)) / 20
        inside = (errors > y_limits[0]) & (errors < y_limits[1])
        if inside.sum() < 5:
            continue
        axes.plot(times, errors, color="0.75", linewidth=0.8, zorder=1)
        last = np.flatnonzero(inside)[-1]
        axes.annotate(_rounded(score), (times[last], errors[last]), fontsize=7, color="0.5",
                      ha="right", va="bottom")


def _rounded(score: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{float(f'{score:.3g}'):g}"


def _label(
    axes: Any, conditions: Conditions, row: Row,
    x_limits: tuple[float, float], y_limits: tuple[float, float],
) -> None:
    from matplotlib.ticker import LogLocator
    from matplotlib.ticker import NullFormatter
    from matplotlib.ticker import StrMethodFormatter

    axes.set(xlim=x_limits, ylim=y_limits, ylabel="si-RMSE",
             xlabel=f"ms of one invoke on {conditions.cpu}, {conditions.threads}")
    axes.set_title(f"{row.images} images of {row.data}; grey: equal score on this CPU",
                   fontsize=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.15)
