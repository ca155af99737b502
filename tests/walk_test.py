"""The whole chain, with the commands that a user types: train, export, benchmark."""

import json
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from PIL import Image


def command(*arguments, folder=REPOSITORY):
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True,
        timeout=500)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def walk(tiny_data, tmp_path_factory):
    """Trains a teacher and a student for one epoch and exports it, in a folder with a space."""
    folder = tmp_path_factory.mktemp("a walk")
    data = [f"--data_dir={tiny_data}", f"--cache_dir={folder / 'cache'}"]
    trained = command(
        "train.py", "--flagfile=student.flags", *data, f"--workdir={folder / 'runs/student'}",
        "--student=student_28m", "--encoder_weights=none", "--epochs=1", "--batch_size=4",
        "--teacher_epochs=1", "--teacher_batch_size=4")
    exported = command("export.py", *data, f"--workdir={folder / 'runs'}")
    graph = folder / "runs/student/student.tflite"
    measured = command(
        "-m", "benchmark", f"--graph={graph}", f"--data_dir={tiny_data}", "--num_runs=3",
        "--min_secs=0", "--noroofline", f"--json={folder / 'row.json'}")
    return folder, trained, exported, measured


def test_training_says_what_it_does_and_how_good_it_is(walk):
    _, trained, _, _ = walk
    assert "training: 12 pairs" in trained
    assert ("a teacher is trained first; --distillation_loss_weight=0 trains without one\n"
            "training the teacher efficientnet_lite0 (--teacher_epochs=1): ") in trained
    for row in ("constant depth", "teacher", "student"):
        assert f"\n{row}" in trained


def test_workdir_holds_the_results(walk):
    folder, *_ = walk
    workdir = folder / "runs/student"
    record = json.loads((workdir / "student.json").read_text())
    assert record["builder"]["preset"] == "student_28m"
    assert record["metrics"]["images"] == 6
    assert [source["depth"] for source in record["sources"]] == ["measured"]
    assert "--student=student_28m" in (workdir / "flags.txt").read_text()
    assert (workdir / "log.csv").read_text().count("\n") == 2  # the header and one epoch
    with Image.open(workdir / "sheet.png") as sheet:
        assert sheet.size == (5 * 320, 22 + 6 * 240)


def test_flags_of_a_run_are_a_flagfile(walk):
    folder, *_ = walk
    again = command("train.py", f"--flagfile={folder / 'runs/student/flags.txt'}")
    assert "already trained" in again  # the same flags, the same folder: nothing is left to do


def test_export_is_verified_and_describes_itself(walk):
    folder, _, exported, _ = walk
    graph = folder / "runs/student/student.tflite"
    sidecar = json.loads(graph.with_suffix(".tflite.json").read_text())
    assert graph.stat().st_size < 4e6
    assert sidecar["quantization"] == "none"
    assert sidecar["sources"][0]["name"] in graph.with_suffix(".md").read_text()
    assert "student.tflite" in exported


def test_benchmark_measures_the_accuracy_that_training_reported(walk):
    folder, *_, measured = walk
    trained = json.loads((folder / "runs/student/student.json").read_text())["metrics"]
    [row] = json.loads((folder / "row.json").read_text())["rows"]
    assert "student" in measured
    assert row["images"] == 6
    for name in ("si_rmse", "rmse", "abs_rel"):
        assert row[name] == pytest.approx(trained[name], rel=1e-4)
    assert row["partitions"] == 1
