"""The decoder's options: where it stops, how it joins two strides, what it is built on."""

import hashlib
import re

import keras
import numpy as np
import pytest

from mai_depth.errors import UserError
from mai_depth.network.backbone import encoder_features
from mai_depth.network.decoder import FUSIONS
from mai_depth.network.decoder import levels_to
from mai_depth.network.macs import count_macs
from mai_depth.network.model_file import save_model
from mai_depth.network.student import build_student
from mai_depth.network.student import student_grid

# Names (less the numbers that Keras gives) and shapes of all layers, as they were shipped.
SHIPPED = {
    "student_28m": "0f991d1e43cb47e4", "student_49m": "ca3b672085fdd4a6",
    "student_90m": "512dcbd3ed65c6d7", "student_189m": "27f5eaa744aab5ab"}


def structure(model):
    lines = [(re.sub(r"_\d+$", "", layer.name) if not layer.weights else layer.name,
              [weight.shape for weight in layer.weights], layer.output.shape)
             for layer in model.layers]
    return hashlib.sha256(repr(lines).encode()).hexdigest()[:16]


@pytest.mark.parametrize("preset", SHIPPED)
def test_the_graphs_of_the_paper_stay_what_they_are(preset):
    assert structure(build_student(preset)) == SHIPPED[preset]


def test_macs_of_a_decoder_that_stops():
    """By hand: 3x3 kernels at 64x80 and 32x40 places, and a head at fewer of them."""
    paper, at_4, at_8 = (count_macs(build_student(decoder_stride=stride)) for stride in (2, 4, 8))
    assert paper - at_4 == 64 * 80 * (9 * (32 + 16) * 16 + 16) - 32 * 40 * 32
    assert at_4 - at_8 == 32 * 40 * (9 * (32 + 16) * 32 + 32) - 16 * 20 * 32


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("stride", [2, 4, 8, 16])
def test_every_stop_and_fusion(stride, fusion):
    model = build_student(
        "student_28m", alpha=0.35, decoder_stride=stride, fusion=fusion, grid_size=(96, 128),
        slim=stride == 4, max_depth_m=10.0)
    assert student_grid(model) == (96, 128)
    assert model.get_layer("depth_logits").output.shape[1:3] == (96 // stride, 128 // stride)
    assert model.output.shape == (None, 480, 640, 1)
    names = {layer.name for layer in model.layers}
    assert {f"decoder_{level.lower()}_relu" for level in levels_to(stride)} <= names
    assert ("decoder_p1_relu" in names) == (stride == 2)


def test_add_is_the_sum_of_two_convolutions():
    """Convolved before it is enlarged: as good as after it."""
    keras.utils.set_random_seed(0)
    model = build_student("student_28m", decoder_stride=16, fusion="add")
    image = np.random.default_rng(0).uniform(0, 255, (1, 480, 640, 3)).astype(np.float32)
    probe = keras.Model(model.input, [
        model.get_layer("decoder_p4_coarse").input, model.get_layer("decoder_p4_skip").input,
        model.get_layer("decoder_p4_relu").output])
    coarse, skip, found = (np.asarray(x) for x in probe(image))
    kernels = [model.get_layer(f"decoder_p4_{name}").get_weights()[0][0, 0]
               for name in ("coarse", "skip")]
    enlarged = np.kron(coarse, np.ones((1, 2, 2, 1)))
    # A fresh BatchNorm divides by sqrt(1 + epsilon).
    total = (enlarged @ kernels[0] + skip @ kernels[1]) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(found, np.maximum(total, 0), atol=1e-4 * total.std())


@pytest.mark.parametrize("minimalistic", [False, True])
def test_slim_stride_32_is_one_block_without_squeeze_excite(minimalistic):
    settings = {"decoder_stride": 16, "minimalistic": minimalistic}
    full, slim = build_student(**settings), build_student(**settings, slim=True)
    names = {layer.name for layer in slim.layers}
    assert "expanded_conv_8_project_bn" in names and "expanded_conv_9_expand" not in names
    assert not any(name.startswith("expanded_conv_8_squeeze_excite") for name in names)
    assert "expanded_conv_7_add" in names
    assert slim.count_params() < 0.55 * full.count_params()
    features = encoder_features(slim)
    assert [features[f"P{level}"].shape[1] for level in range(1, 6)] == [64, 32, 16, 8, 4]
    assert features["P5"].shape == encoder_features(full)["P5"].shape


@pytest.mark.parametrize("alpha", [0.35, 0.95])
def test_slim_and_coarse_start_from_weights_like_the_others(tmp_path, alpha):
    wide = keras.applications.MobileNetV3Small(
        input_shape=(224, 224, 3), alpha=1.0, include_top=False, weights=None)
    path = tmp_path / "wide.weights.h5"
    wide.save_weights(path)
    settings = {"alpha": alpha, "encoder_weights": str(path), "decoder_stride": 16}
    full, slim = build_student(**settings), build_student(**settings, slim=True)
    for name in ("conv", "expanded_conv_5_squeeze_excite_conv", "expanded_conv_8_project"):
        for mine, theirs in zip(slim.get_layer(name).get_weights(),
                                full.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    save_model(full, tmp_path / "student.keras")
    again = build_student(**{**settings, "encoder_weights": str(tmp_path / "student.keras")},
                          slim=True)
    np.testing.assert_array_equal(
        again.get_layer("expanded_conv_8_project").get_weights()[0],
        full.get_layer("expanded_conv_8_project").get_weights()[0])


@pytest.mark.parametrize("settings, words", [
    ({"decoder_stride": 3}, "--decoder_stride=3: give 2, 4, 8 or 16"),
    ({"fusion": "mean"}, "--fusion=mean: unknown; one of concat, add, add_depthwise"),
    ({"decoder_stride": 8, "decoder_filters": (64,)},
     r"--decoder_filters=64: give as many channel counts as strides \(16, 8\)"),
    ({"decoder_filters": (64, 32)}, "--decoder_filters=64,32: give four channel counts"),
    ({"grid_size": (100, 160)}, "--grid=100,160: give height and width, both divisible by 32"),
    ({"preset": "indoor_fast"}, "--student=indoor_fast: a trained network; to start from it give "
     "--student=fast --encoder_weights=indoor_fast"),
    ({"preset": "indoor_tiny"}, "--student=indoor_tiny: unknown; one of student_28m"),
    ({"grid_size": (96,)}, "--grid=96: give height and width"),
])
def test_what_cannot_be_built_is_named(settings, words):
    with pytest.raises(UserError, match=words):
        build_student(**settings)
