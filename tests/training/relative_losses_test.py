"""The losses of pseudo-labels: what is trimmed, invariance, and gradients in the hard cases."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from losses_test import LN2
from losses_test import batch
from losses_test import value_and_gradient

from mai_depth.training import relative_losses
from mai_depth.training.losses import silog
from mai_depth.training.relative_losses import scale_shift_invariant_loss
from mai_depth.training.relative_losses import trimmed_silog

CLASSES = [relative_losses.TrimmedSiLog, relative_losses.ScaleShiftInvariantLoss]
FUNCTIONS = [trimmed_silog, scale_shift_invariant_loss]


def scene(seed=0, shape=(2, 12, 16, 1)):
    """A truth that both losses can take, in metres or of no unit, and a depth in metres."""
    rng = np.random.default_rng(seed)
    y_true = rng.uniform(0.5, 30.0, shape).astype(np.float32)
    return y_true, rng.uniform(0.5, 10.0, shape).astype(np.float32)


def perfect(loss, y_pred):
    """The truth for which a prediction is perfect."""
    return y_pred.copy() if loss in (trimmed_silog, CLASSES[0]) else 1 / y_pred


# Inverse depth; the sixth pixel is missing.
Y_TRUE = batch([[2.0, 4.0, 6.0], [8.0, 10.0, 0.0]])
Y_PRED = 1 / batch([[1.0, 2.0, 3.0], [4.0, 10.0, 7.0]])


def test_scale_shift_invariant_golden():
    """Truth: median 6, spread 12/5; prediction: median 3, spread 11/5.

    |p - t| = 25/33, 25/66, 0, 25/66, 50/33; trimming leaves out the last.
    """
    got = [float(scale_shift_invariant_loss(Y_TRUE, Y_PRED, trim)[0]) for trim in (0.0, 0.2, 0.39)]
    np.testing.assert_allclose(got, [100 / 33 / 10, 50 / 33 / 10, 50 / 33 / 10], rtol=1e-5)


def test_trimmed_silog_golden():
    """g = ln 2 * (0, 0, 0, 0, 0, 0, 0, 0, 0, 5, -): the one of ten that is off is left out."""
    y_true = batch([[1.0] * 10 + [0.0]])
    y_pred = batch([[1.0] * 9 + [32.0, 3.0]])
    np.testing.assert_allclose(trimmed_silog(y_true, y_pred), [0.0], atol=1e-6)
    whole = 10 * LN2 * math.sqrt(25 / 10 - 0.25)
    np.testing.assert_allclose(trimmed_silog(y_true, y_pred, trim=0.0), [whole], rtol=1e-6)


def test_trimming_nothing_is_silog():
    y_true, y_pred = scene()
    for focus in (0.85, 1.0):
        got = trimmed_silog(y_true, y_pred, focus, trim=0.0, max_depth_m=20.0)
        np.testing.assert_array_equal(got, silog(y_true, y_pred, focus, max_depth_m=20.0))


@pytest.mark.parametrize("factor", [0.2, 3.0])
def test_shape_losses_ignore_the_scale_of_the_prediction(factor):
    y_true, y_pred = scene()
    for loss in FUNCTIONS:
        np.testing.assert_allclose(loss(y_true, factor * y_pred), loss(y_true, y_pred), rtol=1e-4)


@pytest.mark.parametrize(("scale", "shift"), [(0.1, 5.0), (40.0, 0.0), (7.0, 100.0)])
def test_scale_and_shift_of_inverse_depth_do_not_matter(scale, shift):
    y_true, y_pred = scene()
    expected = scale_shift_invariant_loss(y_true, y_pred)
    got = scale_shift_invariant_loss(scale * y_true + shift, y_pred)
    np.testing.assert_allclose(got, expected, rtol=1e-3)
    moved = 1 / (scale / y_pred + shift)
    got = scale_shift_invariant_loss(y_true, moved)
    np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_trimmed_pixels_do_not_matter():
    """A tenth of each picture is a mirror: how wrong it is makes no difference."""
    _, y_pred = scene(shape=(2, 10, 20, 1))
    y_true = 2 * y_pred
    y_pred[:, 3] *= 3
    for factor in (1.0, 0.01):
        y_pred[:, 3] *= factor
        value, gradient = value_and_gradient(trimmed_silog, y_true, y_pred)
        assert value == pytest.approx(0, abs=1e-4)
        assert not gradient[:, 3].any()


@pytest.mark.parametrize("loss", FUNCTIONS)
@pytest.mark.parametrize("anything", [0.0, -5.0, 1e9, np.nan, np.inf])
def test_missing_pixels_never_matter(loss, anything):
    y_true, y_pred = scene()
    y_true[0, 3:5, 2:9] = np.nan
    changed = np.where(np.isnan(y_true), np.float32(anything), y_pred)
    before, after = (value_and_gradient(loss, y_true, p) for p in (y_pred, changed))
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1])
    assert not after[1][np.isnan(y_true)].any()


@pytest.mark.parametrize("loss", [*FUNCTIONS, *CLASSES])
@pytest.mark.parametrize("case", [
    "one hole", "NaN hole", "all holes", "one pixel", "perfect", "constant", "zero prediction"])
def test_gradient_is_finite(loss, case):
    y_true, y_pred = scene()
    if case == "one hole":
        y_true[0, 3, 4] = 0.0
    elif case == "NaN hole":
        y_true[0, 3, 4] = np.nan
    elif case == "all holes":
        y_true[:] = 0.0
    elif case == "one pixel":
        y_true[:] = 0.0
        y_true[:, 2, 3] = 4.0
    elif case == "perfect":
        y_true = perfect(loss, y_pred)
    elif case == "constant":
        y_true[:], y_pred[:] = 2.0, 3.0
    else:
        y_pred[:] = 0.0
    value, gradient = value_and_gradient(loss() if loss in CLASSES else loss, y_true, y_pred)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert not gradient[~(y_true > 0)].any()
    if case in ("all holes", "one pixel", "perfect"):
        assert value == pytest.approx(0, abs=1e-6)
        assert not gradient.any()


@pytest.mark.parametrize("loss", FUNCTIONS)
def test_gradient_is_the_derivative(loss):
    y_true, y_pred = scene(seed=3, shape=(1, 3, 5, 1))
    y_true[0, 1, 1] = 0.0
    _, gradient = value_and_gradient(loss, y_true, y_pred)
    step = np.zeros_like(y_pred)
    for index in np.ndindex(*y_pred.shape):
        step[index] = 1e-3 * y_pred[index]
        up, down = (loss(y_true, y_pred + s)[0] for s in (step, -step))
        slope = float(up - down) / (2 * step[index])
        assert gradient[index] == pytest.approx(slope, rel=0.03, abs=5e-3)
        step[index] = 0.0


@pytest.mark.parametrize(("kind", "function"), list(zip(CLASSES, FUNCTIONS, strict=True)))
def test_images_without_valid_pixels_do_not_dilute_the_mean(kind, function):
    y_true, y_pred = scene(shape=(4, 12, 16, 1))
    y_true[1] = y_true[3] = np.nan
    each = np.array(function(y_true, y_pred))
    assert each.shape == (4,)
    assert each[1] == each[3] == 0
    assert float(kind()(y_true, y_pred)) == pytest.approx(each[[0, 2]].mean(), rel=1e-6)


@pytest.mark.parametrize("kind", CLASSES)
def test_half_precision_is_computed_in_float32(kind):
    y_true, y_pred = scene()
    value = kind()(y_true, tf.cast(y_pred, "float16"))
    assert value.dtype == "float32"
    assert float(value) == pytest.approx(float(kind()(y_true, y_pred)), rel=1e-2)


@pytest.mark.parametrize("kind", CLASSES)
def test_config_round_trip(kind):
    loss = kind(trim=0.3, reduction="sum")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    assert isinstance(again, kind)


@pytest.mark.parametrize("kind", CLASSES)
def test_graph_of_unknown_batch_gives_the_eager_value(kind):
    y_true, y_pred = scene()
    loss = kind()
    shape = tf.TensorSpec((None, 12, 16, 1))
    graph = tf.function(lambda truth, prediction: loss(truth, prediction), [shape, shape])
    assert float(graph(y_true, y_pred)) == pytest.approx(float(loss(y_true, y_pred)), rel=1e-5)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_never_looks_like_a_loss_of_0(kind, bad):
    y_true, y_pred = scene()
    assert np.isfinite(kind()(y_true, y_pred))
    assert not np.isfinite(kind()(y_true, np.full_like(y_pred, bad)))
    y_pred[0, 3, 4] = bad  # it would be among those that are trimmed
    assert not np.isfinite(kind()(y_true, y_pred))


def test_no_tensorflow_in_the_losses():
    with open(relative_losses.__file__) as file:
        assert "tensorflow" not in file.read()
