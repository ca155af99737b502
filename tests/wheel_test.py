"""The wheel and the sdist work without the checkout. Slow."""

import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import benchmark_graphs
import pytest
from benchmark_graphs import assert_one_line
from conftest import REPOSITORY
from PIL import Image

from benchmark.graph import sample_picture
from mai_depth.depth import read_depth

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, built from a copy of the tracked files: a build leaves litter."""
    folder = tmp_path_factory.mktemp("build")
    copy = folder / "copy"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True,
                           text=True, check=True).stdout.split("\0")
    for name in filter(None, files):
        if (REPOSITORY / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((REPOSITORY / name).read_bytes())
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, copy],
                   check=True, capture_output=True, timeout=300)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def python(bare_python, built):
    """A board's Python with the wheel installed."""
    subprocess.run([bare_python, "-m", "pip", "install", "-q", "--no-deps", built[0]], check=True)
    return bare_python


def run(python, *arguments, cwd):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([python, *map(str, arguments)], cwd=cwd, env=environment,
                          capture_output=True, text=True, timeout=300)


def test_both_hold_the_networks_and_what_is_said_of_them(built):
    wheel, sdist = built
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    for path in (REPOSITORY / "mai_depth" / "pretrained").iterdir():
        assert f"mai_depth/pretrained/{path.name}" in inside
    for path in (REPOSITORY / "mai_depth" / "live" / "page").iterdir():
        assert f"mai_depth/live/page/{path.name}" in inside
    assert {"mai_depth/py.typed", "benchmark/__main__.py"} <= inside
    assert not {name for name in inside if name.startswith(("tests", "runs", "benchmark/results"))}
    with tarfile.open(sdist) as archive:
        names = {pathlib.PurePath(name).name for name in archive.getnames()}
    assert {"LICENSE", "LICENSE-WEIGHTS.txt", "README.md", "index.json"} <= names


def test_the_wheel_predicts_outside_the_checkout(python, tmp_path):
    Image.fromarray(sample_picture()).save(tmp_path / "photo.jpg")
    done = run(python, "-m", "mai_depth.predict", "--input=photo.jpg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    depth = read_depth(tmp_path / "depth" / "photo_depth.png")
    assert depth.shape == (480, 640) and 0.3 < depth.min() < depth.max() < 10.1


def test_the_wheel_measures_outside_the_checkout(python, tmp_path):
    done = run(python, "-m", "benchmark", f"--graph={benchmark_graphs.graphs()['float32']}",
               "--num_runs=2", "--min_secs=0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_what_needs_tensorflow_says_so(python, tmp_path):
    for command in (REPOSITORY / "train.py", REPOSITORY / "export.py"):
        assert_one_line(run(python, command, cwd=tmp_path), "pip install 'tensorflow>=2.21'")
    Image.fromarray(sample_picture()).save(tmp_path / "photo.jpg")
    model = REPOSITORY / "mai_depth" / "pretrained" / "nyuv2_student_90m.keras"
    done = run(python, "-m", "mai_depth.predict", "--input=photo.jpg", f"--model={model}",
               cwd=tmp_path)
    assert_one_line(done, "pip install 'tensorflow>=2.21'")
    done = run(python, "-m", "benchmark.peers", "--output=peers", cwd=tmp_path)
    assert_one_line(done, "pip install 'tensorflow>=2.21'")
