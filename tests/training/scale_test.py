"""A model whose answers are too near is moved to the right scale, and then left alone."""

import keras
import numpy as np
import pytest

from mai_depth.data.sources import open_split
from mai_depth.network.student import build_student
from mai_depth.training.depth_scale import TOLERANCE
from mai_depth.training.depth_scale import centre_scale
from mai_depth.training.evaluation import predict_pairs


@pytest.fixture(scope="module")
def pairs(tiny_data, tmp_path_factory):
    return open_split(tiny_data, "train", cache_dir=str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def student():
    keras.utils.set_random_seed(0)
    return build_student(
        "student_28m", alpha=0.35, decoder_filters=(8, 8, 8, 8), max_depth_m=10.0)


def mean_error(model, pairs):
    """Mean of ln(predicted / true) over pictures, from the definition."""
    errors = []
    for index, predicted in enumerate(predict_pairs(model, pairs)):
        truth = pairs.depth_m(index)
        valid = truth > 0.001
        errors.append(np.log(predicted[valid] / truth[valid]).mean())
    return np.mean(errors)


@pytest.mark.parametrize("bias", [-2.0, 1.0])
def test_the_mean_error_goes_to_zero_and_stays(student, pairs, bias):
    head = student.get_layer("depth_logits")
    head.set_weights([head.get_weights()[0], np.array([bias], np.float32)])
    before = mean_error(student, pairs)
    assert centre_scale(student, pairs, 10.0) == pytest.approx(before, abs=0.01)
    assert abs(mean_error(student, pairs)) < 0.01 < abs(before)
    weights = student.get_weights()
    assert abs(centre_scale(student, pairs, 10.0)) < TOLERANCE
    for old, new in zip(weights, student.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_only_the_heads_bias_moves(student, pairs):
    before = {variable.path: variable.numpy() for variable in student.variables}
    centre_scale(student, pairs, 10.0)
    moved = [path for path, value in before.items()
             if not np.array_equal(value, {v.path: v for v in student.variables}[path].numpy())]
    assert moved == ["depth_logits/bias"]


def test_truth_beyond_the_maximum_does_not_count(student, pairs):
    assert centre_scale(student, pairs, 0.01) == 0.0
