"""mai_depth.paths: known and unknown home folders."""

import pathlib
import types

import pytest

from mai_depth.errors import UserError
from mai_depth.paths import expand
from mai_depth.paths import flag_path


def test_home_and_plain_paths(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand("~/a b/ü", "output") == tmp_path / "a b" / "ü"
    assert expand("a/~b", "output") == pathlib.Path("a/~b")
    assert expand("./~b", "output") == pathlib.Path("~b")
    assert expand("", "workdir") == pathlib.Path()
    assert flag_path(types.SimpleNamespace(name="model", value=None)) is None


def test_an_unknown_home_is_never_a_folder_of_that_name(monkeypatch):
    with pytest.raises(UserError, match=r"--output=~nouser/x: no home folder is known for ~nouse"):
        expand("~nouser/x", "output")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such uid")))
    flag = types.SimpleNamespace(name="cache_dir", value="~/x")
    with pytest.raises(UserError, match=r"--cache_dir=~/x: no home folder is known for ~; write"):
        flag_path(flag)


def test_what_can_be_no_path_is_named():
    with pytest.raises(UserError, match=r"--input=a{40}\.\.\.: too long for a path; shorten it"):
        expand("a" * 5000, "input")
    with pytest.raises(UserError, match=r"holds a NUL character; remove it"):
        expand("a\0b", "input")
