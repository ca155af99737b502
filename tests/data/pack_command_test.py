"""The command that packs, and what else reads its result: training, measuring, calibrating."""

import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY
from small_run import small_run

from benchmark import accuracy
from mai_depth.calibrate.observations import list_measured
from mai_depth.data import sources
from mai_depth.errors import UserError
from mai_depth.training.fit import fit_depth_model

pytest.importorskip("array_record", reason="needs pip install 'mai_depth[scale]'")
pytest.importorskip("grain", reason="needs pip install 'mai_depth[scale]'")


@pytest.fixture(scope="module")
def packed(tiny_data, tmp_path_factory, commands):
    output = tmp_path_factory.mktemp("packed") / "packed"
    done = commands("-m", "mai_depth.data.pack", f"--input={tiny_data}", f"--output={output}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{output}: train, 12 pairs in 1 shard, ")
    assert done.stdout.endswith(f"train with --data_dir={output}\n")
    return output


@pytest.mark.parametrize(("flags", "words"), [
    (["--output=out"], "error: --input: give the folder with SPLIT/rgb and SPLIT/depth"),
    (["--input=data"], "error: --output: give a new folder for the result"),
    (["--input=none", "--output=out"], "error: --input=none: no such folder"),
    (["--input=data", "--output=data"], "error: --output=data: this is the input"),
    (["--input=empty", "--output=out"], "error: --input=empty: holds no SPLIT/rgb and SPLIT/dep"),
    (["--input=data", "--output=data/train/rgb/0000.png"], "cannot be written"),
    (["--input=data", "--output=out", "--depth_units_per_m=0"], "depth_units_per_m"),
])
def test_what_a_user_can_mend_is_one_line(tiny_data, tmp_path, commands, flags, words):
    (tmp_path / "data").symlink_to(tiny_data)
    (tmp_path / "empty").mkdir()
    done = commands("-m", "mai_depth.data.pack", *flags, cwd=tmp_path)
    assert done.returncode == 1 and words in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("cached_pairs", [0, 10_000])
def test_a_packed_folder_trains_like_the_folder_bit_by_bit(
        tiny_data, packed, tmp_path, monkeypatch, cached_pairs):
    tf.config.experimental.enable_op_determinism()
    monkeypatch.setattr(sources, "CACHED_PAIRS", cached_pairs)
    weights = []
    for data in (tiny_data, packed):
        run = small_run(data, tmp_path / data.name)
        fit_depth_model(run)
        weights.append(keras.saving.load_model(run.path, compile=False).get_weights())
    for one, other in zip(*weights, strict=True):
        assert one.tobytes() == other.tobytes()
    logs = [(tmp_path / data.name / "log.csv").read_bytes() for data in (tiny_data, packed)]
    assert logs[0] == logs[1]
    assert (packed / "cache").exists() == bool(cached_pairs)


def test_a_run_ends_in_one_line_where_a_shard_is_damaged(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CACHED_PAIRS", 0)
    copy = shutil.copytree(packed, tmp_path / "copy")
    run = small_run(copy, tmp_path / "run")
    shard = copy / "train-00000.arrayrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError) as caught:
        fit_depth_model(run)
    assert str(caught.value).startswith(f"{shard}: damaged, record ")
    assert "\n" not in str(caught.value)


def test_measuring_and_calibrating_read_the_same_files(tiny_data, packed):
    def predict(rgb, size):
        return 0.5 + rgb.mean(axis=-1, dtype=np.float32) / 60

    results = []
    for data in (tiny_data, packed):
        steps = accuracy.evaluate(predict, accuracy.list_pairs(data, "validation"))
        while True:
            try:
                next(steps)
            except StopIteration as end:
                results.append(end.value)
                break
    np.testing.assert_equal(results[0], results[1])
    names = [[pair.name for pair in list_measured(data)] for data in (tiny_data, packed)]
    assert names[0] == names[1] and len(names[0]) == 18


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_packing_and_its_processes_at_once(tiny_data, tmp_path, signum):
    data = tmp_path / "data" / "train"
    for kind in ("rgb", "depth"):
        (data / kind).mkdir(parents=True)
        for number in range(400):  # links: 200 MB in several shards
            os.link(tiny_data / "train" / kind / f"{number % 12:04d}.png",
                    data / kind / f"{number:04d}.png")
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    running = subprocess.Popen(
        [sys.executable, "-m", "mai_depth.data.pack", f"--input={tmp_path}/data",
         f"--output={tmp_path}/packed"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path}, start_new_session=True)
    end = time.monotonic() + 100
    while not list((tmp_path / "packed").glob(".train-*")):
        assert time.monotonic() < end and running.poll() is None
        time.sleep(0.05)
    os.killpg(running.pid, signum)  # as Ctrl-C does: to the processes as well
    start = time.monotonic()
    _, errors = running.communicate()
    assert running.returncode == 128 + signum and time.monotonic() - start < 30
    assert errors.splitlines()[-1] == "stopped" and "Traceback" not in errors
    with pytest.raises(ProcessLookupError):  # multiprocessing's own helper ends a moment later
        while time.monotonic() - start < 30:
            os.killpg(running.pid, 0)
            time.sleep(0.1)
