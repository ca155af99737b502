"""benchmark.study: its runs, table, plots and report, on what trainings leave, made by hand."""

import csv
import importlib.util
import json
import pathlib

import pytest
from PIL import Image

from benchmark.conditions import Conditions
from benchmark.report import Report
from benchmark.result_files import append_csv
from benchmark.row import Row
from benchmark.study import report as study_report
from benchmark.study import runs as study_runs
from mai_depth.errors import UserError
from mai_depth.metrics import mai_score
from mai_depth.network.model_file import save_model
from mai_depth.network.pretrained import pretrained_path
from mai_depth.network.student import build_student
from mai_depth.training.sheet import choose_rows

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")

ERRORS = {"student_28m": 0.26, "student_49m": 0.24, "student_90m": 0.22, "student_189m": 0.20}


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def leave_run(run, finished=True):
    """What a training of two epochs leaves; the second seed is worse by 0.01, a teacher helps."""
    folder = run.student.parent
    folder.mkdir(parents=True)
    si_rmse = ERRORS[run.row.preset] + 0.01 * run.seed - 0.005 * run.row.distilled
    metrics = {"si_rmse": si_rmse, "rmse": 0.8, "log10": 0.1, "abs_rel": 0.23, "delta1": 0.61,
               "delta2": 0.86, "delta3": 0.96, "images": 80}
    (folder / "student.json").write_text(json.dumps({
        "builder": {"preset": run.row.preset}, "recipe": {"seed": run.seed, "epochs": 2},
        "metrics": metrics, "epoch": 2, "finished": finished}))
    (folder / "log.csv").write_text(f"epoch,val_si_rmse\n1,0.4\n2,{si_rmse}\n")


@pytest.fixture
def runs(tmp_path):
    runs = study_runs.planned(tmp_path / "runs", (0, 1))
    for run in runs:
        leave_run(run)
    return runs


@pytest.fixture
def output(runs, tmp_path, monkeypatch):
    """A results folder after all runs, with a README of the user's own words."""
    monkeypatch.setattr(study_runs, "_costs", lambda preset: (int(preset[8:-1]) * 10**6, 900_000))
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "README.md").write_text(
        f"# Before\n\n{study_report.BEGIN}\nold\n{study_report.END}\n\nAfter.\n")
    study_runs.write_runs(runs, tmp_path / "teacher.keras", folder)
    return folder


def write_latency(folder):
    """Our 90M graph takes 2 ms, the paper's 4 ms; the other sizes in proportion."""
    rows = []
    for preset in ERRORS:
        for graph, factor in ((preset, 1), (study_runs.peer(preset), 2)):
            milliseconds = factor * 2 * int(preset[8:-1]) / 90
            rows.append(Row(
                graph=graph, dtype="float32", input="480x640", output="480x640", macs=1, flops=2,
                parameters=1, weight_bytes=4, file_bytes=8, sha256="ab", operators=1, partitions=1,
                undelegated=0, undelegated_types="", latency_ms_p50=milliseconds,
                cpu_ms=milliseconds))
    conditions = Conditions(
        cpu="a CPU", cores=4, governor=None, cpu_mhz=None, temperature_c=None, throttled=None,
        load_average=0.1, system="Linux", versions={}, date="2026-11-22", num_threads=1,
        use_xnnpack=True)
    append_csv(folder / study_runs.LATENCY_CSV, Report(conditions, None, tuple(rows)))


def test_every_row_is_run_once_before_any_seed_is_repeated(tmp_path):
    names = [run.name for run in study_runs.planned(tmp_path, (0, 1, 2))]
    assert names == [
        "student_28m_seed0", "student_49m_seed0", "student_90m_seed0", "student_189m_seed0",
        "student_90m_distilled_seed0", "student_90m_seed1", "student_90m_distilled_seed1",
        "student_90m_seed2", "student_90m_distilled_seed2"]


def test_a_run_is_the_flag_files_with_its_own_flags_last(tmp_path, monkeypatch):
    """Without a real training: what train.py would be given."""
    commands = []

    def run_command(command, **settings):
        commands.append(command[1:])
        return study_runs.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(study_runs.subprocess, "run", run_command)
    runs = study_runs.planned(tmp_path, (5,))
    for run in (runs[2], runs[4]):
        study_runs.train(run, pathlib.Path("/t.keras"), ["--data_dir=/data"])
    start = ["train.py", "--flagfile=student.flags", "--flagfile=recipes/nyuv2.flags",
             "--data_dir=/data", "--student=student_90m", "--seed=5"]
    assert commands == [
        [*start, "--distillation_loss_weight=0", f"--workdir={tmp_path}/student_90m_seed5"],
        [*start, "--teacher=/t.keras", f"--workdir={tmp_path}/student_90m_distilled_seed5"]]


def test_a_training_that_fails_ends_the_study(tmp_path, monkeypatch):
    monkeypatch.setattr(study_runs, "_RECIPE", ("--no_such_flag",))
    with pytest.raises(UserError, match="ended with 1, see above"):
        study_runs.train(study_runs.planned(tmp_path, (0,))[0], tmp_path / "t.keras", [])


def test_table_of_runs_holds_every_finished_run(output):
    lines = read(output / "study.csv")
    assert [(line["row"], line["seed"]) for line in lines] == [
        ("1", "0"), ("2", "0"), ("3", "0"), ("4", "0"), ("3+dist", "0"), ("3", "1"),
        ("3+dist", "1")]
    assert float(lines[2]["si_rmse"]) == 0.22
    assert lines[2]["macs"] == "90000000"
    assert (lines[4]["distilled"], lines[4]["paper_si_rmse"]) == ("True", "0.3141")
    curve = (output / "curves/student_90m_distilled_seed1.csv").read_text()
    assert curve.startswith("epoch,val_si_rmse\n1,0.4\n")


def test_a_run_that_still_trains_is_no_line(tmp_path, output, runs):
    record = runs[1].student.with_suffix(".json")
    record.write_text(record.read_text().replace("true", "false"))
    study_runs.write_runs(runs, tmp_path / "teacher.keras", output)
    assert [line["row"] for line in read(output / "study.csv")] == [
        "1", "3", "4", "3+dist", "3", "3+dist"]


def test_a_damaged_record_is_named(tmp_path, output, runs):
    record = runs[0].student.with_suffix(".json")
    record.write_text("{")
    with pytest.raises(UserError, match=str(record)):
        study_runs.write_runs(runs, tmp_path / "teacher.keras", output)


@needs_matplotlib
def test_a_table_of_something_else_is_named(output):
    (output / "study.csv").write_text("row,name\n3,student_90m\n")
    with pytest.raises(UserError, match=r"study.csv: .*'macs'.*run the study"):
        study_report.write_report(output)


def test_costs_are_those_of_the_built_student():
    macs, parameters = study_runs._costs("student_28m")
    assert macs == pytest.approx(27.7e6, rel=0.03)  # the paper's
    assert 3e5 < parameters < 5e5


def cells(text):
    """The Markdown table as one dict for each row, by the row's name."""
    head, _, *lines = ([cell.strip() for cell in line.split("|")[1:-1]]
                       for line in text.splitlines() if line.startswith("|"))
    return {line[0]: dict(zip(head, line, strict=True)) for line in lines}


@needs_matplotlib
def test_report_has_means_times_and_scores(output):
    write_latency(output)
    text = study_report.write_report(output)
    rows = cells(text)
    assert list(rows) == ["1", "2", "3", "4", "3+dist"]
    assert rows["3"]["si-RMSE"] == "0.2250"  # the mean of 0.22 and 0.23
    assert rows["3"]["of each seed"] == "0.2200 0.2300"
    assert (rows["3"]["ms"], rows["3"]["ms, paper's graph"]) == ("2.00", "4.00")
    assert rows["3"]["score"] == f"{mai_score(0.225, 2.0):.0f}"
    assert rows["4"]["si-RMSE in the paper"] == "0.3005"
    assert "by -0.0050 (each seed: -0.0050, -0.0050)" in text
    assert "a CPU, 1 thread, load average 0.1" in text


@needs_matplotlib
def test_a_graph_that_was_not_timed_has_no_figure(output):
    write_latency(output)
    table = output / study_runs.LATENCY_CSV
    table.write_text("".join(
        line for line in table.read_text().splitlines(True) if "paper_90m" not in line))
    row = cells(study_report.write_report(output))["3"]
    assert (row["ms"], row["ms, paper's graph"], row["CPU ms, paper's graph"]) == ("2.00", "-", "-")


@needs_matplotlib
def test_times_of_an_older_version_tell_what_to_rename(output):
    write_latency(output)
    table = output / study_runs.LATENCY_CSV
    table.write_text(table.read_text().replace(",dtype,", ",numbers,"))
    with pytest.raises(UserError, match=r"study_latency\.csv: its column 'numbers' is called"):
        study_report.write_report(output)


@needs_matplotlib
def test_readme_keeps_the_words_around_the_table(output):
    text = study_report.write_report(output)
    readme = (output / "README.md").read_text()
    assert readme.startswith("# Before\n\n") and readme.endswith("\n\nAfter.\n")
    assert text in readme and "old" not in readme
    study_report.write_report(output)
    assert (output / "README.md").read_text() == readme


@needs_matplotlib
def test_readme_whose_end_mark_is_lost_is_left_alone(output):
    (output / "README.md").write_text(f"{study_report.BEGIN}\nmy words\n")
    with pytest.raises(UserError, match="put it back"):
        study_report.write_report(output)
    assert "my words" in (output / "README.md").read_text()


@needs_matplotlib
def test_plots_are_drawn_of_what_is_there(output):
    study_report.write_report(output)
    assert {path.name for path in output.glob("*.png")} == {"study_macs.png", "study_curves.png"}
    write_latency(output)
    text = study_report.write_report(output)
    for name in ("study_macs.png", "study_ms.png", "study_curves.png"):
        assert f"![{name}]({name})" in text
        with Image.open(output / name) as plot:
            assert plot.width > 900 and len(plot.convert("RGB").getcolors(1 << 20)) > 50


@pytest.mark.slow
def test_sizes_are_timed_beside_the_papers_graphs(tiny_data, tmp_path):
    save_model(build_student("student_28m"), tmp_path / "student.keras")
    study_runs.write_latency({"student_28m": tmp_path / "student.keras"}, tmp_path / "graphs",
                             tiny_data, tmp_path / "cache", tmp_path)
    ours, paper = read(tmp_path / "study_latency.csv")
    assert (ours["graph"], paper["graph"]) == ("student_28m", "paper_28m")
    assert 0 < float(ours["cpu_ms"]) < float(paper["cpu_ms"])
    assert ours["num_threads"] == "1" and ours["cpu"]


@needs_matplotlib
def test_only_report_needs_the_tables_alone(commands, output):
    done = commands("-m", "benchmark.study", "--only_report", f"--output={output}")
    assert done.returncode == 0, done.stderr
    assert "| 3+dist | student_90m |" in done.stdout


@needs_matplotlib
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output={}/no"], "--output={}/no: no such folder"),
        (["--output={}"], "--data_dir: give a folder"),
        (["--output={}", "--data_dir={}/no"], "--data_dir={}/no: no such folder"),
        (["--output={}", "--data_dir={}"], "--teacher: give the .keras file"),
        (["--output={}", "--data_dir={}", "--teacher={}/t.keras"], "t.keras: no such file"),
        (["--output={}", "--only_report"], "study.csv: cannot be read"),
    ],
    ids=("output", "no data", "data", "no teacher", "teacher", "no table"),
)
def test_faults_are_one_line(commands, tmp_path, arguments, words):
    done = commands("-m", "benchmark.study", *(part.format(tmp_path) for part in arguments))
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]  # TensorFlow, loaded already, may speak before
    assert line.startswith("error: ") and words.format(tmp_path) in line
    assert "Traceback" not in done.stderr


def test_sheets_take_the_ends_and_the_middle():
    assert choose_rows([4, 2, 7, 1, 9], 2) == {"good": [4, 2], "median": [2, 7], "worst": [9, 1]}
    assert choose_rows([4, 2], 6) == {"good": [4, 2], "median": [4, 2], "worst": [2, 4]}


def test_sheets_and_the_table_of_pictures(commands, tiny_data, tmp_path):
    model = pretrained_path("nyuv2_student_90m")
    done = commands(
        "-m", "benchmark.sheets", f"--model={model}", f"--data_dir={tiny_data}", "--rows=2",
        f"--cache_dir={tmp_path / 'cache'}", f"--sheets={tmp_path / 'sheets'}")
    assert done.returncode == 0, done.stderr
    lines = read(tmp_path / "sheets/pictures.csv")
    assert [line["name"] for line in lines] == [f"{index:04d}" for index in range(6)]
    assert all(0 < float(line["si_rmse"]) < 2 for line in lines)
    for name in ("good", "median", "worst"):
        with Image.open(tmp_path / f"sheets/{name}.png") as sheet:
            assert sheet.size == (4 * 320, 22 + 2 * 240)
