"""upsampling: equal to the layers that it replaces, at the borders too, with less work."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from normalized_student import normalize

from mai_depth.export.merged_upsampling import merge_upsampling
from mai_depth.export.merged_upsampling import merged_kernel
from mai_depth.export.stages import take_apart
from mai_depth.network import student
from mai_depth.network.macs import count_macs
from mai_depth.network.upsampling import is_nearest
from mai_depth.network.upsampling import nearest


def random(*shape):
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("moves", [
    (keras.ops.concatenate, keras.ops.depth_to_space), (tf.concat, tf.nn.depth_to_space)])
def test_nearest_equals_keras(moves):
    x = random(2, 3, 5, 4)
    expected = keras.layers.UpSampling2D(2, interpolation="nearest")(x)
    np.testing.assert_array_equal(nearest(x, *moves), expected)


def test_is_nearest():
    assert is_nearest(keras.layers.UpSampling2D(2, interpolation="nearest"))
    assert not is_nearest(keras.layers.UpSampling2D(2, interpolation="bilinear"))
    assert not is_nearest(keras.layers.UpSampling2D(3, interpolation="nearest"))
    assert not is_nearest(keras.layers.ReLU())


def test_merged_kernel_by_hand():
    """The rows 1, 10, 100 of a kernel of one column: pixel pairs of a coarse column."""
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[:, 1, 0, 0] = 1, 10, 100
    merged = merged_kernel(kernel).reshape(2, 2, 4)  # coarse row, coarse column, place
    # The fine column to the left lies in the coarse column 0, the one to the right in 1.
    np.testing.assert_array_equal(merged[:, 0, 0], (11, 100))
    np.testing.assert_array_equal(merged[:, 1, 0], (0, 0))
    np.testing.assert_array_equal(merged[:, 1, 1], (11, 100))
    np.testing.assert_array_equal(merged[:, 0, 2], (1, 110))
    np.testing.assert_array_equal(merged[:, 1, 3], (1, 110))


def test_merged_kernel_is_the_convolution_of_the_upsampled_map():
    x, kernel = random(1, 4, 6, 3), random(3, 3, 3, 5)
    expected = tf.nn.conv2d(tf.repeat(tf.repeat(x, 2, 1), 2, 2), kernel, 1, "SAME")
    windows = tf.nn.conv2d(
        tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), merged_kernel(kernel), 1, "VALID")
    found = tf.nn.depth_to_space(windows, 2)[:, 1:-1, 1:-1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_core_is_the_same_function(upsampling):
    keras.utils.set_random_seed(1)
    model = student.build_student(max_depth_m=10.0, upsampling=upsampling)
    grid = random(1, 128, 160, 3)
    normalize(model)
    core = take_apart(model, "").core
    merged = merge_upsampling(core)
    expected = core(grid)
    assert np.std(expected) > 0.05
    np.testing.assert_allclose(merged(grid), expected, atol=1e-4 * np.std(expected))
    share = count_macs(merged) / count_macs(core)
    assert 0.7 < share < 0.8 if upsampling == "nearest" else share == 1.0


def test_the_merged_core_shares_nothing_that_is_trained():
    model = student.build_student(alpha=0.35, decoder_filters=(8, 8, 8, 8))
    before = model.get_weights()
    core = take_apart(model, "").core
    merge_upsampling(core)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("change", [
    {"kernel_size": 1}, {"use_bias": True}, {"activation": "relu"}, {"padding": "valid"},
    {"dilation_rate": 2}])
def test_another_convolution_is_left_alone(change):
    settings = {"filters": 5, "kernel_size": 3, "padding": "same", "use_bias": False, **change}
    coarse, skip = keras.Input((8, 10, 3)), keras.Input((16, 20, 2))
    x = keras.layers.UpSampling2D(2, interpolation="nearest")(coarse)
    x = keras.layers.Conv2D(**settings)(keras.layers.Concatenate()([x, skip]))
    model = keras.Model([coarse, skip], keras.layers.BatchNormalization()(x))
    merged, inputs = merge_upsampling(model), [random(1, 8, 10, 3), random(1, 16, 20, 2)]
    np.testing.assert_allclose(merged(inputs), model(inputs), atol=1e-5)
    assert count_macs(merged) == count_macs(model)
