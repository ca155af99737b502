"""The report of the repeated Table 2, out of its CSV files alone: a Markdown table and plots.

The plots need matplotlib (the extra `plot`).
"""

import dataclasses
import pathlib
import statistics
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from benchmark import plot
from benchmark.report import Report
from benchmark.result_files import read_csv
from benchmark.row import Row
from benchmark.study.results import Result
from benchmark.study.results import read_lines
from benchmark.study.results import read_results
from benchmark.study.runs import CURVES
from benchmark.study.runs import LATENCY_CSV
from benchmark.study.runs import STUDY_CSV
from benchmark.study.runs import peer
from mai_depth.atomic import atomic_path
from mai_depth.atomic import write_text_atomic
from mai_depth.errors import UserError
from mai_depth.metrics import mai_score

BEGIN = "<!-- python -m benchmark.study writes from here -->"
END = "<!-- to here -->"


def write_report(output: pathlib.Path) -> str:
    """Draws the plots and puts the table into README.md, between two comments.

    Args:
        output: The folder with `study.csv`, `curves/` and, once measured, `study_latency.csv`.

    Returns:
        The table and the lines below it, as Markdown.

    Raises:
        UserError: A file is missing or broken.
    """
    results = read_results(output / STUDY_CSV)
    timed = _timed(output / LATENCY_CSV)
    curves = {path.stem: read_lines(path) for path in sorted((output / CURVES).glob("*.csv"))}
    plots = ["study_macs.png", "study_curves.png"]
    _draw_macs(output / plots[0], results)
    _draw_curves(output / plots[1], curves)
    if timed:
        plots.insert(1, "study_ms.png")
        plot.draw(output / plots[1], _scored(results, timed))
    text = "\n".join([*_table(results, timed), "", *_remarks(results, timed), "",
                      *(f"![{plot}]({plot})" for plot in plots)])
    _write_readme(output / "README.md", text)
    return text


def _timed(path: pathlib.Path) -> Report | None:
    """All graphs that were timed, under the conditions of the first; None before that."""
    reports = read_csv(path) if path.exists() else []
    if not reports:
        return None
    rows = tuple(row for report in reports for row in report.rows)
    return dataclasses.replace(reports[0], rows=rows)


def _by_graph(timed: Report) -> dict[str, Row]:
    return {row.graph: row for row in timed.rows}


def _table(results: Sequence[Result], timed: Report | None) -> list[str]:
    columns: list[tuple[str, Callable[[Result], str]]] = [
        ("row", lambda result: result.row),
        ("network", lambda result: result.network),
        ("M MACs", lambda result: f"{result.macs / 1e6:.1f}"),
        ("k param", lambda result: f"{result.parameters / 1e3:.0f}"),
        ("seeds", lambda result: str(len(result.seeds))),
        ("si-RMSE", lambda result: f"{result.mean_si_rmse:.4f}"),
        ("of each seed", lambda result: " ".join(f"{value:.4f}" for value in result.si_rmse)),
        ("RMSE m", lambda result: f"{statistics.mean(result.rmse):.3f}"),
        ("LOG10", lambda result: f"{statistics.mean(result.log10):.4f}"),
        ("REL", lambda result: f"{statistics.mean(result.abs_rel):.4f}"),
        ("delta1", lambda result: f"{statistics.mean(result.delta1):.3f}"),
        *(_columns_of_speed(_by_graph(timed)) if timed else ()),
        ("si-RMSE in the paper", lambda result: result.paper_si_rmse or "-"),
    ]
    cells = [[title for title, _ in columns], ["---", "---", *["---:"] * (len(columns) - 2)]]
    cells += [[text(result) for _, text in columns] for result in results]
    return ["| " + " | ".join(line) + " |" for line in cells]


def _columns_of_speed(latency: Mapping[str, Row]) -> list[tuple[str, Callable[[Result], str]]]:
    def number(graph: str, value: Callable[[Row], float | None], digits: int = 2) -> str:
        figure = value(latency[graph]) if graph in latency else None
        return "-" if figure is None else f"{figure:.{digits}f}"

    def median(row: Row) -> float | None:
        return row.latency_ms_p50

    def cpu(row: Row) -> float | None:
        return row.cpu_ms

    return [
        ("ms", lambda result: number(result.network, median)),
        ("CPU ms", lambda result: number(result.network, cpu)),
        ("ms, paper's graph", lambda result: number(peer(result.network), median)),
        ("CPU ms, paper's graph", lambda result: number(peer(result.network), cpu)),
        ("score", lambda result: number(
            result.network, lambda row: _score(result, row), 0)),
    ]


def _score(result: Result, row: Row) -> float | None:
    if row.latency_ms_p50 is None:
        return None
    return mai_score(result.mean_si_rmse, row.latency_ms_p50)


def _remarks(results: Sequence[Result], timed: Report | None) -> list[str]:
    students = [result for result in results if result.row != "teacher"]
    epochs = sorted({result.epochs for result in students})
    lines = [f"- {' or '.join(map(str, epochs))} epochs, the best of them; {results[0].images} "
             "pictures of the validation split at 480x640, per image. Several seeds: the mean. "
             "The paper measured other pictures."]
    lines += _gain({result.row: result for result in results})
    if timed:
        told = timed.conditions
        lines.append(f"- ms: medians of all graphs timed in alternation on {told.cpu}, "
                     f"{told.num_threads} thread, load average {told.load_average}, "
                     f"{told.date}; CPU ms: processor time, which other programs disturb less. "
                     "The paper's graph: the network of this size with bilinear upsampling in the "
                     "decoder, bilinear in and nearest out; the plot puts it at the si-RMSE of "
                     "ours. The score holds for this CPU alone.")
    return lines


def _gain(results: Mapping[str, Result]) -> list[str]:
    """What the teacher changed, with the seeds that both rows have."""
    if not {"3", "3+dist"} <= results.keys():
        return []
    alone, distilled = (dict(zip(results[row].seeds, results[row].si_rmse, strict=True))
                        for row in ("3", "3+dist"))
    changes = [distilled[seed] - alone[seed] for seed in alone if seed in distilled]
    if not changes:
        return []
    each = ", ".join(f"{change:+.4f}" for change in changes)
    return [f"- Distillation changes the si-RMSE of row 3 by {statistics.mean(changes):+.4f} "
            f"(each seed: {each})."]


def _scored(results: Sequence[Result], timed: Report) -> Report:
    """Points for the plot of scores: each student as our graph and as the paper's."""
    latency, points = _by_graph(timed), []
    for result in results:
        graphs = {result.network: ""}
        if result.row != "3+dist":
            graphs[peer(result.network)] = ", paper's graph"
        points += [dataclasses.replace(
            latency[graph], graph=f"{result.row}: {result.network}{addition}",
            si_rmse=result.mean_si_rmse, score=_score(result, latency[graph]),
            images=result.images, data="NYU Depth V2",
        ) for graph, addition in graphs.items() if graph in latency]
    return dataclasses.replace(timed, rows=tuple(points))


def _draw_macs(path: pathlib.Path, results: Sequence[Result]) -> None:
    """Draws si-RMSE against multiply-accumulates: each seed a point, the means of sizes a line."""
    figure, axes = _figure()
    sizes = sorted((result for result in results if result.row.isdecimal()),
                   key=lambda result: result.macs)
    axes.plot([result.macs / 1e6 for result in sizes],
              [result.mean_si_rmse for result in sizes], color="C0", label="mean")
    for result in results:
        color = {"3+dist": "C3", "teacher": "C2"}.get(result.row, "C0")
        axes.plot([result.macs / 1e6] * len(result.si_rmse), result.si_rmse, "o", color=color,
                  alpha=0.7, label=None if result in sizes[1:] else _macs_label(result))
        axes.plot(result.macs / 1e6, result.mean_si_rmse, "_", color=color, markersize=16)
    axes.set_xscale("log")
    costs = sorted({result.macs / 1e6 for result in results})
    axes.set_xticks(costs, [f"{cost:.0f}" for cost in costs])
    axes.minorticks_off()
    axes.set(xlabel="million multiply-accumulates", ylabel="si-RMSE")
    axes.legend()
    _save(figure, path)


def _macs_label(result: Result) -> str:
    return {"3+dist": "3+dist, each seed", "teacher": "teacher"}.get(
        result.row, "without a teacher, each seed")


def _draw_curves(path: pathlib.Path, curves: Mapping[str, list[dict[str, str]]]) -> None:
    """Draws the si-RMSE on the validation pictures after each epoch, of `log.csv` by run."""
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


def _write_readme(path: pathlib.Path, text: str) -> None:
    """Replaces what stands between the two comments; without them it is added at the end."""
    try:
        old = path.read_text() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); fix or remove it") from error
    before, _, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if rest and not end:
        raise UserError(f"{path}: has no line {END!r} after {BEGIN!r}; put it back")
    after = after or "\n"
    write_text_atomic(path, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
