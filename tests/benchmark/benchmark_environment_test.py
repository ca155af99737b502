"""The benchmark with the packages of a board alone, as on a Raspberry Pi: no TensorFlow. Slow."""

import json
import os
import subprocess
import sys

import benchmark_graphs
import pytest

METRICS = ("si_rmse", "rmse", "log10", "abs_rel", "delta1", "delta2", "delta3",
           "rmse_median_scaled", "images")


@pytest.mark.slow
def test_there_is_no_tensorflow_in_it(bare_python):
    for name in ("tensorflow", "keras", "matplotlib"):
        done = subprocess.run([bare_python, "-c", f"import {name}"], capture_output=True)
        assert done.returncode == 1, name


@pytest.mark.slow
def test_accuracy_is_the_same_without_tensorflow(bare_python, tiny_data, tmp_path):
    graphs = [f"--graph={benchmark_graphs.graphs()[name]}" for name in ("float32", "uint8_io")]
    rows = [_measure(python, tmp_path / f"{number}.json", *graphs, f"--data_dir={tiny_data}")
            for number, python in enumerate((bare_python, sys.executable))]
    for bare, full in zip(*rows, strict=True):
        for name in METRICS:
            assert bare[name] == pytest.approx(full[name], abs=1e-6), name


@pytest.mark.slow
def test_everything_but_the_plot_runs_there(bare_python, tiny_data, tmp_path):
    frame = next((tiny_data / "validation/rgb").iterdir())
    row, = _measure(
        bare_python, tmp_path / "x.json", f"--graph={benchmark_graphs.graphs()['float16']}",
        "--roofline", "--profile", f"--end_to_end={frame}", f"--csv={tmp_path / 'x.csv'}")
    assert row["sgemm_percent"] > 0 and row["profile"]["operators"]
    assert row["profile"]["core"]["sgemm_percent"] > 0


@pytest.mark.slow
def test_the_plot_says_what_it_needs(bare_python, tiny_data, tmp_path):
    done = _run(bare_python, f"--graph={benchmark_graphs.graphs()['float32']}",
                f"--data_dir={tiny_data}", f"--plot={tmp_path / 'x.png'}")
    benchmark_graphs.assert_one_line(done, "pip install matplotlib")


def _measure(python, path, *flags):
    done = _run(python, *flags, f"--json={path}")
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())["rows"]


def _run(python, *flags):
    quick = ["--min_secs=0", "--num_runs=2", "--warmup_runs=0"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([python, "-m", "benchmark", *quick, *flags], capture_output=True,
                          text=True, cwd=benchmark_graphs.REPOSITORY, env=environment, timeout=500)
