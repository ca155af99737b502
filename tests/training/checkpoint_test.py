"""State files: exact, checked before they are believed, never half written; and the workdir."""

import dataclasses
import json
import os
import random
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY

from mai_depth.errors import UserError
from mai_depth.training import checkpoint
from mai_depth.training.checkpoint import State
from mai_depth.workdir import locked
from mai_depth.workdir import make_workdir
from mai_depth.workdir import require_space


def state(epoch=1, **changes):
    arrays = [
        np.arange(6, dtype=np.float32).reshape(2, 3) + epoch,
        np.array(7 + epoch, np.int64),
        np.array([1, 2], np.uint32),
        np.zeros((0, 3), np.float16),
    ]
    values = State(
        epoch, {"alpha": 0.5}, arrays, [{"epoch": 1, "total_loss": 0.1 + 0.2}],
        {"epoch": 1, "metrics": {"si_rmse": 0.3}}, halvings=1)
    return dataclasses.replace(values, **changes)


def assert_same(one, other):
    for old, new in zip(one.arrays, other.arrays, strict=True):
        assert old.dtype == new.dtype and old.shape == new.shape
        np.testing.assert_array_equal(old, new)
    assert dataclasses.replace(one, arrays=[]) == dataclasses.replace(other, arrays=[])


@pytest.fixture()
def path(tmp_path):
    return tmp_path / "student.keras"


def test_round_trip_is_exact(path):
    checkpoint.save_state(path, state())
    assert_same(checkpoint.load_state(path), state())


def test_the_last_two_are_kept_and_the_newest_is_read_whatever_the_clock_says(path):
    for epoch in (8, 9, 10, 10_000):
        checkpoint.save_state(path, state(epoch))
    names = [item.name for item in checkpoint.state_paths(path)]
    assert names == ["student-0010.state", "student-10000.state"]
    os.utime(checkpoint.state_paths(path)[1], (0, 0))
    assert checkpoint.load_state(path).epoch == 10_000
    assert checkpoint.load_state(path.with_name("teacher.keras")) is None


def test_a_damaged_newest_state_falls_back_to_the_one_before_with_a_warning(path):
    for epoch in (1, 2):
        checkpoint.save_state(path, state(epoch))
    newest = path.with_name("student-0002.state")
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"student-0002.state: damaged .* an earlier state"):
        assert_same(checkpoint.load_state(path), state(1))


def test_when_all_are_damaged_the_remedy_is_named(path):
    checkpoint.save_state(path, state())
    path.with_name("student-0001.state").write_bytes(b"")
    with (pytest.warns(UserWarning),
          pytest.raises(UserError, match="no earlier state is intact; --overwrite")):
        checkpoint.load_state(path)


def test_no_flipped_bit_and_no_truncation_is_ever_believed(path):
    """Fuzzing: 200 damaged files, each refused in one line."""
    checkpoint.save_state(path, state())
    file = path.with_name("student-0001.state")
    good = file.read_bytes()
    dice = random.Random(0)
    for case in range(200):
        damaged = bytearray(good)
        for _ in range(dice.randint(1, 3)):
            damaged[dice.randrange(len(good))] ^= 1 << dice.randrange(8)
        if case % 2:
            damaged = damaged[: dice.randrange(len(good))]
        if bytes(damaged) == good:
            continue
        file.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged") as fault:
            checkpoint.read_state(file)
        assert "\n" not in str(fault.value)


def test_a_state_of_another_version_is_refused(path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_FORMAT", 1)
    checkpoint.save_state(path, state())
    monkeypatch.undo()
    with pytest.raises(UserError, match="another version"):
        checkpoint.read_state(path.with_name("student-0001.state"))


def test_the_first_line_is_readable(path):
    checkpoint.save_state(path, state())
    line = path.with_name("student-0001.state").read_bytes().splitlines()[0]
    assert json.loads(line)["identity"] == {"alpha": 0.5}


def test_other_settings_are_listed_then_and_now(path):
    then = checkpoint.identity_of({"builder": {"alpha": 0.5}, "recipe": {"epochs": 3}})
    now = checkpoint.identity_of({"builder": {"alpha": 0.75}, "recipe": {"epochs": 3}})
    checkpoint.require_same(path, then, then)
    with pytest.raises(UserError, match=r"\(alpha was 0.5, is 0.75\); give the same flags"):
        checkpoint.require_same(path, then, now)


def test_a_full_disk_leaves_the_states_before(path):
    """`RLIMIT_FSIZE` is a full disk for one process: writing fails with `EFBIG`."""
    checkpoint.save_state(path, state(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError):
            checkpoint.save_state(path, state(2, arrays=[np.zeros(5000, np.float32)]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(path.parent) == ["student-0001.state"]
    assert_same(checkpoint.load_state(path), state(1))


def test_a_lock_is_held_against_others_and_open_to_its_owner(tmp_path):
    with locked(tmp_path), locked(tmp_path):
        assert lock_elsewhere(tmp_path).startswith("UserError")
    assert lock_elsewhere(tmp_path) == "got it"


def lock_elsewhere(folder):
    code = ("import sys; from mai_depth.workdir import locked\n"
            "try:\n  with locked(sys.argv[1]): print('got it', flush=True); sys.stdin.read()\n"
            "except Exception as error: print(type(error).__name__, error)")
    run = subprocess.run([sys.executable, "-c", code, folder], cwd=REPOSITORY, text=True,
                         capture_output=True, input="", timeout=60)
    return run.stdout.strip()


def test_the_second_process_names_the_first_and_a_killed_one_holds_nothing(tmp_path):
    code = ("import sys, time; from mai_depth.workdir import locked\n"
            "with locked(sys.argv[1]): print('held', flush=True); time.sleep(60)")
    first = subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=REPOSITORY, text=True,
                             stdout=subprocess.PIPE)
    assert first.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"in use by process {first.pid} on .*; wait for it"):
        locked(tmp_path).__enter__()
    first.kill()
    first.wait()
    first.stdout.close()
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "student", "/proc/nowhere"):
        with pytest.raises(UserError, match=r"cannot be written .*; give another --workdir"):
            make_workdir(folder)
    with pytest.raises(UserError, match=r"cannot be written .*; give another --output"):
        make_workdir(file, "output")


def test_a_home_folder_and_strange_names_are_made(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make_workdir("~/größe mit Leer").is_dir()
    assert os.listdir(tmp_path / "größe mit Leer") == []


def test_missing_space_is_said_with_both_numbers(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=3_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    require_space(tmp_path, 2_000_000, "its states", "workdir")
    with pytest.raises(UserError, match=r"3 MB free, its states need 4 MB; .* another --workdir"):
        require_space(tmp_path, 4_000_000, "its states", "workdir")
