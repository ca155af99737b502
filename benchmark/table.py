"""The rows of a benchmark as aligned text for a terminal and as Markdown."""

import pathlib
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from benchmark import op_profile
from benchmark import roofline
from benchmark.conditions import Conditions
from benchmark.report import Report
from benchmark.roofline import Peaks
from benchmark.row import Row

# Heading and cell. A column without a cell in any row is left out.
_Column = tuple[str, Callable[[Row], str | None]]


def _number(
    heading: str, value: Callable[[Row], float | None], digits: int, scale: float = 1.0
) -> _Column:
    def cell(row: Row) -> str | None:
        number = value(row)
        return None if number is None else f"{number * scale:.{digits}f}"

    return heading, cell


def _ratio(row: Row) -> str | None:
    if row.ratio is None or row.ratio_low is None or row.ratio_high is None:
        return None
    half = max(row.ratio_high - row.ratio, row.ratio - row.ratio_low)
    return f"{row.ratio:.2f}" + (f" ±{half:.2f}" if half > 0 else "")


def _stem(row: Row) -> str:
    return pathlib.Path(row.graph).stem


_SPEED: tuple[_Column, ...] = (
    ("graph", _stem),
    ("dtype", lambda row: row.dtype),
    _number("ms p50", lambda row: row.latency_ms_p50, 2),
    _number("p90", lambda row: row.latency_ms_p90, 2),
    _number("min", lambda row: row.latency_ms_min, 2),
    _number("max", lambda row: row.latency_ms_max, 2),
    ("x first (95 %)", _ratio),
    _number("CPU ms", lambda row: row.cpu_ms, 2),
    _number("CPU x first", lambda row: row.cpu_ratio, 2),
    _number("frame to depth", lambda row: row.end_to_end_ms_p50, 2),
    _number("M MACs", lambda row: row.macs, 1, 1e-6),
    _number("% of sgemm", lambda row: row.sgemm_percent, 0),
    _number("M instr Arm", lambda row: row.arm64_instructions, 2, 1e-6),
    _number("k param", lambda row: row.parameters, 0, 1e-3),
    _number("weights kB", lambda row: row.weight_bytes, 0, 1e-3),
    _number("memory MB", lambda row: row.graph_memory_bytes, 1, 1e-6),
    _number("parts", lambda row: row.partitions, 0),
    _number("other ops", lambda row: row.undelegated, 0),
)
_ALIGNED = ("'aligned': each map fitted to the truth by scale and shift; edge F1: of edges between "
            "pixels a fortieth of the width apart; ")
_ACCURACY: tuple[_Column, ...] = (
    ("graph", _stem),
    _number("ms p50", lambda row: row.latency_ms_p50, 2),
    _number("si-RMSE", lambda row: row.si_rmse, 4),
    _number("RMSE m", lambda row: row.rmse, 3),
    _number("LOG10", lambda row: row.log10, 4),
    _number("REL", lambda row: row.abs_rel, 4),
    _number("REL scaled", lambda row: row.abs_rel_median_scaled, 4),
    _number("REL aligned", lambda row: row.abs_rel_affine_aligned, 4),
    _number("delta1", lambda row: row.delta1, 3),
    _number("delta1 scaled", lambda row: row.delta1_median_scaled, 3),
    _number("delta1 aligned", lambda row: row.delta1_affine_aligned, 3),
    _number("delta2", lambda row: row.delta2, 3),
    _number("delta3", lambda row: row.delta3, 3),
    _number("RMSE scaled", lambda row: row.rmse_median_scaled, 3),
    _number("LOG10 scaled", lambda row: row.log10_median_scaled, 4),
    _number("edge F1", lambda row: row.boundary_f1, 3),
    _number("score", lambda row: row.score, 2),
)


def text(report: Report) -> str:
    """Formats a report for a terminal.

    Args:
        report: What was measured.

    Returns:
        Aligned tables of speed and of accuracy, the conditions, notes and profiles.
    """
    lines = []
    for table in _tables(report):
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines += [*(_aligned(row, widths) for row in table), ""]
    lines += remarks(report)
    for row in report.rows:
        if row.profile:
            lines += ["", *_profile(_stem(row), row.profile, report.roofline)]
    return "\n".join(lines)


def markdown(report: Report) -> str:
    """Formats a report as Markdown.

    Args:
        report: What was measured.

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


def remarks(report: Report) -> list[str]:
    """Lists the conditions of the figures, and what is doubtful, one line each.

    Args:
        report: What was measured.

    Returns:
        The lines; what concerns several graphs is said once.
    """
    lines = [_conditions(report.conditions), *_roofline(report.roofline), *_data(report.rows)]
    lines += [f"warning: {line}" for line in report.conditions.warnings()]
    said: dict[str, list[str]] = {}
    for row in report.rows:
        doubts = [row.fault, *row.warnings]
        for line in [*(f"warning: {doubt}" for doubt in doubts if doubt), *row.notes]:
            said.setdefault(line, []).append(_stem(row))
    lines += [f"{', '.join(dict.fromkeys(names))}: {line}" for line, names in said.items()]
    return lines


def _tables(report: Report) -> list[list[list[str]]]:
    tables = [_table(_SPEED, report.rows)]
    accurate = [row for row in report.rows if row.si_rmse is not None]
    if accurate:
        cpu = f"{report.conditions.cpu}, {report.conditions.threads}"
        score_on: _Column = "on", lambda row: None if row.score is None else cpu
        tables.append(_table((*_ACCURACY, score_on), accurate))
    return tables


def _table(columns: Sequence[_Column], rows: Sequence[Row]) -> list[list[str]]:
    cells = [[heading, *(cell(row) for row in rows)] for heading, cell in columns]
    filled = [column for column in cells if any(cell is not None for cell in column[1:])]
    return [["-" if cell is None else cell for cell in line] for line in zip(*filled, strict=True)]


def _aligned(row: list[str], widths: list[int]) -> str:
    first, *rest = zip(row, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])


def _conditions(conditions: Conditions) -> str:
    delegate = "XNNPACK" if conditions.use_xnnpack else "no delegate"
    told = {"governor": conditions.governor, "cpu_mhz": conditions.cpu_mhz,
            "temperature_c": conditions.temperature_c, "throttled": conditions.throttled}
    versions = " ".join(f"{name} {version}" for name, version in conditions.versions.items())
    return ", ".join([
        f"measured on {conditions.cpu}", f"{conditions.threads} of {conditions.cores} cores",
        delegate, f"load {conditions.load_average}",
        *(f"{name} {value}" for name, value in told.items() if value is not None),
        conditions.system, versions, conditions.date])


def _roofline(peaks: Peaks | None) -> list[str]:
    if not peaks:
        return []
    return [f"peak of this CPU in the same run: sgemm {peaks.sgemm_gmacs_per_s:.1f} GMAC/s, "
            f"memory copy {peaks.copy_gb_per_s:.1f} GB/s"]


def _data(rows: Sequence[Row]) -> list[str]:
    row = next((row for row in rows if row.data is not None), None)
    arm = next((row.arm64_cpu for row in rows if row.arm64_cpu is not None), None)
    lines = []
    if row:
        lines.append(f"accuracy over {row.images} images of {row.data}, {row.pooling}, "
                     f"crop {row.crop}; 'scaled': each map scaled to the median of the truth; "
                     f"{_ALIGNED if row.boundary_f1 is not None else ''}"
                     "the score holds for this CPU alone")
    if arm:
        lines.append(f"M instr Arm: million instructions of one invoke on an emulated {arm}, "
                     "a count, not a time")
    return lines


def _profile(name: str, profile: dict[str, Any], peaks: Peaks | None) -> list[str]:
    whole, parts = profile["whole_ms"], profile["operators"]
    total = {"ms": sum(op["ms"] for op in parts), "macs": sum(op["macs"] for op in parts)}
    share = _sgemm_percent(total, peaks)
    lines = [f"{name}: its operators alone take {total['ms']:.2f} ms in "
             f"sum{f' ({share} % of sgemm)' if share else ''}, the whole graph {whole:.2f} ms"]
    for key, title in (("whole", "the whole"), ("core", "between its resizes")):
        if part := profile.get(key):
            lines.append(f"  {title + ':':21}{part['ms']:.2f} ms, {part['macs'] / 1e6:.1f} M MACs, "
                         f"{part['sgemm_percent']:.0f} % of sgemm (fastest runs "
                         f"{part['fastest_sgemm_percent']:.0f} %)")
    if peaks:
        moved = profile["moved_bytes"]
        copied_ms = moved / 2 / peaks.copy_gb_per_s / 1e6  # a copy reads and writes
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


def _sgemm_percent(part: dict[str, Any], peaks: Peaks | None) -> str:
    """A part's fastest runs against those of the matrix product; empty if it multiplies nothing."""
    if not peaks or not part["macs"]:
        return ""
    sgemm_ms = roofline.SGEMM_MACS / peaks.sgemm_gmacs_per_s / 1e6
    return f"{roofline.sgemm_percent(part['macs'], part['ms'] / sgemm_ms):.0f}"
