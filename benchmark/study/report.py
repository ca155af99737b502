"""The report of the repeated Table 2, out of its CSV files alone: a Markdown table and plots.

The plots need matplotlib (the extra `plot`).
"""

import csv
import pathlib
import statistics
from collections.abc import Callable
from typing import Any

from benchmark import plot
from benchmark.study.runs import CURVES
from benchmark.study.runs import LATENCY_CSV
from benchmark.study.runs import STUDY_CSV
from benchmark.study.runs import peer
from mai_depth.atomic import atomic_path
from mai_depth.atomic import write_text_atomic
from mai_depth.errors import UserError
from mai_depth.metrics import NAMES
from mai_depth.metrics import mai_score

BEGIN = "<!-- python -m benchmark.study writes from here -->"
END = "<!-- to here -->"

_METRICS = {"rmse": ("RMSE m", 3), "log10": ("LOG10", 4), "abs_rel": ("REL", 4),
            "delta1": ("delta1", 3)}


def write_report(output: pathlib.Path) -> str:
    """Draws the plots and puts the table into README.md, between two comments.

    Args:
        output: The folder with `study.csv`, `curves/` and, once measured, `study_latency.csv`.

    Returns:
        The table and the lines below it, as Markdown.

    Raises:
        UserError: A file is missing or broken.
    """
    rows = _rows(output / STUDY_CSV)
    latency = {}
    if (output / LATENCY_CSV).exists():
        latency = {line["graph"]: line for line in _read(output / LATENCY_CSV)}
    curves = {path.stem: _read(path) for path in sorted((output / CURVES).glob("*.csv"))}
    plots = ["study_macs.png", "study_curves.png"]
    _draw_macs(output / plots[0], rows)
    _draw_curves(output / plots[1], curves)
    if latency:
        plots.insert(1, "study_ms.png")
        plot.draw(output / plots[1], {"rows": _scored(rows, latency),
                                      "conditions": _conditions(latency)})
    text = "\n".join([*_table(rows, latency), "", *_remarks(rows, latency), "",
                      *(f"![{plot}]({plot})" for plot in plots)])
    _write_readme(output / "README.md", text)
    return text


def _read(path: pathlib.Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run the study first") from error


def _rows(path: pathlib.Path) -> list[dict[str, Any]]:
    """One for each row of the table: what its runs have in common, and lists over its seeds."""
    try:
        rows = _by_row(_read(path))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not the table of the study ({error!r}); run the study again"
                        ) from error
    if not rows:
        raise UserError(f"{path}: holds no finished run; run the study first")
    return rows


def _by_row(lines: list[dict[str, str]]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for line in lines:
        row = rows.setdefault(line["row"], {
            "row": line["row"], "name": line["name"], "macs": int(line["macs"]),
            "parameters": int(line["parameters"]), "epochs": int(line["epochs"]),
            "images": int(line["images"]), "paper_si_rmse": line["paper_si_rmse"], "seeds": [],
            **{name: [] for name in NAMES}})
        row["seeds"].append(int(line["seed"]))
        for name in NAMES:
            row[name].append(float(line[name]))
    return list(rows.values())


def _table(rows: list[dict[str, Any]], latency: dict[str, dict[str, str]]) -> list[str]:
    columns: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("row", lambda row: row["row"]),
        ("network", lambda row: row["name"]),
        ("M MACs", lambda row: f"{row['macs'] / 1e6:.1f}"),
        ("k param", lambda row: f"{row['parameters'] / 1e3:.0f}"),
        ("seeds", lambda row: str(len(row["seeds"]))),
        ("si-RMSE", lambda row: _mean(row, "si_rmse", 4)),
        ("of each seed", lambda row: " ".join(f"{value:.4f}" for value in row["si_rmse"])),
        *((title, lambda row, name=name, digits=digits: _mean(row, name, digits))
          for name, (title, digits) in _METRICS.items()),
    ]
    if latency:
        columns += [
            ("ms", lambda row: _time(latency, row["name"], "latency_ms_p50")),
            ("CPU ms", lambda row: _time(latency, row["name"], "cpu_ms")),
            ("ms, paper's graph", lambda row: _time(latency, peer(row["name"]), "latency_ms_p50")),
            ("CPU ms, paper's graph", lambda row: _time(latency, peer(row["name"]), "cpu_ms")),
            ("score", lambda row: _score(latency, row)),
        ]
    columns.append(("si-RMSE in the paper", lambda row: row["paper_si_rmse"] or "-"))
    cells = [[title for title, _ in columns], ["---", "---", *["---:"] * (len(columns) - 2)]]
    cells += [[text(row) for _, text in columns] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in cells]


def _mean(row: dict[str, Any], name: str, digits: int) -> str:
    return f"{statistics.mean(row[name]):.{digits}f}"


def _time(latency: dict[str, dict[str, str]], graph: str, column: str) -> str:
    return f"{float(latency[graph][column]):.2f}" if graph in latency else "-"


def _score(latency: dict[str, dict[str, str]], row: dict[str, Any]) -> str:
    if row["name"] not in latency:
        return "-"
    milliseconds = float(latency[row["name"]]["latency_ms_p50"])
    return f"{mai_score(statistics.mean(row['si_rmse']), milliseconds):.0f}"


def _remarks(rows: list[dict[str, Any]], latency: dict[str, dict[str, str]]) -> list[str]:
    students = [row for row in rows if row["row"] != "teacher"]
    epochs = sorted({row["epochs"] for row in students})
    lines = [f"- {' or '.join(map(str, epochs))} epochs, the best of them; {rows[0]['images']} "
             "pictures of the validation split at 480x640, per image. Several seeds: the mean. "
             "The paper measured other pictures."]
    lines += _gain({row["row"]: row for row in rows})
    if latency:
        told = _conditions(latency)
        lines.append(f"- ms: medians of all graphs timed in alternation on {told['cpu']}, "
                     f"{told['num_threads']} thread, load average {told['load_average']}, "
                     f"{told['date']}; CPU ms: processor time, which other programs disturb less. "
                     "The paper's graph: the network of this size with bilinear upsampling in the "
                     "decoder, bilinear in and nearest out; the plot puts it at the si-RMSE of "
                     "ours. The score holds for this CPU alone.")
    return lines


def _gain(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What the teacher changed, with the seeds that both rows have."""
    if not {"3", "3+dist"} <= rows.keys():
        return []
    alone, distilled = (dict(zip(rows[name]["seeds"], rows[name]["si_rmse"], strict=True))
                        for name in ("3", "3+dist"))
    changes = [distilled[seed] - alone[seed] for seed in alone if seed in distilled]
    if not changes:
        return []
    each = ", ".join(f"{change:+.4f}" for change in changes)
    return [f"- Distillation changes the si-RMSE of row 3 by {statistics.mean(changes):+.4f} "
            f"(each seed: {each})."]


def _conditions(latency: dict[str, dict[str, str]]) -> dict[str, Any]:
    line = next(iter(latency.values()))
    return {**line, "num_threads": int(line["num_threads"])}


def _scored(
    rows: list[dict[str, Any]], latency: dict[str, dict[str, str]]
) -> list[dict[str, Any]]:
    """Points for the plot of scores: each student as our graph and as the paper's."""
    points = []
    for row in rows:
        for graph, addition in ((row["name"], ""), (peer(row["name"]), ", paper's graph")):
            if graph not in latency or (addition and row["row"] == "3+dist"):
                continue
            error = statistics.mean(row["si_rmse"])
            milliseconds = float(latency[graph]["latency_ms_p50"])
            points.append({
                "graph": f"{row['row']}: {row['name']}{addition}", "si_rmse": error,
                "latency_ms_p50": milliseconds, "score": mai_score(error, milliseconds),
                "images": row["images"], "data": "NYU Depth V2"})
    return points


def _draw_macs(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    """Draws si-RMSE against multiply-accumulates: each seed a point, the means of sizes a line."""
    figure, axes = _figure()
    sizes = sorted((row for row in rows if row["row"].isdecimal()), key=lambda row: row["macs"])
    axes.plot([row["macs"] / 1e6 for row in sizes],
              [statistics.mean(row["si_rmse"]) for row in sizes], color="C0", label="mean")
    for row in rows:
        color = {"3+dist": "C3", "teacher": "C2"}.get(row["row"], "C0")
        axes.plot([row["macs"] / 1e6] * len(row["si_rmse"]), row["si_rmse"], "o", color=color,
                  alpha=0.7, label=None if row in sizes[1:] else _macs_label(row))
        axes.plot(row["macs"] / 1e6, statistics.mean(row["si_rmse"]), "_", color=color,
                  markersize=16)
    axes.set_xscale("log")
    costs = sorted({row["macs"] / 1e6 for row in rows})
    axes.set_xticks(costs, [f"{cost:.0f}" for cost in costs])
    axes.minorticks_off()
    axes.set(xlabel="million multiply-accumulates", ylabel="si-RMSE")
    axes.legend()
    _save(figure, path)


def _macs_label(row: dict[str, Any]) -> str:
    return {"3+dist": "3+dist, each seed", "teacher": "teacher"}.get(
        row["row"], "without a teacher, each seed")


def _draw_curves(path: pathlib.Path, curves: dict[str, list[dict[str, str]]]) -> None:
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
        raise UserError(f"{path}: cannot be read ({error}); mend or remove it") from error
    before, _, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if rest and not end:
        raise UserError(f"{path}: has no line {END!r} after {BEGIN!r}; put it back")
    after = after or "\n"
    write_text_atomic(path, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
