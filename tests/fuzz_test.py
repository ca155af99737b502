"""Damaged pictures, models and graphs: read or refused in one line, nothing else.

Each kind of file is damaged in 200 ways and read in forks, see `fuzz_driver`. Flag and
state files are fuzzed in faults_test.py and checkpoint_test.py.
"""

import collections
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

from mai_depth.errors import UserError
from mai_depth.network.model_file import save_model
from mai_depth.tflite import runner

CASES = 200


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with one small good file of each kind."""
    folder = tmp_path_factory.mktemp("good")
    random = np.random.default_rng(0)
    y, x = np.mgrid[:60, :80]
    rgb = np.stack([3 * x, 4 * y, x + y], -1) + random.integers(0, 9, (60, 80, 3))
    for kind in ("rgb", "depth"):
        (folder / kind).mkdir()
    for suffix in ("png", "jpg"):
        Image.fromarray(rgb.astype(np.uint8)).save(folder / "rgb" / f"a.{suffix}")
    Image.fromarray((1000 + 10 * x + 20 * y).astype(np.uint16)).save(folder / "depth" / "a.png")
    model = small_model()
    save_model(model, folder / "a.keras")
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / "a.tflite").write_bytes(converter.convert())
    return folder


def small_model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = layers.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Resizing(4, 4)(image))
    x = layers.Conv2D(1, 1)(layers.BatchNormalization()(x))
    x = layers.Rescaling(10.0)(layers.Activation("sigmoid")(x))
    return keras.Model(image, layers.Resizing(8, 8)(x))


def fuzz(folder, *arguments):
    """How each of the cases ended, as reported by the driver."""
    (folder / "cases").mkdir()
    reader, file, *partner = map(str, arguments)
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tests" / "fuzz_driver.py", reader, file, folder / "cases",
         *partner], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True,
        text=True, timeout=550)
    assert done.returncode == 0, done.stderr[-2000:]
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ends) == CASES
    return ends


def assert_harmless(ends, refused):
    """No traceback, no crash, nothing left behind; at least `refused` are refused, in one line."""
    kinds = collections.Counter(end["end"] for end in ends)
    assert set(kinds) <= {"read", "refused"}, [
        end for end in ends if end["end"] not in ("read", "refused")]
    assert kinds["refused"] >= refused
    for end in ends:
        assert not end["left"]
        if end["end"] == "refused":
            assert "\n" not in end["message"]


@pytest.mark.parametrize(("kind", "suffix", "refused"), [
    ("rgb", "png", 190), ("rgb", "jpg", 60), ("depth", "png", 150)])
def test_damaged_pairs(good, tmp_path, kind, suffix, refused):
    """A JPEG has no checksum: a flipped bit is a spot in the picture, or invisible."""
    partner = good / {"rgb": "depth", "depth": "rgb"}[kind] / "a.png"
    ends = fuzz(tmp_path, "pair", good / kind / f"a.{suffix}", partner)
    assert_harmless(ends, refused)
    assert all(f"{kind}/a.{suffix}" in end["message"] for end in ends if end["end"] == "refused")


@pytest.mark.parametrize(("suffix", "refused"), [("png", 190), ("jpg", 60)])
def test_damaged_pictures_of_a_prediction(good, tmp_path, suffix, refused):
    ends = fuzz(tmp_path, "picture", good / "rgb" / f"a.{suffix}")
    assert_harmless(ends, refused)
    assert all(end["name"] in end["message"] for end in ends if end["end"] == "refused")


def test_a_prediction_goes_on_behind_damaged_pictures(commands, good, tmp_path):
    """Every damaged file gives a line or a complete result."""
    (tmp_path / "in").mkdir()
    content = (good / "rgb" / "a.jpg").read_bytes()
    for number in range(40):
        position = 20 + number * (len(content) - 20) // 40
        damaged = content[:position] + bytes([content[position] ^ 16]) + content[position + 1 :]
        (tmp_path / "in" / f"{number}.jpg").write_bytes(damaged)
    done = commands("-m", "mai_depth.predict", f"--input={tmp_path / 'in'}",
                    f"--output={tmp_path / 'out'}", f"--model={good / 'a.tflite'}", "--write=depth")
    lines = done.stderr.splitlines()
    skipped = {line.split(": ")[1] for line in lines if line.startswith("skipped: ")}
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert "Traceback" not in done.stderr and done.returncode == 1
    assert skipped and written
    assert len(skipped) + len(written) == 40
    assert written == {f"{number}_depth.png" for number in range(40)
                       if str(tmp_path / "in" / f"{number}.jpg") not in skipped}


def test_damaged_models(good, tmp_path):
    """Half of them are packed again after the damage, so that their checksums match."""
    ends = fuzz(tmp_path, "keras", good / "a.keras")
    assert_harmless(ends, 100)
    assert all(end["name"] in end["message"] for end in ends if end["end"] == "refused")


def test_damaged_graphs(good, tmp_path, monkeypatch):
    """LiteRT itself may crash or hang on a case: then the child that tries it first says so."""
    monkeypatch.setattr(runner, "_TRIAL_S", 20)
    monkeypatch.chdir(REPOSITORY)
    ends = fuzz(tmp_path, "tflite", good / "a.tflite")
    fatal = [end["name"] for end in ends if end["end"].startswith("SIG")]
    assert_harmless([end for end in ends if end["name"] not in fatal], 100)
    assert len(fatal) < 10
    for name in fatal:
        with pytest.raises(UserError, match=f"{name}: n(ative code died of SIG|o answer)"):
            runner.try_graph(tmp_path / "cases" / name)


# Python runs it at its start: from then on an invoke is fatal, or takes forever.
BROKEN_LITERT = """
import os, time
import ai_edge_litert.interpreter as real

class Interpreter(real.Interpreter):
    def __init__(self, model_path, **options):
        super().__init__(model_path, **options)
        self.fatal = "crash" in model_path

    def invoke(self):
        if self.fatal:
            os.kill(os.getpid(), 11)
        time.sleep(500)

real.Interpreter = Interpreter
"""


@pytest.mark.parametrize(("name", "message"), [
    ("crash", "native code died of SIGSEGV; the file is broken, export or copy it again"),
    ("hang", "no answer within 2 s; the file is broken or too slow for this machine")])
def test_a_graph_that_kills_or_stops_litert_is_one_line(
        good, tmp_path, monkeypatch, name, message):
    (tmp_path / "sitecustomize.py").write_text(BROKEN_LITERT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(runner, "_TRIAL_S", 2 if name == "hang" else 400)
    path = tmp_path / f"{name}.tflite"
    path.write_bytes((good / "a.tflite").read_bytes())
    with pytest.raises(UserError, match=f"{name}.tflite: {message}"):
        runner.try_graph(path)
