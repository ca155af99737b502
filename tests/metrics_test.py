"""The challenge's metrics and score: printed tables, golden values, properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from mai_depth import metrics
from mai_depth.errors import UserError

# si-RMSE, milliseconds on a Raspberry Pi 4, score: as printed in Table 1 of the paper.
TABLE_1 = {
    "the paper": (0.2836, 97, "129.41"),
    "KX_SMART": (0.2602, 1197, "14.51"),
    "dujinhua": (0.2408, 1933, "11.75"),
    "root12321": (0.2449, 2130, "10.08"),
    "Jacob.Yao": (0.2902, 1275, "8.98"),
    "helloworld3": (0.3128, 958, "8.74"),
    "jey": (0.2761, 2531, "5.5"),
    "zhyl": (0.2332, 6146, "4.11"),
    "weichi": (0.4659, 582, "1.72"),
    "shayanj": (0.3543, 3466, "1.36"),
    "fanhuanhuan": (0.2678, 26494, "0.59"),
    "faustChok": (0.3737, 9392, "0.38"),
}
TABLE_2 = {
    "1": (0.4019, 54, "4.51"),
    "3": (0.3304, 99, "6.63"),
    "4": (0.3005, 176, "5.64"),
    "3+dist": (0.3141, 99, "8.31"),
}
TABLE_2_C = 10 * 1.5625e-6

Y_TRUE = np.array([[1.0, 2.0, 4.0], [0.0, 8.0, 0.001]])
Y_PRED = np.array([[2.0, 2.0, 2.0], [9.0, 8.0, 9.0]])


def scene(seed=0, shape=(48, 64), holes=0.3):
    rng = np.random.default_rng(seed)
    y_true = rng.uniform(0.4, 40.0, shape).astype(np.float32)
    y_true[rng.random(shape) < holes] = 0.0
    return y_true, rng.uniform(0.4, 40.0, shape).astype(np.float32)


def challenge(y_true, y_pred):
    """The challenge's formulas, pixel by pixel, without the code under test."""
    pixels = [
        (float(t), float(p))
        for t, p in zip(y_true.ravel(), y_pred.ravel(), strict=True)
        if t > 1e-3
    ]
    n = len(pixels)
    d = [math.log(p) - math.log(t) for t, p in pixels]
    return {
        "si_rmse": math.sqrt(sum(e * e for e in d) / n - (sum(d) / n) ** 2),
        "rmse": math.sqrt(sum((t - p) ** 2 for t, p in pixels) / n),
        "log10": sum(abs(math.log10(p) - math.log10(t)) for t, p in pixels) / n,
        "abs_rel": sum(abs(p - t) / t for t, p in pixels) / n,
        **{
            f"delta{k}": sum(max(t / p, p / t) < 1.25**k for t, p in pixels) / n
            for k in (1, 2, 3)
        },
    }


def decimals(printed):
    return len(printed.partition(".")[2])


@pytest.mark.parametrize("team", TABLE_1)
def test_score_gives_table_1(team):
    error, runtime_ms, printed = TABLE_1[team]
    assert round(metrics.mai_score(error, runtime_ms), decimals(printed)) == float(printed)


@pytest.mark.parametrize("row", TABLE_2)
def test_score_gives_table_2(row):
    error, runtime_ms, printed = TABLE_2[row]
    score = metrics.mai_score(error, runtime_ms, c=TABLE_2_C)
    assert round(score, decimals(printed)) == float(printed)


def test_score_of_table_2_row_2_is_misprinted():
    """The paper prints 5.09 for 0.3621 at 89 ms; its own formula gives 4.75."""
    assert round(metrics.mai_score(0.3621, 89, c=TABLE_2_C), 2) == 4.75


def test_half_the_runtime_is_worth_a_twentieth_of_si_rmse():
    assert metrics.mai_score(0.35, 50) == pytest.approx(metrics.mai_score(0.30, 100))


@pytest.mark.parametrize("runtime_ms", [0, -1, math.nan, math.inf])
def test_score_refuses_runtime(runtime_ms):
    with pytest.raises(UserError, match="runtime_ms"):
        metrics.mai_score(0.3, runtime_ms)


@pytest.mark.parametrize("error", [math.nan, math.inf, -0.1])
def test_score_refuses_error(error):
    with pytest.raises(UserError, match="si_rmse"):
        metrics.mai_score(error, 100)


def test_golden_values():
    """Four pixels count: 1 -> 2, 2 -> 2, 4 -> 2, 8 -> 8; d = ln 2 * (1, 0, -1, 0)."""
    got = metrics.image_metrics(Y_TRUE, Y_PRED)
    assert list(got) == list(metrics.NAMES)
    assert got["si_rmse"] == pytest.approx(math.log(2) * math.sqrt(0.5))
    assert got["rmse"] == pytest.approx(math.sqrt(5 / 4))
    assert got["log10"] == pytest.approx(math.log10(2) / 2)
    assert got["abs_rel"] == pytest.approx((1 + 0.5) / 4)
    assert (got["delta1"], got["delta2"], got["delta3"]) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_formulas(seed):
    y_true, y_pred = scene(seed)
    expected = challenge(y_true, y_pred)
    assert metrics.image_metrics(y_true, y_pred) == pytest.approx(expected, abs=1e-6)


def test_single_functions_are_the_table():
    y_true, y_pred = scene()
    single = {name: getattr(metrics, name)(y_true, y_pred) for name in metrics.NAMES[:4]}
    single |= {f"delta{k}": metrics.delta(y_true, y_pred, k) for k in (1, 2, 3)}
    assert single == metrics.image_metrics(y_true, y_pred)


def test_nan_truth_is_missing():
    y_true, y_pred = scene()
    unmeasured = np.where(y_true == 0, np.nan, y_true)
    assert metrics.image_metrics(unmeasured, y_pred) == metrics.image_metrics(y_true, y_pred)


@pytest.mark.parametrize("anything", [0.0, -5.0, 1e9, math.nan, math.inf])
def test_prediction_at_missing_pixels_never_matters(anything):
    y_true, y_pred = scene()
    changed = np.where(y_true == 0, anything, y_pred)
    assert metrics.image_metrics(y_true, changed) == metrics.image_metrics(y_true, y_pred)
    before, after = metrics.median_scale(y_true, y_pred), metrics.median_scale(y_true, changed)
    np.testing.assert_array_equal(before[y_true > 0], after[y_true > 0])
    before, after = metrics.affine_align(y_true, y_pred), metrics.affine_align(y_true, changed)
    np.testing.assert_array_equal(before[y_true > 0], after[y_true > 0])


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(0.05, 20.0), seed=st.integers(0, 99))
def test_si_rmse_ignores_scale(scale, seed):
    y_true, y_pred = (array.astype(np.float64) for array in scene(seed))
    error = metrics.si_rmse(y_true, y_pred)
    assert metrics.si_rmse(y_true, y_pred * scale) == pytest.approx(error, rel=1e-9)
    assert metrics.si_rmse(y_true, y_true * scale) == pytest.approx(0.0, abs=1e-9)


def test_depth_beyond_any_maximum_counts():
    y_true = np.array([[1.0, 60.0]])
    assert metrics.rmse(y_true, np.array([[1.0, 40.0]])) == pytest.approx(20 / math.sqrt(2))


def test_prediction_is_clamped_at_a_millimetre():
    y_true = np.array([[1.0, 1.0]])
    y_pred = np.array([[0.0, -3.0]])
    assert metrics.log10(y_true, y_pred) == pytest.approx(3.0)
    assert metrics.rmse(y_true, y_pred) == pytest.approx(math.sqrt((1 + 16) / 2))


def test_image_without_valid_pixels_does_not_count():
    empty = metrics.image_metrics(np.zeros((2, 3)), Y_PRED)
    assert all(math.isnan(value) for value in empty.values())
    one = metrics.image_metrics(Y_TRUE, Y_PRED)
    assert metrics.mean_metrics([empty, one, empty]) == {**one, "images": 1}
    none = metrics.mean_metrics([empty])
    assert none["images"] == 0
    assert math.isnan(none["si_rmse"])


def test_nan_prediction_shows():
    broken = metrics.image_metrics(Y_TRUE, np.full_like(Y_PRED, math.nan))
    got = metrics.mean_metrics([broken, metrics.image_metrics(Y_TRUE, Y_PRED)])
    assert got["images"] == 2
    assert math.isnan(got["si_rmse"])
    assert got["delta1"] == 0.25


def test_mean_metrics_averages_images():
    pairs = [scene(seed) for seed in range(3)]
    images = [metrics.image_metrics(*pair) for pair in pairs]
    mean = metrics.mean_metrics(images)
    assert mean["rmse"] == pytest.approx(sum(image["rmse"] for image in images) / 3)


def test_pooled_metrics_are_those_of_one_large_image():
    pairs = [scene(0), scene(1, holes=1.0), scene(2)]
    whole = metrics.image_metrics(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
    assert metrics.pooled_metrics(pairs) == pytest.approx({**whole, "images": 2}, abs=1e-9)


def test_pooled_metrics_of_nothing_are_nan():
    got = metrics.pooled_metrics([(np.zeros((2, 3)), Y_PRED)])
    assert got["images"] == 0
    assert math.isnan(got["si_rmse"])


def test_pooling_adds_the_error_of_scale():
    y_true, _ = scene()
    pairs = [(y_true, y_true * 2), (y_true, y_true / 2)]
    assert metrics.pooled_metrics(pairs)["si_rmse"] == pytest.approx(math.log(2), abs=1e-6)


def test_median_scale():
    y_true, y_pred = scene()
    scaled = metrics.median_scale(y_true, y_pred * 17)
    mask = y_true > 0
    assert np.median(scaled[mask]) == pytest.approx(np.median(y_true[mask]))
    np.testing.assert_array_equal(metrics.median_scale(np.zeros((2, 3)), Y_PRED), Y_PRED)


def test_affine_align_is_the_line_of_least_squares():
    """1, 2, 4 over 1, 2, 3: covariance 1, variance 2/3, so 7/3 + 1.5 (x - 2)."""
    aligned = metrics.affine_align(np.array([1.0, 2.0, 4.0, 0.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(aligned, [7 / 3 - 1.5, 7 / 3, 7 / 3 + 1.5, 7 / 3 + 3])


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.1, 10.0), shift=st.floats(-5.0, 5.0), seed=st.integers(0, 99))
def test_affine_align_ignores_scale_and_shift(scale, shift, seed):
    y_true, y_pred = (array.astype(np.float64) for array in scene(seed))
    aligned = metrics.affine_align(y_true, y_pred)
    np.testing.assert_allclose(metrics.affine_align(y_true, scale * y_pred + shift), aligned)
    fit = metrics.affine_align(y_true, scale * y_true + shift)
    np.testing.assert_allclose(fit[y_true > 0], y_true[y_true > 0])


def test_nothing_else_in_a_line_is_nearer_than_affine_align():
    y_true, y_pred = scene()
    best = metrics.rmse(y_true, metrics.affine_align(y_true, y_pred))
    for scale, shift in ((1, 0), (0, float(y_true[y_true > 0].mean())), (0.5, 3), (-0.1, 20)):
        assert metrics.rmse(y_true, scale * y_pred + shift) >= best - 1e-6


def test_affine_align_of_a_flat_map_is_the_mean_of_the_truth():
    y_true, _ = scene()
    flat = np.full(y_true.shape, 2.1, np.float32)
    mean = y_true[y_true > 0].mean(dtype=np.float64)
    np.testing.assert_allclose(metrics.affine_align(y_true, flat), mean)


def test_affine_align_without_truth_and_of_a_broken_map():
    np.testing.assert_array_equal(metrics.affine_align(np.zeros((2, 3)), Y_PRED), Y_PRED)
    for broken in (math.nan, math.inf):
        assert np.isnan(metrics.affine_align(Y_TRUE, np.full_like(Y_PRED, broken))).all()


def test_aligned_depth_stays_in_front_of_the_camera():
    aligned = metrics.affine_align(np.array([1.0, 2.0, 0.0]), np.array([1.0, 2.0, -9.0]))
    np.testing.assert_allclose(aligned, [1, 2, 0.001])


def test_shapes_must_be_equal():
    with pytest.raises(ValueError, match="shape"):
        metrics.rmse(np.ones((2, 3)), np.ones((2, 3, 1)))


def test_nyu_crop():
    assert np.zeros((480, 640))[metrics.NYU_CROP].shape == (426, 560)
