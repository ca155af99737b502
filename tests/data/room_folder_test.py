"""Tests of the folder of rooms: its files, what it says of them, kills, other people's files."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from mai_depth.data import room_folder
from mai_depth.data.folder import list_pairs
from mai_depth.data.samples import check_pair
from mai_depth.data.scenes.near import near
from mai_depth.data.scenes.rooms import room
from mai_depth.depth import read_depth
from mai_depth.errors import UserError

MAKE = """
import sys
from mai_depth.data.room_folder import make_rooms
if __name__ == "__main__":
    make_rooms(sys.argv[1], count=200, workers=2)
"""


@pytest.fixture
def quick(monkeypatch):
    """A view that costs nothing and tells its seed."""
    calls = []

    def make_view(seed, from_near):
        calls.append((seed, from_near))
        return (np.full((480, 640, 3), seed[2] % 250, np.uint8),
                np.full((480, 640), 0.5 if from_near else 2.0, np.float32), 0.5 + seed[2] / 100)

    monkeypatch.setattr(room_folder, "make_view", make_view)
    return calls


def described(folder):
    return json.loads((folder / "dataset.json").read_text())


def test_the_folder_does_not_depend_on_the_number_of_workers(tmp_path):
    one = room_folder.make_rooms(tmp_path / "one", count=2, seed=3, workers=1)
    two = room_folder.make_rooms(tmp_path / "two", count=3, seed=3, workers=2)
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*.*"))
    assert names == ["dataset.json", "train/depth/near_00001.png", "train/depth/room_00000.png",
                     "train/rgb/near_00001.jpg", "train/rgb/room_00000.jpg"]
    for name in names[1:]:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    for pair in list_pairs(two / "train"):
        check_pair(pair, allow_resize=False)
    with Image.open(one / "train/depth/near_00001.png") as picture:
        assert picture.size == (640, 480) and picture.mode == "I;16"
    np.testing.assert_array_equal(
        read_depth(one / "train/depth/near_00001.png"), room_folder.make_view((3, 2, 1), True)[1])


def test_kind_unit_and_focal_lengths_are_told(tmp_path):
    folder = room_folder.make_rooms(tmp_path / "rooms", count=2, seed=3, workers=1)
    said = described(folder)
    lengths = said.pop("focal_lengths")
    assert said == {"kind": "metric", "unit": "mm",
                    "rooms": {"version": 1, "count": 2, "near_share": 0.5, "seed": 3}}
    cameras = {"train/room_00000": room(np.random.default_rng((3, 2, 0))).camera,
               "train/near_00001": near(np.random.default_rng((3, 2, 1))).camera}
    assert lengths.keys() == cameras.keys()
    for name, camera in cameras.items():
        assert lengths[name] == camera.focal / 640  # to the last bit


@pytest.mark.parametrize("share, near_ones", [(0.0, []), (0.25, [3, 7, 11]), (1.0, range(12))])
def test_near_views_are_spread_evenly(tmp_path, quick, share, near_ones):
    folder = room_folder.make_rooms(tmp_path / "a", count=12, near_share=share, workers=1)
    assert [seed[2] for seed, from_near in quick if from_near] == list(near_ones)
    names = sorted(path.stem for path in (folder / "train/rgb").glob("near_*"))
    assert names == [f"near_{index:05d}" for index in near_ones]
    assert len({seed for seed, _ in quick}) == 12


def test_a_complete_folder_is_used_again_and_another_one_replaced(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # other processes would make real rooms
    folder = room_folder.rooms_folder(tmp_path / "cache", count=3)
    assert folder == tmp_path / "cache" / "rooms"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    room_folder.rooms_folder(tmp_path / "cache", count=3)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert len(quick) == 3
    room_folder.rooms_folder(tmp_path / "cache", count=2)
    assert described(folder)["rooms"]["count"] == 2
    assert len(list((folder / "train/rgb").iterdir())) == 2
    assert os.listdir(folder.parent) == ["rooms"]


def test_who_comes_second_leaves_the_rooms_of_the_first(tmp_path, quick, monkeypatch):
    folder, arguments = tmp_path / "rooms", dict(count=2, workers=1)
    write, places = room_folder._write, []

    def write_while_another_finishes(*given):
        monkeypatch.setattr(room_folder, "_write", write)
        room_folder.make_rooms(folder, **arguments)
        places.append(folder.stat().st_ino)
        write(*given)

    monkeypatch.setattr(room_folder, "_write", write_while_another_finishes)
    room_folder.make_rooms(folder, **arguments)
    assert [folder.stat().st_ino] == places and os.listdir(tmp_path) == ["rooms"]


def test_files_of_others_are_not_touched(tmp_path, quick):
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"rooms: holds other files; empty it or"):
        room_folder.rooms_folder(tmp_path)
    assert os.listdir(tmp_path / "rooms") == ["thesis.txt"] and quick == []


def test_a_path_that_cannot_be_written_is_one_line(tmp_path, quick):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--cache_dir=.*file: cannot be written .*; choose"):
        room_folder.rooms_folder(tmp_path / "file", count=1)


def test_a_killed_parent_leaves_no_workers_and_no_part_of_a_folder(tmp_path, quick):
    folder = tmp_path / "rooms"
    process = subprocess.Popen([sys.executable, "-c", MAKE, folder], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: any(tmp_path.glob(".rooms*/new/train/depth/*.png")), 120)
        children = children_of(process.pid)
        assert len(children) >= 2
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for(lambda: not any(map(is_running, children)), 30)
    assert not folder.exists()
    room_folder.make_rooms(folder, count=1, workers=1)
    assert os.listdir(tmp_path) == ["rooms"]


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.1)


def children_of(parent):
    """The processes whose parent is this one; Linux only."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if _status(pid)[1:] == [parent]]


def is_running(pid):
    return _status(pid)[:1] not in ([], ["Z"])


def _status(pid):
    """State and parent of a process; nothing of one that is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return []
    return [fields[0], int(fields[1])]
