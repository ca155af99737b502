"""mai_depth.training.relative_depth: inverse depth of no unit, fitted and averaged."""

import numpy as np
import pytest

from mai_depth.training.relative_depth import fit_to_metres
from mai_depth.training.relative_depth import mean_inverse_depth


def row(*values):
    return np.array([values], np.float32)


def test_what_is_inverse_depth_already_comes_back_in_metres():
    """2 / z + 3 of z = 1, 2, 4 m; the fourth pixel has no metres, but gets some."""
    got = fit_to_metres(row(5.0, 4.0, 3.5, 4.5), row(1.0, 2.0, 4.0, 0.0))
    np.testing.assert_allclose(got, row(1.0, 2.0, 4.0, 4 / 3), rtol=1e-6)


def test_fit_golden():
    """0, 1, 2 against 1 / z = 1, 2, 6: the line is 2.5 x + 0.5."""
    got = fit_to_metres(row(0.0, 1.0, 2.0), row(1.0, 1 / 2, 1 / 6))
    np.testing.assert_allclose(got, row(1 / 0.5, 1 / 3.0, 1 / 5.5), rtol=1e-6)


def test_a_fit_stays_within_twice_the_range():
    """1 / z = 1, 1, 1/8 and a fourth pixel far beyond the far end; a fifth before the near one."""
    got = fit_to_metres(row(10.0, 10.0, 3.0, -99.0, 99.0), row(1.0, 1.0, 8.0, 0.0, 0.0))
    np.testing.assert_allclose(got, row(1.0, 1.0, 8.0, 16.0, 0.5), rtol=1e-6)


@pytest.mark.parametrize(("scale", "shift"), [(0.01, 0.0), (30.0, -7.0)])
def test_scale_and_shift_of_the_answer_do_not_matter(scale, shift):
    random = np.random.default_rng(0)
    depth = random.uniform(0.5, 9.0, (12, 16)).astype(np.float32)
    answer = (1 / depth + random.normal(0, 0.1, depth.shape)).astype(np.float32)
    expected = fit_to_metres(answer, depth)
    np.testing.assert_allclose(fit_to_metres(scale * answer + shift, depth), expected, rtol=1e-3)


@pytest.mark.parametrize("answer", [row(1.0, 2.0, 3.0), row(2.0, 2.0, 2.0)])
def test_what_contradicts_or_is_flat_fits_nothing(answer):
    assert fit_to_metres(answer, row(1.0, 2.0, 3.0)) is None
    assert fit_to_metres(row(1.0, 2.0, 3.0), row(0.0, 0.0, 0.0)) is None


def test_mean_inverse_depth_golden():
    """The second is 10 a + 10, the third upside down, the fourth 1 too high in the middle."""
    answers = [row(0.0, 1.0, 2.0), row(10.0, 20.0, 30.0), row(2.0, 1.0, 0.0), row(0.0, 2.0, 2.0)]
    np.testing.assert_allclose(mean_inverse_depth(answers[:3]), row(0.0, 0.5, 1.0), atol=1e-6)
    # Fitted to the first: covariance 2/3, variance 8/9, so 0.75 x: 0, 1.5, 1.5.
    expected = row(0.0, 1.25, 1.75) / 1.75
    np.testing.assert_allclose(mean_inverse_depth([answers[0], answers[3]]), expected, atol=1e-6)
    assert not mean_inverse_depth([row(3.0, 3.0)]).any()
