"""Quantization-aware fine-tuning: the same function three times, then integers that learn."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from normalized_student import BUILDER
from normalized_student import pictures
from normalized_student import write_student

from mai_depth.data.augmentation import Augmentation
from mai_depth.data.sources import open_split
from mai_depth.errors import UserError
from mai_depth.export.litert import check_graph
from mai_depth.export.quantized import RECIPE
from mai_depth.export.quantized import recipe_for
from mai_depth.export.quantized import train_quantized
from mai_depth.network.model_file import load_model
from mai_depth.quantize import fine_tuning
from mai_depth.quantize.aware import Channels
from mai_depth.quantize.aware import quantize
from mai_depth.quantize.aware import rebuild_student
from mai_depth.quantize.fine_tuning import fine_tune
from mai_depth.quantize.integer_form import integer_form
from mai_depth.quantize.integer_form import kind
from mai_depth.quantize.integer_ranges import measure_ranges
from mai_depth.quantize.integer_ranges import measure_scales
from mai_depth.tflite.graph import TfliteFile
from mai_depth.training.run import Recipe

SHORT = Recipe(epochs=1, batch_size=4, learning_rate=1e-4, distillation_loss_weight=1.0)


@pytest.fixture(scope="module")
def student_path(tmp_path_factory):
    return write_student(tmp_path_factory.mktemp("student") / "student.keras")


@pytest.fixture(scope="module")
def twin(student_path):
    return rebuild_student(load_model(student_path), student_path)


@pytest.fixture(scope="module")
def data(tiny_data, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    return [open_split(str(tiny_data), split, cache_dir=cache) for split in
            ("train", "validation")]


def kinds(model):
    return {type(layer).__name__ for layer in model.layers}


def test_rebuilt_student_is_the_same_function(student_path, twin):
    images = pictures(2)
    expected = load_model(student_path).predict_on_batch(images)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(twin.predict_on_batch(images), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", [None, "0"])
def test_tfmot_leaves_the_environment_alone(value):
    code = ("import os, sys; from mai_depth.quantize import aware\n"
            "with aware._tfmot(): assert 'tensorflow_model_optimization' in sys.modules\n"
            "print(os.environ.get('TF_USE_LEGACY_KERAS'))")
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=environment | ({"TF_USE_LEGACY_KERAS": value} if value else {}))
    assert done.stdout.strip() == str(value)


@pytest.mark.parametrize("minimalistic", [False, True])
def test_integer_form_is_the_same_function(tmp_path, minimalistic):
    import tf_keras

    path = write_student(tmp_path / "student.keras", minimalistic=minimalistic)
    twin = rebuild_student(load_model(path), path)
    view = twin.get_layer("view").output.shape[1:3]
    form = integer_form(twin, tf_keras)
    scaled = integer_form(twin, tf_keras, measure_scales(form, tf_keras, [pictures(4, view)]))
    expected = twin.predict_on_batch(pictures(2))
    for model in (form, scaled):
        np.testing.assert_allclose(model.predict_on_batch(pictures(2)), expected, rtol=5e-3)
        assert not {"BatchNormalization", "ReLU"} & kinds(model)
        operators = [layer.name for layer in model.layers if kind(layer) == "TFOpLambda"]
        assert len(operators) == 4 and all("depth_to_space" in name for name in operators)
    ranges = measure_ranges(scaled, tf_keras, [pictures(4, view)])
    # Equalized: no tensor has channels of another size, up to the gate's factor of 6.
    sizes = [high for name, (_, high) in ranges.items() if re.search(r"(project|_conv)$", name)]
    assert min(sizes) > 0.3 and max(sizes) < 1.5
    for name in (name for name in ranges if name.endswith("_gate")):
        assert ranges[name.removesuffix("_gate")][0] >= -1 / 6 - 1e-6


def test_kernels_have_255_steps_a_channel_and_biases_fit_32_bits():
    random = np.random.default_rng(0)
    kernel = np.float32(random.normal(size=(3, 3, 5, 4)) * [1e-9, 1e-2, 1, 100])
    bias = np.array([3.0, 0.0, -1.0, 10.0], np.float32)
    steps = np.maximum(np.abs(kernel).max(axis=(0, 1, 2)), 1e-4 * np.abs(bias) + 1e-6) / 127
    quantized = Channels(bias, depthwise=False)(kernel, True, None).numpy()
    np.testing.assert_allclose(quantized, np.rint(kernel / steps) * steps, atol=1e-5, rtol=1e-4)
    assert (np.abs(bias) / steps / 1e-3 < 2**31).all()
    turned = Channels(bias, depthwise=True)(kernel[:, :, 0][..., None], True, None).numpy()
    assert all(len(np.unique(turned[:, :, channel])) > 5 for channel in range(1, 4))


def test_the_recipe_is_that_of_the_flagfile():
    lines = (REPOSITORY / "recipes" / "qat.flags").read_text().splitlines()
    flags = dict(line.removeprefix("--").split("=") for line in lines if line.startswith("--"))
    names = {"epochs", "batch_size", "learning_rate", "adam_epsilon", "distillation_loss_weight"}
    assert flags.keys() == names | {"train", "min_crop"}
    named = {name: float(flags[name]) for name in names}
    crop = Augmentation(min_crop=float(flags["min_crop"]))
    assert dataclasses.replace(Recipe(), **named, augmentation=crop) == RECIPE
    assert [recipe_for(count).batch_size for count in (0, 5, 16, 683)] == [1, 5, 16, 16]


def test_fine_tuning_learns_and_keeps_the_best_epoch(twin, data):
    model = quantize(twin, [pictures(4, twin.get_layer("view").output.shape[1:3])])
    before = model.get_layer("decoder_p1_conv").get_weights()
    rows = fine_tune(model, *data, SHORT, teacher_depth=data[0].depth)
    after = model.get_layer("decoder_p1_conv").get_weights()
    changed = any(np.any(a != b) for a, b in zip(before, after, strict=True))
    assert not [name for name in (x.name for x in model.trainable_variables) if "_gate" in name]
    assert len(rows) == 2 and changed == (rows[1]["si_rmse"] < rows[0]["si_rmse"])


@pytest.fixture(scope="module")
def exported(student_path, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "student_qat.tflite"
    sidecar = train_quantized(
        student_path, path, *data, SHORT, cache_dir=str(path.parent), allow_inaccurate=True)
    return path, sidecar


def test_exported_file_is_one_integer_graph(exported):
    path, sidecar = exported
    check_graph(path, "qat")
    assert sidecar["delegate_partitions"] == 1 and sidecar["quantization"] == "qat"
    assert sidecar["operators"]["QUANTIZE"] == 1  # nothing is converted on the way
    assert json.loads(path.with_name("student_qat.tflite.json").read_text()) == sidecar
    assert TfliteFile(path).weight_bytes() * 3 < 4 * TfliteFile(path).parameters()


def test_exported_file_computes_what_was_trained(exported):
    figures = exported[1]["verification"]
    assert abs(figures["si_rmse_change"]) < 0.05
    assert figures["mean_difference_m"] < 0.5


def test_a_student_without_or_with_another_description_is_refused(student_path, tmp_path):
    model = load_model(student_path)
    with pytest.raises(UserError, match=r"missing\.json: cannot be read"):
        rebuild_student(model, tmp_path / "missing.keras")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match=r"not what train\.py wrote"):
        rebuild_student(model, tmp_path / "other.keras")
    other = {"builder": {**BUILDER, "decoder_filters": [8, 8, 8, 16]}, "max_depth_m": 10.0}
    (tmp_path / "other.json").write_text(json.dumps(other))
    builder = {"teacher_preset": "vit_ti", "teacher_weights": None}
    (tmp_path / "teacher.json").write_text(json.dumps({"builder": builder, "max_depth_m": 10.0}))
    with pytest.raises(UserError, match=r"teacher\.keras: no student"):
        rebuild_student(model, tmp_path / "teacher.keras")
    with pytest.raises(UserError, match="describes another network"):
        rebuild_student(model, tmp_path / "other.keras")


def test_a_student_of_another_function_is_refused(tmp_path):
    path = write_student(tmp_path / "older.keras", upsampling="bilinear")
    description = path.with_suffix(".json")
    described = json.loads(description.read_text())
    del described["builder"]["upsampling"]  # as a version wrote it that knew one kind alone
    description.write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"older\.keras: made by another version"):
        rebuild_student(load_model(path), path)


def test_a_loss_that_is_not_finite_ends_the_training(twin, data, monkeypatch):
    monkeypatch.setattr(
        fine_tuning, "_loss", lambda *_: lambda batch, logits, depth: depth[0, 0, 0, 0] * np.nan)
    model = quantize(twin, [pictures(2, twin.get_layer("view").output.shape[1:3])])
    with pytest.raises(UserError, match="lower --learning_rate"):
        fine_tune(model, *data, SHORT)


# Fine-tunes STUDENT into OUTPUT over DATA.
RUN = """
import sys
from mai_depth.data.sources import open_split
from mai_depth.export.quantized import train_quantized
from mai_depth.training.run import Recipe
from mai_depth.environment import compute_deterministically
student, output, data, cache = sys.argv[1:]
compute_deterministically()
splits = [open_split(data, split, cache_dir=cache) for split in ("train", "validation")]
recipe = Recipe(epochs=2, batch_size=4, learning_rate=1e-4)
train_quantized(student, output, *splits, recipe, cache_dir=cache, allow_inaccurate=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)  # three starts of TensorFlow
def test_a_killed_run_leaves_nothing_and_the_next_is_as_good(student_path, tiny_data, tmp_path):
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole").mkdir()

    def start(name):
        command = [sys.executable, "-u", "-c", RUN, student_path, tmp_path / name / "a.tflite",
                   tiny_data, tmp_path / "cache"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    with start("killed") as process:
        next(line for line in process.stdout if line.startswith("qat epoch 1"))
        process.kill()
    assert not list((tmp_path / "killed").iterdir())
    for name in ("killed", "whole"):
        assert start(name).communicate() and (tmp_path / name / "a.tflite.json").exists()
    files = [(tmp_path / name / "a.tflite").read_bytes() for name in ("killed", "whole")]
    assert files[0] == files[1]
