"""What the runs of the study gave, read from its CSV files."""

import csv
import dataclasses
import pathlib
import statistics

from mai_depth.errors import UserError
from mai_depth.metrics import NAMES


@dataclasses.dataclass(frozen=True)
class Result:
    """A row of the repeated Table 2, over its seeds. Metrics as in `mai_depth.metrics`.

    Attributes:
        row: Its name there: `1` ... `4`, `3+dist`; or `teacher`.
        network: The preset.
        macs: Multiply-accumulates.
        parameters: Of the network.
        epochs: Of its trainings.
        images: Pictures that it was measured on.
        paper_si_rmse: Of other pictures, as text; empty where the paper gives none.
        seeds: Of its runs.
        si_rmse: Of each run; so are the next.
        rmse: In metres.
        log10: Of decimal logarithms.
        abs_rel: Relative to the truth.
        delta1: Share of the pixels off by less than 1.25.
        delta2: By less than 1.25^2.
        delta3: By less than 1.25^3.
    """

    row: str
    network: str
    macs: int
    parameters: int
    epochs: int
    images: int
    paper_si_rmse: str
    seeds: tuple[int, ...]
    si_rmse: tuple[float, ...]
    rmse: tuple[float, ...]
    log10: tuple[float, ...]
    abs_rel: tuple[float, ...]
    delta1: tuple[float, ...]
    delta2: tuple[float, ...]
    delta3: tuple[float, ...]

    @property
    def mean_si_rmse(self) -> float:
        """Over the seeds."""
        return statistics.mean(self.si_rmse)


def read_results(path: pathlib.Path) -> list[Result]:
    """Reads the table of runs.

    Args:
        path: `study.csv`, as `benchmark.study.runs.write_runs` writes it.

    Returns:
        One for each row of the paper's table that has a finished run, in the order of the file.

    Raises:
        UserError: It is missing, broken or empty.
    """
    lines: dict[str, list[dict[str, str]]] = {}
    try:
        for line in read_lines(path):
            lines.setdefault(line["row"], []).append(line)
        results = [_result(of_row) for of_row in lines.values()]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not the table of the study ({error!r}); run the study again"
                        ) from error
    if not results:
        raise UserError(f"{path}: holds no finished run; run the study first")
    return results


def read_lines(path: pathlib.Path) -> list[dict[str, str]]:
    """Reads a CSV file as text by column.

    Args:
        path: Of the study.

    Returns:
        One for each line.

    Raises:
        UserError: It cannot be read.
    """
    try:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run the study first") from error


def _result(lines: list[dict[str, str]]) -> Result:
    """Of the lines of one row: what they have in common is that of the first."""
    first = lines[0]
    return Result(
        row=first["row"], network=first["name"], macs=int(first["macs"]),
        parameters=int(first["parameters"]), epochs=int(first["epochs"]),
        images=int(first["images"]), paper_si_rmse=first["paper_si_rmse"],
        seeds=tuple(int(line["seed"]) for line in lines),
        **{name: tuple(float(line[name]) for line in lines) for name in NAMES})
