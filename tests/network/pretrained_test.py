"""network.pretrained: the networks that the package brings, and how it refuses damaged ones."""

import hashlib
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

from mai_depth.data.sources import open_split
from mai_depth.errors import UserError
from mai_depth.metrics import NAMES
from mai_depth.metrics import si_rmse
from mai_depth.network import pretrained
from mai_depth.network.model_file import save_model
from mai_depth.tflite.graph import TfliteFile
from mai_depth.tflite.runner import TfliteNetwork
from mai_depth.training.evaluation import predict_pairs

MAX_BYTES = 24_000_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder like the package's, with a `.keras` and a file that only claims to be `.tflite`."""
    image = keras.layers.Input((48, 64, 3), name="image")
    depth = keras.layers.Conv2D(1, 1, activation="softplus", name="depth_m")(image)
    save_model(keras.Model(image, depth), tmp_path / "good.keras")
    (tmp_path / "small.tflite").write_bytes(b"\0\0\0\0TFL3")
    write_index(tmp_path, {"good": ("good.keras", 0.2), "small": ("small.tflite", 0.3)})
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path


def write_index(folder, files):
    entries = [
        {"name": name, "file": file, "metrics": {"data": "none", "si_rmse": si_rmse},
         "recipe": "none", "license": "none",
         "sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest()}
        for name, (file, si_rmse) in files.items()
    ]
    (folder / "index.json").write_text(json.dumps(entries))


def test_what_the_package_brings_is_complete_and_intact():
    entries = pretrained.list_pretrained()
    assert len({entry["name"] for entry in entries}) == len(entries)
    for entry in entries:
        assert pretrained.pretrained_path(entry["name"]).is_file()
        assert {"recipe", "license"} <= entry.keys()
        assert {"data", "si_rmse", "delta1"} <= entry["metrics"].keys()
        if entry["file"].endswith(".keras"):
            model = pretrained.load_pretrained(entry["name"])
            assert model.output_shape[1:] == (480, 640, 1)
    listed = {entry["file"] for entry in entries}
    sizes = {path.name: path.stat().st_size for path in pretrained.FOLDER.iterdir()}
    models = {name for name in sizes if name.endswith((".keras", ".tflite"))}
    assert models == listed
    assert sum(sizes.values()) <= MAX_BYTES
    for path in pretrained.FOLDER.iterdir():  # a path of the machine that trained is no one's
        assert not re.search(rb'"(encoder_weights|prune_from)": "[^"]*/', path.read_bytes()), path


def test_loads_by_name(folder):
    model = pretrained.load_pretrained("good")
    assert model.predict_on_batch(np.zeros((1, 48, 64, 3), np.float32)).shape == (1, 48, 64, 1)


def test_the_first_keras_file_is_the_one_that_nobody_has_to_name(folder):
    for name in ("first", "second"):
        (folder / f"{name}.keras").write_bytes(name.encode())
    write_index(folder, {"smallest": ("small.tflite", 0.1), "first": ("first.keras", 0.3),
                         "second": ("second.keras", 0.2)})
    assert pretrained.default_pretrained() == "first"


def test_without_tensorflow_it_is_a_tflite(folder, monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    assert pretrained.default_pretrained() == "small"


def test_unknown_name_lists_the_known_ones(folder):
    with pytest.raises(UserError, match="god: no such pretrained network; there are: good, small"):
        pretrained.load_pretrained("god")


def test_tflite_is_no_keras_model(folder):
    assert pretrained.pretrained_path("small") == folder / "small.tflite"
    with pytest.raises(UserError, match=re.escape("pretrained_path('small')")):
        pretrained.load_pretrained("small")


def test_one_changed_byte_is_found(folder):
    path = folder / "good.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="changed or damaged"):
        pretrained.load_pretrained("good")
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        pretrained.load_pretrained("good")


@pytest.mark.parametrize("index", ["", "{", "3", '[{"name": "good"}]', "[3]"])
def test_broken_index_is_named(folder, index):
    (folder / "index.json").write_text(index)
    with pytest.raises(UserError, match=re.escape("index.json: broken")):
        pretrained.load_pretrained("good")


def test_empty_index_asks_for_a_model(folder):
    (folder / "index.json").write_text("[]")
    with pytest.raises(UserError, match="--model"):
        pretrained.default_pretrained()


def write_measured(path, **more):
    metrics = {name: 0.25 for name in NAMES} | {"images": 80}
    path.write_text(json.dumps({"metrics": metrics} | more))
    return path


def test_a_network_is_added_and_replaced(folder, tmp_path_factory):
    source = tmp_path_factory.mktemp("run") / "student.keras"
    source.write_bytes((folder / "good.keras").read_bytes())
    measured = write_measured(source.with_suffix(".json"), builder={"preset": "p"}, data={})
    for recipe in ("old.flags", "new.flags"):
        pretrained.add_pretrained("added", source, measured, recipe=recipe)
    assert [entry["name"] for entry in pretrained.list_pretrained()] == ["good", "small", "added"]
    pretrained.add_pretrained("added", source, measured, recipe="new.flags", license_text="mine")
    assert pretrained.list_pretrained()[-1]["license"] == "mine"
    pretrained.add_pretrained("added", source, measured, recipe="new.flags")
    assert pretrained.load_pretrained("added").output_shape == (None, 48, 64, 1)
    entry = pretrained.list_pretrained()[-1]
    assert entry["recipe"] == "new.flags" and entry["focal_length"] == 0.811
    assert entry["metrics"]["si_rmse"] == 0.25 and "NYU" in entry["license"]
    assert json.loads((folder / "added.json").read_text()).keys() == {
        "builder", "metrics", "focal_length"}


def test_metrics_of_a_tflite_are_its_own(folder, tmp_path_factory):
    source = tmp_path_factory.mktemp("export") / "student_int8.tflite"
    source.write_bytes(b"\0\0\0\0TFL3 other")
    row = {name: 0.25 for name in NAMES} | {"images": 80}
    measured = source.with_suffix(".row")
    measured.write_text(json.dumps({"rows": [row | {"sha256": "ab"}]}))
    with pytest.raises(UserError, match="measured another file"):
        pretrained.add_pretrained("int8", source, measured, recipe="r")
    row["sha256"] = hashlib.sha256(source.read_bytes()).hexdigest()
    measured.write_text(json.dumps({"rows": [row]}))
    pretrained.add_pretrained("int8", source, measured, recipe="r")
    assert pretrained.pretrained_path("int8").read_bytes() == source.read_bytes()


def test_what_cannot_be_added_is_named(folder, tmp_path):
    with pytest.raises(UserError, match=re.escape("no.keras")):
        pretrained.add_pretrained("a", tmp_path / "no.keras", tmp_path / "no.json", recipe="r")
    measured = write_measured(tmp_path / "student.json", metrics={"si_rmse": 0.2})
    with pytest.raises(UserError, match=re.escape("'rmse'")):
        pretrained.add_pretrained("a", folder / "good.keras", measured, recipe="r")
    assert [entry["name"] for entry in pretrained.list_pretrained()] == ["good", "small"]


def test_looking_for_a_network_loads_no_tensorflow():
    code = ("import sys; from mai_depth.network.pretrained import list_pretrained; "
            "list_pretrained(); assert not {'tensorflow', 'keras'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_an_encoder_starts_by_name_from_any_folder(tiny_data, tmp_path, monkeypatch):
    from mai_depth.data.sources import DataOptions
    from mai_depth.training.job import Student
    from mai_depth.training.job import TrainingJob
    from mai_depth.training.plan import plan_student
    from mai_depth.training.run import Recipe

    monkeypatch.chdir(tmp_path)
    pairs = open_split(str(tiny_data), "train", cache_dir=str(tiny_data / "cache"))
    line, = (line for line in (REPOSITORY / "student.flags").read_text().splitlines()
             if line.startswith("--encoder_weights="))
    name = line.partition("=")[2]
    job = TrainingJob(tmp_path, DataOptions((), ""), Student(encoder_weights=name),
                      recipe=Recipe(batch_size=4))
    run = plan_student(job, pairs, pairs)
    built, shipped = run.build(), pretrained.load_pretrained(name)
    for ours, theirs in zip(built.get_layer("expanded_conv_project").get_weights(),
                            shipped.get_layer("expanded_conv_project").get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert run.description["builder"]["encoder_weights"] == name  # of no machine's path


def test_a_name_is_a_shipped_network_unless_a_file_has_it(folder, tmp_path, monkeypatch):
    assert pretrained.named_file("small") == folder / "small.tflite"
    assert pretrained.named_file("runs/good") is None
    with pytest.raises(UserError, match=r"--model=god: no such file .*: good, small$"):
        pretrained.named_file("god")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good").touch()
    assert pretrained.named_file("good") is None
    (tmp_path / "small").mkdir()  # as `predict --output=small` makes it
    assert pretrained.named_file("small") == folder / "small.tflite"


def test_every_indoor_network_runs_without_tensorflow_by_its_own_name():
    """As README's table names them, for `live` and on a board."""
    names = [entry["name"] for entry in pretrained.list_pretrained()
             if entry["name"].startswith("indoor_") and entry["file"].endswith(".keras")]
    assert len(names) == 5
    for name in names:
        assert pretrained.named_file(name) == pretrained.FOLDER / f"{name}.keras"
        assert pretrained.named_file(name, ".keras") == pretrained.FOLDER / f"{name}.keras"
        integers = pretrained.FOLDER / f"{name}_int8.tflite"
        assert pretrained.named_file(name, ".tflite") == integers
        assert pretrained.named_file(f"{name}_int8", ".tflite") == integers
        assert TfliteFile(integers).number_format() == "int8"
    alone = pretrained.named_file("nyuv2_student_28m", ".tflite")
    assert alone == pretrained.FOLDER / "nyuv2_student_28m.keras"  # it has no integers


def test_encoder_names_and_paths_are_told_apart(folder, tmp_path, monkeypatch):
    for value in (None, "imagenet", "x/y", "a.weights.h5", "runs/student/student.keras"):
        assert pretrained.encoder_file(value) == value
    assert pretrained.encoder_file("good") == str(folder / "good.keras")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").touch()
    assert pretrained.encoder_file("mine") == "mine"
    for value in ("goood", "small"):  # small is a .tflite
        with pytest.raises(UserError, match=rf"_weights={value}: .*: imagenet, none, good$"):
            pretrained.encoder_file(value)


@pytest.fixture(scope="module")
def nyu_validation(shared, tmp_path_factory):
    folder = shared / "data" / "nyuv2"
    if not (folder / "validation").is_dir():
        pytest.skip(f"{folder}/validation: not there; the 80 pictures of the stated metrics")
    return open_split(str(folder), "validation", cache_dir=str(tmp_path_factory.mktemp("nyu")))


@pytest.mark.parametrize("entry", [
    pytest.param(entry, id=entry["name"], marks=() if number < 2 else pytest.mark.slow)
    for number, entry in enumerate(pretrained.list_pretrained())])
def test_shipped_networks_are_as_good_as_stated(entry, nyu_validation):
    """Each file is opened and asked, the integers too."""
    path = pretrained.pretrained_path(entry["name"])
    if path.suffix == ".tflite":
        depth = map(TfliteNetwork(path), map(np.asarray, nyu_validation.rgb))
        dtypes = {tensor.dtype for tensor in TfliteFile(path).tensors()}
        assert "INT8" in dtypes
    else:
        depth = predict_pairs(pretrained.load_pretrained(entry["name"]), nyu_validation)
    scores = [si_rmse(nyu_validation.depth_m(i), one) for i, one in enumerate(depth)]
    assert len(scores) == entry["metrics"]["images"]
    assert np.mean(scores) == pytest.approx(entry["metrics"]["si_rmse"], abs=1e-3)


@pytest.mark.parametrize("name", [
    entry["name"] for entry in pretrained.list_pretrained()
    if entry["name"].startswith("indoor_") and entry["file"].endswith(".keras")])
def test_shipped_integers_reach_near_things(name, shared):
    """Those that were calibrated on rooms alone answered 0.8 m and more, whatever was nearer."""
    folder = shared / "data" / "cameras" / "table_tops_kinect" / "train" / "rgb"
    if not folder.is_dir():
        pytest.skip(f"{folder}: not there; table tops seen from near")
    picture = Image.open(sorted(folder.iterdir())[50]).convert("RGB").resize((640, 480))
    image = np.asarray(picture)
    model = pretrained.load_pretrained(name)
    right = model.predict_on_batch(image[None].astype(np.float32))[0, ..., 0]
    depth = TfliteNetwork(pretrained.pretrained_path(f"{name}_int8"))(image)
    assert np.median(right) < 0.9
    assert np.abs(np.log(depth / right)).mean() < 0.05
