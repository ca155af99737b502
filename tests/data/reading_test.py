"""Reading ahead: the same batches whoever reads them, and one line where one cannot be read."""

import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
from conftest import REPOSITORY
from large_pack import large  # noqa: F401  a fixture

from mai_depth.data import reading
from mai_depth.data.augmentation import Augmentation
from mai_depth.data.batches import faults_of_reading
from mai_depth.data.batches import training_batches
from mai_depth.data.pack.packing import Options
from mai_depth.data.pack.packing import pack
from mai_depth.data.reading import read_ahead
from mai_depth.data.sources import DataOptions
from mai_depth.data.sources import open_data
from mai_depth.data.sources import open_split
from mai_depth.errors import UserError

pytest.importorskip("array_record", reason="needs pip install 'mai_depth[scale]'")
pytest.importorskip("grain", reason="needs pip install 'mai_depth[scale]'")


@pytest.fixture(scope="module")
def packed(tiny_data, tmp_path_factory):
    output = tmp_path_factory.mktemp("packed") / "packed"
    pack(tiny_data, output, Options(), workers=1)
    return output


def batches(pairs, workers=0, first_epoch=0, batch_size=5):
    """The batches of four epochs as NumPy arrays."""
    dataset = training_batches(
        pairs, view_size=(48, 64), depth_size=(48, 64), batch_size=batch_size, seed=3,
        first_epoch=first_epoch, epochs=4, augmentation=Augmentation(min_crop=0.7), workers=workers)
    with faults_of_reading():
        return list(dataset.as_numpy_iterator())


def assert_same(one, other):
    for first, second in zip(one, other, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name], strict=True)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_batches_are_those_of_the_folder(tiny_data, packed, tmp_path, workers):
    plain, pairs = (open_split(str(data), "train", cache_dir=str(tmp_path))
                    for data in (tiny_data, packed))
    expected = batches(plain)
    assert_same(batches(pairs, workers), expected)
    assert_same(batches(pairs, workers, first_epoch=3), expected[6:])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mixture_reads_caches_and_packs_alike(tiny_data, packed, tmp_path, workers):
    plain, mixed = (
        open_data(DataOptions((str(tiny_data), f"{other}:0.5"), str(tmp_path)))[0]
        for other in (tiny_data, packed))
    assert_same(batches(mixed, workers), batches(plain))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_block_of_the_order_is_told_in_time(workers, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 3)
    array = np.arange(40)
    order = [np.array([number, 39 - number]) for number in range(40)]
    rows = list(read_ahead(iter(order), 40, [array, -array], workers))
    assert len(rows) == 40
    for (one, other), indices in zip(rows, order, strict=True):
        np.testing.assert_array_equal(one, indices)
        np.testing.assert_array_equal(other, -indices)


class Slow:
    """An array that takes its time."""

    def __getitem__(self, key):
        time.sleep(0.01)
        return np.asarray(key)


@pytest.mark.parametrize("workers", [0, 2])
def test_who_stops_early_leaves_nothing(workers):
    before = set(pathlib.Path(tempfile.gettempdir()).glob("mai_depth_order_*"))
    rows = read_ahead(iter([np.array([k]) for k in range(1000)]), 1000, [Slow()], workers)
    assert next(rows)[0] == [0] and next(rows)[0] == [1]
    assert len(multiprocessing.active_children()) >= workers
    rows.close()
    assert not multiprocessing.active_children()
    assert set(pathlib.Path(tempfile.gettempdir()).glob("mai_depth_order_*")) <= before


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_is_damaged_meanwhile_is_one_line(packed, tmp_path, workers):
    copy = shutil.copytree(packed, tmp_path / "copy")
    pairs = open_split(str(copy), "train", cache_dir="")
    shard = copy / "train-00000.arrayrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError) as caught:
        batches(pairs, workers)
    message = str(caught.value)
    assert message.startswith(f"{shard}: damaged, record ") and "\n" not in message
    assert message.endswith(f"--output={copy}")


def test_processes_read_where_the_lock_would_be_waited_for(monkeypatch):
    for cores, workers in ((1, 0), (2, 0), (7, 0), (8, 2), (16, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert reading.count_workers(1) == workers
    assert reading.count_workers(2**60) == 0  # more than there is to share


def test_without_grain_one_line_says_what_to_install(packed, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    pairs = open_split(str(packed), "train", cache_dir="")
    with pytest.raises(UserError, match=r"packed folders need grain; pip install 'mai_depth\[sca"):
        batches(pairs)


LEFT_OPEN = """
import numpy as np
from mai_depth.data.reading import read_ahead

if __name__ == "__main__":
    rows = read_ahead((np.array([k]) for k in range(999)), 999, [np.arange(999)], 2)
    for _ in range(63):
        next(rows)
"""


def test_a_reader_that_nobody_closes_ends_with_its_process(tmp_path):
    (tmp_path / "left_open.py").write_text(LEFT_OPEN)
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, tmp_path / "left_open.py"], capture_output=True, text=True, timeout=100,
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path)}, check=False)
    lines = [line for line in done.stderr.splitlines() if "jax profiler" not in line]
    assert done.returncode == 0 and not lines
    assert not list(tmp_path.glob("mai_depth_order_*"))
