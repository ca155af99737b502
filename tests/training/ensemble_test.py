"""Several teachers as one, and each asked for the mirror image as well."""

import types

import numpy as np
import pytest

from mai_depth.training.ensemble import Ensemble
from mai_depth.training.ensemble import ask
from mai_depth.training.ensemble import mean_of_logs


def teacher(answer):
    """A teacher that answers `answer(red)`, red from 0 to 255."""
    return types.SimpleNamespace(
        predict_on_batch=lambda batch: answer(batch[..., :1]).astype(np.float32))


def test_mean_of_logs_golden():
    """The mean of 1 and 4 m is 2 m; what is missing in one map counts in the other."""
    one = np.array([[1.0, 4.0, 0.0, np.nan]], np.float32)
    other = np.array([[4.0, 4.0, 2.0, 0.0]], np.float32)
    np.testing.assert_allclose(mean_of_logs([one, other]), [[2.0, 4.0, 2.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(mean_of_logs([one]), [[1.0, 4.0, 0.0, 0.0]], rtol=1e-6)


def test_an_ensemble_answers_the_mean_of_logs():
    """2 and 8 m: 4 m."""
    images = np.zeros((3, 4, 6, 3), np.float32)
    both = Ensemble([teacher(lambda red: red + 2), teacher(lambda red: red + 8)], mirror=False)
    depth = both.predict_on_batch(images)
    assert depth.shape == (3, 4, 6, 1) and depth.dtype == np.float32
    np.testing.assert_allclose(depth, 4.0, rtol=1e-6)


def test_the_mirror_images_answer_is_mirrored_back():
    """It answers by place, 1 m on the left and 4 m on the right of whatever it sees: 2 m."""
    place = np.where(np.arange(6) < 3, 1.0, 4.0)[None, None, :, None]
    model = teacher(lambda red: 0 * red + place)
    images = np.random.default_rng(0).uniform(0, 255, (2, 4, 6, 3)).astype(np.float32)
    plain, mirrored = ask(model, images, mirror=True)
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
    np.testing.assert_allclose(
        Ensemble([model], mirror=True).predict_on_batch(images), 2.0, rtol=1e-6)
    # One that answers by colour says the same to both.
    by_color = teacher(lambda red: red + 1)
    np.testing.assert_array_equal(*ask(by_color, images, mirror=True))
    (alone,) = ask(by_color, images, mirror=False)
    np.testing.assert_array_equal(alone, images[..., :1] + 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_that_answers_no_number_is_not_outvoted(value):
    broken = teacher(lambda red: np.where(red > 100, value, 2.0))
    images = np.zeros((1, 2, 2, 3), np.float32)
    images[0, 1, 1] = 200
    depth = Ensemble([teacher(lambda red: 0 * red + 2), broken], mirror=False)
    np.testing.assert_allclose(
        depth.predict_on_batch(images)[0, ..., 0], [[2, 2], [2, np.nan]], rtol=1e-6)
