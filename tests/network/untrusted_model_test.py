"""Models from strangers: no payload runs, nothing is read or written beside them."""

import json
import os
import pathlib
import pickle
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from mai_depth.errors import UserError
from mai_depth.network.model_archive import read_config
from mai_depth.network.model_file import load_model
from mai_depth.network.model_file import save_model

WEIGHTS = "model.weights.h5"


@pytest.fixture
def path(tmp_path):
    """A good model, and beside it the name of a file that a payload would write."""
    image = keras.Input((8, 8, 3), name="image")
    path = tmp_path / "models" / "model.keras"
    path.parent.mkdir()
    save_model(keras.Model(image, keras.layers.Conv2D(1, 1, name="conv")(image)), path)
    return path


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


def repack(path, change, compression=zipfile.ZIP_STORED):
    """Lets `change` edit the dictionary of the archive's members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def edit_layer(path, **settings):
    def change(members):
        config = json.loads(members["config.json"])
        config["config"]["layers"][1] |= settings
        members["config.json"] = json.dumps(config)
    repack(path, change)


def edit_weights(path, change):
    """Lets `change` edit the HDF5 file of the weights and the name of the kernel in it."""
    def replace(members):
        file = path.with_name("weights.h5")
        file.write_bytes(members[WEIGHTS])
        with h5py.File(file, "r+") as weights:
            change(weights, "layers/conv2d/vars/0" if "conv2d" in weights["layers"]
                   else "layers/conv/vars/0")
        members[WEIGHTS] = file.read_bytes()
        file.unlink()
    repack(path, replace)


class Gadget:
    """A pickle of it runs a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def write_lambda(path, marker):
    image = keras.Input((8, 8, 3))
    function = eval(f"lambda x: [open({str(marker)!r}, 'w').close(), x[..., :1]][1]")
    keras.Model(image, keras.layers.Lambda(function)(image)).save(path)
    marker.unlink()  # building it has run it


def write_module_gadget(path, marker):
    edit_layer(path, module="os", class_name="system", config=f"touch {marker}")


def write_function_gadget(path, marker):
    edit_layer(path, module="keras.utils", class_name="get_file",
               config={"fname": str(marker), "origin": path.as_uri()})


def add_gadget(path, module, name, registered_name=None, **config):
    """A layer beside the model's own that Keras calls with a picture while it loads the file."""
    picture = {"class_name": "__numpy__",
               "config": {"value": [[[[1.0, 2.0, 3.0]] * 4] * 4], "dtype": "float32"}}

    def change(members):
        description = json.loads(members["config.json"])
        description["config"]["layers"].append({
            "module": module, "class_name": name, "registered_name": registered_name,
            "name": "gadget", "config": {"name": "gadget"} | config,
            "inbound_nodes": [{"args": [picture], "kwargs": {}}]})
        members["config.json"] = json.dumps(description)
    repack(path, change)


def function(name, module="keras", registered_name=None):
    return {"module": module, "class_name": "function", "config": name,
            "registered_name": registered_name or name}


def write_picture_with_a_lambda(path, marker):
    add_gadget(path, "keras", "layers.Lambda",
               function=function("visualization.plot_image_gallery"),
               arguments={"path": f"{marker}", "value_range": [0, 255], "rows": 1, "cols": 1})


def write_wrapped_lambda(path, marker):
    add_gadget(path, "keras.layers", "SpectralNormalization", layer={
        "module": "keras", "class_name": "layers.Lambda", "registered_name": None,
        "config": {"name": "inner", "function": function("config.set_floatx")}})


def write_download(path, marker):
    add_gadget(path, "keras.layers", "Activation", activation=function("datasets.mnist.load_data"))


def write_dotted_class(path, marker):
    add_gadget(path, "keras", "config.set_floatx")


def write_builtin_that_loads(path, marker):
    add_gadget(path, "keras.layers", "Activation", activation=function("deserialize", "builtins"))


def write_operation_that_calls(path, marker):
    add_gadget(path, "keras.src.ops.core", "Map", "Map")


def write_other_registered_name(path, marker):
    add_gadget(path, "keras.layers", "Dense", "keras_cv>plot_image_gallery")


def write_other_class_in_a_node(path, marker):
    add_gadget(path, "keras.layers", "Rescaling", scale=2.0,
               offset={"module": "keras", "class_name": "utils.Sequence", "config": {}})


def write_two_lines(path, marker):
    edit_layer(path, module="os", class_name="a\nerror: b\x1b[2J")


def write_tfsm_layer(path, marker):
    edit_layer(path, module="keras.layers", class_name="TFSMLayer",
               config={"filepath": str(marker.parent)})


def write_vocabulary_reader(path, marker):
    edit_layer(path, module="keras.layers", class_name="StringLookup",
               config={"vocabulary": "/etc/hostname"})


def write_pickle(path, marker):
    path.write_bytes(pickle.dumps(Gadget(marker)))


def write_pickle_inside(path, marker):
    repack(path, lambda members: members.update({"config.json": pickle.dumps(Gadget(marker))}))


def write_zip_bomb(path, marker):
    repack(path, lambda members: members.update({WEIGHTS: bytes(100 << 20)}), zipfile.ZIP_DEFLATED)


def write_config_bomb(path, marker):
    repack(path, lambda members: members.update({"config.json": b" " * (65 << 20)}),
           zipfile.ZIP_DEFLATED)


def write_many_members(path, marker):
    repack(path, lambda members: members.update({f"assets/{n}": b"" for n in range(300)}))


def write_sum_bomb(path, marker):
    """No member is too large alone, and all together fit in 50 times the file."""
    def change(members):
        members[WEIGHTS] = bytes(60 << 20)
        members["metadata.json"] = b" " * (60 << 20)
    repack(path, change, zipfile.ZIP_DEFLATED)


def write_other_packing(path, marker):
    repack(path, lambda members: None, zipfile.ZIP_LZMA)


def write_small_hdf5_bomb(path, marker):
    """Below the 4 GiB that Keras itself allows: a file of 1 kB took 8 GB of memory."""
    def change(weights, kernel):
        del weights[kernel]
        weights.create_dataset(kernel, (1 << 14, 1 << 15), "f4", chunks=(64, 64), compression=9)
    edit_weights(path, change)


def write_hdf5_of_words(path, marker):
    def change(weights, kernel):
        del weights[kernel]
        weights.create_dataset(kernel, (3,), h5py.string_dtype())
    edit_weights(path, change)


def write_hdf5_bomb(path, marker):
    def change(weights, kernel):
        del weights[kernel]
        weights.create_dataset(kernel, (1 << 20, 1 << 20), "f4", chunks=(64, 64), compression=9)
    edit_weights(path, change)


def write_external_link(path, marker):
    other = path.with_name("secret.h5")
    with h5py.File(other, "w") as file:
        file["kernel"] = np.ones((1, 1, 3, 1), np.float32)

    def change(weights, kernel):
        del weights[kernel]
        weights[kernel] = h5py.ExternalLink(str(other), "kernel")
    edit_weights(path, change)


def write_external_storage(path, marker):
    secret = path.with_name("secret.bin")
    secret.write_bytes(bytes(12))

    def change(weights, kernel):
        del weights[kernel]
        weights.create_dataset(kernel, (1, 1, 3, 1), "f4", external=[(str(secret), 0, 12)])
    edit_weights(path, change)


PAYLOADS = {
    write_lambda: "holds a Lambda, which can run code",
    write_module_gadget: "names os.system, which is no stock Keras layer",
    write_function_gadget: "names keras.utils.get_file, which is no stock Keras layer",
    write_tfsm_layer: "holds a TFSMLayer, which can run code",
    write_vocabulary_reader: "holds a StringLookup, which can run code or read files",
    write_pickle: "a pickle, which could run any program",
    write_pickle_inside: "damaged inside",
    write_zip_bomb: f"its {WEIGHTS} unpacks to 105 MB; do not trust it",
    write_config_bomb: r"its config.json is too large for a model; do not trust it",
    write_hdf5_bomb: "cannot load the model",
    write_picture_with_a_lambda: "holds a layers.Lambda, which can run code",
    write_wrapped_lambda: "holds a layers.Lambda, which can run code",
    write_download: "names keras.function datasets.mnist.load_data, which is no stock Keras layer",
    write_dotted_class: "names keras.config.set_floatx, which is no stock Keras layer",
    write_builtin_that_loads: "names builtins.function deserialize, which is no stock Keras layer",
    write_operation_that_calls: "names keras.src.ops.core.Map, which is no stock Keras layer",
    write_other_registered_name: "names keras_cv>plot_image_gallery, which is no stock Keras layer",
    write_other_class_in_a_node: "names keras.utils.Sequence, which is no stock Keras layer",
    write_two_lines: r"names os.a\\nerror: b\\x1b\[2J, which is no stock Keras layer",
    write_many_members: "holds assets/0, which no depth model needs; do not trust it",
    write_sum_bomb: "unpacks to 126 MB, more than the 67 MB of a model; do not trust it",
    write_other_packing: "is packed in a way that Keras never uses; save the model again",
    write_small_hdf5_bomb: r"layers/conv2d/vars/0 of its model.weights.h5 claims 2147 MB, more",
    write_hdf5_of_words: r"layers/conv2d/vars/0 of its model.weights.h5 holds no numbers",
    write_external_link: "cannot load the model",
    write_external_storage: "cannot load the model",
}


@pytest.mark.parametrize("write", PAYLOADS, ids=lambda write: write.__name__[6:])
def test_a_payload_is_refused_and_does_not_run(path, marker, write):
    write(path, marker)
    with pytest.raises(UserError, match=PAYLOADS[write]) as fault:
        load_model(path)
    assert str(fault.value).startswith(f"{path}: ") and "\n" not in str(fault.value)
    assert not marker.exists() and keras.config.floatx() == "float32"


def test_a_teacher_names_only_the_listed_classes_of_its_packages(path):
    pytest.importorskip("keras_cv")
    for module, name, registered_name in (
        ("keras_cv.src.layers", "RandAugment", "keras_cv>RandAugment"),
        ("keras_cv.src.layers.vit_det_layers", "MLP", "keras_cv>plot_image_gallery"),
        ("keras_cv.src.layers.vit_det_layers", "MLP", "keras_hub>MLP"),
    ):
        add_gadget(path, module, name, registered_name)
        with pytest.raises(UserError, match=r"names .*(plot|Rand|hub>).*, which is no stock"):
            load_model(path, trusted_packages=("keras_cv", "keras_hub"))


def test_a_plain_word_that_another_package_has_registered_is_refused(path):
    pytest.importorskip("keras_cv")
    add_gadget(path, "keras.layers", "Activation", activation="keras_cv>plot_image_gallery")
    with pytest.raises(UserError, match="names keras_cv>plot_image_gallery, which is no stock"):
        load_model(path)


def test_a_package_that_is_not_installed_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    add_gadget(path, "keras_hub.src.models.vit.vit_backbone", "ViTBackbone")
    with pytest.raises(UserError, match=r"needs keras_hub, .*; pip install keras-hub"):
        load_model(path, trusted_packages=("keras_cv", "keras_hub"))


@pytest.mark.parametrize("name", ["assets/../../{}", "../{}", "{}", "assets/{}", "CONFIG.json"])
def test_a_member_that_climbs_out_of_the_archive_is_not_written(path, marker, name):
    repack(path, lambda members: members.update({name.format(marker): b"written"}))
    before = set(path.parent.parent.rglob("*"))
    with pytest.raises(UserError, match=r"holds .*, which no depth model needs; do not trust it"):
        load_model(path)
    assert set(path.parent.parent.rglob("*")) == before
    assert not marker.exists() and not pathlib.Path.cwd().joinpath(marker.name).exists()


def test_a_member_that_is_there_twice_is_refused(path):
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", "{}")
    with pytest.raises(UserError, match=r"holds config.json twice; do not trust it"):
        load_model(path)


def test_a_teacher_may_be_larger_than_a_student(path):
    size = sum(member.file_size for member in zipfile.ZipFile(path).infolist())
    with pytest.raises(UserError, match="unpacks to"):
        read_config(path, size - 1)
    assert read_config(path, size)["class_name"] == "Functional"


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_hdf5_models_are_refused_unopened(path, name):
    other = path.with_name(name)
    with h5py.File(other, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Lambda"})
    with pytest.raises(UserError, match="an HDF5 file; only"):
        load_model(other)
