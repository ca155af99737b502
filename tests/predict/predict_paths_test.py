"""python -m mai_depth.predict: bad output paths, what is no picture, and what a kill has left."""

import os

import pytest
from PIL import Image
from predict_command import run
from predict_test import BOARD

from benchmark.graph import sample_picture
from mai_depth.network.pretrained import pretrained_path

MODEL = f"--model={pretrained_path('nyuv2_student_90m_int8')}"


@pytest.fixture
def photo():
    return Image.fromarray(sample_picture())


def lines(done):
    """What was said on stderr, without the bar and LiteRT's own line."""
    parts = [line.strip() for line in done.stderr.replace("\r", "\n").splitlines()]
    return [line for line in parts
            if line and "picture/s]" not in line and not line.startswith("INFO: ")]


def test_one_bad_path_is_named_and_the_rest_is_done(tmp_path, photo):
    folder, out = tmp_path / "in", tmp_path / "out"
    longest, too_long = "l" * 244, "m" * 250
    for name in ("a", "closed/b", "file/c", "folder", longest, too_long, "z"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photo.save(folder / f"{name}.png")
    out.mkdir()
    (out / "closed").symlink_to("/proc/self")  # nobody may write there, not even root
    (out / "file").touch()
    (out / "folder_color.png").mkdir()
    done = run(f"--input={folder}", f"--output={out}", MODEL, start=("-c", BOARD))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    said = lines(done)
    for name, words in {
        "closed/b": f"{out}/closed/b: cannot be written (",
        "file/c": f"{out}/file/c: cannot be written (there is a file where its folder should be)",
        "folder": f"{out}/folder_color.png: cannot be written (Is a directory); rename it, or give "
                  "another --output",
        too_long: f"{out}/{too_long}_depth.png: cannot be written (File name too long)",
    }.items():
        assert [line for line in said
                if line.startswith(f"skipped: {folder}/{name}.png: ") and words in line], said
    assert said[-1] == "error: 4 of 7 pictures skipped; see above" and len(said) == 6
    assert "scale: a guess" in "".join(said)
    written = {path.name for path in out.iterdir() if path.is_file()}
    assert written == {"file", "folder_depth.png"} | {
        f"{name}_{kind}.png" for name in ("a", longest, "z") for kind in ("depth", "color")}


def test_a_board_runs_the_networks_of_the_readme(tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    answers = []
    for name in ("indoor_fast", "indoor_fast_int8"):
        done = run("--input=photo.png", f"--output={name}", f"--model={name}", "--write=npy",
                   start=("-c", BOARD), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        answers.append((tmp_path / name / "photo_depth.npy").read_bytes())
    assert answers[0] == answers[1]


def test_a_video_that_cannot_be_written_is_one_line(tmp_path, photo):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 5, photo.size)
    writer.write(sample_picture())
    writer.release()
    (tmp_path / "depth" / "clip_color.mp4").mkdir(parents=True)
    done = run("--input=clip.mp4", MODEL, cwd=tmp_path)
    assert done.returncode == 1
    assert lines(done)[-1] == ("error: depth/clip_color.mp4: cannot be written (Is a directory); "
                               "rename it, or give another --output")
    assert os.listdir(tmp_path / "depth") == ["clip_color.mp4"]


def test_answers_and_leftovers_are_no_pictures(tmp_path, photo):
    """The first run's answers lie among the photos of the second, and a killed run's leftovers."""
    photo.save(tmp_path / "photo.png")
    kinds = "--write=depth,color,side_by_side"
    assert run("--input=photo.png", "--output=mixed", MODEL, kinds, cwd=tmp_path).returncode == 0
    photo.save(tmp_path / "mixed" / "my_depth.png")
    (tmp_path / "mixed" / "clip.mp4").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".my_depth_depth.writing-abcdefgh.png").touch()
    (tmp_path / "out" / ".other_color.writing-01234567.png").touch()
    done = run("--input=mixed", "--output=out", MODEL, cwd=tmp_path)
    assert done.returncode == 0
    assert lines(done)[:2] == [
        "1 videos left out (clip.mp4); give each as --input",
        "3 earlier results of mai_depth.predict left out (photo_color.png, photo_depth.png, "
        "photo_side_by_side.png)"]
    assert set(os.listdir(tmp_path / "out")) == {"my_depth_depth.png", "my_depth_color.png"}
    done = run("--input=out/my_depth_color.png", "--output=x", MODEL, cwd=tmp_path)
    assert lines(done) == ["error: --input=out/my_depth_color.png: only earlier results "
                           "of mai_depth.predict; give photos"]


def test_sixty_megapixels_take_little_memory(tmp_path, photo):
    photo.resize((9000, 6700)).save(tmp_path / "large.jpg")
    done = run("--input=large.jpg", "--output=out", MODEL, cwd=tmp_path, start=("-c", BOARD))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.rsplit("peak_kb", 1)[1]) < 300_000  # it was 800 MB
    with Image.open(tmp_path / "out" / "large_depth.png") as depth:
        assert depth.size == (9000, 6700)
