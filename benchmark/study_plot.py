"""The plots of the repeated Table 2. Needs matplotlib (the extra `plot`)."""

import pathlib
import statistics
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from mai_depth.atomic import atomic_path


def draw_macs(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draws si-RMSE against multiply-accumulates: each seed a point, the means of sizes a line.

    Args:
        path: The PNG to write.
        rows: `row`, `name`, `macs` and a list `si_rmse` each; the rows `3+dist` and `teacher` are
            no part of the line.
    """
    figure, axes = _figure()
    sizes = sorted((row for row in rows if row["row"].isdecimal()), key=lambda row: row["macs"])
    axes.plot([row["macs"] / 1e6 for row in sizes],
              [statistics.mean(row["si_rmse"]) for row in sizes], color="C0", label="mean")
    for row in rows:
        color = {"3+dist": "C3", "teacher": "C2"}.get(row["row"], "C0")
        axes.plot([row["macs"] / 1e6] * len(row["si_rmse"]), row["si_rmse"], "o", color=color,
                  alpha=0.7, label=None if row in sizes[1:] else _label(row))
        axes.plot(row["macs"] / 1e6, statistics.mean(row["si_rmse"]), "_", color=color,
                  markersize=16)
    axes.set_xscale("log")
    costs = sorted({row["macs"] / 1e6 for row in rows})
    axes.set_xticks(costs, [f"{cost:.0f}" for cost in costs])
    axes.minorticks_off()
    axes.set(xlabel="million multiply-accumulates", ylabel="si-RMSE")
    axes.legend()
    _save(figure, path)


def _label(row: Mapping[str, Any]) -> str:
    return {"3+dist": "3+dist, each seed", "teacher": "teacher"}.get(
        row["row"], "without a teacher, each seed")


def draw_curves(path: pathlib.Path, curves: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    """Draws the si-RMSE on the validation pictures after each epoch.

    Args:
        path: The PNG to write.
        curves: The lines of `log.csv` by the name of the run.
    """
    figure, axes = _figure()
    largest = 0.0
    for name, lines in curves.items():
        epochs = [int(line["epoch"]) for line in lines]
        errors = [float(line["val_si_rmse"]) for line in lines]
        axes.plot(epochs, errors, label=name, linewidth=1.2,
                  linestyle="--" if "distilled" in name else "-")
        # The first epochs are far above and would flatten the rest.
        largest = max([largest, *errors[len(errors) // 8:]])
    axes.set(xlabel="epoch", ylabel="si-RMSE, validation", ylim=(None, largest * 1.02))
    axes.legend(fontsize=8)
    _save(figure, path)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.2)
    return figure, axes


def _save(figure: Any, path: pathlib.Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
