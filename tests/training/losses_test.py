"""The losses: values that a reader can redo by hand, masks, and gradients in the hard cases."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from mai_depth import metrics
from mai_depth.training import losses

LN2 = math.log(2.0)
CLASSES = [losses.SiLog, losses.GradientLoss, losses.DistillationLoss]
FUNCTIONS = [losses.silog, losses.gradient_loss, losses.distillation_loss]


def batch(*images):
    """Returns [batch, height, width, 1] of nested lists."""
    return np.array(images, np.float32)[..., None]


def scene(seed=0, shape=(2, 12, 16, 1)):
    rng = np.random.default_rng(seed)
    y_true = rng.uniform(0.5, 30.0, shape).astype(np.float32)
    return y_true, (y_true * rng.uniform(0.5, 2.0, shape)).astype(np.float32)


def value_and_gradient(loss, y_true, y_pred):
    y_pred = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = tf.reduce_sum(loss(tf.constant(y_true), y_pred))
    return value.numpy(), tape.gradient(value, y_pred).numpy()


# One image: g = ln 2 * (1, 0, -1, 0, -, 0); the fifth pixel is missing.
Y_TRUE = batch([[1.0, 2.0, 4.0], [8.0, 0.0, 3.0]])
Y_PRED = batch([[2.0, 2.0, 2.0], [8.0, 9.0, 3.0]])


def test_silog_golden():
    """Of g only the first pixel is left at a maximum of 2 m beside a perfect one: mean ln2 / 2."""
    whole = 10 * math.sqrt(2 / 5 * LN2**2)
    np.testing.assert_allclose(losses.silog(Y_TRUE, Y_PRED), [whole], rtol=1e-6)
    near = 10 * math.sqrt(LN2**2 / 2 - 0.85 * (LN2 / 2) ** 2)
    np.testing.assert_allclose(losses.silog(Y_TRUE, Y_PRED, max_depth_m=2.0), [near], rtol=1e-6)


def test_silog_of_a_wrong_scale_is_what_the_focus_leaves():
    expected = [10 * math.sqrt(0.15) * LN2, 0.0]
    doubled = [losses.silog(Y_TRUE, 2 * Y_TRUE, focus) for focus in (0.85, 1.0)]
    np.testing.assert_allclose(np.ravel(doubled), expected, rtol=1e-6, atol=1e-5)


def test_silog_with_full_focus_is_ten_times_si_rmse():
    y_true, y_pred = scene()
    expected = [10 * metrics.si_rmse(*pair) for pair in zip(y_true, y_pred, strict=True)]
    np.testing.assert_allclose(losses.silog(y_true, y_pred, 1.0), expected, rtol=1e-5)


def test_gradient_loss_golden():
    """Pairs of the first scale: 1-0, 0-(-1) in row 0; 1-0 and (-1)-0 between the rows.

    The second scale has the pixels 0 and 2 of row 0, whose errors differ by 2 ln 2; the third none.
    """
    first, second = 4 * LN2 / 4, 2 * LN2
    got = [float(losses.gradient_loss(Y_TRUE, Y_PRED, scales)[0]) for scales in (1, 2, 3)]
    np.testing.assert_allclose(got, [first, first + second, first + second], rtol=1e-6)


def test_gradient_loss_ignores_scale():
    y_true, y_pred = scene()
    expected = losses.gradient_loss(y_true, y_pred)
    np.testing.assert_allclose(losses.gradient_loss(y_true, y_pred * 3), expected, rtol=1e-5)


def test_distillation_golden():
    teacher = batch([[1.0, 2.0, np.nan], [0.0, np.inf, -1.0]])
    student = batch([[2.0, 2.0, 7.0], [2.0, 7.0, -1.0]])
    np.testing.assert_allclose(losses.distillation_loss(teacher, student), [(1 + 4) / 4])


def test_depth_to_logits_golden():
    depth = np.array([[20.0, 30.0, 0.0], [10.0, 50.0, np.nan]], np.float32)
    ends = math.log((1 - 1e-4) / 1e-4)
    expected = [[0.0, math.log(3), np.nan], [-math.log(3), ends, np.nan]]
    np.testing.assert_allclose(losses.depth_to_logits(depth, 40.0), expected, atol=2e-3)


def test_depth_to_logits_inverts_the_head():
    logits = np.linspace(-6, 6, 50, dtype=np.float32)
    depth = 40.0 * keras.ops.sigmoid(logits)
    np.testing.assert_allclose(losses.depth_to_logits(depth, 40.0), logits, atol=1e-3)


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


@pytest.mark.parametrize("loss", [losses.silog, losses.gradient_loss])
def test_what_lies_beyond_the_maximum_is_missing(loss):
    y_true, y_pred = scene()
    missing = np.where(y_true > 20, 0, y_true)
    expected = loss(missing, y_pred)
    np.testing.assert_array_equal(loss(y_true, y_pred, max_depth_m=20.0), expected)


@pytest.mark.parametrize("loss", [*FUNCTIONS, *(kind() for kind in CLASSES)])
@pytest.mark.parametrize(
    "case", ["one hole", "NaN hole", "all holes", "perfect", "constant", "zero prediction"]
)
def test_gradient_is_finite(loss, case):
    y_true, y_pred = scene()
    if case == "one hole":
        y_true[0, 3, 4] = 0.0
    elif case == "NaN hole":
        y_true[0, 3, 4] = np.nan
    elif case == "all holes":
        y_true[:] = np.nan if "istillation" in str(loss) else 0.0
    elif case == "perfect":
        y_pred = y_true.copy()
    elif case == "constant":
        y_true[:], y_pred[:] = 2.0, 3.0
    else:
        y_pred[:] = 0.0
    value, gradient = value_and_gradient(loss, y_true, y_pred)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    if case in ("all holes", "perfect"):
        assert value == 0
        assert not gradient.any()


@pytest.mark.parametrize("distance", [1e-1, 1e-3, 1e-5, 1e-7])
def test_silog_gradient_stays_bounded_near_the_truth(distance):
    y_true, _ = scene()
    noise = np.random.default_rng(1).normal(size=y_true.shape).astype(np.float32)
    _, gradient = value_and_gradient(losses.silog, y_true, y_true * (1 + distance * noise))
    assert np.abs(gradient).max() < 10


def test_silog_gradient_is_the_derivative():
    y_true, y_pred = scene(shape=(1, 2, 3, 1))
    y_true[0, 1, 1] = 0.0
    _, gradient = value_and_gradient(losses.silog, y_true, y_pred)
    step = np.zeros_like(y_pred)
    for index in np.ndindex(*y_pred.shape):
        step[index] = 1e-2
        up, down = (losses.silog(y_true, y_pred + s)[0] for s in (step, -step))
        assert gradient[index] == pytest.approx(float(up - down) / 2e-2, rel=0.02, abs=2e-3)
        step[index] = 0.0


@pytest.mark.parametrize(("kind", "function"), list(zip(CLASSES, FUNCTIONS, strict=True)))
def test_images_without_valid_pixels_do_not_dilute_the_mean(kind, function):
    y_true, y_pred = scene(shape=(4, 12, 16, 1))
    y_true[1] = y_true[3] = np.nan
    each = np.array(function(y_true, y_pred))
    assert each.shape == (4,)
    assert each[1] == each[3] == 0
    assert float(kind()(y_true, y_pred)) == pytest.approx(each[[0, 2]].mean(), rel=1e-6)
    np.testing.assert_array_equal(kind(reduction="none")(y_true, y_pred), each)


def test_gradient_loss_counts_pairs_not_pixels():
    """The second image has valid pixels, but no two neighbours."""
    y_true = batch([[1.0, 2.0, 4.0]], [[1.0, 0.0, 0.0]])
    y_pred = batch([[2.0, 2.0, 2.0]], [[5.0, 5.0, 5.0]])
    loss = losses.GradientLoss(scales=1)
    assert float(loss(y_true, y_pred)) == pytest.approx(LN2, rel=1e-6)


@pytest.mark.parametrize("kind", CLASSES)
def test_half_precision_is_computed_in_float32(kind):
    y_true, y_pred = scene()
    half = tf.cast(y_pred, "float16")
    value = kind()(y_true, half)
    assert value.dtype == "float32"
    assert float(value) == pytest.approx(float(kind()(y_true, y_pred)), rel=1e-2)


@pytest.mark.parametrize("kind", CLASSES)
def test_config_round_trip(kind):
    config = keras.losses.serialize(kind(reduction="sum"))
    again = keras.losses.deserialize(config)
    assert again.get_config() == kind(reduction="sum").get_config()
    assert isinstance(again, kind)


@pytest.mark.parametrize("kind", CLASSES)
def test_graph_gives_the_eager_value(kind):
    y_true, y_pred = scene()
    loss = kind()
    graph = tf.function(lambda truth, prediction: loss(truth, prediction))
    assert float(graph(y_true, y_pred)) == pytest.approx(float(loss(y_true, y_pred)), rel=1e-5)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_never_looks_like_a_loss_of_0(kind, bad):
    y_true, y_pred = (np.array(value) for value in scene())
    assert np.isfinite(kind()(y_true, y_pred))
    assert not np.isfinite(kind()(y_true, np.full_like(y_pred, bad)))


def test_no_tensorflow_in_the_losses():
    with open(losses.__file__) as file:
        assert "tensorflow" not in file.read()
