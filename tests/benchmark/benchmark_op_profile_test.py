"""benchmark.op_profile: cut graphs compute what the whole does, and sums by hand."""

import benchmark_graphs
import numpy as np
import pytest

from benchmark.graph import sample_picture
from benchmark.op_profile import by_type
from benchmark.op_profile import cut
from benchmark.op_profile import cut_core
from benchmark.op_profile import open_graph
from benchmark.op_profile import time_operators
from mai_depth.tflite.graph import TfliteFile
from mai_depth.tflite.graph import open_interpreter

GRAPHS = benchmark_graphs.graphs


def test_a_chain_of_cut_operators_is_the_whole_graph(tmp_path):
    file = TfliteFile(GRAPHS()["float32"])
    values = _run_operators(file, tmp_path)
    whole = _run(file.path, [values[file.inputs()[0].index]])
    np.testing.assert_allclose(values[file.outputs()[0].index], whole, atol=1e-5)


@pytest.mark.parametrize("name", ["float32", "nearest"])
def test_the_core_is_what_lies_between_the_resizes(name, tmp_path):
    file = TfliteFile(GRAPHS()[name])
    values = _run_operators(file, tmp_path)
    first, last = (op for op in file.ops() if op.name.startswith("RESIZE"))
    path = tmp_path / "core.tflite"
    path.write_bytes(cut_core(file))
    found = _run(path, [values[first.outputs[0]]])
    assert np.std(found) > 0.01
    np.testing.assert_allclose(found, values[last.inputs[0]], atol=1e-5)


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic", "int8", "uint8_io"])
def test_the_core_of_every_format_holds_all_multiplications(name, tmp_path):
    file, path = TfliteFile(GRAPHS()[name]), tmp_path / "core.tflite"
    path.write_bytes(cut_core(file))
    open_graph(path, 1, True).invoke()
    assert TfliteFile(path).macs() == file.macs() > 0


def test_the_core_ends_before_the_first_step_of_an_enlargement(tmp_path):
    path = tmp_path / "core.tflite"
    path.write_bytes(cut_core(TfliteFile(GRAPHS()["stepwise"])))
    picture = np.random.default_rng(0).random((1, 26, 34, 3), np.float32)
    assert _run(path, [picture]).shape == (1, 24, 32, 1)


@pytest.mark.parametrize("name", ["constant", "early"])
def test_a_graph_without_resizes_around_its_convolutions_has_no_core(name):
    assert cut_core(TfliteFile(GRAPHS()[name])) is None


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic", "int8", "int16_io"])
def test_every_operator_is_timed_once(name):
    file = TfliteFile(GRAPHS()[name])
    generator = time_operators(str(file.path), 1, True, num_runs=2)
    steps = []
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            profile = end.value
            break
    assert steps == [1, 2]
    unpacking = sum(op.name == "DEQUANTIZE" and file.tensors()[op.inputs[0]].constant
                    for op in file.ops())
    assert len(profile["operators"]) == len(file.ops()) - unpacking
    assert sum(op["macs"] for op in profile["operators"]) == file.macs()
    assert all(op["ms"] > 0 for op in profile["operators"])
    assert profile["whole_ms"] > 0


def test_cutting_does_not_change_the_graph():
    file = TfliteFile(GRAPHS()["float32"])
    model = file.schema_object()
    assert cut(model, [0]) == cut(model, [0])


def test_sums_by_type_by_hand():
    operators = [{"name": "CONV_2D", "ms": 1.0, "macs": 5}, {"name": "ADD", "ms": 6.0, "macs": 0},
                 {"name": "CONV_2D", "ms": 3.0, "macs": 7}]
    assert by_type(operators) == [
        {"name": "ADD", "count": 1, "ms": 6.0, "share": 0.6, "macs": 0},
        {"name": "CONV_2D", "count": 2, "ms": 4.0, "share": 0.4, "macs": 12}]


def _run_operators(file, folder):
    """Runs the operators of a graph one by one; returns every tensor that they make."""
    model = file.schema_object()
    values = {file.inputs()[0].index: sample_picture()[np.newaxis].astype(np.float32)}
    for op in file.ops():
        part = folder / f"{op.index}.tflite"
        part.write_bytes(cut(model, [op.index]))
        feeds = [values[i] for i in sorted(op.inputs) if i in values]
        values[op.outputs[0]] = _run(part, feeds)
    return values


def _run(path, feeds):
    interpreter = open_interpreter(path)
    details = interpreter.get_input_details()
    for detail, value in zip(details, feeds, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
