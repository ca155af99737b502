"""mai_depth.edge_metrics: boundary F1, by hand and by its properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from mai_depth.edge_metrics import THRESHOLDS
from mai_depth.edge_metrics import boundary_f1

Y_TRUE = np.array([[1.0, 2.0, 2.0, 2.0], [1.0, 2.0, 2.0, 0.0]])
Y_PRED = np.array([[3.0, 6.0, 3.0, 3.0], [3.0, 3.0, 3.0, 9.0]])


def room(seed=0, holes=0.2, shape=(48, 64)):
    """Boxes in front of a wall, which has holes."""
    random = np.random.default_rng(seed)
    depth = np.full(shape, 4.0)
    for _ in range(5):
        top, left = random.integers(0, 36), random.integers(0, 48)
        depth[top : top + 12, left : left + 16] = random.uniform(0.7, 3.5)
    depth[random.random(shape) < holes] = 0.0
    return depth


def by_the_formulas(y_true, y_pred, distance):
    """Precision and recall pixel by pixel, without the code under test."""
    height, width = y_true.shape
    total = weights = 0.0
    for t in THRESHOLDS:
        right = truths = predicted = 0
        for row in range(height):
            for column in range(width):
                for down, across in ((distance, 0), (-distance, 0), (0, distance), (0, -distance)):
                    other = row + down, column + across
                    if not (0 <= other[0] < height and 0 <= other[1] < width):
                        continue
                    if not (y_true[row, column] and y_true[other]):
                        continue
                    true = y_true[other] / y_true[row, column] > t
                    edge = y_pred[other] / y_pred[row, column] > t
                    truths, predicted, right = truths + true, predicted + edge, right + true * edge
        if truths:
            precision = right / predicted if predicted else 0.0
            recall = right / truths
            both = precision + recall
            total += t * (2 * precision * recall / both if both else 0.0)
            weights += t
    return total / weights


def test_golden_value():
    """Truth: two edges, 1 | 2 in each row. Prediction: 3 | 6, 6 | 3 and 6 above 3; one is right."""
    assert boundary_f1(Y_TRUE, Y_PRED, distance=1) == pytest.approx(2 * 1 / (2 + 3))


def test_edges_weigh_by_the_thresholds_that_they_pass():
    """A true step of 2, a predicted one of 1.1: seen at 1.05, 1.0722 and 1.0944 of ten."""
    seen = THRESHOLDS[THRESHOLDS < 1.1]
    assert len(seen) == 3
    f1 = boundary_f1(np.array([[1.0, 2.0]]), np.array([[1.0, 1.1]]), distance=1)
    assert f1 == pytest.approx(seen.sum() / THRESHOLDS.sum())


@pytest.mark.parametrize("distance", [1, 3])
def test_agrees_with_the_formulas(distance):
    y_true, y_pred = room(0, shape=(24, 32)), room(1, holes=0.0, shape=(24, 32))
    expected = by_the_formulas(y_true, y_pred, distance)
    assert 0 < expected < 1
    assert boundary_f1(y_true, y_pred, distance) == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.1, 10.0), seed=st.integers(0, 99))
def test_scale_is_ignored_and_the_truth_is_perfect(scale, seed):
    y_true, y_pred = room(seed), room(seed + 1, holes=0.0)
    assert boundary_f1(y_true, y_true * scale) == 1
    f1 = boundary_f1(y_true, y_pred)
    assert boundary_f1(y_true, y_pred * scale) == pytest.approx(f1, abs=1e-3)
    assert boundary_f1(y_pred, np.where(y_true, y_true, 1.0)) < 1


def test_an_edge_the_other_way_round_is_wrong():
    assert boundary_f1(np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]]), distance=1) == 0


@pytest.mark.parametrize("anything", [0.0, -5.0, 1e9, math.nan, math.inf])
def test_prediction_at_missing_pixels_never_matters(anything):
    y_true, y_pred = room(0), room(1, holes=0.0)
    changed = np.where(y_true == 0, anything, y_pred)
    assert boundary_f1(y_true, changed) == boundary_f1(y_true, y_pred)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_broken_or_flat_prediction_has_no_edge(broken):
    y_true = room()
    assert boundary_f1(y_true, np.full_like(y_true, broken)) == 0
    assert boundary_f1(y_true, np.full_like(y_true, 2.0)) == 0


def test_without_a_true_edge_there_is_no_value():
    assert math.isnan(boundary_f1(np.full((48, 64), 2.0), room()))
    assert math.isnan(boundary_f1(np.zeros((48, 64)), room()))
    assert math.isnan(boundary_f1(np.ones((1, 1)), np.ones((1, 1))))


def test_blur_costs_more_between_neighbours_than_farther_apart():
    """The reason for the distance: an edge that is a ramp of 8 pixels has no step of 5 % in it."""
    y_true = np.repeat([1.0, 1.4], 320)[None, :].repeat(480, axis=0)
    ramp = np.interp(np.arange(640), [316, 324], [1.0, 1.4])[None, :].repeat(480, axis=0)
    assert boundary_f1(y_true, ramp, distance=1) == 0
    assert boundary_f1(y_true, ramp) > 0.6
    assert boundary_f1(y_true, ramp) == boundary_f1(y_true, ramp, distance=16)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="two maps of one shape"):
        boundary_f1(np.ones((4, 4)), np.ones((4, 5)))
    with pytest.raises(ValueError, match="two maps of one shape"):
        boundary_f1(np.ones((4, 4, 1)), np.ones((4, 4, 1)))
