"""benchmark.graph: number formats in and out, sizes, and graphs that are no depth graphs."""

import benchmark_graphs
import numpy as np
import pytest

from benchmark.graph import DepthGraph
from benchmark.graph import sample_picture
from mai_depth.errors import UserError

GRAPHS = benchmark_graphs.graphs


def test_the_sample_picture_is_always_the_same():
    picture = sample_picture()
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, sample_picture())
    assert picture.std() > 30


@pytest.mark.parametrize("name", benchmark_graphs.FORMATS[1:])
def test_every_number_format_gives_the_depth_of_float32(name):
    expected = DepthGraph(GRAPHS()["float32"]).predict(sample_picture())
    depth = DepthGraph(GRAPHS()[name]).predict(sample_picture())
    assert depth.dtype == np.float32 and depth.shape == (480, 640)
    assert np.abs(depth - expected).max() < 0.15  # of 10 m: what 8 bits can do
    assert np.ptp(depth) > 0


def test_another_input_size_is_resized_to_and_its_map_back():
    graph = DepthGraph(GRAPHS()["smaller"])
    assert graph.input_size == graph.output_size == (96, 128)
    depth = graph.predict(sample_picture(), size=(480, 640))
    assert depth.shape == (480, 640)
    assert abs(float(depth.mean()) - float(graph.depth().mean())) < 0.01


def test_two_threads_and_no_delegate_give_the_same():
    expected = DepthGraph(GRAPHS()["float32"]).predict(sample_picture())
    for options in ({"num_threads": 2}, {"use_xnnpack": False}):
        depth = DepthGraph(GRAPHS()["float32"], **options).predict(sample_picture())
        np.testing.assert_allclose(depth, expected, atol=1e-5)


@pytest.mark.parametrize("name, word", [
    ("two_inputs", "2 inputs"), ("flat", r"input is \[1, 16\]"), ("table", "one map")])
def test_other_graphs_are_explained(name, word):
    with pytest.raises(UserError, match=f"{name}.tflite: .*{word}"):
        DepthGraph(GRAPHS()[name])
