"""The Keras metrics agree with the NumPy definition."""

import math

import keras
import numpy as np
import pytest

from mai_depth import metrics
from mai_depth.training import keras_metrics


def scene(seed=0, shape=(5, 24, 32, 1)):
    rng = np.random.default_rng(seed)
    y_true = rng.uniform(0.4, 40.0, shape).astype(np.float32)
    y_true[rng.random(shape) < 0.3] = 0.0
    y_pred = (rng.uniform(0.5, 2.0, shape) * np.maximum(y_true, 0.4)).astype(np.float32)
    return y_true, y_pred


def expected(y_true, y_pred):
    pairs = zip(y_true, y_pred, strict=True)
    return metrics.mean_metrics([metrics.image_metrics(*pair) for pair in pairs])


def results(*batches):
    found = {}
    for metric in keras_metrics.depth_metrics():
        for batch in batches:
            metric.update_state(*batch)
        found[metric.name] = float(metric.result())
    return found


def assert_agrees(found, y_true, y_pred):
    wanted = expected(y_true, y_pred)
    assert list(found) == list(metrics.NAMES)
    for name, value in found.items():
        assert value == pytest.approx(wanted[name], rel=1e-5, nan_ok=True), name


def test_agrees_with_numpy_over_batches_of_unequal_size():
    y_true, y_pred = scene()
    assert_agrees(results((y_true[:4], y_pred[:4]), (y_true[4:], y_pred[4:])), y_true, y_pred)


def test_image_without_valid_pixels_does_not_count():
    y_true, y_pred = scene()
    y_true[1], y_true[3] = 0.0, np.nan
    assert_agrees(results((y_true, y_pred)), y_true, y_pred)


def test_nothing_valid_is_nan_not_perfect():
    y_true, y_pred = scene()
    found = results((np.zeros_like(y_true), y_pred))
    assert all(math.isnan(value) for value in found.values())


def test_non_positive_and_nan_predictions():
    y_true, y_pred = scene()
    y_pred[0, :3], y_pred[2, 4:6] = 0.0, -1.0
    assert_agrees(results((y_true, y_pred)), y_true, y_pred)
    y_pred[:, 7] = np.nan
    found = results((y_true, y_pred))
    assert_agrees(found, y_true, y_pred)
    assert math.isnan(found["si_rmse"])


@pytest.mark.parametrize("anything", [0.0, -5.0, 1e9, np.nan, np.inf])
def test_prediction_at_missing_pixels_never_matters(anything):
    y_true, y_pred = scene()
    changed = np.where(y_true == 0, np.float32(anything), y_pred)
    assert results((y_true, changed)) == results((y_true, y_pred))


def test_sample_weight_is_of_images():
    y_true, y_pred = scene()
    metric = keras_metrics.Rmse()
    metric.update_state(y_true, y_pred, sample_weight=[1.0, 0.0, 1.0, 0.0, 0.0])
    wanted = expected(y_true[[0, 2]], y_pred[[0, 2]])["rmse"]
    assert float(metric.result()) == pytest.approx(wanted, rel=1e-5)


def test_reset():
    y_true, y_pred = scene()
    metric = keras_metrics.AbsRel()
    metric.update_state(y_true, 3 * y_pred)
    metric.reset_state()
    metric.update_state(y_true, y_pred)
    assert float(metric.result()) == pytest.approx(expected(y_true, y_pred)["abs_rel"], rel=1e-5)


def test_config_round_trip():
    for metric in keras_metrics.depth_metrics():
        again = keras.metrics.deserialize(keras.metrics.serialize(metric))
        assert type(again) is type(metric)
        assert again.get_config() == metric.get_config()


def test_in_evaluate():
    """In a compiled graph, fed with batches of two, two and one."""
    y_true, y_pred = scene()
    inputs = keras.Input(y_true.shape[1:])
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    model.compile(loss="mse", metrics=keras_metrics.depth_metrics())
    found = model.evaluate(y_pred, y_true, batch_size=2, verbose=0, return_dict=True)
    assert_agrees({name: found[name] for name in metrics.NAMES}, y_true, y_pred)
