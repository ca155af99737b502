"""benchmark.arm64: the real aarch64 LiteRT on an emulated CPU against this machine. Slow.

`MAI_DEPTH_ARM64` names a folder with the emulator; else it is set up from the shared folder.
"""

import os
import pathlib
import subprocess
import sys

import benchmark_graphs
import numpy as np
import pytest

from benchmark import arm64
from benchmark.graph import ResizingGraph
from benchmark.graph import sample_picture
from mai_depth.errors import UserError
from mai_depth.tflite.editor import Editor

GRAPHS = benchmark_graphs.graphs


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    if "MAI_DEPTH_ARM64" in os.environ:
        return pathlib.Path(os.environ["MAI_DEPTH_ARM64"])
    shared = os.environ.get("MAI_DEPTH_SHARED", benchmark_graphs.REPOSITORY.parent / "shared")
    setup = pathlib.Path(shared, "arm64", "setup.sh")
    if not setup.exists():
        pytest.skip(f"{setup} is not there; set MAI_DEPTH_ARM64 to a folder with the emulator")
    folder = tmp_path_factory.mktemp("arm64")
    done = subprocess.run([setup, folder], capture_output=True, text=True,
                          env={**os.environ, "PIP": f"{sys.executable} -m pip"})
    if done.returncode:
        pytest.skip(f"the emulator cannot be set up: {done.stderr[-300:]}")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("cpu", arm64.CPUS)
@pytest.mark.parametrize("name", benchmark_graphs.FORMATS)
def test_arm_gives_the_numbers_of_x86(emulator, name, cpu):
    path = GRAPHS()[name]
    graph = ResizingGraph(path)
    graph.predict(sample_picture())
    output = graph.interpreter.get_output_details()[0]["index"]
    expected = graph.interpreter.get_tensor(output)
    run = arm64.run_graph(path, emulator, cpu)
    assert run.output.dtype == expected.dtype
    if "int" in name:
        np.testing.assert_array_equal(run.output, expected)
    else:
        np.testing.assert_allclose(run.output, expected, atol=1e-4)


@pytest.mark.slow
def test_bytes_are_reduced_alike(emulator, tmp_path):
    editor = Editor(pathlib.Path(GRAPHS()["float32"]).read_bytes())
    editor.take_bytes(resize=True)
    path = tmp_path / "bytes.tflite"
    path.write_bytes(editor.data())
    expected = ResizingGraph(path).predict(sample_picture())
    run = arm64.run_graph(path, emulator)
    np.testing.assert_allclose(run.output.reshape(expected.shape), expected, atol=1e-4)


@pytest.mark.slow
def test_the_count_repeats(emulator):
    counts = [arm64.run_graph(GRAPHS()["float32"], emulator, runs=runs).instructions
              for runs in (3, 3, 4)]
    assert max(counts) / min(counts) - 1 < 1e-3
    assert 1e6 < counts[0] < 1e8


@pytest.mark.slow
def test_dot_products_save_instructions(emulator):
    old, new = (arm64.run_graph(GRAPHS()["int8_io"], emulator, cpu).instructions
                for cpu in ("cortex-a72", "cortex-a76"))
    assert new < old


@pytest.mark.slow
def test_the_column_in_the_table(emulator):
    done = benchmark_graphs.run_benchmark(f"--graph={GRAPHS()['float32']}", f"--arm64={emulator}")
    assert done.returncode == 0, done.stderr
    assert "M instr Arm" in done.stdout
    assert "emulated cortex-a72, a count, not a time" in done.stdout


def test_a_folder_without_the_emulator_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--arm64=.*has no host"):
        arm64.check_folder(tmp_path)
