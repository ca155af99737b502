"""The student: its size, its contract, and that any Keras project can load it."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from mai_depth.errors import UserError
from mai_depth.network.macs import count_macs
from mai_depth.network.model_file import save_model
from mai_depth.network.student import PRESETS
from mai_depth.network.student import Preset
from mai_depth.network.student import build_student
from mai_depth.network.student import copy_mean_student
from mai_depth.network.student import copy_student
from mai_depth.network.student import size_of

TABLE_2_MACS = {
    "student_28m": 27.7e6,
    "student_49m": 48.8e6,
    "student_90m": 90.0e6,
    "student_189m": 189.0e6,
}

LOAD_WITHOUT_THE_PACKAGE = """
import sys
sys.modules["mai_depth"] = None  # an import of it raises from here on
import keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


@pytest.mark.parametrize("preset", TABLE_2_MACS)
def test_macs_match_table_2(preset):
    assert count_macs(build_student(preset)) == pytest.approx(TABLE_2_MACS[preset], rel=0.03)
    assert PRESETS[preset].alpha < 1


@pytest.mark.parametrize("antialias", [True, False])
def test_contract(antialias):
    model = build_student("student_28m", max_depth_m=10.0, antialias=antialias)
    image = np.random.default_rng(0).uniform(0, 255, (2, 480, 640, 3)).astype(np.float32)
    depth = model.predict(image, verbose=0)
    assert model.input.name == "image"
    assert depth.shape == (2, 480, 640, 1)
    assert 0 < depth.min() <= depth.max() < 10
    assert model.get_layer("depth_logits").output.shape == (None, 64, 80, 1)


def test_encoder_sees_every_pixel_only_with_antialias():
    """A one-pixel grid that plain sampling by four steps over."""
    image = np.zeros((1, 480, 640, 3), np.float32)
    image[:, :, ::4] = 255.0  # columns 0, 4, 8, ...: bilinear at factor 4 reads columns 1 and 2
    seen = {}
    for antialias in (True, False):
        model = build_student("student_28m", antialias=antialias)
        grid = model.get_layer("grid" if antialias else "view").output
        seen[antialias] = keras.Model(model.input, grid)(image)
    np.testing.assert_allclose(seen[True], 255 / 4, atol=1e-3)
    np.testing.assert_allclose(seen[False], 0, atol=1e-3)


def test_arguments_override_the_preset():
    model = build_student(
        "student_90m", alpha=0.5, decoder_filters=(16, 16, 8, 8), minimalistic=True)
    assert model.get_layer("decoder_p1_conv").filters == 8
    assert not any("squeeze_excite" in layer.name for layer in model.layers)


@pytest.mark.parametrize("preset, view, logits", [
    ("fast", (96, 128), (6, 8)), ("balanced", (128, 160), (64, 80)),
    ("accurate", (192, 256), (24, 32)), ("sharp", (192, 256), (96, 128))])
def test_a_preset_has_its_own_grid_and_decoder(preset, view, logits):
    model = build_student(preset)
    assert model.get_layer("view").output.shape[1:3] == view
    assert model.get_layer("depth_logits").output.shape[1:3] == logits


def test_a_decoder_that_stops_early_has_the_presets_channels_as_far_as_it_goes():
    size = size_of("student_90m", decoder_stride=8, grid_size=None)
    assert size == Preset(0.95, (64, 32), decoder_stride=8)
    assert size_of("fast", decoder_filters=(9, 7), decoder_stride=8).decoder_filters == (9, 7)
    assert set(TABLE_2_MACS) < set(PRESETS)


def test_unknown_preset_and_sizes_are_refused():
    with pytest.raises(UserError, match=r"--student=student_1m.*student_28m"):
        build_student("student_1m")
    with pytest.raises(UserError, match="divisible by 32"):
        build_student(grid_size=(100, 160))


def test_loads_without_the_package(tmp_path):
    model = build_student("student_28m", max_depth_m=10.0)
    image = np.random.default_rng(0).uniform(0, 255, (1, 480, 640, 3)).astype(np.float32)
    files = [str(tmp_path / name) for name in ("student.keras", "image.npy", "depth.npy")]
    save_model(model, files[0])
    np.save(files[1], image)
    subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_THE_PACKAGE, *files], check=True, cwd=tmp_path)
    depth = np.load(files[2])
    assert depth.shape == (1, 480, 640, 1)
    assert np.abs(depth - model.predict(image, verbose=0)).max() == 0.0


def test_encoder_starts_from_a_trained_student(tmp_path):
    trained = build_student("student_28m")
    save_model(trained, tmp_path / "trained.keras")
    model = build_student("student_28m", encoder_weights=str(tmp_path / "trained.keras"))
    for name in ("conv", "expanded_conv_4_depthwise", "expanded_conv_10_project_bn"):
        for mine, theirs in zip(
            model.get_layer(name).get_weights(), trained.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)
    kernel = model.get_layer("decoder_p4_conv").get_weights()[0]
    assert not np.array_equal(kernel, trained.get_layer("decoder_p4_conv").get_weights()[0])
    with pytest.raises(UserError, match=r"trained.keras: its encoder has another width"):
        build_student("student_90m", encoder_weights=str(tmp_path / "trained.keras"))


def test_the_whole_student_starts_from_a_trained_one_or_the_mean_of_two(tmp_path):
    path = tmp_path / "trained.keras"
    trained = build_student("student_28m", max_depth_m=10.0)
    save_model(trained, path)
    model = build_student("student_28m", max_depth_m=10.0)
    copy_student(path, model)
    for mine, theirs in zip(model.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(UserError, match=r"trained.keras: a student of another size \(at "):
        copy_student(path, build_student("student_28m", decoder_filters=(24, 16, 8, 4)))
    with pytest.raises(UserError, match=r"reaches 10 m; give --max_depth_m=10$"):
        copy_student(path, build_student("student_28m"))
    trained.set_weights([weights + 1 for weights in trained.get_weights()])
    save_model(trained, tmp_path / "other.keras")
    copy_mean_student([path, tmp_path / "other.keras"], model)
    for mine, theirs in zip(model.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs - 0.5, atol=1e-6)
