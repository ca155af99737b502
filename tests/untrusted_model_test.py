"""Models from strangers: no payload runs, nothing is read or written beside them."""

import json
import os
import pathlib
import pickle
import zipfile

import h5py
import keras
import numpy as np
import pytest

from mai_depth.errors import UserError
from mai_depth.model_file import load_model
from mai_depth.model_file import save_model

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
    write_external_link: "cannot load the model",
    write_external_storage: "cannot load the model",
}


@pytest.mark.parametrize("write", PAYLOADS, ids=lambda write: write.__name__[6:])
def test_a_payload_is_refused_and_does_not_run(path, marker, write):
    write(path, marker)
    with pytest.raises(UserError, match=PAYLOADS[write]) as fault:
        load_model(path)
    assert str(fault.value).startswith(f"{path}: ") and "\n" not in str(fault.value)
    assert not marker.exists()


def test_a_member_that_climbs_out_of_the_archive_is_not_written(path, marker):
    """Keras reads what it knows by name: such a member is never unpacked."""
    climbs = [f"assets/../../{marker.name}", f"../{marker.name}", str(marker)]
    repack(path, lambda members: members.update(dict.fromkeys(climbs, b"written")))
    before = set(path.parent.parent.rglob("*"))
    load_model(path)
    assert set(path.parent.parent.rglob("*")) == before
    assert not marker.exists() and not pathlib.Path.cwd().joinpath(marker.name).exists()


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_hdf5_models_are_refused_unopened(path, name):
    other = path.with_name(name)
    with h5py.File(other, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Lambda"})
    with pytest.raises(UserError, match="an HDF5 file; only"):
        load_model(other)
