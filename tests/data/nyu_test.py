"""NYU Depth V2 through a stand-in for tensorflow-datasets."""

import os
import sys
import types

import numpy as np
import pytest

from mai_depth.data.nyu import open_nyu_depth_v2
from mai_depth.data.sources import DataOptions
from mai_depth.data.sources import open_data
from mai_depth.errors import UserError


@pytest.fixture
def fake_tfds(monkeypatch):
    depth = np.full((480, 640), 2.5, np.float16)
    depth[0, :5] = [0, -1, np.nan, np.inf, 65.9]
    examples = [
        {"image": np.full((480, 640, 3), 10 + index, np.uint8), "depth": depth}
        for index in range(3)
    ]
    module = types.ModuleType("tensorflow_datasets")
    module.calls = []

    def load(name, split, shuffle_files):
        module.calls.append((name, split, shuffle_files))
        return examples

    module.load = load
    module.as_numpy = lambda examples: examples
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    return module


def test_nyu_depth_v2_goes_into_the_same_cache(fake_tfds, tmp_path):
    for _ in range(2):
        pairs = open_nyu_depth_v2(tmp_path, "train")
        assert pairs.names == ("000000", "000001", "000002") and pairs.units_per_m == 1000
        assert pairs.rgb[2, 5, 5].tolist() == [12, 12, 12]
        # Missing, negative, NaN, infinite, then 65.9 m: beyond what millimetres in 16 bits hold.
        assert pairs.depth[0, 0, :6].tolist() == [0, 0, 0, 0, 65534, 2500]
    assert fake_tfds.calls == [("nyu_depth_v2", "train", False)]


def test_validation_count_splits_it(fake_tfds, tmp_path):
    data = DataOptions(data_dir=("nyu_depth_v2",), cache_dir=str(tmp_path), validation_count=1)
    assert [len(pairs) for pairs in open_data(data)] == [2, 1]
    assert [split for _, split, _ in fake_tfds.calls] == ["train"]


def test_nyu_depth_v2_without_data_is_one_line(fake_tfds, tmp_path):
    def load(*_, **__):
        raise ConnectionError("Max retries\nexceeded")

    fake_tfds.load = load
    with pytest.raises(UserError, match=r"Max retries exceeded.*TFDS_DATA_DIR.*--data_dir"):
        open_nyu_depth_v2(tmp_path, "train")
    assert os.listdir(tmp_path) == []


def test_nyu_depth_v2_without_its_package_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match="pip install tensorflow_datasets"):
        open_nyu_depth_v2(tmp_path, "train")
