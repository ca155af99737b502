"""The table of the frontier: a line for each arm and fold, and its scores."""

import csv
import dataclasses
import io
import pathlib
import statistics
from collections.abc import Mapping
from collections.abc import Sequence

from benchmark.result_files import from_cells
from benchmark.study.accuracy_table import Accuracy
from benchmark.study.frontier_graphs import LADDER
from benchmark.study.frontier_graphs import MEAN_MAP
from benchmark.study.frontier_graphs import PAPER
from benchmark.study.frontier_graphs import REFERENCE
from benchmark.study.frontier_graphs import Cost
from benchmark.study.results import read_lines
from mai_depth.atomic import write_text_atomic
from mai_depth.errors import UserError

BAR = 0.22
"""The si-RMSE up to which a score counts."""

ARMS = (PAPER, *LADDER, MEAN_MAP)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One arm on one fold; without accuracy what its graph costs.

    Attributes:
        arm: Of `ARMS`, or one of these with `+` and a word: another training of its graph.
        network: What the arm gives to `train.py`, as text.
        fold: Which fold's training part the model has seen; None without folds.
        data: Name of the data set; empty without accuracy.
        images: How many pictures.
        si_rmse: As in `mai_depth.metrics`.
        delta1: The same.
        boundary_f1: As in `mai_depth.edge_metrics`.
        counts: Whether a score counts: `yes`, `no`, or empty without accuracy.
        score: As a multiple of the paper's graph on the same fold; None without its accuracy.
        macs: As in `Cost`, and so are the rest.
        run_macs: The same.
        time: The same.
        time_student_90m: The same.
        a72_instructions: The same.
    """

    arm: str
    network: str
    fold: int | None = None
    data: str = ""
    images: int | None = None
    si_rmse: float | None = None
    delta1: float | None = None
    boundary_f1: float | None = None
    counts: str = ""
    score: float | None = None
    macs: int
    run_macs: int
    time: float
    time_student_90m: float
    a72_instructions: int | None = None

    @property
    def key(self) -> tuple:
        """What the table has one line of."""
        return self.arm, self.data, self.fold


COLUMNS = tuple(field.name for field in dataclasses.fields(Line))


def read_frontier(path: pathlib.Path) -> list[Line]:
    """Reads the table.

    Args:
        path: As `write_frontier` has written it.

    Raises:
        UserError: It cannot be read or holds something else.
    """
    try:
        return [from_cells(Line, line) for line in read_lines(path)]
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}: holds a broken line ({error}); fix or remove it") from error


def write_frontier(path: pathlib.Path, lines: Sequence[Line]) -> None:
    """Writes the table, arm by arm."""
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in sorted(lines, key=lambda line: (ARMS.index(graph_of(line.arm)), line.arm)):
        writer.writerow(dataclasses.asdict(line))
    write_text_atomic(path, table.getvalue())


def with_costs(lines: Sequence[Line], costs: Mapping[str, Cost]) -> list[Line]:
    """Puts what the graphs cost into the lines of all arms; a new arm gets a line of its own."""
    there = {line.arm for line in lines}
    new = [Line(arm=arm, network=network_of(arm), **_rounded(cost))
           for arm, cost in costs.items() if arm not in there]
    old = [dataclasses.replace(line, **_rounded(costs[graph_of(line.arm)])) for line in lines]
    return [*old, *new]


def with_accuracy(lines: Sequence[Line], found: Sequence[Accuracy]) -> list[Line]:
    """Adds lines of accuracy; the same arm on the same fold and data is replaced.

    Args:
        lines: With a line of each arm.
        found: Means over pictures; arms that are not of the ladder are left out. `ARM+WORD` is
            another training of the graph of ARM.

    Raises:
        UserError: An arm of the ladder has no cost yet.
    """
    costs = {graph_of(line.arm): line for line in lines}
    new = {}
    for accuracy in found:
        graph = graph_of(accuracy.arm)
        if graph not in ARMS or accuracy.picture:
            continue
        if graph not in costs:
            raise UserError(f"--accuracy: the arm {accuracy.arm} has no cost yet; give --cost")
        line = dataclasses.replace(
            costs[graph], arm=accuracy.arm, fold=accuracy.fold, data=accuracy.data,
            images=accuracy.images, si_rmse=accuracy.si_rmse, delta1=accuracy.delta1,
            boundary_f1=accuracy.boundary_f1)
        new[line.key] = line
    measured = {line.arm for line in new.values()}
    kept = [line for line in lines if line.key not in new
            and (line.si_rmse is not None or line.arm not in measured)]
    return [*kept, *new.values()]


def scored(lines: Sequence[Line]) -> list[Line]:
    """Says which scores count, and how large each is beside the paper's graph.

    The challenge's score is 2^(-20 si-RMSE) / time, see `metrics.mai_score`.
    """
    paper = {(line.data, line.fold): line.si_rmse for line in lines if line.arm == PAPER}
    result = []
    for line in lines:
        if line.si_rmse is None:
            result.append(line)
            continue
        beside = paper.get((line.data, line.fold))
        gain = None if beside is None else 2 ** (20 * (beside - line.si_rmse)) / line.time
        counts = "yes" if line.si_rmse <= BAR and line.arm != MEAN_MAP else "no"
        result.append(dataclasses.replace(
            line, score=None if gain is None else round(gain, 3), counts=counts))
    return result


def graph_of(arm: str) -> str:
    """The arm of the ladder whose graph an arm has: what stands before a `+`."""
    return arm.partition("+")[0]


def network_of(arm: str) -> str:
    """What an arm gives to `train.py`, or what it is."""
    if arm not in LADDER:
        return {PAPER: "the paper's graph", MEAN_MAP: "reads and writes VGA"}[arm]
    names = {"grid_size": "grid", "preset": "student"}
    settings = {"preset": REFERENCE} | LADDER[arm]
    return " ".join(
        f"--{names.get(name, name)}" if value is True else
        f"--{names.get(name, name)}={_word(value)}" for name, value in settings.items())


def text(lines: Sequence[Line]) -> str:
    """Lays out the table: an arm a row, the mean over its folds of each data set."""
    rows = [("arm", "data", "folds", "si-RMSE", "delta1", "edge F1", "time", "/ 90m", "A72 M",
             "score", "counts")]
    for group in folds_together(lines):
        first = group[0]
        a72 = first.a72_instructions
        rows.append((
            first.arm, first.data or "-", str(len(group)) if first.data else "-",
            *(_mean(group, name, 4) for name in ("si_rmse", "delta1", "boundary_f1")),
            f"{first.time:.3f}", f"{first.time_student_90m:.3f}",
            f"{a72 / 1e6:.1f}" if a72 else "-", _mean(group, "score", 2), _counts(group) or "-"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) if index < 2 else cell.rjust(width)
                               for index, (cell, width) in enumerate(zip(row, widths, strict=True)))
                     for row in rows)


def folds_together(lines: Sequence[Line]) -> list[list[Line]]:
    """Groups the lines of each arm and data set, whose folds differ, in the order of the ladder."""
    groups: dict[tuple[int, str, str], list[Line]] = {}
    for line in lines:
        key = ARMS.index(graph_of(line.arm)), line.arm, line.data
        groups.setdefault(key, []).append(line)
    return [groups[key] for key in sorted(groups)]


def _counts(group: Sequence[Line]) -> str:
    """Of all folds together: the bar is for their mean."""
    errors = [line.si_rmse for line in group if line.si_rmse is not None]
    if not errors:
        return ""
    return "yes" if statistics.fmean(errors) <= BAR and group[0].arm != MEAN_MAP else "no"


def _mean(group: Sequence[Line], name: str, digits: int) -> str:
    values = [getattr(line, name) for line in group if getattr(line, name) is not None]
    return f"{statistics.fmean(values):.{digits}f}" if values else "-"


def _rounded(cost: Cost) -> dict:
    return dataclasses.asdict(dataclasses.replace(
        cost, time=round(cost.time, 4), time_student_90m=round(cost.time_student_90m, 4)))


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
