"""mai_depth.tflite.graph: costs by hand, delegate partitions, and broken files."""

import benchmark_graphs
import numpy as np
import pytest

from mai_depth.errors import UserError
from mai_depth.tflite.graph import TfliteFile
from mai_depth.tflite.graph import delegate_partitions
from mai_depth.tflite.graph import open_interpreter

GRAPHS = benchmark_graphs.graphs
# 24x32 pixels: 3x3 convolution 3 -> 16, 3x3 depthwise of 16, 3x3 16 -> 16, 1x1 16 -> 1
MACS = 24 * 32 * (9 * 3 * 16 + 9 * 16 + 9 * 16 * 16 + 16)
WEIGHTS = 9 * 3 * 16 + 16 + 9 * 16 + 16 + 9 * 16 * 16 + 16 + 16 + 1


def test_macs_are_those_counted_by_hand():
    for name in benchmark_graphs.FORMATS:
        assert TfliteFile(GRAPHS()[name]).macs() == MACS, name


def test_parameters_and_their_bytes():
    file = TfliteFile(GRAPHS()["float32"])
    scalars = file.parameters() - WEIGHTS  # the two rescalings
    assert 0 <= scalars <= 4
    assert file.weight_bytes() == 4 * file.parameters()
    assert file.moved_bytes() == 4 * (480 * 640 * (3 + 1) + file.parameters())


def test_number_formats():
    names = {name: TfliteFile(path).number_format() for name, path in GRAPHS().items()}
    assert [names[name] for name in benchmark_graphs.FORMATS] == [
        "float32", "float16 weights", "int8 weights", "int8", "int8", "int8", "int16x8"]
    assert names["constant"] == "-"


def test_inputs_and_outputs():
    file = TfliteFile(GRAPHS()["float32"])
    assert [tensor.shape for tensor in file.inputs()] == [(1, 480, 640, 3)]
    assert [tensor.shape for tensor in file.outputs()] == [(1, 480, 640, 1)]
    assert file.ops()[-1].name == "RESIZE_BILINEAR"


def test_partitions_with_and_without_the_delegate():
    path = GRAPHS()["float32"]
    assert delegate_partitions(open_interpreter(path)) == (1, ())
    partitions, left = delegate_partitions(open_interpreter(path, use_xnnpack=False))
    assert partitions == 0
    assert left == tuple(op.name for op in TfliteFile(path).ops())


def test_an_operator_outside_the_delegate_is_named():
    partitions, left = delegate_partitions(open_interpreter(GRAPHS()["nearest"]))
    assert (partitions, left) == (1, ("RESIZE_NEAREST_NEIGHBOR",))


@pytest.mark.parametrize("content, word", [
    (b"", "empty"), (b"\0" * 5000, "not a .tflite file"), (b"a text\n" * 30, "not a .tflite file"),
    (b"\x1c\0\0\0TFL3" + b"\xff" * 400, "broken")])
def test_junk_is_refused_in_one_line(tmp_path, content, word):
    path = tmp_path / "junk.tflite"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"junk.tflite: .*{word}"):
        TfliteFile(path)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.tflite", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            TfliteFile(path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused_by_the_reader_or_by_litert(tmp_path, share):
    data = GRAPHS()["float32"].read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"cut\.tflite"):
        TfliteFile(path)
        open_interpreter(path)


def test_flipped_bits_never_raise_anything_else(tmp_path):
    data, random = GRAPHS()["float32"].read_bytes(), np.random.default_rng(0)
    path = tmp_path / "flipped.tflite"
    refused = 0
    for _ in range(200):
        broken = bytearray(data)
        for place in random.integers(0, len(data), 3):
            broken[place] ^= 1 << random.integers(8)
        path.write_bytes(broken)
        try:
            file = TfliteFile(path)
            file.macs(), file.parameters(), file.number_format()
        except UserError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("threads", [0, -1, 65, 1000])
def test_threads_have_bounds(threads):
    with pytest.raises(UserError, match="--num_threads"):
        open_interpreter(GRAPHS()["float32"], num_threads=threads)
