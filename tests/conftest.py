"""Fixtures and marks that all tests share."""

import os
import pathlib
import subprocess
import venv

import numpy as np
import pytest
from forked_commands import Commands
from PIL import Image

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow: runs with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder with the real data and weights, if there is one."""
    folder = pathlib.Path(os.environ.get("MAI_DEPTH_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"{folder} has no data; set MAI_DEPTH_SHARED to the folder with the real data")
    return folder


@pytest.fixture(scope="session")
def commands():
    """Runs commands without their start-up time, see `forked_commands`."""
    commands = Commands()
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory) -> pathlib.Path:
    """A Python with only the packages of requirements-board.txt, as on a board."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", "-r", "requirements-board.txt",
         "-c", ".ci/constraints.txt"], cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the packages cannot be installed: {done.stderr[-300:]}")
    return python


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> pathlib.Path:
    """A data folder in MAI layout: 12 training and 6 validation pairs, 480x640, with holes."""
    return _write_splits(tmp_path_factory.mktemp("tiny_data"), train=12, validation=6)


@pytest.fixture(scope="session")
def data_for_int8(tmp_path_factory) -> pathlib.Path:
    """36 training pictures, of which int8 needs 32, and 6 to verify with; read-only."""
    return _write_splits(tmp_path_factory.mktemp("data_for_int8"), train=36, validation=6)


def _write_splits(folder: pathlib.Path, **counts: int) -> pathlib.Path:
    random = np.random.default_rng(0)
    for split, count in counts.items():
        for kind in ("rgb", "depth"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(count):
            _write_pair(folder / split, f"{index:04d}", random)
    return folder


def _write_pair(folder: pathlib.Path, name: str, random: np.random.Generator) -> None:
    """A floor that comes nearer towards the bottom, a box on it, and a strip without depth."""
    rows = np.linspace(6.0, 1.0, 480)[:, None] * random.uniform(0.7, 1.3)
    depth = np.repeat(rows, 640, axis=1)
    top, left = random.integers(100, 250), random.integers(50, 400)
    depth[top : top + 150, left : left + 180] = rows[top + 149]
    shade = np.clip(255 - 35 * depth, 0, 255)[..., None] * random.uniform(0.5, 1.0, 3)
    rgb = np.clip(shade + random.normal(0, 4, shade.shape), 0, 255).astype(np.uint8)
    depth[:, :8] = 0
    Image.fromarray(rgb).save(folder / "rgb" / f"{name}.png")
    Image.fromarray(np.rint(depth * 1000).astype(np.uint16)).save(folder / "depth" / f"{name}.png")
