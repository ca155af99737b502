"""python -m benchmark.peers.training: the same training in PyTorch, or one line where it is not."""

import importlib.util
import json
import re
import sys

import numpy as np
import pytest

from benchmark.peers.keras_training import write_network
from benchmark.peers.training_rounds import advantages
from mai_depth.network.student import build_student
from mai_depth.training.batch_norm import prepare_batch_norm
from mai_depth.training.distiller import training_view

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="needs pip install torch")


def test_advantage_golden():
    rounds = {"ours": [{"cpu_s": 1.0}, {"cpu_s": 2.0}], "a": [{"cpu_s": 3.0}, {"cpu_s": 3.0}],
              "b": [{"cpu_s": 2.0}, {"cpu_s": 5.0}]}
    assert advantages(rounds, "cpu_s") == [2.0, 1.5]


def test_every_operation_of_a_student_is_written(tmp_path):
    model = build_student("student_28m")
    view = training_view(model)
    prepare_batch_norm(view, synchronized=False)
    write_network(view, tmp_path)
    network = json.loads((tmp_path / "network.json").read_text())
    names = [row["name"] for row in network["rows"]]
    assert len(set(names)) == len(names) == len(view.operations)
    for number, row in enumerate(network["rows"]):
        assert set(row["inputs"]) <= set(names[:number])  # of what is computed before
    assert network["outputs"]["depth"] == "depth_low"
    with np.load(tmp_path / "weights.npz") as weights:
        assert sum(weights[name].size for name in weights) == view.count_params()
    add = next(row for row in network["rows"] if row["kind"] == "Add" and row["numbers"])
    assert add["numbers"] == [3.0]  # of the hard sigmoid


@pytest.mark.skipif(HAS_TORCH, reason="PyTorch is installed")
def test_without_pytorch_one_line_says_what_to_install(commands, tmp_path):
    done = commands("-m", "benchmark.peers.training", f"--cache_dir={tmp_path}")
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == ("error: --torch_python: that Python has no torch; install it there (pip "
                           "install torch numpy), or name another\n")


def test_a_python_that_is_not_there_is_one_line(commands, tmp_path):
    done = commands("-m", "benchmark.peers.training", f"--torch_python={tmp_path / 'python'}")
    assert done.returncode == 1
    assert done.stderr == f"error: --torch_python={tmp_path / 'python'}: no such program\n"


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_both_train_and_compute_the_same_loss(commands, tiny_data, tmp_path, weight):
    done = commands(
        "-m", "benchmark.peers.training", f"--data_dir={tiny_data}", f"--cache_dir={tmp_path}",
        "--student=student_28m", "--batch_size=4", "--steps=2", "--rounds=2", "--nocompiled",
        f"--gradient_loss_weight={weight}", f"--torch_python={sys.executable}")
    assert done.returncode == 0, done.stderr
    here, there = re.search(r"batch: (\S+) here, (\S+) in PyTorch", done.stdout).groups()
    assert float(here) == pytest.approx(float(there), rel=1e-4)
    assert "mai_depth against the faster of PyTorch's, of processor time: " in done.stdout
