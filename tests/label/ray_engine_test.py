"""Labelling on a Ray cluster: the labels of one process, whatever dies in between."""

import errno
import fcntl
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image
from small_run import small_model

from mai_depth.errors import UserError
from mai_depth.label import ray_engine
from mai_depth.label.labelled_folder import LabelledFolder
from mai_depth.network.model_file import save_model

TEACHER = {"name": "t.keras", "sha256": "0" * 64, "kind": "metric", "license": None}

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs pip install 'mai_depth[scale]'")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    save_model(small_model(), path)
    return path


def photos(folder, count, size=(320, 240)):
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        small = random.integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(small).resize(size).save(folder / f"{index:03d}.png")
    return folder


def labelled_folder(tmp_path):
    (tmp_path / "out").mkdir()
    return LabelledFolder(tmp_path / "out", "photos", [TEACHER])


# What an actor does


def test_an_actor_labels_a_picture_once(tmp_path, teacher):
    picture = photos(tmp_path / "photos", 1) / "000.png"
    folder = labelled_folder(tmp_path)
    actor = ray_engine.Labeller(folder, [str(teacher)], 0)
    row = {"name": "000", "path": str(picture)}
    good = {"name": "000", "lines": [], "skipped": False, "fault": "", "errno": 0}
    assert actor(row) == good
    before = (folder.depth / "000.png").stat().st_mtime_ns
    picture.unlink()
    assert actor(row) == good and (folder.depth / "000.png").stat().st_mtime_ns == before
    skipped = actor({"name": "001", "path": str(picture)})
    assert skipped["skipped"] and not skipped["fault"]
    assert skipped["lines"] == [f"skipped: {picture}: cannot be read (No such file or directory)"]


@pytest.mark.parametrize(("fault", "answer"), [
    (OSError(errno.ENOSPC, "full", "a.png"), {"fault": "a.png", "errno": errno.ENOSPC}),
    (UserError("t.keras: no depth map"), {"fault": "t.keras: no depth map", "errno": 0}),
])
def test_what_ends_a_labelling_is_told_to_the_driver(tmp_path, teacher, monkeypatch, fault, answer):
    def fail(*_):
        raise fault

    monkeypatch.setattr("mai_depth.label.labelling.label_picture", fail)
    actor = ray_engine.Labeller(labelled_folder(tmp_path), [], 0)
    row = actor({"name": "a", "path": "a.png"})
    assert {name: row[name] for name in answer} == answer
    with pytest.raises(type(fault)) as caught:
        ray_engine._raise_fault(row)
    assert str(caught.value) == str(fault).replace("full", "No space left on device")


def test_actors_of_a_killed_run_are_waited_for(tmp_path, monkeypatch):
    ray_engine.wait_for_actors(tmp_path)
    assert not list(tmp_path.iterdir())
    with open(tmp_path / ".actors.lock", "a") as actor:
        fcntl.flock(actor, fcntl.LOCK_SH)
        monkeypatch.setattr(ray_engine, "_LAST_ACTORS_S", 0.1)
        with pytest.raises(UserError, match="actors of an earlier run are still writing to it"):
            ray_engine.wait_for_actors(tmp_path)
        monkeypatch.setattr(ray_engine, "_LAST_ACTORS_S", 30.0)
        threading.Timer(0.5, lambda: fcntl.flock(actor, fcntl.LOCK_UN)).start()
        start = time.monotonic()
        ray_engine.wait_for_actors(tmp_path)
        assert 0.3 < time.monotonic() - start < 20


# What the command refuses


def test_a_video_is_not_for_ray(tmp_path, commands, teacher):
    (tmp_path / "clip.mp4").touch()
    done = commands("-m", "mai_depth.label", "--input=clip.mp4", "--output=out", "--engine=ray",
                    f"--teacher={teacher}", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == ("error: --engine=ray: clip.mp4 is a video, whose frames one process "
                           "reads in turn; leave --engine out\n")


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"--engine=ray: needs ray; pip install 'mai_depth\[scale"):
        ray_engine.label_by_ray([("a", tmp_path)], 0, labelled_folder(tmp_path), [], print)


def test_a_cluster_that_does_not_start_is_one_line():
    def init(**_):
        raise Exception("The current node timed out\nduring startup.")

    with pytest.raises(UserError, match=r"--engine=ray: no cluster could be started here \(The cu"):
        ray_engine._start_here(types.SimpleNamespace(init=init), {})


# On a cluster of this machine


def start(cwd, **flags):
    words = [f"--{name}={value}" for name, value in flags.items()]
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "mai_depth.label", *words], cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path})


class Watched:
    """Notes when each label was written; one that is written twice is seen."""

    def __init__(self, folder):
        self._folder, self.seen, self.twice = folder, {}, set()

    def look(self):
        for path in self._folder.glob("[0-9]*.png"):
            time_ns = path.stat().st_mtime_ns
            if self.seen.setdefault(path.name, time_ns) != time_ns:
                self.twice.add(path.name)
        return len(self.seen)

    def until(self, count, process):
        end = time.monotonic() + 300
        while self.look() < count:
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)


def actors_of(driver):
    """The actors of a driver that have been busy, by the processes' parents."""
    parents, titles = {}, {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(state[1])
            titles[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:
            continue

    def is_below(pid):
        while pid in parents and pid != driver:
            pid = parents[pid]
        return pid == driver

    return [pid for pid, title in titles.items() if title.startswith("ray::MapWorker")
            and is_below(pid)]


@needs_ray
@pytest.mark.slow
def test_an_actor_that_is_killed_loses_nothing_and_labels_nothing_twice(
        tmp_path, commands, teacher):
    photos(tmp_path / "photos", 80)
    flags = {"input": "photos", "teacher": teacher}
    words = [f"--{name}={value}" for name, value in flags.items()]
    local = commands("-m", "mai_depth.label", *words, "--output=local", cwd=tmp_path)
    assert local.returncode == 0, local.stderr
    running = start(tmp_path, **flags, output="ray", engine="ray")
    watched = Watched(tmp_path / "ray" / "train" / "depth")
    watched.until(10, running)
    actors = actors_of(running.pid)
    assert actors
    os.kill(actors[0], signal.SIGKILL)
    while running.poll() is None:
        watched.look()
        time.sleep(0.01)
    output, errors = running.communicate()
    assert running.returncode == 0, errors
    assert output.endswith("ray: 80 labelled pictures; ray/sheet.png shows 24 of them\n")
    assert watched.look() == 80 and not watched.twice
    for path in (tmp_path / "local" / "train" / "depth").iterdir():
        one, other = (np.asarray(Image.open(file)).astype(int) for file in (
            path, tmp_path / "ray" / "train" / "depth" / path.name))
        assert np.abs(one - other).max() <= 1


@needs_ray
@pytest.mark.slow
def test_a_killed_command_goes_on_and_labels_nothing_twice(tmp_path, commands, teacher):
    photos(tmp_path / "photos", 80)
    flags = {"input": "photos", "teacher": teacher, "output": "out"}
    running = start(tmp_path, **flags, engine="ray")
    watched = Watched(tmp_path / "out" / "train" / "depth")
    watched.until(10, running)
    running.kill()
    running.communicate()
    again = start(tmp_path, **flags)  # in one process; it waits for the last actors
    while again.poll() is None:
        watched.look()
        time.sleep(0.01)
    output, errors = again.communicate()
    assert again.returncode == 0, errors
    assert "80 labelled pictures" in output
    assert watched.look() == 80 and not watched.twice
