"""benchmark.table, result_files and plot, on a report made by hand."""

import csv
import dataclasses
import json
import struct

import pytest
from conftest import REPOSITORY

from benchmark import plot
from benchmark import result_files
from benchmark import table
from benchmark.conditions import Conditions
from benchmark.report import Report
from benchmark.roofline import Peaks
from benchmark.row import Row
from mai_depth.errors import UserError

NAN = float("nan")
ALIGNED = {"abs_rel_affine_aligned": 0.08, "delta1_affine_aligned": 0.94, "boundary_f1": 0.16}
TABLES = [path for path in sorted((REPOSITORY / "benchmark/results").rglob("*.csv"))
          if path.read_text().startswith("date,graph,sha256,fault,")]


def _row(name, **values):
    return Row(**{**_file(name), **_speed(), **values})


def _file(name):
    return {
        "graph": f"some/{name}.tflite", "dtype": "float32", "input": "480x640",
        "output": "480x640", "macs": 90_000_000, "flops": 180_000_000, "parameters": 500_000,
        "weight_bytes": 2_000_000, "file_bytes": 2_100_000, "sha256": "ab", "operators": 50,
        "partitions": 1, "undelegated": 0, "undelegated_types": "", "notes": ("a note",)}


def _speed():
    return {
        "latency_ms_p50": 2.0, "latency_ms_p90": 2.5, "latency_ms_min": 1.9,
        "latency_ms_max": 3.0, "cpu_ms": 2.0, "runs": 50, "rounds": 30, "ratio": 1.0,
        "ratio_low": 1.0, "ratio_high": 1.0, "cpu_ratio": 1.0, "gmacs_per_s": 45.0,
        "sgemm_percent": 90.0}


def _accuracy(**values):
    metrics = {"si_rmse": 0.2, "rmse": 0.7, "log10": 0.05, "abs_rel": 0.11, "delta1": 0.9,
               "delta2": 0.97, "delta3": 0.99}
    scaled = {f"{name}_median_scaled": value for name, value in metrics.items()}
    return {**metrics, **scaled, "images": 80, "data": "data validation", "crop": "none",
            "pooling": "per image", "score": 20000.0, **values}


def _report(*rows, **values):
    conditions = Conditions(
        cpu="a CPU", cores=4, governor=None, cpu_mhz=None, temperature_c=None, throttled=None,
        load_average=0.0, system="Linux", versions={"python": "3.11"},
        date="2026-11-22T00:00:00+00:00", num_threads=1, use_xnnpack=True)
    return Report(**{"conditions": conditions, "roofline": Peaks(50.0, 10.0), "rows": rows,
                     **values})


def test_text_is_aligned_and_leaves_empty_columns_out():
    slow = _row("other", ratio=2.5, ratio_low=2.4, ratio_high=2.6)
    lines = table.text(_report(_row("student"), slow)).split("\n")
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[1].startswith("student ") and lines[2].startswith("other ")
    assert "2.50 ±0.10" in lines[2]
    assert "M instr Arm" not in lines[0]
    assert "si-RMSE" not in "\n".join(lines)


def test_the_score_names_the_cpu():
    text = table.text(_report(_row("student", **_accuracy()), _row("random")))
    line = next(line for line in text.split("\n") if "20000.00" in line)
    assert line.endswith("a CPU, 1 thread")


def test_a_remark_that_holds_for_several_is_said_once():
    lines = table.remarks(_report(_row("a"), _row("b"), _row("c", notes=(), warnings=("bad",))))
    assert "a, b: a note" in lines
    assert "c: warning: bad" in lines


def test_a_crashed_graph_keeps_its_row():
    crashed = Row(**_file("bad"), fault="died of SIGSEGV")
    text = table.text(_report(_row("good"), crashed))
    assert "bad: warning: died of SIGSEGV" in text
    assert text.split("\n")[2].split()[:3] == ["bad", "float32", "-"]


def test_a_profile_is_printed():
    operators = [
        {"index": 0, "name": "CONV_2D", "shape": [1, 2, 3], "macs": 20_000_000, "ms": 1.0},
        {"index": 1, "name": "ADD", "shape": [1, 2, 3], "macs": 0, "ms": 0.25}]
    core = {"ms": 1.25, "macs": 2_000_000, "sgemm_percent": 50.0, "fastest_sgemm_percent": 60.0}
    row = _row("student", profile={
        "whole_ms": 1.5, "operators": operators, "moved_bytes": 6_000_000, "core": core})
    text = table.text(_report(row))
    assert "between its resizes: 1.25 ms, 2.0 M MACs, 50 % of sgemm (fastest runs 60 %)" in text
    del row.profile["core"]
    assert "resizes" not in table.text(_report(row))
    # 20 M MACs in 1 ms are 20 of 50 GMAC/s; 6 MB are 0.3 ms at 10 GB/s there and back.
    assert "alone take 1.25 ms in sum (32 % of sgemm), the whole graph 1.50 ms" in text
    assert "weights, 6.0 MB, take 0.30 ms at the copy's speed: 20 % of the whole" in text
    lines = [line.split() for line in text.split("\n")]
    assert ["CONV_2D", "1", "1.000", "80.0", "20.00", "40"] in lines
    assert ["ADD", "1", "0.250", "20.0", "0.00"] in lines
    assert "0 CONV_2D 1x2x3 1.000 ms 20.00 M MACs 40 % of sgemm" in map(" ".join, lines)


def test_a_profile_without_a_roofline_is_printed():
    operators = [{"index": 0, "name": "CONV_2D", "shape": [1, 2, 3], "macs": 10, "ms": 1.0}]
    row = _row("student", profile={"whole_ms": 1.5, "operators": operators, "moved_bytes": 8})
    text = table.text(_report(row, roofline=None))
    assert "alone take 1.00 ms in sum, the whole graph 1.50 ms" in text
    profile = text[text.index("alone take"):]
    assert "copy" not in profile and "0.00 M MACs\n" in profile + "\n"


def test_markdown_has_two_tables_of_even_width():
    text = table.markdown(_report(_row("student", **_accuracy())))
    speed, accuracy = text.split("\n\n")[:2]
    for block in (speed, accuracy):
        assert len({line.count("|") for line in block.split("\n")}) == 1
    assert "| student | float32 | 2.00 |" in speed


def test_csv_appends_and_writes_its_header_once(tmp_path):
    path = tmp_path / "results.csv"
    result_files.append_csv(path, _report(_row("a, with a comma"), _row("b")))
    result_files.append_csv(path, _report(_row("c", **_accuracy())))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["graph"] for row in rows] == [
        "some/a, with a comma.tflite", "some/b.tflite", "some/c.tflite"]
    assert rows[0]["cpu"] == "a CPU" and rows[0]["notes"] == "a note"
    assert rows[2]["si_rmse"] == "0.2" and rows[0]["si_rmse"] == ""
    assert (rows[0]["versions"], rows[0]["copy_gb_per_s"]) == ("python 3.11", "10.0")


def test_csv_of_an_earlier_version_is_given_the_new_columns(tmp_path):
    path = tmp_path / "results.csv"
    before = _report(_row("a, old", **_accuracy()))
    after = _report(_row("b", **_accuracy(**ALIGNED)))
    result_files.append_csv(path, before)
    with path.open(newline="") as file:
        old = [{name: cell for name, cell in line.items() if name not in ALIGNED}
               for line in csv.DictReader(file)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(old[0]))
        writer.writeheader()
        writer.writerows(old)
    assert "edge F1" not in table.text(result_files.read_csv(path)[0])
    result_files.append_csv(path, after)
    rows = [row for report in result_files.read_csv(path) for row in report.rows]
    assert rows == [*before.rows, *after.rows]


def test_aligned_metrics_are_printed():
    text = table.text(_report(_row("student", **_accuracy(**ALIGNED))))
    lines = [line for line in text.split("\n") if "edge F1" in line]
    names = [name for metric in ("REL", "delta1")
             for name in (metric, f"{metric} scaled", f"{metric} aligned")]
    assert " ".join(names) in " ".join(lines[0].split())  # side by side
    assert "'aligned': each map fitted to the truth by scale and shift" in lines[1]


def test_csv_gives_back_what_was_written(tmp_path):
    path = tmp_path / "results.csv"
    calm = _report(_row("a", warnings=("one", "two")), Row(**_file("b"), fault="died"))
    busy = dataclasses.replace(calm.conditions, load_average=2.5, governor="ondemand")
    reports = [calm, _report(_row("c", **_accuracy()), conditions=busy, roofline=None)]
    for report in reports:
        result_files.append_csv(path, report)
    assert result_files.read_csv(path) == reports


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_the_tables_of_this_repository_are_read_and_printed(path):
    lines = list(csv.DictReader(path.read_text().splitlines()))
    reports = result_files.read_csv(path)
    assert [row.sha256 for one in reports for row in one.rows] == [line["sha256"] for line in lines]
    for report in reports:
        assert f"measured on {report.conditions.cpu}" in table.text(report)


def test_csv_of_another_kind_is_left_alone(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("name,value\nx,1\n")
    with pytest.raises(UserError, match=r"--csv=.*other columns"):
        result_files.append_csv(path, _report(_row("a")))
    assert path.read_text() == "name,value\nx,1\n"
    with pytest.raises(UserError, match=r"other.csv: not a table of the benchmark \(column"):
        result_files.read_csv(path)


def test_csv_with_the_old_name_of_a_column_tells_what_to_rename(tmp_path):
    path = tmp_path / "old.csv"
    result_files.append_csv(path, _report(_row("a")))
    path.write_text(path.read_text().replace(",dtype,", ",numbers,"))
    line = r"old\.csv: its column 'numbers' is called 'dtype' now; rename it in the first line"
    with pytest.raises(UserError, match=f"--csv=.*{line}"):
        result_files.append_csv(path, _report(_row("a")))
    with pytest.raises(UserError, match=line):
        result_files.read_csv(path)
    path.write_text(path.read_text().replace(",numbers,", ",dtype,"))
    assert result_files.read_csv(path) == [_report(_row("a"))]


@pytest.mark.parametrize("column, cell", [
    ("macs", "many"), ("macs", ""), ("cpu_ms", "fast"), ("use_xnnpack", "yes")])
def test_a_cell_of_another_type_is_named(tmp_path, column, cell):
    path = tmp_path / "results.csv"
    result_files.append_csv(path, _report(_row("a")))
    (line,) = csv.DictReader(path.read_text().splitlines())
    path.write_text(",".join(line) + "\n" + ",".join(
        (cell if name == column else value) for name, value in line.items()) + "\n")
    with pytest.raises(UserError, match=f"column '{column}' holds '{cell}'"):
        result_files.read_csv(path)


def test_every_flat_figure_is_in_the_csv():
    fields = {field.name for part in (Row, Conditions, Peaks) for field in dataclasses.fields(part)}
    assert fields - {"profile"} == set(result_files.CSV_COLUMNS)


def test_json_has_null_for_what_is_no_number(tmp_path):
    path = tmp_path / "results.json"
    result_files.write_json(path, [_report(_row("a", ratio_low=NAN, si_rmse=float("inf")))])
    row = json.loads(path.read_text())["rows"][0]
    assert row["ratio_low"] is None and row["si_rmse"] is None


def test_json_leaves_out_what_was_not_measured(tmp_path):
    path = tmp_path / "results.json"
    not_finite = _row("b", finite_share=0.0)
    result_files.write_json(path, [_report(Row(**_file("a"), fault="died"), not_finite)])
    report = json.loads(path.read_text())
    assert list(report) == ["conditions", "roofline", "rows", "failed"] and report["failed"]
    died, other = report["rows"]
    assert set(died) == {*_file("a"), "fault", "warnings", "profile"}
    assert other["depth_min_m"] is None and "si_rmse" not in other


def test_plot_draws_what_has_a_score(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "plot.png"
    slow = _row("slow", **_accuracy(si_rmse=0.3, score=500.0), latency_ms_p50=20.0)
    plot.draw(path, _report(_row("fast", **_accuracy()), slow, _row("random")))
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24])[0] > 800


def test_plot_without_accuracy_is_refused(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(UserError, match="--plot"):
        plot.draw(tmp_path / "plot.png", _report(_row("a")))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="--data_dir"):
        plot.check("plot.png", with_data=False)
