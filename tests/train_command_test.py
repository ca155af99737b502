"""Bad input to the command: one line that names the file or the flag, before a model is built."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "train.py", *map(str, arguments)], cwd=REPOSITORY, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def answers(tiny_data, tmp_path_factory):
    """Runs all faulty commands side by side; name -> (exit code, the error lines)."""
    folder = tmp_path_factory.mktemp("faults")
    settings = [f"--cache_dir={folder / 'cache'}", "--batch_size=4"]
    running = {
        name: start(f"--workdir={folder / name / 'student'}", *settings, *arguments)
        for name, arguments in _faults(tiny_data, folder).items()
    }
    running["workdir"] = start(f"--workdir={tiny_data / 'train/rgb/0000.png'}", *settings)
    found = {}
    for name, process in running.items():
        _, stderr = process.communicate(timeout=300)
        lines = [line for line in stderr.splitlines() if line.startswith("error:")]
        found[name] = (process.returncode, lines, stderr)
    return found


def _faults(tiny_data, folder):
    def broken(name, change):
        copy = folder / name / "data"
        shutil.copytree(tiny_data, copy)
        change(copy)
        return [f"--data_dir={copy}"]

    def eight_bits(data):
        path = data / "train/depth/0003.png"
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint8)).save(path)

    def truncated(data):
        path = data / "train/rgb/0004.png"
        path.write_bytes(path.read_bytes()[:1000])

    def other_size(data):
        path = data / "train/depth/0005.png"
        Image.fromarray(np.ones((240, 320), np.uint16)).save(path)

    empty = folder / "nothing"
    (empty / "train/rgb").mkdir(parents=True)
    (empty / "train/depth").mkdir()
    return {
        "missing": [f"--data_dir={folder / 'nowhere'}"],
        "empty": [f"--data_dir={empty}"],
        "orphan_rgb": broken("orphan_rgb", lambda data: (data / "train/depth/0001.png").unlink()),
        "orphan_depth": broken("orphan_depth", lambda data: (data / "train/rgb/0002.png").unlink()),
        "eight_bits": broken("eight_bits", eight_bits),
        "truncated": broken("truncated", truncated),
        "other_size": broken("other_size", other_size),
        "few": [f"--data_dir={tiny_data}", "--batch_size=16", "--distillation_loss_weight=0"],
        "teacher": [f"--data_dir={tiny_data}", f"--teacher={tiny_data / 'train/rgb/0000.png'}"],
        "positional": [f"--data_dir={tiny_data}", "epochs=3"],
        "flag": ["--epoch=3"],
    }


@pytest.mark.parametrize("name, words", [
    ("missing", ["nowhere", "--data_dir"]),
    ("empty", ["nothing/train"]),
    ("orphan_rgb", ["0001"]),
    ("orphan_depth", ["0002"]),
    ("eight_bits", ["depth/0003.png", "8-bit", "16-bit"]),
    ("truncated", ["rgb/0004.png"]),
    ("other_size", ["0005"]),
    ("few", ["--batch_size=16", "12"]),
    ("teacher", ["0000.png", ".keras"]),
    ("workdir", ["0000.png", "--workdir"]),
    ("positional", ["epochs=3", "--"]),
    ("flag", ["epoch"]),
])
def test_one_line_names_the_fault(answers, name, words):
    code, lines, stderr = answers[name]
    assert code != 0
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    for word in words:
        assert word in lines[0]
