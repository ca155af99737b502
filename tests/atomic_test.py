"""A written file is the old one or the complete new one."""

import json
import os
import stat
import subprocess
import sys

import pytest

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
from mai_depth.atomic import atomic_path, temporary_folder
folder = sys.argv[1]
with atomic_path(f"{folder}/a [1]_depth.png") as file, temporary_folder(f"{folder}/saved") as other:
    file.write_text("half")
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
        assert len(written) == 2
        remove_abandoned(tmp_path)
        assert set(os.listdir(tmp_path)) == strangers | written
        writer.kill()
    assert set(os.listdir(tmp_path)) == strangers | written
    remove_abandoned(tmp_path)
    assert set(os.listdir(tmp_path)) == strangers
    remove_abandoned(tmp_path / "missing")
