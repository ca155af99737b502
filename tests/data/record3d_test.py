"""Record3D's recordings: what is missing, what is broken, and what older versions wrote."""

import json
import subprocess
import sys

import camera_layouts
import lzfse
import numpy as np
import pytest
from conftest import REPOSITORY

from mai_depth.data.convert.conversion import Options
from mai_depth.data.convert.conversion import convert
from mai_depth.data.convert.record3d_file import read_record3d
from mai_depth.depth import read_depth_units
from mai_depth.errors import UserError

DEPTH_M = np.arange(12, dtype=np.float32).reshape(4, 3)


def recording(folder, data, **sizes):
    """A recording with one depth map; returns its path."""
    camera_layouts.write(folder / "metadata", json.dumps({"w": 720, "h": 960} | sizes))
    path = folder / "rgbd" / "0.depth"
    path.parent.mkdir()
    path.write_bytes(data)
    return path


def test_older_recordings_say_the_size_of_the_pictures_alone(tmp_path):
    path = recording(tmp_path, lzfse.compress(DEPTH_M.tobytes()))
    assert (read_record3d(path) == DEPTH_M).all()


@pytest.mark.parametrize(("sizes", "data", "reason"), [
    ({"dw": 4, "dh": 4}, lzfse.compress(DEPTH_M.tobytes()),
     "holds 12 numbers, but .*metadata says 4x4; export it again"),
    ({"dw": -3, "dh": -4}, lzfse.compress(DEPTH_M.tobytes()),
     "metadata says -3x-4; export it again"),
    ({"h": 0}, lzfse.compress(DEPTH_M.tobytes()),
     "metadata: does not say how wide and high the depth is .*; export the recording again"),
    ({}, b"no depth", "not an array compressed by LZFSE; export it again"),
    ({}, lzfse.compress(b"12345"), "not an array compressed by LZFSE; export it again"),
])
def test_what_is_broken_is_named(tmp_path, sizes, data, reason):
    with pytest.raises(UserError, match=reason):
        read_record3d(recording(tmp_path, data, **sizes))


def test_depth_of_less_than_high_confidence_is_missing(tmp_path):
    camera_layouts.record3d(tmp_path / "in")
    lines = []
    record = convert(tmp_path / "in", tmp_path / "out", Options(validation_share=0), lines.append)
    assert any("less than high confidence counts as missing" in line for line in lines)
    name = f"2026-11-28--10-00-00-{camera_layouts.COUNT - 1}.png"
    depth = read_depth_units(tmp_path / "out/train/depth" / name)
    assert record["pairs"]["train"] == camera_layouts.COUNT
    assert depth.shape == (360, 480) and depth[299].all() and not depth[300:].any()


def test_without_a_map_of_confidence_all_depth_is_kept(tmp_path):
    """As of the camera at the front."""
    camera_layouts.record3d(tmp_path / "in")
    for path in (tmp_path / "in").rglob("*.conf"):
        path.unlink()
    convert(tmp_path / "in", tmp_path / "out", Options(validation_share=0))
    depth = read_depth_units(next((tmp_path / "out/train/depth").iterdir()))
    assert depth.shape == (360, 480) and depth[300:].all()


def test_a_packed_recording_is_to_be_unpacked(tmp_path):
    (tmp_path / "kitchen.r3d").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"holds kitchen\.r3d; unpack it first.*unzip NAME\.r3d"):
        convert(tmp_path, tmp_path / "out", Options())


def test_without_lzfse_one_line_says_what_to_install(tmp_path):
    path = recording(tmp_path, b"")
    code = ("import sys, pathlib; sys.modules['lzfse'] = None\n"
            "from mai_depth.data.convert.record3d_file import read_record3d\n"
            f"read_record3d(pathlib.Path({str(path)!r}))")
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True,
                         text=True, check=False)
    assert run.stderr.strip().endswith("is compressed by LZFSE; pip install lzfse")
