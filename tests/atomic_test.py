"""mai_depth.atomic: a file is the old one or the complete new one."""

import contextlib
import errno
import json
import os
import pathlib
import resource
import stat
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import pytest
from PIL import Image

from mai_depth.atomic import atomic_folder
from mai_depth.atomic import atomic_path
from mai_depth.atomic import remove_abandoned
from mai_depth.atomic import write_bytes_atomic
from mai_depth.atomic import write_json_atomic
from mai_depth.atomic import write_text_atomic


def test_writers_store_what_they_are_given(tmp_path):
    write_bytes_atomic(tmp_path / "a.bin", b"\x00\x01")
    write_text_atomic(tmp_path / "a.txt", "größe\n")
    write_json_atomic(tmp_path / "a.json", {"b": [1, 2.5]})
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\x01"
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "größe\n"
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": [1, 2.5]}


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path):
    final = tmp_path / "model.keras"
    final.write_text("old")
    with atomic_path(final) as temporary:
        temporary.write_text("new")
        assert final.read_text() == "old"
        assert temporary.parent == tmp_path and temporary.suffix == ".keras"
    assert final.read_text() == "new"
    assert os.listdir(tmp_path) == ["model.keras"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    final = tmp_path / "model.keras"
    final.write_text("old")
    with pytest.raises(error), atomic_path(final) as temporary:
        temporary.write_text("half")
        raise error
    assert final.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.keras"]


def test_nan_is_refused_and_the_old_json_kept(tmp_path):
    final = tmp_path / "a.json"
    write_json_atomic(final, {"rmse": 0.5})
    with pytest.raises(ValueError):
        write_json_atomic(final, {"rmse": float("nan")})
    assert json.loads(final.read_text()) == {"rmse": 0.5}


def test_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(OSError), atomic_path(tmp_path / "missing" / "a.txt"):
        pass


def test_the_file_is_as_readable_as_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        write_bytes_atomic(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


WRITER = """
import os, signal, sys
from mai_depth.atomic import atomic_folder, atomic_path, temporary_folder
folder = sys.argv[1]
with (atomic_path(f"{folder}/a [1]_depth.png") as file, temporary_folder(f"{folder}/saved") as one,
      atomic_folder(f"{folder}/two\\nlines") as other):
    file.write_text("half")
    (one / "part").write_text("half")
    (other / "part").write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    strangers = {".a.writing-12345678.old.png", ".a.png", "a.writing-abcdefgh.png", ".b.12345678"}
    for name in strangers:
        (tmp_path / name).touch()
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == "ready\n"
        written = set(os.listdir(tmp_path)) - strangers
        assert len(written) == 3
        remove_abandoned(tmp_path)
        assert set(os.listdir(tmp_path)) == strangers | written
        writer.kill()
    assert set(os.listdir(tmp_path)) == strangers | written
    remove_abandoned(tmp_path)
    assert set(os.listdir(tmp_path)) == strangers
    remove_abandoned(tmp_path / "missing")


def _fill(folder, text):
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text(text)


def test_the_old_folder_is_there_until_the_new_one_is_complete(tmp_path):
    final = tmp_path / "saved"
    final.mkdir()
    _fill(final, "old")
    with atomic_folder(final) as new:
        assert not os.listdir(new)
        _fill(new, "new")
        assert (final / "deep" / "file").read_text() == "old"
    assert (final / "deep" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["saved"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path, error):
    final = tmp_path / "saved"
    final.mkdir()
    _fill(final, "old")
    with pytest.raises(error), atomic_folder(final) as new:
        _fill(new, "half")
        raise error
    assert (final / "deep" / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["saved"]


@pytest.mark.parametrize(("is_published", "left"), [(True, "first"), (False, "second")])
def test_whether_the_first_folder_stays_is_asked_at_the_end(tmp_path, is_published, left):
    final = tmp_path / "cache"
    with atomic_folder(final, lambda: is_published and final.exists()) as second:
        with atomic_folder(final) as first:
            _fill(first, "first")
        _fill(second, "second")
    assert (final / "deep" / "file").read_text() == left
    assert os.listdir(tmp_path) == ["cache"]


def test_a_folder_that_appears_between_the_two_renames_makes_room(tmp_path, monkeypatch):
    final, replace, names = tmp_path / "cache", os.replace, []

    def slowly(source, target):
        names.append(pathlib.Path(source).name)
        if names == ["cache", "new"]:  # another process puts its folder there
            final.mkdir()
            _fill(final, "other")
        replace(source, target)

    monkeypatch.setattr(os, "replace", slowly)
    with atomic_folder(final) as new:
        _fill(new, "mine")
    assert names == ["cache", "new", "cache", "new"]
    assert (final / "deep" / "file").read_text() == "mine"
    assert os.listdir(tmp_path) == ["cache"]


def test_a_folder_that_is_taken_for_abandoned_before_it_is_locked_is_made_again(
    tmp_path, monkeypatch,
):
    make, made = tempfile.mkdtemp, []

    def make_and_lose_the_first(**where):
        made.append(make(**where))
        if len(made) == 1:
            remove_abandoned(tmp_path)
            assert not os.path.exists(made[0])
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_lose_the_first)
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "file").write_text("new")
    assert len(made) == 2
    assert (tmp_path / "folder" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["folder"]


def test_where_the_new_folder_cannot_go_the_old_one_stays(tmp_path, monkeypatch):
    final, replace = tmp_path / "saved", os.replace
    final.mkdir()
    _fill(final, "old")

    def fail(source, target):
        if pathlib.Path(source).name == "new":
            raise PermissionError(errno.EPERM, "no")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError), atomic_folder(final) as new:
        _fill(new, "new")
    assert (final / "deep" / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["saved"]


def test_the_folder_is_as_open_as_the_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_folder(tmp_path / "a"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o750


@contextlib.contextmanager
def full_disk(limit):
    """No file of this process can grow beyond `limit` bytes: writing fails with `EFBIG`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _write_hdf5(path):
    with h5py.File(path, "w") as file:
        file["a"] = np.zeros(500_000)


@pytest.mark.parametrize("write", [
    lambda path: np.save(path, np.zeros(500_000)),
    lambda path: Image.fromarray(np.random.default_rng(0).integers(
        0, 255, (600, 600, 3), dtype=np.uint8)).save(path, format="PNG"),
    _write_hdf5,
    lambda path: path.write_bytes(bytes(500_000)),
], ids=["numpy", "pillow", "hdf5", "plain"])
def test_a_full_disk_is_named_whatever_the_writer_says(tmp_path, write):
    """NumPy's error is `500000 requested and 20000 written`, without an errno."""
    final = tmp_path / "depth.npy"
    final.write_text("old")
    with full_disk(60_000), pytest.raises(OSError) as fault, atomic_path(final) as temporary:
        write(temporary)
    assert (fault.value.errno, fault.value.filename) == (errno.EFBIG, str(final))
    assert final.read_text() == "old" and len(os.listdir(tmp_path)) == 1


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(ValueError, match="mine"), atomic_path(tmp_path / "a") as temporary:
        temporary.unlink()
        raise ValueError("mine")
    with pytest.raises(OSError, match="mine"), atomic_path(tmp_path / "a"):
        raise OSError("mine")
    assert not os.listdir(tmp_path)
