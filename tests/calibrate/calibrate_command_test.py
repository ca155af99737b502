"""python -m mai_depth.calibrate, and --camera in predict and benchmark."""

import json
import os
import subprocess
import sys

import benchmark_graphs
import numpy as np
import pytest
from benchmark_graphs import assert_one_line
from PIL import Image

from benchmark.graph import sample_picture
from mai_depth.depth import read_depth
from mai_depth.depth import write_depth
from mai_depth.network.pretrained import pretrained_path
from mai_depth.predict.camera_file import read_camera
from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.prediction import predict
from mai_depth.tflite.runner import TfliteNetwork

MODEL = pretrained_path("indoor_student_90m_int8")


def run(*flags, cwd, module="mai_depth.calibrate"):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, flags)], cwd=cwd, timeout=300,
        capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(benchmark_graphs.REPOSITORY)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A photo, and pairs whose depth is 1.5 times what the network answers."""
    folder = tmp_path_factory.mktemp("calibrate")
    network = TfliteNetwork(MODEL)
    for kind in ("rgb", "depth"):
        (folder / "pairs" / kind).mkdir(parents=True)
    for index in range(3):
        rgb = np.roll(sample_picture(), 100 * index, axis=1)
        Image.fromarray(rgb).save(folder / "pairs" / "rgb" / f"{index}.png")
        depth = 1.5 * predict(network, from_array(rgb)).depth_m()
        depth[:50] = 0
        write_depth(folder / "pairs" / "depth" / f"{index}.png", depth)
    Image.fromarray(sample_picture()).save(folder / "photo.png")
    return folder


@pytest.fixture(scope="module")
def answer():
    return TfliteNetwork(MODEL)(sample_picture())


def test_one_known_distance_makes_metres_right(folder, answer, tmp_path):
    metres = 1.3 * float(answer[240, 320])
    camera = tmp_path / "camera.json"
    done = run("--input=photo.png", "--point=320,240", f"--distance_m={metres}",
               f"--output={camera}", f"--model={MODEL}", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{camera}: depth x 1.300 (1 point); give it as --camera\n"
    assert read_camera(camera).network == MODEL.name
    done = run("--input=photo.png", f"--output={tmp_path}", f"--model={MODEL}", "--write=depth",
               f"--camera={camera}", cwd=folder, module="mai_depth.predict")
    assert f"scale: depth x 1.300 (1 point) of {camera}" in done.stderr
    assert read_depth(tmp_path / "photo_depth.png")[240, 320] == pytest.approx(metres, abs=1e-3)


def test_points_that_disagree_are_named(folder, answer, tmp_path):
    flags = [flag for column, off in ((100, 1.3), (320, 1.3), (500, 2.6)) for flag in (
        f"--point={column},240", f"--distance_m={off * float(answer[240, column])}")]
    done = run("--input=photo.png", *flags, f"--output={tmp_path / 'camera.json'}",
               f"--model={MODEL}", cwd=folder)
    assert done.returncode == 0
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and "photo.png 500,240 (" in warnings[0]
    assert "off by a factor of 2.00, more than 1.25; measure again, or leave it out" in warnings[0]
    assert read_camera(tmp_path / "camera.json").standard_error == pytest.approx(0.231, abs=1e-3)


def test_photos_of_both_orientations_make_one_factor(folder, tmp_path):
    """A phone is turned: the factor of the portrait photo is 3/4 of the other's, as by EXIF."""
    network, upright = TfliteNetwork(MODEL), sample_picture()[:, 140:500]
    Image.fromarray(upright).save(folder / "upright.png")
    answers = [predict(network, from_array(rgb)).depth_m() for rgb in (sample_picture(), upright)]
    flags = [flag for name, metres in (
        ("photo.png", 1.2 * answers[0][240, 320]), ("upright.png", 0.9 * answers[1][240, 180]))
        for flag in (f"--input={name}", "--point=180,240" if name[0] == "u" else "--point=320,240",
                     f"--distance_m={metres}")]
    done = run(*flags, f"--output={tmp_path / 'camera.json'}", f"--model={MODEL}", cwd=folder)
    assert done.returncode == 0 and "off by" not in done.stderr, done.stderr
    camera = read_camera(tmp_path / "camera.json")
    assert camera.scale == pytest.approx(1.2, rel=1e-3) and camera.size == (640, 480)
    done = run("--input=upright.png", f"--output={tmp_path}", f"--model={MODEL}", "--write=depth",
               f"--camera={tmp_path / 'camera.json'}", cwd=folder, module="mai_depth.predict")
    assert "scale: depth x 0.900: depth x 1.200 +- 0.0 % (2 points) of" in done.stderr
    depth = read_depth(tmp_path / "upright_depth.png")[240, 180]
    assert depth == pytest.approx(0.9 * answers[1][240, 180], abs=2e-3)


def test_centimetres_are_asked_about(folder, tmp_path):
    done = run("--input=photo.png", "--point=320,240", "--distance_m=185",
               f"--output={tmp_path / 'camera.json'}", f"--model={MODEL}", cwd=folder)
    assert done.returncode == 0 and "are the distances in metres?" in done.stderr


def test_a_folder_of_pairs_and_the_benchmark(folder, tmp_path):
    camera = tmp_path / "camera.json"
    done = run("--input=pairs", f"--output={camera}", f"--model={MODEL}", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert read_camera(camera).scale == pytest.approx(1.5, rel=1e-3)
    assert read_camera(camera).points == 3
    flags = [f"--graph={MODEL}", "--data_dir=.", "--split=pairs", "--num_runs=1", "--min_secs=0",
             "--noroofline", f"--json={tmp_path / 'a.json'}"]
    for more, delta1 in (((), 0.0), ((f"--camera={camera}",), 1.0)):
        done = run(*flags, *more, cwd=folder, module="benchmark")
        assert done.returncode == 0, done.stderr
        row = json.loads((tmp_path / "a.json").read_text())["rows"][0]
        assert row["delta1"] == pytest.approx(delta1, abs=1e-3)
    assert any("depth x 1.500" in note for note in row["notes"])


def test_benchmark_needs_data_for_a_camera(folder):
    done = run(f"--graph={MODEL}", "--camera=camera.json", cwd=folder, module="benchmark")
    assert_one_line(done, "--camera: affects accuracy only; give --data_dir as well")


@pytest.mark.parametrize(("flags", "words"), [
    ({}, "--input: give a photo"),
    ({"input": "none.jpg"}, "--input=none.jpg: no such file or folder"),
    ({"input": "photo.png"}, "0 points and 0 distances; give one distance for each"),
    ({"input": "photo.png", "point": "320,240"}, "1 points and 0 distances"),
    ({"input": "photo.png", "point": "320", "distance_m": "1"}, "--point=320: give column,row"),
    ({"input": "photo.png", "point": "640,240", "distance_m": "1"}, "outside of photo.png, which "
     "has 640x480 pixels"),
    ({"input": "photo.png", "point": "3,2", "distance_m": "nan"}, "--distance_m=nan: "),
    ({"input": "photo.png", "point": "3,2", "distance_m": "0"}, "--distance_m=0: "),
    ({"input": "pairs", "point": "3,2", "distance_m": "1"}, "a folder stands alone"),
    ({"input": ["photo.png", "pairs"], "point": "3,2", "distance_m": "1"},
     "--input=pairs: a folder stands alone"),
    ({"input": "pairs/rgb"}, "holds no rgb and depth folders"),
    ({"input": "pairs", "output": "none/camera.json"}, "its folder is missing"),
    ({"input": "pairs", "output": "photo.png"}, "--output=photo.png: not a camera calibration"),
    ({"input": "photo.png", "point": "3,2", "distance_m": "1", "model": "a.h5"}, "--model=a.h5"),
])
def test_what_a_user_can_mend_is_one_line(folder, flags, words):
    if "model" not in flags:
        flags = {**flags, "model": MODEL}
    done = run(*(f"--{name}={one}" for name, value in flags.items()
                 for one in (value if isinstance(value, list) else [value])), cwd=folder)
    assert_one_line(done, words)
    assert not (folder / "camera.json").exists()
