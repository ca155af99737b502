"""network.model_limits: layers that no memory holds are refused before Keras builds them."""

import json
import zipfile

import keras
import pytest

from mai_depth.errors import UserError
from mai_depth.network.model_file import load_model
from mai_depth.network.model_file import save_model


@pytest.fixture
def path(tmp_path):
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(16, 3, padding="same", name="conv")(image)
    x = keras.layers.Dense(8, name="dense")(x)
    x = keras.layers.Resizing(4, 4, name="small")(x)
    x = keras.layers.Resizing(8, 8, name="large")(x)
    path = tmp_path / "model.keras"
    save_model(keras.Model(image, keras.layers.Conv2D(1, 1, name="head")(x)), path)
    return path


def edit(path, change):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = change(members["config.json"].decode())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def set_layer(path, name, **settings):
    def change(text):
        config = json.loads(text)
        layer, = (one for one in config["config"]["layers"] if one["config"].get("name") == name)
        layer["config"] |= settings
        return json.dumps(config)

    edit(path, change)


@pytest.mark.parametrize(("layer", "settings", "words"), [
    ("conv", {"filters": 10**12}, r"filters=1e\+12, too large"),
    ("conv", {"filters": 10**400}, r"filters=1e\+300, too large"),
    ("conv", {"filters": -(10**12)}, r"filters=-1e\+12, too large"),
    ("conv", {"filters": 10**7}, r"ask for 2.7e\+08 weights, more than the file holds"),
    ("conv", {"kernel_size": [30_000, 30_000]}, r"weights, more than the file holds"),
    ("dense", {"units": 10**7}, r"weights, more than the file holds"),
    ("image", {"batch_shape": [None, 10**6, 10**6, 3]}, r"tensor of 3e\+12 numbers"),
    ("small", {"height": 10**6, "width": 10**6}, r"layer small answers with 8e\+12 numbers"),
])
def test_huge_settings_are_one_line(path, layer, settings, words):
    set_layer(path, layer, **settings)
    with pytest.raises(UserError, match=rf"model.keras: .*{words}") as fault:
        load_model(path)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(("change", "words"), [
    (lambda text: text[:-1] + ', "x":' + "[" * 100_000 + "]" * 100_000 + "}", "recursion depth"),
    (lambda text: text[:-1] + ', "x":' + "[" * 900 + "]" * 900 + "}", None),
    (lambda text: text.replace('"filters": 16', '"filters": ' + "9" * 5000), "5000 digits"),
])
def test_a_description_that_python_cannot_read_is_one_line(path, change, words):
    edit(path, change)
    if words is None:  # nested as deep as Python reads it: loaded, or one line
        load_model(path)
        return
    with pytest.raises(UserError, match=rf"model.keras: damaged inside .*{words}"):
        load_model(path)


def test_large_numbers_that_ask_for_no_memory_are_accepted(path):
    def change(text):
        config = json.loads(text)
        layer = config["config"]["layers"][1]
        layer["shared_object_id"] = 140_000_000_000_000
        layer["config"]["kernel_initializer"]["config"]["seed"] = 2**32 - 1
        return json.dumps(config)

    edit(path, change)
    assert load_model(path).count_params() == 3 * 3 * 3 * 16 + 16 + 16 * 8 + 8 + 8 + 1
