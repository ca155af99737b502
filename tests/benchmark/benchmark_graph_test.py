"""benchmark.graph: the picture for timing, and pictures and maps of other sizes."""

import benchmark_graphs
import numpy as np

from benchmark.graph import ResizingGraph
from benchmark.graph import sample_picture

GRAPHS = benchmark_graphs.graphs


def test_the_sample_picture_is_always_the_same():
    picture = sample_picture()
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, sample_picture())
    assert picture.std() > 30


def test_another_input_size_is_resized_to_and_its_map_back():
    graph = ResizingGraph(GRAPHS()["smaller"])
    assert graph.input_size == graph.output_size == (96, 128)
    depth = graph.predict(sample_picture(), size=(480, 640))
    assert depth.shape == (480, 640)
    assert abs(float(depth.mean()) - float(graph.depth().mean())) < 0.01
