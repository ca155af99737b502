"""The rows of a benchmark as aligned text for a terminal and as Markdown."""

import pathlib
from collections.abc import Callable
from typing import Any

from benchmark import op_profile
from benchmark import roofline
from benchmark.conditions import warnings

_Column = tuple[str, str, Callable[[dict[str, Any]], str]]


def _number(heading: str, key: str, digits: int, scale: float = 1.0) -> _Column:
    return heading, key, lambda row: f"{row[key] * scale:.{digits}f}"


def _ratio(row: dict[str, Any]) -> str:
    half = max(row["ratio_high"] - row["ratio"], row["ratio"] - row["ratio_low"])
    return f"{row['ratio']:.2f}" + (f" ±{half:.2f}" if half > 0 else "")


_GRAPH = ("graph", "graph", lambda row: pathlib.Path(row["graph"]).stem)
# (heading, key that must be there, text): a column without a value in any row is left out.
_SPEED = (
    _GRAPH,
    ("dtype", "dtype", lambda row: row["dtype"]),
    _number("ms p50", "latency_ms_p50", 2),
    _number("p90", "latency_ms_p90", 2),
    _number("min", "latency_ms_min", 2),
    _number("max", "latency_ms_max", 2),
    ("x first (95 %)", "ratio", _ratio),
    _number("CPU ms", "cpu_ms", 2),
    _number("CPU x first", "cpu_ratio", 2),
    _number("frame to depth", "end_to_end_ms_p50", 2),
    _number("M MACs", "macs", 1, 1e-6),
    _number("% of sgemm", "sgemm_percent", 0),
    _number("M instr Arm", "arm64_instructions", 2, 1e-6),
    _number("k param", "parameters", 0, 1e-3),
    _number("weights kB", "weight_bytes", 0, 1e-3),
    _number("memory MB", "graph_memory_bytes", 1, 1e-6),
    _number("parts", "partitions", 0),
    _number("other ops", "undelegated", 0),
)
_ACCURACY = (
    _GRAPH,
    _number("ms p50", "latency_ms_p50", 2),
    _number("si-RMSE", "si_rmse", 4),
    _number("RMSE m", "rmse", 3),
    _number("LOG10", "log10", 4),
    _number("REL", "abs_rel", 4),
    _number("delta1", "delta1", 3),
    _number("delta2", "delta2", 3),
    _number("delta3", "delta3", 3),
    _number("RMSE scaled", "rmse_median_scaled", 3),
    _number("LOG10 scaled", "log10_median_scaled", 4),
    _number("REL scaled", "abs_rel_median_scaled", 4),
    _number("delta1 scaled", "delta1_median_scaled", 3),
    _number("score", "score", 2),
    ("on", "score", lambda row: row["score_on"]),
)


def text(report: dict[str, Any]) -> str:
    """Formats a report for a terminal.

    Args:
        report: As `benchmark.rows.measure` returns it.

    Returns:
        Aligned tables of speed and of accuracy, the conditions, notes and profiles.
    """
    lines = []
    for table in _tables(report):
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines += [*(_aligned(row, widths) for row in table), ""]
    lines += remarks(report)
    for row in report["rows"]:
        if row["profile"]:
            lines += ["", *_profile(row, report["roofline"])]
    return "\n".join(lines)


def markdown(report: dict[str, Any]) -> str:
    """Formats a report as Markdown.

    Args:
        report: As `benchmark.rows.measure` returns it.

    Returns:
        A table of speed, one of accuracy, and a list of the conditions and notes.
    """
    lines = []
    for head, *rows in _tables(report):
        rule = ["---", *["---:"] * (len(head) - 1)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
                  for row in (head, rule, *rows)]
        lines.append("")
    return "\n".join([*lines, *(f"- {line}" for line in remarks(report))]) + "\n"


def remarks(report: dict[str, Any]) -> list[str]:
    """Tells under which conditions the figures hold, and what is doubtful, one line each.

    Args:
        report: As `benchmark.rows.measure` returns it.

    Returns:
        The lines; what concerns several graphs is said once.
    """
    conditions, rows = report["conditions"], report["rows"]
    lines = [_conditions(conditions), *_roofline(report["roofline"]), *_data(rows)]
    lines += [f"warning: {line}" for line in warnings(conditions, conditions["num_threads"])]
    said: dict[str, list[str]] = {}
    for row in rows:
        doubts = [row["fault"], *row["warnings"]]
        for line in [*(f"warning: {doubt}" for doubt in doubts if doubt), *row["notes"]]:
            said.setdefault(line, []).append(pathlib.Path(row["graph"]).stem)
    lines += [f"{', '.join(dict.fromkeys(names))}: {line}" for line, names in said.items()]
    return lines


def _tables(report: dict[str, Any]) -> list[list[list[str]]]:
    score_on = f"{report['conditions']['cpu']}, {threads(report['conditions'])}"
    rows = [{**row, "score_on": score_on} for row in report["rows"]]
    tables = [_table(_SPEED, rows)]
    if any("si_rmse" in row for row in rows):
        tables.append(_table(_ACCURACY, [row for row in rows if "si_rmse" in row]))
    return tables


def _table(columns: tuple[_Column, ...], rows: list[dict[str, Any]]) -> list[list[str]]:
    filled = [c for c in columns if any(row.get(c[1]) is not None for row in rows)]
    table = [[heading for heading, _, _ in filled]]
    for row in rows:
        table.append([form(row) if row.get(key) is not None else "-" for _, key, form in filled])
    return table


def _aligned(row: list[str], widths: list[int]) -> str:
    first, *rest = zip(row, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])


def threads(conditions: dict[str, Any]) -> str:
    """Says how many threads LiteRT used: `1 thread`, `2 threads`."""
    count = conditions["num_threads"]
    return f"{count} thread{'s' if count > 1 else ''}"


def _conditions(conditions: dict[str, Any]) -> str:
    delegate = "XNNPACK" if conditions["use_xnnpack"] else "no delegate"
    told = [f"{name} {conditions[name]}" for name in
            ("governor", "cpu_mhz", "temperature_c", "throttled") if conditions[name] is not None]
    versions = " ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    return ", ".join([
        f"measured on {conditions['cpu']}", f"{threads(conditions)} of {conditions['cores']} "
        f"cores", delegate, f"load {conditions['load_average']}", *told, conditions["system"],
        versions, conditions["date"]])


def _roofline(peaks: dict[str, float] | None) -> list[str]:
    if not peaks:
        return []
    return [f"peak of this CPU in the same run: sgemm {peaks['sgemm_gmacs_per_s']:.1f} GMAC/s, "
            f"memory copy {peaks['copy_gb_per_s']:.1f} GB/s"]


def _data(rows: list[dict[str, Any]]) -> list[str]:
    row = next((row for row in rows if "data" in row), None)
    arm = next((row["arm64_cpu"] for row in rows if "arm64_cpu" in row), None)
    lines = []
    if row:
        lines.append(f"accuracy over {row['images']} images of {row['data']}, {row['pooling']}, "
                     f"crop {row['crop']}; 'scaled': each map scaled to the median of the truth; "
                     "the score holds for this CPU alone")
    if arm:
        lines.append(f"M instr Arm: million instructions of one invoke on an emulated {arm}, "
                     "a count, not a time")
    return lines


def _profile(row: dict[str, Any], peaks: dict[str, float] | None) -> list[str]:
    whole, parts = row["profile"]["whole_ms"], row["profile"]["operators"]
    total = {"ms": sum(op["ms"] for op in parts), "macs": sum(op["macs"] for op in parts)}
    share = _sgemm_percent(total, peaks)
    lines = [f"{pathlib.Path(row['graph']).stem}: its operators alone take {total['ms']:.2f} ms in "
             f"sum{f' ({share} % of sgemm)' if share else ''}, the whole graph {whole:.2f} ms"]
    for key, title in (("whole", "the whole"), ("core", "between its resizes")):
        if part := row["profile"].get(key):
            lines.append(f"  {title + ':':21}{part['ms']:.2f} ms, {part['macs'] / 1e6:.1f} M MACs, "
                         f"{part['sgemm_percent']:.0f} % of sgemm (fastest runs "
                         f"{part['fastest_sgemm_percent']:.0f} %)")
    if peaks:
        moved = row["profile"]["moved_bytes"]
        copied_ms = moved / 2 / peaks["copy_gb_per_s"] / 1e6  # a copy reads and writes
        lines.append(f"  its input, output and weights, {moved / 1e6:.1f} MB, take "
                     f"{copied_ms:.2f} ms at the copy's speed: {100 * copied_ms / whole:.0f} % of "
                     "the whole")
    lines.append(f"  {'type':24} {'count':>5} {'ms':>8} {'%':>5} {'M MACs':>8} {'% of sgemm':>10}")
    for group in op_profile.by_type(parts):
        lines.append(f"  {group['name']:24} {group['count']:5d} {group['ms']:8.3f} "
                     f"{100 * group['share']:5.1f} {group['macs'] / 1e6:8.2f} "
                     f"{_sgemm_percent(group, peaks):>10}".rstrip())
    lines.append("  the slowest operators:")
    for op in sorted(parts, key=lambda op: -op["ms"])[:8]:
        shape, share = "x".join(str(n) for n in op["shape"]), _sgemm_percent(op, peaks)
        lines.append(f"  {op['index']:4d} {op['name']:24} {shape:18} {op['ms']:8.3f} ms "
                     f"{op['macs'] / 1e6:8.2f} M MACs{f' {share:>4} % of sgemm' if share else ''}")
    return lines


def _sgemm_percent(part: dict[str, Any], peaks: dict[str, float] | None) -> str:
    """A part's fastest runs against those of the matrix product; empty if it multiplies nothing."""
    if not peaks or not part["macs"]:
        return ""
    sgemm_ms = roofline.SGEMM_MACS / peaks["sgemm_gmacs_per_s"] / 1e6
    return f"{roofline.sgemm_percent(part['macs'], part['ms'] / sgemm_ms):.0f}"
