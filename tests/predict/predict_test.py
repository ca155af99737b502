"""python -m mai_depth.predict: pictures of all kinds in, depth at their own size out."""

import hashlib
import json
import pathlib
import shutil

import benchmark_graphs
import numpy as np
import pytest
from benchmark_graphs import assert_one_line
from PIL import Image
from predict_command import run

from benchmark.graph import sample_picture
from mai_depth.checksum import check_checksum
from mai_depth.depth import read_depth
from mai_depth.errors import UserError
from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.depth_network import open_network
from mai_depth.predict.prediction import Style
from mai_depth.predict.prediction import predict

GRAPHS = benchmark_graphs.graphs

# As on a board: nothing but NumPy, Pillow, absl and LiteRT.
BOARD = """
import runpy, sys
for name in ("tensorflow", "keras", "tf_keras", "tqdm", "cv2", "matplotlib"):
    sys.modules[name] = None
try:
    runpy.run_module("mai_depth.predict", run_name="__main__")
finally:
    loaded = {name.split(".")[0] for name, module in sys.modules.items() if module is not None}
    assert not loaded & {"tensorflow", "keras", "tf_keras", "tqdm"}
    # Not getrusage: its peak is inherited from the process that started this one.
    status = open("/proc/self/status").read()
    print("peak_kb", status.split("VmHWM:")[1].split()[0])
"""


@pytest.fixture
def model(tmp_path):
    """A graph with its checksum beside it."""
    path = tmp_path / "model.tflite"
    shutil.copy(GRAPHS()["float32"], path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    pathlib.Path(f"{path}.json").write_text(json.dumps({"sha256": digest}))
    return path


@pytest.fixture
def photos(tmp_path):
    """Twenty files of all kinds, one broken, one of 48 million pixels: name -> upright size."""
    folder = tmp_path / "photos"
    (folder / "phone" / "2026").mkdir(parents=True)
    image = Image.fromarray(sample_picture())
    exif = Image.Exif()
    exif[0x0112] = 6
    saved = {
        "vga.jpg": image, "vga.png": image, "small.png": image.resize((64, 48)),
        "wide.jpg": image.resize((900, 200)), "tall.png": image.resize((201, 433)),
        "gray.jpg": image.convert("L"), "gray.png": image.convert("L"),
        "bits.png": image.convert("1"), "palette.png": image.quantize(64),
        "alpha.png": image.convert("RGBA"), "gray_alpha.png": image.convert("LA"),
        "deep.png": Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257),
        "cmyk.jpg": image.convert("CMYK"), "x.webp": image, "x.bmp": image, "x.tif": image,
        "x.gif": image.quantize(64), "large.jpg": image.resize((8000, 6000)),
    }
    for name, content in saved.items():
        content.save(folder / name)
    image.save(folder / "phone" / "2026" / "turned.jpg", exif=exif)
    (folder / "broken.jpg").write_bytes((folder / "vga.jpg").read_bytes()[:5000])
    sizes = {folder / name: content.size for name, content in saved.items()}
    return folder, sizes | {folder / "phone" / "2026" / "turned.jpg": (480, 640)}


def test_twenty_mixed_files_on_a_board(tmp_path, photos, model):
    folder, sizes = photos
    done = run(f"--input={folder}", f"--output={tmp_path / 'out'}", f"--model={model}",
               "--write=depth,npy,color,side_by_side,ply", start=("-c", BOARD))
    peak_kb = int(done.stdout.rsplit("peak_kb", 1)[1])
    lines = [line for line in done.stderr.strip().splitlines()
             if not line.startswith("INFO: Created TensorFlow Lite")]  # LiteRT's own
    assert done.returncode == 1
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith(f"skipped: {folder / 'broken.jpg'}: the picture is broken")
    assert lines[1] == "error: 1 of 20 pictures skipped; see above"
    assert peak_kb < 1.5e6
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    stems = {"phone/2026/turned"} | {
        name.replace(".", "_") if name.split(".")[0] in ("vga", "gray", "x") else name.split(".")[0]
        for name in (path.name for path in sizes) if name != "turned.jpg"}
    endings = ("_depth.png", "_depth.npy", "_color.png", "_side_by_side.png", ".ply")
    assert written == {stem + ending for stem in stems for ending in endings}
    assert read_depth(tmp_path / "out" / "large_depth.png").shape == (6000, 8000)
    for stem, size in (("phone/2026/turned", (640, 480)), ("wide", (200, 900)),
                       ("small", (48, 64)), ("tall", (433, 201))):
        depth = read_depth(tmp_path / "out" / f"{stem}_depth.png")
        metres = np.load(tmp_path / "out" / f"{stem}_depth.npy")
        assert depth.shape == metres.shape == size
        assert metres.dtype == np.float32
        np.testing.assert_allclose(depth, metres, atol=6e-4)


def test_keras_and_tflite_answer_alike(tmp_path):
    import keras
    import tensorflow as tf

    network = benchmark_graphs._network((480, 640))
    network.save(tmp_path / "network.keras")
    converted = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    (tmp_path / "network.tflite").write_bytes(converted)
    Image.fromarray(sample_picture()).resize((700, 500)).save(tmp_path / "photo 1.png")
    for suffix in ("keras", "tflite"):
        done = run("--input=photo 1.png", f"--output={suffix}", f"--model=network.{suffix}",
                   cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "1/1" in done.stderr  # the progress bar
    depths = [read_depth(tmp_path / suffix / "photo 1_depth.png") for suffix in ("keras", "tflite")]
    np.testing.assert_allclose(*depths, atol=1.1e-3)
    assert keras.backend.backend() == "tensorflow"


@pytest.mark.parametrize("name", benchmark_graphs.FORMATS)
def test_every_number_format_is_adapted(name):
    expected = open_network(GRAPHS()["float32"])(sample_picture())
    depth = open_network(GRAPHS()[name], 2)(sample_picture())
    assert depth.shape == expected.shape
    assert depth.dtype == np.float32
    assert np.abs(depth - expected).mean() < 0.15


def test_a_network_of_another_size_serves_any_picture():
    network = open_network(GRAPHS()["smaller"])
    assert network.input_size == (96, 128)
    prediction = predict(network, from_array(sample_picture()[:300]), "crop")
    depth = prediction.depth_m()
    assert depth.shape == (300, 640)
    assert not depth[:, :120].any()  # 400 of 640 columns were seen
    assert (depth[:, 121:519] > 0).all()


def test_limits_fixed_and_automatic():
    assert Style().limits((1.0, 4.0)) == (1.0, 4.0)
    assert Style(near_m=0.5).limits((1.0, 4.0)) == (0.5, 4.0)
    assert Style(near_m=0.5, far_m=9.0).limits((1.0, 4.0)) == (0.5, 9.0)
    assert Style(near_m=5.0).limits((1.0, 4.0)) == (5.0, 5.0)


@pytest.mark.parametrize(("flags", "words"), [
    ({"input": ""}, "--input: give"),
    ({"input": "no such folder"}, "no such folder: no such file or folder"),
    ({"input": "https://example.org/a.jpg"}, "https://example.org/a.jpg: an address; download"),
    ({"input": "*.png"}, "*.png: no such file or folder; of several pictures give the folder"),
    ({"model": "student.h5"}, "give a .keras or .tflite"),
    ({"model": "missing.tflite"}, "missing.tflite: cannot be read"),
    ({"model": "photo.tflite"}, "not a .tflite file"),
    ({"write": "depth,colour"}, "--write=colour"),
    ({"near_m": "3", "far_m": "2"}, "near must be less than far"),
    ({"near_m": "-1"}, "near_m"),
    ({"num_threads": "0"}, "num_threads"),
    ({"output": "photo.png"}, "cannot be made"),
    ({"input": ".", "output": "."}, "give another one"),
    ({"colormap": "jet"}, "colormap"),
    ({"smooth": "true"}, "--smooth: for videos and cameras only; leave it out for pictures"),
    ({"input": "9" * 20}, "no camera has such a number; give 0"),
    ({"input": "9" * 5000}, "too long for a path"),
    ({"input": "~nouser/photo.png"}, "--input=~nouser/photo.png: no home folder is known for"),
    ({"output": "~nouser/out"}, "--output=~nouser/out: no home folder is known for ~nouser"),
    ({"input": "a\x1b]0;title\x07.png"}, "a\\x1b]0;title\\x07.png: no such file or folder"),
])
def test_what_a_user_can_mend_is_one_line(tmp_path, model, flags, words):
    Image.fromarray(sample_picture()).save(tmp_path / "photo.png")
    shutil.copy(tmp_path / "photo.png", tmp_path / "photo.tflite")
    flags = {"input": "photo.png", "model": model, "output": "out", **flags}
    done = run(*(f"--{name}={value}" for name, value in flags.items()), cwd=tmp_path)
    assert_one_line(done, words)
    assert not list(tmp_path.rglob("*_depth.png"))


@pytest.mark.parametrize("name", ["two_inputs", "flat", "table"])
def test_what_is_no_depth_network_is_refused(name):
    with pytest.raises(UserError, match="not a depth network"):
        open_network(GRAPHS()[name])


def test_an_answer_without_depth_is_no_depth():
    with pytest.raises(UserError, match="no depth at all"):
        predict(open_network(GRAPHS()["not_finite"]), from_array(sample_picture()))


def test_a_changed_graph_is_refused_and_an_unknown_one_warned_of(model):
    assert check_checksum(model) is None
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 4
    model.write_bytes(content)
    with pytest.raises(UserError, match="changed or damaged"):
        check_checksum(model)
    sidecar = pathlib.Path(f"{model}.json")
    sidecar.write_text("{}")
    with pytest.raises(UserError, match="holds no sha256"):
        check_checksum(model)
    sidecar.unlink()
    assert "cannot be checked for damage" in check_checksum(model)


def test_npy_on_a_full_disk_is_one_line(tmp_path, model):
    Image.fromarray(sample_picture()).save(tmp_path / "photo.png")
    limited = ("import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, -1)); "
               "runpy.run_module('mai_depth.predict', run_name='__main__')")
    done = run("--input=photo.png", f"--model={model}", "--output=out", "--write=npy",
               start=("-c", limited), cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.endswith("\nerror: out/photo_depth.npy: File too large; free some space or "
                                "write elsewhere\n")
    assert not list((tmp_path / "out").iterdir())
