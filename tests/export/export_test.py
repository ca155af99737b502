"""export.py as a user runs it: what it writes, and one line for whatever is wrong."""

import hashlib
import json
import pickle
import resource
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from conftest import REPOSITORY
from normalized_student import write_student

from mai_depth.errors import UserError
from mai_depth.export import saved_model
from mai_depth.export.run_data import data_of_run
from mai_depth.export.run_data import unfinished
from mai_depth.network import model_file
from mai_depth.network import student

# What a board has: numpy and ai-edge-litert alone.
BOARD = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1])
depth = interpreter.get_signature_runner()(image=np.load(sys.argv[2]))["depth_m"]
np.save(sys.argv[3], depth)
"""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = student.build_student(alpha=0.35, decoder_filters=(8, 8, 8, 8), max_depth_m=10.0)
    folder = tmp_path_factory.mktemp("runs")
    (folder / "older").mkdir()
    (folder / "older" / "student.keras").write_bytes(b"never opened")
    (folder / "student").mkdir()
    model_file.save_model(model, folder / "student" / "student.keras")
    return folder


@pytest.fixture(scope="module")
def settings(workdir, tiny_data, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return [f"--workdir={workdir}", f"--data_dir={tiny_data}", f"--cache_dir={cache}"]


@pytest.fixture(scope="module")
def export(commands, settings):
    return lambda *flags: commands("export.py", *settings, *flags)


def assert_one_line(result, *words):
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
    for word in words:
        assert word in lines[0]


def test_newest_student_runs_on_a_board(settings, workdir, tiny_data, tmp_path):
    """Checked on the data of its run, as README goes: train with --data_dir, then plain export."""
    known = {
        "flags.txt": f"--data_dir={tiny_data}:0.8\n--data_dir=/gone:0.2\n--flip\n",
        "student.json": '{"finished": false, "epoch": 14, "recipe": {"epochs": 30}}'}
    for name, text in known.items():
        (workdir / "student" / name).write_text(text)
    without_data = [flag for flag in settings if not flag.startswith("--data_dir")]
    result = subprocess.run([sys.executable, "export.py", *without_data], cwd=REPOSITORY,
                            capture_output=True, text=True, timeout=500)
    for name in known:
        (workdir / "student" / name).unlink()
    assert result.returncode == 0, result.stderr
    assert f"these pictures: {tiny_data}/validation" in result.stdout
    assert "its training is at epoch 14 of 30" in result.stderr
    assert f"| this file, {tiny_data.name} of the export's check" in (
        workdir / "student" / "student.md").read_text()
    assert "1 delegate partition" in result.stdout
    assert "against the Keras model on 6 pictures" in result.stdout
    assert len(result.stdout.splitlines()) == 4
    file = workdir / "student" / "student.tflite"
    content = json.loads((workdir / "student" / "student.tflite.json").read_text())
    assert content["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()

    image = np.random.default_rng(0).uniform(0, 255, (1, 480, 640, 3)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    subprocess.run(
        [sys.executable, "-c", BOARD, file, tmp_path / "image.npy", tmp_path / "depth.npy"],
        check=True)
    model = model_file.load_model(workdir / "student" / "student.keras")
    difference = np.load(tmp_path / "depth.npy") - model.predict_on_batch(image)
    assert np.abs(difference).mean() < 1e-4


def test_what_is_known_of_a_run(tmp_path, tiny_data):
    student = tmp_path / "student.keras"
    assert data_of_run(student) == {} and unfinished(student) is None
    flags = f"--data_dir={tiny_data}\n--depth_units_per_m=5000\n--allow_resize\n"
    (tmp_path / "flags.txt").write_text(flags)
    assert data_of_run(student) == {
        "data_dir": str(tiny_data), "depth_units_per_m": "5000", "allow_resize": "true"}
    for text in ("--data_dir=/gone\n", "--flip\n", "\0"):
        (tmp_path / "flags.txt").write_text(text)
        assert data_of_run(student) == {}
    for text in ('{"finished": true, "epoch": 3}', "{}", "[", '{"finished": false}'):
        (tmp_path / "student.json").write_text(text)
        assert unfinished(student) is None


def test_a_saved_model_on_a_full_disk_is_one_line(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    model = keras.Sequential([keras.Input((480, 640, 3)), keras.layers.Dense(20_000)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(UserError, match=r"out: cannot be written \(File too large.*free some"):
            saved_model._write(model, tmp_path / "new", "float32", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_existing_output_is_kept(export, tmp_path):
    output = tmp_path / "a.tflite"
    output.write_bytes(b"old")
    assert_one_line(export(f"--output={output}"), str(output), "--overwrite")
    assert output.read_bytes() == b"old"
    assert export(f"--output={output}", "--overwrite").returncode == 0
    assert output.read_bytes() != b"old"


def test_leftovers_of_a_killed_export_are_removed(export, tmp_path):
    """Whatever comes of the next export beside them."""
    (tmp_path / ".a.writing-abcdefgh.tflite").write_bytes(b"half")
    (tmp_path / ".a.tflite.writing-01234567.json").write_bytes(b"half")
    (tmp_path / ".b_saved_model.writing-abcd_fgh" / "new").mkdir(parents=True)
    result = export("--quantization=int8", "--num_calibration=12",
                    f"--output={tmp_path / 'a.tflite'}")
    assert_one_line(result, "12 pictures")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_learned_integers(export, tmp_path):
    model, output = write_student(tmp_path / "student.keras"), tmp_path / "a.tflite"
    result = export(f"--model={model}", f"--output={output}", "--quantization=qat",
                    "--allow_inaccurate", "--input_dtype=uint8", "--upsample=fast_nearest")
    assert result.returncode == 0, result.stderr
    assert "qat epoch 1" in result.stdout and "uint8 [1, 480, 640, 3] image in" in result.stdout
    content = json.loads((tmp_path / "a.tflite.json").read_text())
    asked = [content[key] for key in ("quantization", "upsample", "input_dtype")]
    assert asked == ["qat", "fast_nearest", "uint8"] and content["delegate_partitions"] <= 2
    assert content["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()


def test_saved_model(export, tmp_path):
    import tensorflow as tf

    output = tmp_path / "served"
    result = export("--format=saved_model", f"--output={output}", "--input_dtype=uint8")
    assert result.returncode == 0, result.stderr
    function = tf.saved_model.load(output).signatures["serving_default"]
    images = tf.random.stateless_uniform((3, 480, 640, 3), (1, 2), 0, 256, tf.int32)
    images = tf.cast(images, tf.uint8)
    depth = function(image=images)["depth_m"].numpy()
    assert depth.shape == (3, 480, 640, 1)
    alone = function(image=images[1:2])["depth_m"].numpy()
    np.testing.assert_allclose(depth[1:2], alone, rtol=1e-4)
    content = json.loads((tmp_path / "served.json").read_text())
    assert content["verification"]["passed"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "served", "served.json", "served.md"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model=no.keras"], ["no.keras", "no such file"]),
        (["--model=typo"], ["--model=typo", "no such file or pretrained network", "indoor_fast"]),
        (["--workdir=no_such_folder"], ["no_such_folder", "train.py"]),
        (["--output=/no/such/folder/a.tflite"], ["/no/such/folder", "--output"]),
        (["--output=a.bin"], ["a.bin", ".tflite"]),
        (["--quantization=int8", "--num_calibration=16"], ["--num_calibration=16", "12 pictures"]),
        (["--quantization=int8", "--num_calibration=12"], ["12 pictures", "32"]),
        (["--quantization=int8", "--num_calibration=0"], ["0 pictures", "32"]),
        (["--quantization=int8", "--format=saved_model"], ["--quantization=int8", "float32"]),
        (["--quantization=int8", "--format=onnx"], ["--quantization=int8", "onnx", "float32"]),
        (["--format=onnx", "--output=a.tflite"], ["a.tflite", ".onnx"]),
        (["--quantization=int4"], ["int4"]),
        (["--split=nothing"], ["nothing"]),
        (["student.keras"], ["student.keras", "is not a flag"]),
    ],
)
def test_faults_in_flags(export, tmp_path, flags, words):
    if not any(flag.startswith("--output") for flag in flags):
        flags = [*flags, f"--output={tmp_path / 'a.tflite'}"]
    assert_one_line(export(*flags), *words)
    assert list(tmp_path.iterdir()) == []


def test_a_shipped_network_is_exported_here_not_into_the_package(commands, tmp_path):
    (tmp_path / "indoor_student_90m_int8.tflite").touch()
    result = commands(REPOSITORY / "export.py", "--model=indoor_student_90m",
                      "--quantization=int8", cwd=tmp_path)
    assert_one_line(result, "error: indoor_student_90m_int8.tflite: exists; give --overwrite")


def write_truncated(path, workdir):
    data = (workdir / "student" / "student.keras").read_bytes()
    path.write_bytes(data[: len(data) // 2])


def write_lambda(path, workdir):
    image = keras.Input((480, 640, 3))
    keras.Model(image, keras.layers.Lambda(lambda x: x[..., :1])(image)).save(path)


def write_gadget(path, workdir):
    marker = path.with_name("marker")
    with zipfile.ZipFile(workdir / "student" / "student.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1]["config"]["name"] = {
        "module": "os", "class_name": "function", "config": "system",
        "registered_name": f"touch {marker}"}
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write_other_model(path, workdir):
    image = keras.Input((480, 640, 3))
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)).save(path)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("truncated.keras", write_truncated, ["truncated"]),
        ("lambda.keras", write_lambda, ["Lambda"]),
        ("gadget.keras", write_gadget, ["os.function"]),
        ("other.keras", write_other_model, ["not a depth model"]),
        ("a.h5", lambda path, _: path.write_bytes(b"\x89HDF\r\n\x1a\n" * 9), ["HDF5"]),
        ("a.pkl", lambda path, _: path.write_bytes(pickle.dumps({})), ["pickle"]),
    ],
)
def test_bad_models(export, workdir, tmp_path, name, write, words):
    model, output = tmp_path / name, tmp_path / "a.tflite"
    write(model, workdir)
    output.write_bytes(b"old")
    result = export(f"--model={model}", f"--output={output}", "--overwrite")
    assert_one_line(result, str(model), *words)
    assert output.read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {name, "a.tflite"}


def test_a_wrong_model_is_told_before_scenes_are_made(commands, tmp_path):
    result = commands("export.py", f"--model={tmp_path}/typo.keras", f"--cache_dir={tmp_path}")
    assert_one_line(result, "typo.keras: no such file")
    assert not list(tmp_path.iterdir())
