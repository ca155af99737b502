"""The command that converts: what it refuses, how it goes on, and what trains on its result."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import camera_layouts
import numpy as np
import pytest
from camera_layouts import LAYOUTS
from camera_layouts import make
from conftest import REPOSITORY
from PIL import Image

from mai_depth.data.convert.conversion import Options
from mai_depth.data.convert.conversion import convert
from mai_depth.data.folder import list_pairs
from mai_depth.errors import UserError

COMMAND = [sys.executable, "-m", "mai_depth.data.convert"]


def run(*arguments):
    return subprocess.run([*COMMAND, *map(str, arguments)], cwd=REPOSITORY, capture_output=True,
                          text=True, timeout=300)


# What is refused


def refused(source, output, **options):
    with pytest.raises(UserError) as caught:
        convert(source, output, Options(**options))
    message = str(caught.value)
    assert "\n" not in message
    assert not (output / "train").exists()
    return message


def replace(folder, pattern, write):
    path = sorted(folder.rglob(pattern))[0]
    path.unlink()
    write(path)


FAULTS = {  # layout, what is done to it, words of the answer
    "not there": ("npy", lambda d: shutil.rmtree(d), ["cannot be listed"]),
    "empty": ("npy", lambda d: [shutil.rmtree(path) for path in d.iterdir()],
              ["no depth in any known layout", "rgb/NAME.jpg", "docs/own_data.md"]),
    "no depth": ("npy", lambda d: shutil.rmtree(d / "depth"), ["no depth in any known layout"]),
    "no pictures": (
        "npy", lambda d: shutil.rmtree(d / "images"), ["no pictures in any known layout"]),
    "other names": (
        "npy", lambda d: [path.rename(path.with_stem(f"x{path.stem}"))
                          for path in (d / "depth").iterdir()],
        ["6 pictures and 6 depth maps, but none with the same name"]),
    "EXR": ("npy", lambda d: [path.rename(path.with_suffix(".exr"))
                              for path in (d / "depth").iterdir()],
            [".exr is not read; save it as .npy in metres"]),
    "an archive": (
        "npy", lambda d: [shutil.rmtree(path) for path in d.iterdir()]
        + [zipfile.ZipFile(d / "all.zip", "w").close()], ["holds all.zip; unpack it first"]),
    "a ROS bag": (
        "npy", lambda d: [shutil.rmtree(path) for path in d.iterdir()]
        + [(d / "desk.bag").write_bytes(b"#ROSBAG")], ["desk.bag", "aligned to color"]),
    "two pictures": ("npy", lambda d: shutil.copy(d / "images/000.jpg", d / "images/000.png"),
                     ["images/000.jpg", "images/000.png", "both be the picture"]),
    "KITTI's depth alone": ("kitti", lambda d: shutil.rmtree(d / "2011_09_26"),
                            ["without its pictures", "raw data"]),
    "millimetres as fractions": (
        "npy", lambda d: replace(d, "000.npy", lambda path: np.save(
            path, np.full((48, 64), 1830.0, np.float32))),
        ["000.npy", "deeper than 1830 m", "--depth_units_per_m", "1000 for millimetres"]),
    "colourful depth": (
        "realsense", lambda d: replace(d, "*Depth*", lambda path: Image.new(
            "RGB", (64, 48)).save(path)), ["desk_Depth_0000.png", "8-bit RGB"]),
    "another view": (
        "realsense", lambda d: replace(d, "*Depth*", lambda path: Image.fromarray(
            np.ones((40, 80), np.uint16)).save(path)),
        ["Color_0000.png", "64x48 and its depth 80x40", "align depth to color"]),
    "a point cloud": (
        "npy", lambda d: replace(d, "000.npy", lambda path: np.save(path, np.ones((48, 64, 3)))),
        ["000.npy", "48x64x3 of float64"]),
    "objects": (
        "npy", lambda d: replace(d, "000.npy", lambda path: np.save(
            path, np.array([{"a": 1}], object), allow_pickle=True)),
        ["000.npy", "not an array that can be read"]),
    "no array": ("npy", lambda d: (d / "depth/000.npy").write_bytes(b"0101"), ["000.npy"]),
    "a claim of terabytes": (
        "npy", lambda d: replace(d, "000.npy", lambda path: path.write_bytes(
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (9999999, "
            b"99999), }".ljust(127) + b"\n")), ["000.npy"]),
    "many arrays": (
        "npz", lambda d: replace(d, "000.npz", lambda path: np.savez(
            path, a=np.ones(3), b=np.ones(3))), ["000.npz", "holds a, b, but no depth"]),
    "an array that is no picture": (
        "npz", lambda d: replace(d, "000.npz", lambda path: np.savez(
            path, rgb=np.ones((48, 64)), depth=camera_layouts.depth_mm())),
        ["000.npz", "48x64 of float64", "NAME.png"]),
    "eight bits": (
        "tiff", lambda d: replace(d, "000.tiff", lambda path: Image.new(
            "L", (64, 48)).save(path)), ["000.tiff", "depth is L"]),
    "a broken TIFF": ("tiff", lambda d: (d / "depth/000.tiff").write_bytes(b"II*\0abc"),
                      ["000.tiff"]),
    "a broken picture": (
        "npy", lambda d: (d / "images/000.jpg").write_bytes(
            (d / "images/000.jpg").read_bytes()[:-200]), ["images/000.jpg", "broken"]),
    "a small picture": (
        "npy", lambda d: [Image.new("RGB", (40, 30)).save(d / "images/000.jpg"),
                          np.save(d / "depth/000.npy", np.ones((30, 40)))],
        ["images/000.jpg", "40x30 is too small"]),
    "a mirrored picture": (
        "npy", lambda d: Image.new("RGB", (64, 48)).save(d / "images/000.jpg", exif=_exif(2)),
        ["images/000.jpg", "EXIF orientation 2"]),
    "a list of nothing": ("tum", lambda d: next(d.rglob("rgb.txt")).write_text("one two three\n"),
                          ["rgb.txt", "not a list of time stamps"]),
    "a list of pairs that are none": (
        "icl_nuim", lambda d: next(d.rglob("associations.txt")).write_text("0 rgb/0.png\n"),
        ["associations.txt", "not a list of time stamps"]),
    "a listed file that is missing": (
        "tum", lambda d: sorted(d.rglob("rgb/*.png"))[0].unlink(), ["1305031102.100000.png"]),
    "a lost confidence": (
        "stray_scanner", lambda d: sorted(d.rglob("confidence/*.png"))[0].unlink(),
        ["confidence/000000.png"]),
    "a camera of nothing": (
        "stray_scanner", lambda d: next(d.rglob("camera_matrix.csv")).write_text("1, 2\n"),
        ["camera_matrix.csv", "give --focal_length instead"]),
    "a camera of zero": (
        "stray_scanner", lambda d: next(d.rglob("camera_matrix.csv")).write_text("0 " * 9),
        ["camera_matrix.csv", "give --focal_length instead"]),
}


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_converted_is_refused_in_one_line(tmp_path, fault):
    name, breaking, words = FAULTS[fault]
    breaking(make(name, tmp_path / "in"))
    message = refused(tmp_path / "in", tmp_path / "out")
    for word in words:
        assert word in message


def test_another_format_than_the_folder_has_is_refused(tmp_path):
    message = refused(make("npy", tmp_path / "in"), tmp_path / "out", format="tum")
    assert "no pair in the layout of TUM RGB-D (rgb.txt and depth.txt" in message


def test_what_lies_in_the_output_is_never_mixed_with_the_result(tmp_path):
    source = make("npy", tmp_path / "in")
    assert "this is the input" in refused(source, source)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("")
    assert "holds other files; remove it or give another" in refused(source, tmp_path / "out")
    convert(source, tmp_path / "first", Options())
    for options in (Options(every=2), Options(depth_units_per_m=2.0)):
        with pytest.raises(UserError, match="holds another conversion; remove it or give another"):
            convert(source, tmp_path / "first", options)
    (source / "depth/000.npy").touch()
    with pytest.raises(UserError, match=r"was made before files in .* changed"):
        convert(source, tmp_path / "first", Options())


def test_one_broken_pair_can_be_skipped_but_not_many(tmp_path):
    source = make("npy", tmp_path / "in")
    (source / "depth/003.npy").write_bytes(b"")
    assert "003.npy" in refused(source, tmp_path / "out")
    lines = []
    record = convert(source, tmp_path / "out", Options(on_bad_sample="skip"), lines.append)
    assert len(record["left_out"]) == 1 and "003.npy" in record["left_out"][0]
    assert any(line.startswith("left out: 1 pair (") and "003.npy" in line for line in lines)
    (source / "depth/001.npy").write_bytes(b"")
    assert "more than 1 % of 5 pairs are broken" in refused(
        source, tmp_path / "other", on_bad_sample="skip")


# What training says of other layouts


@pytest.mark.parametrize("name", camera_layouts.REFUSED_BY_TRAINING)
def test_training_names_the_command_for_what_it_refuses(tmp_path, name):
    source = make(name, tmp_path / "in")
    with pytest.raises(UserError) as caught:
        list_pairs(source / "train")
    title = "16-bit PNG" if LAYOUTS[name][0] == "png" else ""
    assert title in str(caught.value) and "\n" not in str(caught.value)
    assert f"run python -m mai_depth.data.convert --input={source} --output=NEW" in str(
        caught.value)


def test_training_says_of_its_own_layout_what_it_said_before(tmp_path):
    source = make("challenge", tmp_path / "in")
    (source / "train/depth/0001.png").unlink()
    with pytest.raises(UserError, match=r"1 without depth \(0001\)"):
        list_pairs(source / "train")
    with pytest.raises(UserError, match=r"nowhere.train.rgb: cannot be read"):
        list_pairs(tmp_path / "nowhere" / "train")


# The command


def test_the_command_says_what_it_does(tmp_path):
    source, output = make("seven_scenes", tmp_path / "in"), tmp_path / "out"
    done = run(f"--input={source}", f"--output={output}")
    assert done.returncode == 0, done.stderr
    assert "7-Scenes, 11 pairs" in done.stdout
    assert "read as 16-bit PNG, mm, 65535 = missing: half of the depth is nearer" in done.stdout
    assert "depth in metres, share of what was measured" in done.stdout
    assert "10.9 % of the depth is missing; focal length 0.9141" in done.stdout
    assert f"--data_dir={output} --max_depth_m=4" in done.stdout
    assert sorted(path.name for path in output.iterdir() if path.name[0] != ".") == [
        "dataset.json", "sheet.png", "train", "validation"]
    again = run(f"--input={source}", f"--output={output}")
    assert again.returncode == 0 and "already converted" in again.stdout
    with Image.open(output / "sheet.png") as sheet:
        assert sheet.size == (3 * 408, 4 * 166)


@pytest.mark.parametrize("arguments, words", [
    ([], "--input: give"),
    (["--input=nowhere"], "--output: give"),
    (["--input=nowhere", "--output=x"], "--input=nowhere: no such folder"),
    (["--input=tests", "--output=/proc/x"], "no depth in any known layout"),
    (["--format=pfm"], "--format"),
    (["--validation_share=nan"], "--validation_share"),
    (["--every=0"], "--every"),
])
def test_flags_are_refused_in_one_line(arguments, words):
    done = run(*arguments)
    assert done.returncode == 1 and words in done.stderr
    assert done.stderr.count("\n") <= 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_what_was_stopped_goes_on_where_it_was(tmp_path, signum):
    source = tmp_path / "in"
    for number in range(60):
        for kind, array in (("rgb", camera_layouts.photo(number, 640, 480)),
                            ("depth", camera_layouts.depth_mm(640, 480))):
            camera_layouts.save(source / kind / f"{number}.png", array)
    written = tmp_path / "out/.converting/train/rgb"
    process = subprocess.Popen(
        [*COMMAND, f"--input={source}", f"--output={tmp_path / 'out'}"], cwd=REPOSITORY,
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not written.is_dir() or len(list(written.glob("[0-9]*"))) < 10:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    if signum == signal.SIGINT:
        assert process.returncode == 130 and errors.strip().splitlines()[-1] == "stopped"
    before = {path.name: path.stat().st_mtime_ns for path in written.glob("[0-9]*")}
    assert 10 <= len(before) < 53 and not (tmp_path / "out/train").exists()
    source.joinpath("depth/0.png").touch()  # this one was changed meanwhile
    done = run(f"--input={source}", f"--output={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    after = {path.name: path.stat().st_mtime_ns
             for path in (tmp_path / "out/train/rgb").iterdir()}
    kept = [name for name in before if after[name] == before[name]]
    assert after["0.png"] != before["0.png"] and len(kept) >= len(before) - 1
    whole = tmp_path / "whole"
    convert(source, whole, Options())
    for path in sorted(whole.rglob("*.*")):
        if path.suffix in (".png", ".json"):
            assert path.read_bytes() == (tmp_path / "out" / path.relative_to(whole)).read_bytes()
    assert not (tmp_path / "out/.converting").exists()


def test_a_run_that_was_killed_between_its_two_renames_is_completed(tmp_path):
    source, output = make("npy", tmp_path / "in"), tmp_path / "out"
    convert(source, output, Options())
    record = json.loads((output / "dataset.json").read_text())
    (output / ".converting").mkdir()
    (output / ".converting/conversion.json").write_text(json.dumps(record["conversion"]))
    os.rename(output / "validation", output / ".converting/validation")
    (output / "dataset.json").unlink()
    convert(source, output, Options())
    assert json.loads((output / "dataset.json").read_text()) == record
    assert len(list_pairs(output / "train")) == 4 and len(list_pairs(output / "validation")) == 1


# What it is for


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_what_was_converted_trains_and_predicts(commands, tmp_path, name):
    output = tmp_path / "out"
    convert(make(name, tmp_path / "in"), output, Options())
    trained = commands(
        "train.py", f"--data_dir={output}", f"--workdir={tmp_path / 'run'}",
        f"--cache_dir={tmp_path / 'cache'}", "--student=student_28m", "--alpha=0.35",
        "--distillation_loss_weight=0", "--epochs=2", "--batch_size=2", "--max_depth_m=30")
    assert trained.returncode == 0, trained.stderr[-2000:]
    assert (tmp_path / "run/log.csv").read_text().count("\n") == 3
    predicted = commands(
        "-m", "mai_depth.predict", f"--input={output / 'validation/rgb'}",
        f"--output={tmp_path / 'depth'}", f"--model={tmp_path / 'run/student.keras'}")
    assert predicted.returncode == 0, predicted.stderr[-2000:]
    assert len(list((tmp_path / "depth").glob("*_depth.png"))) == len(
        list((output / "validation/rgb").iterdir()))
