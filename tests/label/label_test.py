"""python -m mai_depth.label: pictures of all kinds in, a folder that the training reads out."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image
from small_run import small_model
from tiny_depth_anything import tiny_teacher

import mai_depth
from benchmark import accuracy
from mai_depth.errors import UserError
from mai_depth.network.model_file import save_model

relative_model = pytest.fixture(scope="module")(tiny_teacher)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    save_model(small_model(), path)
    return path


@pytest.fixture(scope="module")
def relative_teacher(tmp_path_factory, relative_model):
    path = tmp_path_factory.mktemp("teacher") / "relative.keras"
    save_model(relative_model, path)
    return path


def photo(size=(640, 480), seed=0):
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize(size)


@pytest.fixture
def photos(tmp_path):
    """Nine pictures of all kinds, one of them broken."""
    folder = tmp_path / "photos"
    (folder / "phone" / "2026").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().save(folder / "vga.jpg")
    photo((300, 400)).save(folder / "portrait.png")
    photo((320, 240)).convert("L").save(folder / "gray.png")
    deep = np.asarray(photo((640, 480)).convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    photo((900, 200)).save(folder / "wide.webp")
    photo((1600, 1200)).save(folder / "large.jpg")
    photo((480, 640)).save(folder / "phone" / "2026" / "turned.jpg", exif=exif)
    photo((300, 30)).save(folder / "strip.png")
    (folder / "broken.jpg").write_bytes((folder / "vga.jpg").read_bytes()[:3000])
    return folder


def label(commands, cwd, **flags):
    words = (f"--{name}={value}" for name, value in flags.items())
    return commands("-m", "mai_depth.label", *words, cwd=cwd)


def lines(done):
    """What was said beside the progress bar."""
    return [line for line in done.stderr.replace("\r", "\n").splitlines()
            if line.strip() and "it/s" not in line and "|" not in line]


def test_mixed_pictures_become_a_training_folder(tmp_path, commands, photos, teacher):
    flags = {"input": "photos", "output": "out", "teacher": teacher}
    done = label(commands, tmp_path, **flags)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    said = lines(done)
    assert said[0].startswith("skipped: photos/broken.jpg: the picture is broken")
    assert said[1].startswith("skipped: photos/strip.png: 300x30 is too small, its 4:3 centre")
    assert said[2:] == ["error: 2 pictures skipped; see above"]
    assert done.stdout == "out: 7 labelled pictures; out/sheet.png shows 7 of them\n"
    rgb = tmp_path / "out" / "train" / "rgb"
    sizes = {path.name: Image.open(path).size for path in rgb.iterdir()}
    assert sizes == {
        "vga.jpg": (640, 480), "portrait.jpg": (300, 225), "gray.png": (320, 240),
        "deep.jpg": (640, 480), "wide.jpg": (264, 198), "large.jpg": (640, 480),
        "phone__2026__turned.jpg": (640, 480)}
    linked = {path.name for path in rgb.iterdir() if path.stat().st_nlink == 2}
    assert linked == {"vga.jpg", "gray.png"}
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert labels["unit"] == "mm" and labels["pictures"] == 7 and labels["skipped"] == 2
    assert [one["kind"] for one in labels["teachers"]] == ["metric"]
    pairs = mai_depth.open_split(tmp_path / "out", "train", cache_dir=tmp_path / "cache")
    assert len(pairs) == 7 and 0 < pairs.depth_m(0).min() < pairs.depth_m(0).max() < 10
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "train").rglob("*.*g")}
    again = label(commands, tmp_path, **flags)
    assert lines(again) == said
    assert before == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "train").rglob("*.*g")}


def test_a_label_is_the_mean_of_the_plain_and_the_mirrored_answer(tmp_path, commands, teacher):
    import keras

    photo().save(tmp_path / "photo.png")
    twice = f"{teacher},{teacher}"
    done = label(commands, tmp_path, input="photo.png", output="out", teacher=twice)
    assert done.returncode == 0, done.stderr
    rgb = np.asarray(Image.open(tmp_path / "photo.png"), np.float32)
    model = keras.saving.load_model(teacher, compile=False)
    plain, mirrored = model.predict(np.stack([rgb, rgb[:, ::-1]]), verbose=0)[..., 0]
    expected = np.sqrt(plain * mirrored[:, ::-1])
    units = np.asarray(Image.open(tmp_path / "out" / "train" / "depth" / "photo.png"))
    np.testing.assert_allclose(units / 1000, expected, atol=6e-4)


def test_frames_of_a_video_that_differ(tmp_path, commands, teacher):
    cv2 = pytest.importorskip("cv2")
    wide = np.asarray(photo((960, 480)))
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (640, 480))
    for left in [0] * 20 + list(range(0, 320, 16)):
        writer.write(np.ascontiguousarray(wide[:, left : left + 640, ::-1]))
    writer.release()
    done = label(commands, tmp_path, input="clip.mp4", output="out", teacher=teacher)
    assert done.returncode == 0, done.stderr
    assert "40/40" in done.stderr  # the progress bar
    names = sorted(path.stem for path in (tmp_path / "out" / "train" / "depth").iterdir())
    assert names[0] == "clip_000000" and names[1] > "clip_000020" and 2 <= len(names) < 15
    pairs = mai_depth.open_split(tmp_path / "out", "train", cache_dir=tmp_path / "cache")
    assert len(pairs) == len(names)


def test_no_unit_without_a_metric_teacher(tmp_path, commands, teacher, relative_teacher):
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        photo((320, 240), seed).save(tmp_path / "photos" / f"{seed}.png")
    done = label(commands, tmp_path, input="photos", output="none", teacher=relative_teacher)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path / "none" / "train")) == ["inverse_depth", "rgb"]
    words = "holds inverse_depth, which has no unit, but metres are needed; label the pictures"
    with pytest.raises(UserError, match=words):
        mai_depth.open_split(tmp_path / "none", "train", cache_dir=tmp_path / "cache")
    with pytest.raises(UserError, match=words):
        accuracy.list_pairs(tmp_path / "none", "train")
    done = commands("train.py", f"--data_dir={tmp_path}/none", f"--workdir={tmp_path}/run",
                    f"--cache_dir={tmp_path}/cache", "--validation_count=1")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert words in done.stderr.splitlines()[-1]
    done = label(commands, tmp_path, input="photos", output="both",
                 teacher=f"{relative_teacher},{teacher}")
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path / "both" / "train")) == ["depth", "rgb"]
    kinds = [one["kind"] for one in
             json.loads((tmp_path / "both" / "labels.json").read_text())["teachers"]]
    assert kinds == ["relative", "metric"]


def test_killed_at_every_step_nothing_is_lost_and_nothing_twice(tmp_path):
    """Three pictures, asked plain and mirrored: six questions, and one picture of them again."""
    (tmp_path / "photos").mkdir()
    for index, size in enumerate([(64, 48), (80, 48), (64, 48)]):
        photo(size, index).save(tmp_path / "photos" / f"{index}.png")
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tests" / "label_kill_driver.py", tmp_path / "photos",
         tmp_path / "runs"], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["different"] == []
    assert report["kills"] >= 20 and report["pairs"] == 3
    assert report["asked_at_most"] <= 6 + 2


def test_the_killed_command_goes_on(tmp_path, commands, teacher):
    (tmp_path / "photos").mkdir()
    for seed in range(30):
        photo((320, 240), seed).save(tmp_path / "photos" / f"{seed:02d}.png")
    flags = {"input": "photos", "output": "out", "teacher": teacher}
    running = subprocess.Popen(
        [sys.executable, "-m", "mai_depth.label", *(f"--{k}={v}" for k, v in flags.items())],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stderr=subprocess.DEVNULL)
    depth, end = tmp_path / "out" / "train" / "depth", time.monotonic() + 200
    while not (depth.is_dir() and len(list(depth.glob("[0-9]*.png"))) >= 5):
        assert time.monotonic() < end and running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    first = {path: path.stat().st_mtime_ns for path in depth.glob("[0-9]*.png")}
    done = label(commands, tmp_path, **flags)
    assert done.returncode == 0, done.stderr
    assert 5 <= len(first) < 30
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in first.items())
    assert sorted(os.listdir(depth)) == [f"{index:02d}.png" for index in range(30)]
    assert sorted(os.listdir(tmp_path / "out")) == [".lock", "labels.json", "sheet.png", "train"]


@pytest.mark.parametrize(("flags", "words"), [
    ({"input": ""}, "--input: give a picture, a folder, a .txt list or a video"),
    ({"input": "nothing"}, "--input=nothing: no such file or folder"),
    ({"input": "teacher.keras/no.mp4"}, "--input=teacher.keras/no.mp4: no such file or folder"),
    ({"input": "text.mp4"}, "text.mp4: not a video that OpenCV can read"),
    ({"input": "empty"}, "--input=empty: no pictures in this folder"),
    ({"output": ""}, "--output: give the folder for the labels"),
    ({"output": "photo.png"}, "photo.png: cannot be written (File exists); give another --output"),
    ({"teacher": ""}, "--teacher: give a .keras depth model, or a --teacher_preset"),
    ({"teacher": "missing.keras"}, "missing.keras: no such file"),
    ({"teacher": "photo.png"}, "photo.png: not a .keras file"),
    ({"teacher_preset": "midas"}, "teacher_preset"),
])
def test_what_a_user_can_mend_is_one_line(tmp_path, commands, teacher, flags, words):
    if flags.get("input", "").endswith(".mp4"):
        pytest.importorskip("cv2")
    photo().save(tmp_path / "photo.png")
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    flags = {"input": "photo.png", "output": "out", "teacher": teacher, **flags}
    done = label(commands, tmp_path, **flags)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ") and words in done.stderr
    assert not (tmp_path / "out" / "train").exists()


def test_other_labels_in_the_folder_are_refused(tmp_path, commands, teacher):
    for name in ("one.png", "two.png"):
        photo((64, 48)).save(tmp_path / name)
    assert label(
        commands, tmp_path, input="one.png", output="out", teacher=teacher).returncode == 0
    done = label(commands, tmp_path, input="two.png", output="out", teacher=teacher)
    assert done.returncode == 1
    assert lines(done) == [
        f"error: out: was labelled with --input {tmp_path}/one.png, not {tmp_path}/two.png; give "
        "the same to continue, or another --output"]
