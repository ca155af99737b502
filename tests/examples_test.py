"""The examples of README and docs/python.md run as they stand, each in its own process."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from PIL import Image

from mai_depth.network.pretrained import pretrained_path

PAGES = "\n".join((REPOSITORY / page).read_text() for page in ("README.md", "docs/python.md"))
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGES, re.M | re.S)
# Makes any import of the project fail: the file must be enough.
WITHOUT_PACKAGE = "import sys; sys.modules['mai_depth'] = None; exec(open('example.py').read())"


@pytest.fixture
def folder(tiny_data, tmp_path):
    """The files of the examples: pictures of a camera, a photo and a trained student."""
    (tmp_path / "camera").symlink_to(tiny_data)
    Image.open(tiny_data / "validation/rgb/0000.png").save(tmp_path / "photo.jpg")
    (tmp_path / "runs/student").mkdir(parents=True)
    shutil.copy(pretrained_path("indoor_student_90m"), tmp_path / "runs/student/student.keras")
    return tmp_path


def test_the_examples_are_those_that_people_ask_for():
    assert len(BLOCKS) == 6
    for words in ("keras.saving.load_model", "TFLiteConverter", "load_pretrained",
                  "encoder_decoder", "teacher =", "keras.losses.Loss"):
        assert any(words in block for block in BLOCKS)


def name_of(block):
    return re.search(r'"(\w+)\.keras"', block)[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if "mai_depth" in block], ids=name_of)
def test_example_runs(block, folder, commands):
    (folder / "example.py").write_text(block)
    done = commands(folder / "example.py", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    [written] = re.findall(r'(?:save|save_model)\((?:student, )?"(.+?)"\)', block)
    again = (f"import keras; model = keras.saving.load_model('{written}')\n"
             "assert model.predict(keras.ops.ones((1, 480, 640, 3)) * 99).min() > 0\n")
    (folder / "again.py").write_text(again)
    done = commands(folder / "again.py", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("block", [
    pytest.param(block, marks=[pytest.mark.slow] * ("fit(" in block))
    for block in BLOCKS if "mai_depth" not in block])
def test_example_runs_without_this_project(block, folder):
    (folder / "example.py").write_text(block + "\nassert 0 < depth_m.min() < depth_m.max() < 10\n")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGE], cwd=folder, capture_output=True, text=True,
        timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
