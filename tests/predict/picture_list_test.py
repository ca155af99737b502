"""mai_depth.predict.picture_list: which pictures an input means, and where their answers go."""

import os
import pathlib

import numpy as np
import pytest

from mai_depth.depth import write_depth
from mai_depth.errors import UserError
from mai_depth.predict.picture_list import list_pictures


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def stems(source, output):
    return [str(entry.stem) for entry in list_pictures(source, output)]


def test_a_folder_is_searched_in_order(tmp_path):
    touch(tmp_path, "b.png", "a.JPG", "a b/ü.jpeg", "z/y/x.tif", "notes.md", ".hidden.png",
          ".git/x.png", "depth/b_color.png")
    assert stems(tmp_path, tmp_path / "depth") == ["a", "b", "a b/ü", "z/y/x"]


def test_links_to_folders_are_not_followed(tmp_path):
    touch(tmp_path, "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert stems(tmp_path, "elsewhere") == ["a"]


def test_files_of_one_name_keep_their_suffix(tmp_path):
    touch(tmp_path, "a.png", "a.jpg", "b.png", "c/a.png")
    assert stems(tmp_path, "elsewhere") == ["a_jpg", "a_png", "b", "c/a"]
    touch(tmp_path, "a_jpg.gif")
    with pytest.raises(UserError, match="same output"):
        list_pictures(tmp_path, "elsewhere")


def test_a_list_is_relative_to_itself(tmp_path):
    touch(tmp_path, "in/one.png", "two.png")
    (tmp_path / "in" / "list.txt").write_text(
        f"# chosen by hand\none.png\n\n../two.png\nnot/there.jpg\none.png\n{tmp_path}/in/d.png\n")
    entries = list_pictures(tmp_path / "in" / "list.txt", "elsewhere")
    assert [entry.path.name for entry in entries] == ["one.png", "two.png", "there.jpg", "d.png"]
    outside = str((tmp_path / "two").relative_to("/"))
    assert [str(entry.stem) for entry in entries] == ["one", outside, "not/there", "d"]
    for entry in entries:  # nothing is ever written outside the output folder
        assert ".." not in entry.stem.parts
        assert not entry.stem.is_absolute()


def test_one_picture(tmp_path):
    touch(tmp_path, "some.photo.jpg")
    assert list_pictures(tmp_path / "some.photo.jpg", "x") == [
        (tmp_path / "some.photo.jpg", pathlib.PurePath("some.photo"))]


def test_what_cannot_be_listed_is_named(tmp_path):
    touch(tmp_path, "a.png", "empty/notes.md")
    (tmp_path / "blank.txt").write_text("\n# nothing\n")
    (tmp_path / "latin.txt").write_bytes("ü.png".encode("latin-1"))
    for source, output, words in (
        (tmp_path / "missing", "x", "no such file"),
        (tmp_path / "missing.txt", "x", "cannot be read"),
        (tmp_path / "blank.txt", "x", "the list is empty"),
        (tmp_path / "latin.txt", "x", "not UTF-8"),
        (tmp_path / "empty", "x", "no pictures"),
        (tmp_path, tmp_path, "give another one"),
    ):
        with pytest.raises(UserError, match=words):
            list_pictures(source, output)


def test_the_depth_of_a_training_folder_is_no_picture(tmp_path):
    touch(tmp_path, "train/rgb/a.jpg", "train/depth/a.png", "holiday/depth/diver.jpg")
    said = []
    entries = list_pictures(tmp_path, "elsewhere", said.append)
    assert [str(entry.stem) for entry in entries] == ["holiday/depth/diver", "train/rgb/a"]
    assert said == [f"{tmp_path}/train/depth left out: the depth of {tmp_path}/train/rgb"]


def test_one_picture_by_many_names_is_one(tmp_path):
    touch(tmp_path, "sub/a.png", "b.png")
    (tmp_path / "list.txt").write_text(
        f"b.png\n./b.png\nsub/../b.png\n{tmp_path}/b.png\nsub/a.png\n./sub//a.png\n")
    assert stems(tmp_path / "list.txt", "elsewhere") == ["b", "sub/a"]


def test_videos_and_answers_are_left_out_and_said(tmp_path):
    touch(tmp_path, "a.png", "clip.mp4", "sub/b.MOV", "sub/c.avi", "sub/d.webm", "x_depth.png")
    write_depth(tmp_path / "sub" / "b_depth.png", np.ones((4, 4)))
    write_depth(tmp_path / "renamed.png", np.ones((4, 4)))
    os.mkfifo(tmp_path / "pipe.png")
    said = []
    entries = list_pictures(tmp_path, "elsewhere", said.append)
    assert [str(entry.stem) for entry in entries] == ["a", "pipe", "x_depth"]
    assert said == [
        "4 videos left out (b.MOV, c.avi, clip.mp4, ...); give each as --input",
        "2 earlier results of mai_depth.predict left out (b_depth.png, renamed.png)"]
    with pytest.raises(UserError, match=r"renamed.png: only earlier results"):
        list_pictures(tmp_path / "renamed.png", "elsewhere")


@pytest.mark.parametrize("text", ["\ufeffa.png\r\n", "# notes\r\n\r\na.png", "  a.png\t\n\f"])
def test_lists_as_editors_write_them_are_read(tmp_path, text):
    touch(tmp_path, "a.png")
    (tmp_path / "list.txt").write_bytes(text.encode())
    assert {entry.path.resolve() for entry in list_pictures(tmp_path / "list.txt", "x")} == {
        tmp_path / "a.png"}


@pytest.mark.parametrize(("line", "words"), [
    ("/", "/ in it is a folder"), (".", "[.] in it is a folder"), ("a/..", "a/.. in it is a fold"),
    ("a\0b.png", "a\0b.png: holds a NUL character"),
    ("a" * 5000, "a{40}[.]{3}: too long for a path"),
    ("~nouser/a.png", "~nouser/a.png: no home folder is known for ~nouser"),
])
def test_a_line_that_names_no_picture_is_named(tmp_path, line, words):
    (tmp_path / "list.txt").write_text(f"a.png\n{line}\n")
    with pytest.raises(UserError, match=rf"^--input=.*list.txt: {words}"):
        list_pictures(tmp_path / "list.txt", "x")


def test_a_list_of_windows_is_named(tmp_path):
    (tmp_path / "list.txt").write_bytes("a.png\n".encode("utf-16"))
    with pytest.raises(UserError, match=r"not UTF-8 text \(UTF-16 from Windows\?\); save it"):
        list_pictures(tmp_path / "list.txt", "x")
