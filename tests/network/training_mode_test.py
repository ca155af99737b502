"""The plain call: `model(x)` of every file that we write is what `predict` answers."""

import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import REPOSITORY

from mai_depth.network import pretrained
from mai_depth.network.model_file import load_model
from mai_depth.network.model_file import save_model
from mai_depth.network.student import build_student
from mai_depth.network.teacher import build_teacher
from mai_depth.network.training_mode import leave_training_mode

DRIVER = pathlib.Path(__file__).with_name("plain_keras_driver.py")
TOLERANCE_M = 1e-5
OLDER_KERAS = "3.10.0"


def with_statistics(model):
    """Gives every BatchNorm a mean and a variance that training mode would not find."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, layer.moving_variance.shape))
    return model


def careless_model():
    """What a user writes: stock layers, called the plain way."""
    image = keras.Input((480, 640, 3))
    x = keras.layers.CenterCrop(192, 256)(keras.layers.Resizing(240, 320)(image))
    x = keras.layers.Conv2D(4, 3, 4, padding="same")(keras.layers.Rescaling(1 / 255)(x))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x))
    x = keras.layers.Conv2D(1, 1, activation="softplus")(x)
    return with_statistics(keras.Model(image, keras.layers.Resizing(480, 640)(x)))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The shipped files, and fresh models as training writes them."""
    folder = tmp_path_factory.mktemp("models")
    fresh = {
        "student": build_student("student_28m", max_depth_m=10.0, antialias=True),
        "teacher": build_teacher("efficientnet_lite0", max_depth_m=10.0),
    }
    for name, model in fresh.items():
        save_model(with_statistics(model), folder / f"{name}.keras")
    shipped = [pretrained.pretrained_path(entry["name"]) for entry in pretrained.list_pretrained()]
    return [*(path for path in shipped if path.suffix == ".keras"), *sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def older_keras(tmp_path_factory):
    """An older Keras alone in a folder, to stand before the installed one."""
    folder = tmp_path_factory.mktemp("keras")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder),
         f"keras=={OLDER_KERAS}"], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"no Keras {OLDER_KERAS} to be had: {done.stderr.strip()[-200:]}")
    return folder


def examined(files, path=""):
    done = subprocess.run(
        [sys.executable, DRIVER, *files], capture_output=True, text=True, timeout=900,
        env={**os.environ, "PYTHONPATH": str(path)}, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_all_alike(found):
    for name, model in found["models"].items():
        assert model["range_m"] > 0.01, name  # a flat answer would agree with anything
        worst = {way: value for way, value in model["differences"].items() if value > TOLERANCE_M}
        assert not worst, (name, worst)
        assert model["changed"] == 0, name
        training = model["training"]
        assert training["moved"] == training["statistics"] > 0, name
        assert training["after"] < training["before"], (name, training)
        assert model["changed_frozen"] == 0, name


def test_every_call_of_the_best_student_answers_alike():
    assert_all_alike(examined([pretrained.pretrained_path("nyuv2_student_90m")]))


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_every_call_of_every_file_answers_alike_in_this_keras(files):
    found = examined(files)
    assert found["keras"] == keras.__version__
    assert_all_alike(found)


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_every_call_of_every_file_answers_alike_in_an_older_keras(files, older_keras):
    found = examined(files, older_keras)
    assert found["keras"] == OLDER_KERAS
    assert_all_alike(found)


@pytest.mark.parametrize("preset", ["vit_ti", "mobilenet"])
def test_teachers_answer_alike_before_they_are_saved(preset):
    teacher = with_statistics(build_teacher(preset, max_depth_m=10.0))
    x = np.random.default_rng(0).uniform(0, 255, (1, 480, 640, 3)).astype(np.float32)
    expected = teacher.predict(x, verbose=0)
    assert np.abs(teacher(x) - expected).max() <= TOLERANCE_M
    again = keras.models.clone_model(teacher)
    again.set_weights(teacher.get_weights())
    assert np.abs(again(x) - expected).max() <= TOLERANCE_M


def test_an_older_file_is_mended_while_it_is_loaded(tmp_path, capsys):
    model, path = careless_model(), tmp_path / "old.keras"
    model.save(path)
    before = path.read_bytes()
    x = np.random.default_rng(0).uniform(0, 255, (2, 480, 640, 3)).astype(np.float32)
    stock = keras.saving.load_model(path)
    expected = stock.predict(x, verbose=0)
    assert np.abs(stock(x) - expected).max() > 0.01  # the trap, should Keras ever mend it: say so
    loaded = load_model(path)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path}: calling this model would have run it in training mode")
    assert np.abs(loaded(x) - expected).max() <= TOLERANCE_M
    assert path.read_bytes() == before
    save_model(loaded, path)
    assert np.abs(load_model(path)(x) - expected).max() <= TOLERANCE_M
    assert not capsys.readouterr().err


def test_the_page_about_it_shows_what_it_says(capsys):
    page = (REPOSITORY / "docs/training_mode.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    names = {}
    exec(blocks[0], names)
    wrong, after = map(float, capsys.readouterr().out.split())
    assert wrong > 100 and after > 10
    exec(blocks[1], names)
    model = keras.Model(names["image"], keras.layers.BatchNormalization()(names["x"]))
    assert np.abs(model(names["picture"]) - model.predict(names["picture"], verbose=0)).max() < 1e-3


def test_a_mode_that_was_asked_for_stays():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dropout(0.5, name="drop")(image, training=True)
    x = keras.layers.Resizing(4, 4, name="resize")(x)
    inner = keras.Model(image, x)
    outer = keras.Input((8, 8, 3))
    config = keras.saving.serialize_keras_object(
        keras.Model(outer, keras.layers.BatchNormalization(name="norm")(inner(outer))))
    assert leave_training_mode(config) == ["resize"]
    assert leave_training_mode(config) == []
    text = json.dumps(config)
    assert text.count('"training": true') == 1 and text.count('"training": false') == 1
