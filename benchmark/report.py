"""Writes the rows of a benchmark to files: CSV (one flat line for each graph) and JSON."""

import csv
import io
import math
import os
import pathlib
from typing import Any

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
    "delta1_median_scaled", "delta2_median_scaled", "delta3_median_scaled", "score",
    "finite_share", "depth_min_m", "depth_max_m", "cpu", "cores", "num_threads", "use_xnnpack",
    "governor", "cpu_mhz", "temperature_c", "throttled", "load_average", "system", "versions",
    "warnings", "notes",
)


def write_json(
    path: str | os.PathLike, report: dict[str, Any] | list[dict[str, Any]]
) -> None:
    """Writes everything that was measured as JSON; what is not a finite number becomes null.

    Args:
        path: The file to write.
        report: As `benchmark.rows.measure` returns it, or several of them.
    """
    write_json_atomic(path, _finite(report))


def append_csv(path: str | os.PathLike, report: dict[str, Any]) -> None:
    """Appends one line for each graph, conditions included; the header is written once.

    Args:
        path: The file; what it holds stays.
        report: As `benchmark.rows.measure` returns it.

    Raises:
        UserError: The file has other columns.
    """
    old = check_csv(path)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    if not old:
        writer.writeheader()
    for row in report["rows"]:
        writer.writerow(_flat(row, report))
    write_text_atomic(path, old + buffer.getvalue())


def check_csv(path: str | os.PathLike) -> str:
    """Checks that lines can be appended to a CSV file.

    Args:
        path: The file, which may be missing.

    Returns:
        What it holds.

    Raises:
        UserError: It cannot be read or has other columns.
    """
    path = pathlib.Path(path)
    try:
        old = path.read_text() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--csv={path}: cannot be read ({error}); give another file") from error
    header = next(csv.reader(old.splitlines()[:1]), []) if old else list(CSV_COLUMNS)
    if header != list(CSV_COLUMNS):
        if "numbers" in header:
            raise UserError(f"--csv={path}: its column 'numbers' is called 'dtype' now; rename it "
                            "in the first line of the file")
        raise UserError(f"--csv={path}: holds other columns than this version writes; "
                        "give another file")
    return old if old.endswith("\n") or not old else old + "\n"


def _flat(row: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    flat = {**report["conditions"], **(report["roofline"] or {}), **row}
    versions = report["conditions"]["versions"]
    flat["versions"] = " ".join(f"{name} {version}" for name, version in versions.items())
    for name in ("warnings", "notes"):
        flat[name] = "; ".join(row[name])
    return flat


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
