"""Quantization-aware fine-tuning: the same function three times, then integers that learn."""

import dataclasses
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
from normalized_student import pictures
from normalized_student import write_student

from mai_depth.data.augmentation import Augmentation
from mai_depth.data.sources import open_split
from mai_depth.errors import UserError
from mai_depth.export.litert import check_graph
from mai_depth.export.quantized import RECIPE
from mai_depth.export.quantized import recipe_for
from mai_depth.export.quantized import train_quantized
from mai_depth.export.stages import take_apart
from mai_depth.export.stages import with_core
from mai_depth.network.model_file import load_model
from mai_depth.quantize.aware import Channels
from mai_depth.quantize.aware import IntegerCore
from mai_depth.quantize.fine_tuning import fine_tune
from mai_depth.quantize.integer_form import START
from mai_depth.quantize.integer_form import integer_form
from mai_depth.quantize.ranges import kernel_limits
from mai_depth.quantize.ranges import measure_ranges
from mai_depth.quantize.ranges import measure_scales
from mai_depth.quantize.rounding import round_kernels
from mai_depth.quantize.rounding import round_rows
from mai_depth.tflite.graph import TfliteFile
from mai_depth.training.evaluation import evaluate
from mai_depth.training.run import Recipe
from mai_depth.training.run import Run

SHORT = Recipe(epochs=1, batch_size=4, learning_rate=1e-4, distillation_loss_weight=1.0)


@pytest.fixture(scope="module")
def student_path(tmp_path_factory):
    return write_student(tmp_path_factory.mktemp("student") / "student.keras")


@pytest.fixture(scope="module")
def student(student_path):
    return load_model(student_path)


@pytest.fixture(scope="module")
def parts(student):
    return take_apart(student, "student.keras")


def grids(parts, count=4):
    return pictures(count, parts.grid_size) * parts.scale + parts.offset


@pytest.fixture(scope="module")
def data(tiny_data, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    return [open_split(str(tiny_data), split, cache_dir=cache) for split in
            ("train", "validation")]


def kind(layer):
    return type(layer).__name__


def kinds(model):
    return {type(layer).__name__ for layer in model.layers}


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
    path = write_student(tmp_path / "student.keras", minimalistic=minimalistic)
    parts = take_apart(load_model(path), path)
    images = grids(parts)
    form = integer_form(parts.core)
    scaled = integer_form(parts.core, measure_scales(form, images))
    expected = parts.core.predict_on_batch(images)
    assert expected.std() > 0.1
    for model in (form, scaled):
        np.testing.assert_allclose(
            model.predict_on_batch(images), expected, atol=1e-4 * np.ptp(expected))
        assert not {"BatchNormalization", "ReLU"} & kinds(model)
        operators = [layer.name for layer in model.layers if kind(layer) == "TFOpLambda"]
        assert len(operators) == 4 and all("depth_to_space" in name for name in operators)
    ranges = measure_ranges(scaled, images)
    # Equalized: no tensor has channels of another size, up to the gate's factor of 6.
    sizes = [high for name, (_, high) in ranges.items() if re.search(r"(project|_conv)$", name)]
    assert min(sizes) > 0.3 and max(sizes) < 1.5
    for name in (name for name in ranges if name.endswith("_gate")):
        assert ranges[name.removesuffix("_gate")][0] >= -1 / 6 - 1e-6


def test_a_convolution_that_is_nearly_dead_gets_a_range():
    """Its result is 1e-5 of its inputs times its weights: so small a step ends the delegate."""
    import tf_keras

    image = tf_keras.Input((8, 8, 2))
    x = tf_keras.layers.Activation("linear", name=START)(image)
    dead = tf_keras.layers.Conv2D(1, 1, activation="relu", name="dead")
    form = tf_keras.Model(image, dead(x))
    for size, width in ((1, 0.2), (10_000, 10_000 / 127 / 128)):
        dead.set_weights([np.full((1, 1, 2, 1), size), np.full(1, -1.99999 * size)])
        low, high = measure_ranges(form, np.ones((2, 8, 8, 2), np.float32))["dead"]
        assert low == 0 and high == pytest.approx(width, rel=0.01)


def test_a_layer_that_no_student_has_is_named():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 1)(image)
    core = keras.Model(image, keras.layers.LayerNormalization(name="odd")(x))
    with pytest.raises(UserError, match="odd: a LayerNormalization cannot be written in integers"):
        integer_form(core)


def test_rounding_hands_errors_on_by_hand():
    """Two inputs that are always alike: 0.4 + 0.4 is 0 in the nearest steps of 1, but 1 here."""
    weights = np.array([[[0.4], [0.4], [0.5]]])  # the last one is the bias
    alike = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])[None]
    rounded = round_rows(weights, np.ones((1, 1)), alike)
    np.testing.assert_allclose(rounded[0, :, 0], [0, 1, 0.5], atol=0.01)
    apart = np.eye(3)[None]
    np.testing.assert_allclose(
        round_rows(weights, np.ones((1, 1)), apart)[0, :, 0], [0, 0, 0.5], atol=1e-9)


def test_rounding_gives_steps_and_less_error_than_the_nearest():
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(size=(500, 1)) + random.normal(size=(500, 9)) * 0.1,
                        np.ones((500, 1))], axis=1)
    weights = np.concatenate([random.normal(size=(9, 4)), random.normal(size=(1, 4))])
    steps = np.abs(weights[:-1]).max(axis=0) / 7
    rounded = round_rows(weights[None], steps[None], (x.T @ x / 500)[None])[0]
    np.testing.assert_allclose(rounded[:-1] / steps, np.rint(rounded[:-1] / steps), atol=1e-9)
    nearest = np.concatenate([np.rint(weights[:-1] / steps) * steps, weights[-1:]])
    errors = [np.square(x @ (one - weights)).mean() for one in (rounded, nearest)]
    assert errors[0] < 0.3 * errors[1]


@pytest.mark.parametrize("depthwise", [False, True])
def test_rounded_kernels_keep_what_a_convolution_gives(depthwise):
    """Where neighbours are alike, as on plain walls, the nearest steps do not."""
    import tf_keras

    keras.utils.set_random_seed(0)
    image = tf_keras.Input((16, 16, 4))
    x = tf_keras.layers.Activation("linear", name=START)(image)
    layer = (tf_keras.layers.DepthwiseConv2D if depthwise else
             lambda *a, **k: tf_keras.layers.Conv2D(3, *a, **k))(3, padding="same", name="c")
    form = tf_keras.Model(image, layer(x))
    form = tf_keras.Model(image, [form.output, x])
    smooth = np.float32(np.kron(np.random.default_rng(0).uniform(0, 1, (16, 4, 4, 4)),
                                np.ones((1, 4, 4, 1))))
    before, (kernel, bias) = form.predict_on_batch(smooth)[0], layer.get_weights()
    limits = round_kernels(form, smooth)["c"]
    steps = limits[:, None] / 127 if depthwise else limits / 127
    after, rounded = form.predict_on_batch(smooth)[0], layer.get_weights()[0]
    np.testing.assert_allclose(rounded / steps, np.rint(rounded / steps), atol=1e-3)
    layer.set_weights([np.rint(kernel / steps) * steps, bias])
    nearest = form.predict_on_batch(smooth)[0]
    assert np.square(after - before).mean() < 0.5 * np.square(nearest - before).mean()


def test_kernels_have_255_steps_a_channel_and_biases_fit_32_bits():
    random = np.random.default_rng(0)
    kernel = np.float32(random.normal(size=(3, 3, 5, 4)) * [1e-9, 1e-2, 1, 100])
    bias = np.array([3.0, 0.0, -1.0, 10.0], np.float32)
    limits = kernel_limits(kernel, bias)
    steps = np.maximum(np.abs(kernel).max(axis=(0, 1, 2)), 1e-4 * np.abs(bias) + 1e-6) / 127
    np.testing.assert_allclose(limits, 127 * steps, rtol=1e-6)
    quantized = Channels(limits, depthwise=False)(kernel, True, None).numpy()
    np.testing.assert_allclose(quantized, np.rint(kernel / steps) * steps, atol=1e-5, rtol=1e-4)
    assert (np.abs(bias) / steps / 1e-3 < 2**31).all()
    turned = Channels(limits, depthwise=True)(kernel[:, :, 0][..., None], True, None).numpy()
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


def run_of(data, recipe):
    return Run(None, *data, pathlib.Path("student_qat.tflite"), recipe, 10.0)


@pytest.fixture(scope="module")
def built(student, parts):
    model = with_core(student, parts, IntegerCore(parts.core, grids(parts, 32)))
    return model, model.get_weights()


@pytest.fixture
def in_integers(built):
    model, weights = built
    model.set_weights(weights)
    return model


def test_integers_without_training_are_near_the_student(student, in_integers):
    images = pictures(2)
    expected = student.predict_on_batch(images)
    depth = in_integers.predict_on_batch(images)
    assert np.std(np.log(depth) - np.log(expected)) < 0.2 * np.std(np.log(expected))


@pytest.mark.slow
def test_fine_tuning_ends_better_than_it_began(in_integers, data):
    model = in_integers
    recipe = dataclasses.replace(
        SHORT, epochs=3, learning_rate=1e-3, distillation_loss_weight=0.0)
    rows = fine_tune(model, run_of([data[0]] * 2, recipe))
    scores = [row["si_rmse"] for row in rows]
    assert len(scores) == 4 and scores[-1] < 0.95 * scores[0]
    assert evaluate(model, data[0])["si_rmse"] == pytest.approx(min(scores), abs=1e-6)
    assert not [name for name in (x.name for x in model.trainable_variables) if "_gate" in name]


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


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_training(in_integers, data):
    recipe = Recipe(epochs=1, batch_size=4, learning_rate=float("nan"))
    with pytest.raises(UserError, match="is not finite in epoch 1; lower --learning_rate"):
        fine_tune(in_integers, run_of(data, recipe))


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
