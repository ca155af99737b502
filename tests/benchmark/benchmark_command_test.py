"""python -m benchmark as a user runs it: rows, files, and faults in one line."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
import textwrap

import benchmark_graphs
import numpy as np
import pytest
from benchmark_graphs import assert_one_line
from benchmark_graphs import run_benchmark
from PIL import Image

from mai_depth.checksum import file_sha256
from mai_depth.network.pretrained import pretrained_path

GRAPHS = benchmark_graphs.graphs

# Stands before the real package on the path: an invoke of a file named crash*.tflite is fatal.
CRASHING_PACKAGE = """
    import importlib.util, os, sys
    folder = os.path.dirname(__file__)
    sys.path.remove(os.path.dirname(folder))
    for name in [n for n in sys.modules if n.split(".")[0] == __name__]:
        del sys.modules[name]
    import ai_edge_litert.interpreter as real
    class Interpreter(real.Interpreter):
        def __init__(self, model_path=None, **options):
            super().__init__(model_path=model_path, **options)
            self.fatal = "crash" in os.path.basename(model_path)
        def invoke(self):
            if self.fatal:
                os.kill(os.getpid(), 11)
            super().invoke()
    real.Interpreter = Interpreter
"""


def test_one_row_and_all_files(tmp_path, tiny_data):
    files = [f"--{kind}={tmp_path / 'results'}.{kind}" for kind in ("csv", "json", "markdown")]
    frame = next((tiny_data / "validation/rgb").iterdir())
    done = run_benchmark(
        f"--graph={GRAPHS()['float32']}", f"--graph={GRAPHS()['int8_io']},{GRAPHS()['smaller']}",
        f"--data_dir={tiny_data}", f"--end_to_end={frame}", "--profile", *files)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.split("\n")[1:4]] == [
        "float32", "int8_io", "smaller"]
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    for row in rows:
        assert row["images"] == 6 and row["score"] > 0
        assert row["latency_ms_min"] <= row["latency_ms_p50"] <= row["latency_ms_max"]
        assert row["end_to_end_ms_p50"] > 0 and row["graph_memory_bytes"] > 0
        assert row["profile"]["operators"] and row["runs"] >= 2
    assert rows[0]["si_rmse"] == pytest.approx(rows[1]["si_rmse"], abs=0.02)
    assert any("resized to 96x128" in note for note in rows[2]["notes"])
    assert (tmp_path / "results.csv").read_text().count("\n") == 4
    assert "| float32 |" in (tmp_path / "results.markdown").read_text()


def test_a_shipped_network_is_measured_by_its_name(tmp_path):
    done = run_benchmark("--graph=indoor_fast", f"--json={tmp_path / 'x.json'}")
    assert done.returncode == 0, done.stderr
    row, = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert row["sha256"] == file_sha256(pretrained_path("indoor_fast_int8"))
    assert "checksum" not in done.stdout + done.stderr  # the package knows it
    refused = run_benchmark("--graph=indoor_fats")
    assert_one_line(refused, "--graph=indoor_fats: no such file or pretrained network; there are: ")


def test_one_table_for_each_number_of_threads(tmp_path):
    files = [f"--{kind}={tmp_path / 'results'}.{kind}" for kind in ("csv", "json", "markdown")]
    done = run_benchmark(
        f"--graph={GRAPHS()['float32']}", "--num_threads=1", "--num_threads=2", *files)
    assert done.returncode == 0, done.stderr
    heads = [line for line in done.stdout.splitlines() if line.startswith("graph ")]
    assert len(heads) == 2 and "1 thread" in done.stdout and "2 threads" in done.stdout
    reports = json.loads((tmp_path / "results.json").read_text())
    assert [report["conditions"]["num_threads"] for report in reports] == [1, 2]
    assert (tmp_path / "results.csv").read_text().count("\n") == 3
    assert (tmp_path / "results.markdown").read_text().count("| float32 |") == 2


def test_no_tensorflow_on_this_path():
    code = ("import sys, benchmark.__main__, benchmark.worker, benchmark.roofline;"
            "import ai_edge_litert.interpreter;"
            "found = {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules);"
            "sys.exit(str(found) if found else 0)")
    done = subprocess.run([sys.executable, "-c", code], cwd=benchmark_graphs.REPOSITORY,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("content", [b"", b"\0" * 900, b"text\n" * 99, b"\x1c\0\0\0TFL3junk"])
def test_junk_is_one_line(tmp_path, content):
    path = tmp_path / "a graph ü.tflite"
    path.write_bytes(content)
    assert_one_line(run_benchmark(f"--graph={path}"), str(path))


def test_a_truncated_graph_among_good_ones_writes_nothing(tmp_path):
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(GRAPHS()["float32"].read_bytes()[:-2000])
    done = run_benchmark(
        f"--graph={GRAPHS()['float32']}", f"--graph={cut}", f"--json={tmp_path / 'x.json'}")
    assert_one_line(done, "cut.tflite")
    assert not done.stdout and not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("name, word", [
    ("two_inputs", "2 inputs"), ("flat", "[1, 16]"), ("table", "one map")])
def test_a_graph_that_is_no_depth_graph_is_explained(name, word):
    assert_one_line(run_benchmark(f"--graph={GRAPHS()[name]}"), f"{name}.tflite", word)


@pytest.mark.parametrize("flag", [
    "--num_runs=0", "--num_runs=-3", "--warmup_runs=-1", "--num_threads=0", "--num_threads=-1",
    "--num_threads=1000", "--num_threads=many", "--min_secs=-1", "--arm64_cpu=z80"])
def test_bounds_of_flags(flag):
    done = run_benchmark(f"--graph={GRAPHS()['float32']}", flag)
    assert_one_line(done, flag.split("=")[0].strip("-"))


@pytest.mark.parametrize("flags, word", [
    ([], "--graph"), (["stray.tflite"], "stray.tflite"), (["--graph=none.tflite"], "none.tflite"),
    (["--graph={}", "--data_dir=/none"], "/none"), (["--graph={}", "--end_to_end=/none"], "/none"),
    (["--graph={}", "--csv=/none/x.csv"], "--csv"), (["--graph={}", "--json=/"], "--json"),
    (["--graph={}", "--arm64=/none"], "--arm64"), (["--graph={}", "--plot=x.png"], "--data_dir")])
def test_what_is_missing_is_named(flags, word):
    done = run_benchmark(*(flag.format(GRAPHS()["float32"]) for flag in flags))
    assert_one_line(done, word)


@pytest.mark.parametrize("name, word", [("constant", "constant"), ("not_finite", "not finite")])
def test_a_useless_output_warns_and_fails_the_check(name, word):
    done = run_benchmark(f"--graph={GRAPHS()[name]}")
    assert done.returncode == 0
    assert word in done.stderr
    checked = run_benchmark(f"--graph={GRAPHS()[name]}", "--check")
    assert checked.returncode == 1
    assert word in checked.stderr


@pytest.mark.parametrize("name", ["student.tflite.json", "student.json"])  # an export, a peer
def test_the_checksum_beside_a_graph(tmp_path, name):
    graph = tmp_path / "student.tflite"
    data = GRAPHS()["float32"].read_bytes()
    graph.write_bytes(data)
    assert "no checksum" in run_benchmark(f"--graph={graph}").stdout
    sidecar = tmp_path / name
    sidecar.write_text(json.dumps({"sha256": hashlib.sha256(data).hexdigest()}))
    good = run_benchmark(f"--graph={graph}", "--check")
    assert good.returncode == 0 and "sha256" not in good.stdout + good.stderr
    sidecar.write_text(json.dumps({"sha256": "0" * 64}))
    bad = run_benchmark(f"--graph={graph}", "--check")
    assert bad.returncode == 1 and "sha256 differs" in bad.stderr
    sidecar.write_text("{")
    assert_one_line(run_benchmark(f"--graph={graph}"), name)


def test_random_weights_get_no_accuracy(tmp_path, tiny_data):
    graph = tmp_path / "peer.tflite"
    graph.write_bytes(GRAPHS()["float32"].read_bytes())
    (tmp_path / "peer.json").write_text(json.dumps({"weights": "random weights: for latency"}))
    done = run_benchmark(f"--graph={graph}", f"--data_dir={tiny_data}")
    assert done.returncode == 0, done.stderr
    assert "random weights" in done.stdout and "si-RMSE" not in done.stdout


def test_codes_that_mean_missing_are_a_note(tmp_path, tiny_data):
    shutil.copytree(tiny_data / "validation", tmp_path / "validation")
    path = tmp_path / "validation/depth/0001.png"
    depth = np.asarray(Image.open(path)).copy()
    depth[:10], depth[10:30] = 65535, 32001
    Image.fromarray(depth).save(path)
    done = run_benchmark(f"--graph={GRAPHS()['float32']}", f"--data_dir={tmp_path}",
                         "--missing_depth_value=32001")
    assert done.returncode == 0, done.stderr
    assert "19200 pixels of 1 depth maps hold 65535 or --missing_depth_value" in done.stdout


def test_a_native_crash_names_the_signal_and_spares_the_others(tmp_path):
    package = tmp_path / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").write_text(textwrap.dedent(CRASHING_PACKAGE))
    crash = tmp_path / "crash.tflite"
    crash.write_bytes(GRAPHS()["float32"].read_bytes())
    done = run_benchmark(
        f"--graph={GRAPHS()['float32']}", f"--graph={crash}", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "crash.tflite: native code died of SIGSEGV" in done.stderr
    assert done.stdout.split("\n")[1].split()[2] != "-"
    assert done.stdout.split("\n")[2].split()[:3] == ["crash", "float32", "-"]


def test_a_bad_picture_costs_the_accuracy_alone(tmp_path, tiny_data):
    data, table = tmp_path / "data", tmp_path / "table.csv"
    shutil.copytree(tiny_data / "validation", data / "validation")
    bad = data / "validation/depth/0001.png"
    Image.fromarray(np.ones((480, 640), np.uint8)).save(bad)
    done = run_benchmark(f"--graph={GRAPHS()['float32']}", f"--data_dir={data}", f"--csv={table}")
    assert done.returncode == 1, done.stderr
    assert "validation/depth/0001.png: depth is 8-bit gray" in done.stderr
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert float(row["latency_ms_p50"]) > 0 and row["si_rmse"] == "" and "0001.png" in row["fault"]


def test_without_an_interpreter_there_is_a_hint(tmp_path):
    graph = GRAPHS()["float32"]
    _hide(tmp_path, "ai_edge_litert", "tensorflow")
    done = run_benchmark(f"--graph={graph}", PYTHONPATH=str(tmp_path))
    assert_one_line(done, "pip install ai-edge-litert")


def test_tensorflow_serves_where_litert_is_missing(tmp_path):
    _hide(tmp_path, "ai_edge_litert")
    done = run_benchmark(f"--graph={GRAPHS()['float32']}", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[1].startswith("float32")


def _hide(folder, *packages):
    for name in packages:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('hidden')")
