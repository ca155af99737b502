"""Writes the rows of a benchmark: aligned text, CSV, JSON, Markdown."""

import csv
import io
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

from benchmark import op_profile
from benchmark.conditions import warnings
from mai_depth.atomic import write_json_atomic
from mai_depth.atomic import write_text_atomic
from mai_depth.errors import UserError


def _ratio(row: dict[str, Any]) -> str:
    half = max(row["ratio_high"] - row["ratio"], row["ratio"] - row["ratio_low"])
    return f"{row['ratio']:.2f}" + ("" if math.isnan(half) else f" ±{half:.2f}")


def _number(key: str, digits: int, scale: float = 1.0) -> Callable[[dict[str, Any]], str]:
    return lambda row: f"{row[key] * scale:.{digits}f}"


# (heading, key that must be there, text): a column without a value in any row is left out.
_COLUMNS = (
    ("graph", "graph", lambda row: pathlib.Path(row["graph"]).stem),
    ("numbers", "numbers", lambda row: row["numbers"]),
    ("ms p50", "latency_ms_p50", _number("latency_ms_p50", 2)),
    ("p90", "latency_ms_p90", _number("latency_ms_p90", 2)),
    ("min", "latency_ms_min", _number("latency_ms_min", 2)),
    ("max", "latency_ms_max", _number("latency_ms_max", 2)),
    ("x first (95 %)", "ratio", _ratio),
    ("frame to depth ms", "end_to_end_ms_p50", _number("end_to_end_ms_p50", 2)),
    ("M MACs", "macs", _number("macs", 1, 1e-6)),
    ("% of sgemm", "sgemm_percent", _number("sgemm_percent", 0)),
    ("M instr Arm", "arm64_instructions", _number("arm64_instructions", 2, 1e-6)),
    ("k param", "parameters", _number("parameters", 0, 1e-3)),
    ("weights kB", "weight_bytes", _number("weight_bytes", 0, 1e-3)),
    ("memory MB", "graph_memory_bytes", _number("graph_memory_bytes", 0, 1e-6)),
    ("parts", "partitions", _number("partitions", 0)),
    ("other ops", "undelegated", _number("undelegated", 0)),
    ("si-RMSE", "si_rmse", _number("si_rmse", 4)),
    ("RMSE m", "rmse", _number("rmse", 3)),
    ("LOG10", "log10", _number("log10", 4)),
    ("REL", "abs_rel", _number("abs_rel", 4)),
    ("delta1", "delta1", _number("delta1", 3)),
    ("delta2", "delta2", _number("delta2", 3)),
    ("delta3", "delta3", _number("delta3", 3)),
    ("RMSE m scaled", "rmse_median_scaled", _number("rmse_median_scaled", 3)),
    ("REL scaled", "abs_rel_median_scaled", _number("abs_rel_median_scaled", 4)),
    ("delta1 scaled", "delta1_median_scaled", _number("delta1_median_scaled", 3)),
    ("score", "score", _number("score", 2)),
    ("score on", "score", lambda row: row["score_on"]),
)


def text(report: dict[str, Any]) -> str:
    """Formats a report for a terminal.

    Args:
        report: As `benchmark.rows.measure` returns it.

    Returns:
        An aligned table, the conditions, notes and profiles.
    """
    table = _table(report)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [_aligned(row, widths) for row in table]
    lines += ["", *_remarks(report)]
    for row in report["rows"]:
        if row["profile"]:
            lines += ["", *_profile(row)]
    return "\n".join(lines)


def markdown(report: dict[str, Any]) -> str:
    """Formats a report as a Markdown table with its conditions below."""
    head, *rows = _table(report)
    rule = ["---", *["---:"] * (len(head) - 1)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
             for row in (head, rule, *rows)]
    remarks = [f"- {line}" for line in _remarks(report)]
    return "\n".join([*lines, "", *remarks]) + "\n"


def write_json(path: str | os.PathLike, report: dict[str, Any]) -> None:
    """Writes everything that was measured as JSON; what is not a number becomes null."""
    write_json_atomic(path, _finite(report))


def append_csv(path: str | os.PathLike, report: dict[str, Any]) -> None:
    """Appends one line for each graph, conditions included; the header is written once.

    Args:
        path: The file; what it holds stays.
        report: As `benchmark.rows.measure` returns it.

    Raises:
        UserError: The file has other columns.
    """
    path = pathlib.Path(path)
    old = path.read_text() if path.exists() else ""
    header = next(csv.reader([old.partition("\n")[0]]), []) if old else list(CSV_COLUMNS)
    if header != list(CSV_COLUMNS):
        raise UserError(f"--csv={path}: holds other columns than this version writes; "
                        "give another file")
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    if not old:
        writer.writeheader()
    for row in report["rows"]:
        writer.writerow(_flat(row, report))
    write_text_atomic(path, old + buffer.getvalue())


CSV_COLUMNS = (
    "date", "graph", "sha256", "fault", "numbers", "input", "output", "latency_ms_p50",
    "latency_ms_p90", "latency_ms_min", "latency_ms_max", "runs", "rounds", "ratio", "ratio_low",
    "ratio_high", "end_to_end_ms_p50", "end_to_end_ms_p90", "macs", "flops", "parameters",
    "weight_bytes", "file_bytes", "operators", "partitions", "undelegated", "undelegated_types",
    "peak_memory_bytes", "graph_memory_bytes", "gmacs_per_s", "sgemm_percent",
    "sgemm_gmacs_per_s", "copy_gb_per_s", "arm64_cpu", "arm64_instructions", "data", "images",
    "crop", "pooling", "si_rmse", "rmse", "log10", "abs_rel", "delta1", "delta2", "delta3",
    "si_rmse_median_scaled", "rmse_median_scaled", "log10_median_scaled", "abs_rel_median_scaled",
    "delta1_median_scaled", "delta2_median_scaled", "delta3_median_scaled", "score",
    "finite_share", "depth_min_m", "depth_max_m", "cpu", "cores", "num_threads", "use_xnnpack",
    "governor", "cpu_mhz", "temperature_c", "throttled", "load_average", "system", "versions",
    "warnings", "notes",
)


def _flat(row: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    flat = {**report["conditions"], **(report["roofline"] or {}), **row}
    flat["versions"] = _versions(report)
    for name in ("warnings", "notes"):
        flat[name] = "; ".join(row[name])
    return flat


def _table(report: dict[str, Any]) -> list[list[str]]:
    score_on = f"{report['conditions']['cpu']}, {report['conditions']['num_threads']} threads"
    rows = [{**row, "score_on": score_on} for row in report["rows"]]
    columns = [c for c in _COLUMNS if any(row.get(c[1]) is not None for row in rows)]
    table = [[heading for heading, _, _ in columns]]
    for row in rows:
        table.append([form(row) if row.get(key) is not None else "-" for _, key, form in columns])
    return table


def _aligned(row: list[str], widths: list[int]) -> str:
    first, *rest = (cell.ljust(width) if i == 0 else cell.rjust(width)
                    for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
    return "  ".join([first, *rest]).rstrip()


def _remarks(report: dict[str, Any]) -> list[str]:
    conditions, peaks = report["conditions"], report["roofline"]
    xnnpack = "on" if conditions["use_xnnpack"] else "off"
    named = [f"{key} {conditions[key]}" for key in
             ("governor", "cpu_mhz", "temperature_c", "throttled") if conditions[key] is not None]
    lines = [f"measured on {conditions['cpu']}, {conditions['num_threads']} of "
             f"{conditions['cores']} cores, XNNPACK {xnnpack}, "
             f"load {conditions['load_average']}, " + "".join(f"{n}, " for n in named)
             + f"{conditions['system']}, {_versions(report)}, {conditions['date']}"]
    if peaks:
        lines.append(f"peak of this CPU in the same run: sgemm {peaks['sgemm_gmacs_per_s']:.1f} "
                     f"GMAC/s, memory copy {peaks['copy_gb_per_s']:.1f} GB/s")
    lines += _data_remark(report["rows"])
    lines += [f"warning: {line}" for line in
              warnings(conditions, conditions["num_threads"])]
    for row in report["rows"]:
        name = pathlib.Path(row["graph"]).name
        faults = [row["fault"]] if row["fault"] else []
        lines += [f"{name}: warning: {line}" for line in (*faults, *row["warnings"])]
        lines += [f"{name}: {line}" for line in row["notes"]]
    return lines


def _data_remark(rows: list[dict[str, Any]]) -> list[str]:
    row = next((row for row in rows if "data" in row), None)
    arm = next((row["arm64_cpu"] for row in rows if "arm64_cpu" in row), None)
    lines = []
    if row:
        lines.append(f"accuracy over {row['images']} images of {row['data']}, {row['pooling']}, "
                     f"crop {row['crop']}; 'scaled': after scaling to the median of the truth; "
                     "the score holds for this CPU alone")
    if arm:
        lines.append(f"M instr Arm: million instructions of one invoke on an emulated {arm}, "
                     "a count, not a time")
    return lines


def _profile(row: dict[str, Any]) -> list[str]:
    parts = row["profile"]
    total = sum(op["ms"] for op in parts)
    lines = [f"{pathlib.Path(row['graph']).name}: operators alone sum to {total:.2f} ms, "
             f"the whole graph takes {row['latency_ms_p50']:.2f} ms",
             f"  {'type':24} {'count':>5} {'ms':>8} {'%':>5} {'M MACs':>8}"]
    for group in op_profile.by_type(parts):
        lines.append(f"  {group['name']:24} {group['count']:5d} {group['ms']:8.3f} "
                     f"{100 * group['share']:5.1f} {group['macs'] / 1e6:8.2f}")
    lines.append("  the slowest:")
    for op in sorted(parts, key=lambda op: -op["ms"])[:8]:
        shape = "x".join(str(n) for n in op["shape"])
        lines.append(f"  {op['index']:4d} {op['name']:24} {shape:18} {op['ms']:8.3f} ms "
                     f"{op['macs'] / 1e6:8.2f} M MACs")
    return lines


def _versions(report: dict[str, Any]) -> str:
    return " ".join(f"{name} {version}" for name, version in
                    report["conditions"]["versions"].items())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
