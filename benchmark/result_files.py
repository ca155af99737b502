"""The files of a benchmark: CSV (one flat line for each graph, conditions included) and JSON."""

import csv
import dataclasses
import io
import itertools
import math
import os
import pathlib
import types
import typing
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from benchmark.conditions import Conditions
from benchmark.report import Report
from benchmark.roofline import Peaks
from benchmark.row import Row
from mai_depth.atomic import write_json_atomic
from mai_depth.atomic import write_text_atomic
from mai_depth.errors import UserError

CSV_COLUMNS = (
    "date", "graph", "sha256", "fault", "dtype", "input", "output", "latency_ms_p50",
    "latency_ms_p90", "latency_ms_min", "latency_ms_max", "cpu_ms", "runs", "rounds", "ratio",
    "ratio_low", "ratio_high", "cpu_ratio", "end_to_end_ms_p50", "end_to_end_ms_p90", "macs",
    "flops", "parameters", "weight_bytes", "file_bytes", "operators", "partitions",
    "undelegated", "undelegated_types",
    "peak_memory_bytes", "graph_memory_bytes", "gmacs_per_s", "sgemm_percent",
    "sgemm_gmacs_per_s", "copy_gb_per_s", "arm64_cpu", "arm64_instructions", "data", "images",
    "crop", "pooling", "si_rmse", "rmse", "log10", "abs_rel", "delta1", "delta2", "delta3",
    "si_rmse_median_scaled", "rmse_median_scaled", "log10_median_scaled", "abs_rel_median_scaled",
    "delta1_median_scaled", "delta2_median_scaled", "delta3_median_scaled",
    "abs_rel_affine_aligned", "delta1_affine_aligned", "boundary_f1", "score", "finite_share",
    "depth_min_m", "depth_max_m", "cpu", "cores", "num_threads", "use_xnnpack", "governor",
    "cpu_mhz", "temperature_c", "throttled", "load_average", "system", "versions", "warnings",
    "notes",
)
_ADDED = {"abs_rel_affine_aligned", "delta1_affine_aligned", "boundary_f1"}  # old files lack them
_RENAMED = {"numbers": "dtype"}  # old and new name of a column
_SEPARATOR = "; "  # of warnings and notes, which may hold it themselves


def write_json(path: str | os.PathLike, reports: Sequence[Report]) -> None:
    """Writes everything that was measured as JSON; what is not a finite number becomes null.

    Args:
        path: The file to write.
        reports: One is written as it is, several as a list.
    """
    content = [_finite(_as_json(report)) for report in reports]
    write_json_atomic(path, content if len(content) > 1 else content[0])


def append_csv(path: str | os.PathLike, report: Report) -> None:
    """Appends one line for each graph, conditions included; the header is written once.

    A file of an earlier version is given the columns that it lacks, with empty cells.

    Args:
        path: The file; what it holds stays.
        report: What was measured.

    Raises:
        UserError: The file has other columns.
    """
    old = check_csv(path)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    if not old:
        writer.writeheader()
    for row in report.rows:
        writer.writerow(_cells(report.conditions) | _cells(report.roofline) | _cells(row))
    write_text_atomic(path, old + buffer.getvalue())


def check_csv(path: str | os.PathLike) -> str:
    """Checks that lines can be appended to a CSV file.

    Args:
        path: The file, which may be missing.

    Returns:
        What it holds, with all columns of this version.

    Raises:
        UserError: It cannot be read or has other columns.
    """
    path = pathlib.Path(path)
    try:
        old = path.read_text() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--csv={path}: cannot be read ({error}); give another file") from error
    header = next(csv.reader(old.splitlines()[:1]), []) if old else list(CSV_COLUMNS)
    if set(header) < set(CSV_COLUMNS) and set(CSV_COLUMNS) - set(header) <= _ADDED:
        return _widened(old)
    if header != list(CSV_COLUMNS):
        _refuse_old_names(f"--csv={path}", header)
        raise UserError(f"--csv={path}: holds other columns than this version writes; "
                        "give another file")
    return old if old.endswith("\n") or not old else old + "\n"


def _widened(old: str) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv.DictReader(io.StringIO(old, newline="")))
    return buffer.getvalue()


def read_csv(path: str | os.PathLike) -> list[Report]:
    """Reads what `append_csv` has written.

    Warnings and notes are divided at each `; `, also where one holds it itself. Profiles are not
    in a CSV.

    Args:
        path: The file; columns that this version does not know are left out.

    Returns:
        A report for each run: lines after each other that have the conditions in common.

    Raises:
        UserError: It cannot be read or is not a table of the benchmark.
    """
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            _refuse_old_names(str(path), reader.fieldnames or ())
            lines = [(from_cells(Conditions, line), _peaks(line), from_cells(Row, line))
                     for line in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); fix or remove it") from error
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}: not a table of the benchmark ({error}); fix or remove it"
                        ) from error
    return [Report(conditions, peaks, tuple(row for _, _, row in group))
            for (conditions, peaks), group in itertools.groupby(lines, lambda line: line[:2])]


def _refuse_old_names(subject: str, header: Sequence[str]) -> None:
    for old, new in _RENAMED.items():
        if old in header and new not in header:
            raise UserError(f"{subject}: its column {old!r} is called {new!r} now; rename it in "
                            "the first line of the file")


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "conditions": dataclasses.asdict(report.conditions),
        "roofline": report.roofline and dataclasses.asdict(report.roofline),
        "rows": [_row_as_json(row) for row in report.rows],
        "failed": report.failed,
    }


def _row_as_json(row: Row) -> dict[str, Any]:
    """What was measured; null stands for no profile, or no finite depth in a map."""
    kept = {"profile"}
    if row.finite_share is not None:
        kept |= {"depth_min_m", "depth_max_m"}
    values = dataclasses.asdict(row)
    return {name: value for name, value in values.items() if value is not None or name in kept}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cells(part: Row | Conditions | Peaks | None) -> dict[str, Any]:
    """The fields of a part of a line; `csv` leaves the cell of None empty."""
    if part is None:
        return {}
    cells = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    for name, value in cells.items():
        if isinstance(value, tuple):
            cells[name] = _SEPARATOR.join(value)
        elif name == "versions":
            cells[name] = " ".join(f"{package} {version}" for package, version in value.items())
    return cells


def _peaks(line: dict[str, str]) -> Peaks | None:
    return from_cells(Peaks, line) if line.get("sgemm_gmacs_per_s") else None


def from_cells(kind: Callable[..., Any], line: dict[str, str]) -> Any:
    """Makes a dataclass of the cells that are named after its fields.

    Args:
        kind: The dataclass.
        line: Of a CSV file, by column; other columns are left out.

    Raises:
        ValueError: A cell that must be filled is missing or of another type.
    """
    values: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind).items():
        cell = line.get(name) or ""
        optional = isinstance(hint, types.UnionType)
        if optional and not cell:
            values[name] = None
            continue
        try:
            values[name] = _FROM_CELL[typing.get_args(hint)[0] if optional else hint](cell)
        except (KeyError, ValueError):
            raise ValueError(f"column {name!r} holds {cell!r}") from None
    return kind(**values)


def _divided(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(_SEPARATOR)) if cell else ()


def _versions(cell: str) -> dict[str, str]:
    words = cell.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_FROM_CELL: dict[Any, Callable[[str], Any]] = {
    str: str, int: int, float: float, bool: {"True": True, "False": False}.__getitem__,
    tuple[str, ...]: _divided, dict[str, str]: _versions,
}
