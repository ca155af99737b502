"""Saving for older Keras, and refusing files that are broken, unsafe or no depth model."""

import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest

from mai_depth.errors import UserError
from mai_depth.network import model_file


def tiny_model(channels=1, size=(8, 8, 3)):
    image = keras.Input(size, name="image")
    x = keras.layers.Resizing(*size[:2], name="depth_m")(image)
    return keras.Model(image, keras.layers.Conv2D(channels, 1)(x))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "student.keras"
    model_file.save_model(tiny_model(), path)
    return path


def edit_config(path: pathlib.Path, edit) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    edit(config["config"]["layers"])
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_round_trip_is_exact(path):
    model = tiny_model()
    model_file.save_model(model, path)
    image = np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)).astype(np.float32)
    loaded = model_file.load_model(path)
    assert np.array_equal(loaded.predict_on_batch(image), model.predict_on_batch(image))
    assert [file.name for file in path.parent.iterdir()] == ["student.keras"]


def test_files_are_packed(path):
    with zipfile.ZipFile(path) as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_DEFLATED}
    assert keras.saving.load_model(path).count_params() == tiny_model().count_params()


def test_names_nothing_that_older_keras_does_not_know(path):
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json").decode()
    for key in ("antialias", "input_axes", "optional", "quantization_config", "compile_config"):
        assert f'"{key}"' not in config


def test_settings_that_matter_are_kept():
    def layer(module, **settings):
        return {"module": module, "class_name": "Resizing", "config": settings}

    assert model_file.portable_config([
        layer("keras.layers", antialias=True, renorm=False),
        layer("keras.layers", antialias=False, name="a"),
        layer("keras_cv.layers", antialias=False),
        layer("mine", antialias=False),
    ]) == [
        layer("keras.layers", antialias=True),
        layer("keras.layers", name="a"),
        layer("keras_cv.layers", antialias=False),
        layer("mine", antialias=False),
    ]


def test_interrupted_save_keeps_the_old_file(path):
    before = path.read_bytes()

    class Broken:
        def save(self, raw):
            raw.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        model_file.save_model(Broken(), path)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "a.keras", "no such file"),
        (b"", "a.keras", "empty"),
        (b"hello world", "a.keras", "not a .keras file"),
        (b"\x89HDF\r\n\x1a\n", "a.h5", "HDF5"),
        (b"\x89HDF\r\n\x1a\n", "a.keras", "HDF5"),
        (b"\x80\x04\x95", "a.keras", "pickle"),
        (b"PK", "a.tflite", "suffix .keras"),
    ],
)
def test_other_files_are_refused(tmp_path, content, name, message):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        model_file.load_model(file)


def test_truncated_and_flipped(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="truncated"):
        model_file.load_model(path)
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(UserError, match="damaged"):
        model_file.load_model(path)


def test_lambda_is_refused(tmp_path):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Lambda(lambda x: x[..., :1])(image))
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(UserError, match="Lambda"):
        model_file.load_model(tmp_path / "lambda.keras")


@pytest.mark.parametrize(
    "gadget",
    [
        {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"},
        {"module": "keras.utils", "class_name": "function", "config": "get_file"},
        {"module": "numpy", "class_name": "save", "config": {}},
        {"class_name": "__typespec__", "spec_name": "TensorSpec", "module": "tensorflow"},
        {"class_name": ["list"], "config": {}},
    ],
)
def test_module_gadgets_are_refused(path, gadget):
    edit_config(path, lambda layers: layers[2]["config"].update(activation=gadget))
    with pytest.raises(UserError, match="no stock Keras layer"):
        model_file.load_model(path)


def test_unknown_setting_names_the_remedy(path):
    edit_config(path, lambda layers: layers[2]["config"].update(new_setting=1))
    with pytest.raises(UserError, match="cannot load the model"):
        model_file.load_model(path)


@pytest.mark.parametrize("model", [tiny_model(channels=3), tiny_model(size=(8, 8, 1))])
def test_other_shapes_are_refused(path, model):
    model_file.save_model(model, path)
    with pytest.raises(UserError, match="not a depth model"):
        model_file.load_model(path)


def test_nan_weight_is_refused(path):
    model = tiny_model()
    model.layers[-1].bias.assign([np.nan])
    model_file.save_model(model, path)
    with pytest.raises(UserError, match="NaN"):
        model_file.load_model(path)
