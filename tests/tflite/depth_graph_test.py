"""mai_depth.tflite.depth_graph and runner: number formats, and graphs that are no depth graphs."""

import benchmark_graphs
import numpy as np
import pytest

from benchmark.graph import sample_picture
from mai_depth.errors import UserError
from mai_depth.tflite.depth_graph import DepthGraph
from mai_depth.tflite.runner import TfliteNetwork

GRAPHS = benchmark_graphs.graphs


@pytest.mark.parametrize("name", benchmark_graphs.FORMATS[1:])
def test_every_number_format_gives_the_depth_of_float32(name):
    expected = DepthGraph(GRAPHS()["float32"]).predict(sample_picture())
    depth = DepthGraph(GRAPHS()[name]).predict(sample_picture())
    assert depth.dtype == np.float32 and depth.shape == (480, 640)
    assert np.abs(depth - expected).max() < 0.15  # of 10 m: what 8 bits can do
    assert np.ptp(depth) > 0


def test_two_threads_and_no_delegate_give_the_same():
    expected = DepthGraph(GRAPHS()["float32"]).predict(sample_picture())
    for options in ({"num_threads": 2}, {"use_xnnpack": False}):
        depth = DepthGraph(GRAPHS()["float32"], **options).predict(sample_picture())
        np.testing.assert_allclose(depth, expected, atol=1e-5)


def test_the_strict_network_answers_the_same():
    path = GRAPHS()["smaller"]
    picture = sample_picture()[:96, :128]
    np.testing.assert_array_equal(TfliteNetwork(path)(picture), DepthGraph(path).predict(picture))


@pytest.mark.parametrize("read", [DepthGraph, TfliteNetwork])
@pytest.mark.parametrize("name, word", [
    ("two_inputs", "2 inputs"), ("flat", r"input is \[1, 16\]"), ("table", "one map")])
def test_other_graphs_are_explained(read, name, word):
    with pytest.raises(UserError, match=f"{name}.tflite: not a depth network: .*{word}"):
        read(GRAPHS()[name])


@pytest.mark.parametrize("name, notes, shapes", [
    ("two_maps", ["several outputs; the first"], r"\[1, 48, 64, 1\], \[1, 48, 64, 1\]"),
    ("channels_first", [], r"\[1, 1, 48, 64\]")])
def test_a_doubtful_output_is_read_with_a_note_and_refused_by_the_strict(name, notes, shapes):
    graph = DepthGraph(GRAPHS()[name])
    assert [note.split(" (")[0] for note in graph.notes] == notes
    assert graph.predict(sample_picture()[:48, :64]).shape == graph.output_size == (48, 64)
    with pytest.raises(UserError, match=f"its output is {shapes}, not one map"):
        TfliteNetwork(GRAPHS()[name])


@pytest.mark.parametrize("size", [(480, 640), (1, 64), (64, 48)])
def test_a_picture_of_another_size_is_no_picture_for_it(size):
    with pytest.raises(UserError, match=r"smaller.tflite: LiteRT cannot run it"):
        TfliteNetwork(GRAPHS()["smaller"])(np.zeros((*size, 3), np.uint8))
