"""ONNX files: the same numbers in onnxruntime and in OpenCV, of standard operators alone."""

import json
import sys

import keras
import numpy as np
import pytest
from normalized_student import pictures
from normalized_student import write_student

from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError
from mai_depth.export import litert
from mai_depth.export import onnx_file
from mai_depth.export import onnx_graph
from mai_depth.export.stages import take_apart
from mai_depth.network.model_file import load_model
from mai_depth.tflite.editor import METADATA_NAME

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

OTHER = {"antialias": True, "minimalistic": True, "upsampling": "bilinear"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_student(tmp_path_factory.mktemp("student") / "student.keras")


@pytest.fixture(scope="module")
def model(path):
    return load_model(path)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return load_model(write_student(tmp_path_factory.mktemp("other") / "student.keras", **OTHER))


@pytest.fixture(scope="module")
def image():
    return pictures(1)


@pytest.fixture(scope="module")
def pairs():
    depth = np.broadcast_to(np.arange(500, 980, dtype=np.uint16)[:, None], (480, 640))
    return Pairs(
        names=("0", "1"), rgb=pictures(2).astype(np.uint8),
        depth=np.repeat(depth[None], 2, axis=0), units_per_m=100.0, fingerprint="none")


def written(model, upsample="bilinear"):
    return onnx_graph.onnx_model(take_apart(model, ""), upsample, "float32")


def assert_same(depth, expected):
    """Rounding alone: single pixels of a network of random numbers differ by more than the mean."""
    difference = np.abs(depth - expected)
    assert depth.shape == expected.shape == (1, 480, 640, 1)
    assert difference.mean() < 5e-5 and difference.max() < 2e-3  # of 10 m


def answer(data, image):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(["depth_m"], {"image": image})[0]


def test_padding_is_that_of_keras():
    # 5 pixels, stride 2: 3 results see 7, so 2 zeros; 4 pixels: 2 results see 5, so 1, at the end.
    assert onnx_graph._same((5, 4), (3, 3), (2, 2)) == (1, 0, 1, 1)
    assert onnx_graph._same((8, 8), (1, 1), (2, 2)) == (0, 0, 0, 0)


@pytest.mark.parametrize("which", ["model", "other"])
def test_same_numbers_in_onnxruntime_and_opencv(which, request, image, tmp_path):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    student = request.getfixturevalue(which)
    expected = student.predict_on_batch(image)
    graph = written(student)
    onnx.checker.check_model(graph, full_check=True)
    assert_same(answer(graph.SerializeToString(), image), expected)
    onnx.save(graph, tmp_path / "student.onnx")
    network = cv2.dnn.readNetFromONNX(str(tmp_path / "student.onnx"))
    network.setInput(image)
    assert_same(network.forward(), expected)


def test_nearest_picks_the_pixels_that_keras_picks(model, image):
    keras_model = litert.reference(model, take_apart(model, ""), "nearest")
    depth = answer(written(model, "nearest").SerializeToString(), image)
    assert_same(depth, keras_model.predict_on_batch(image))


def test_standard_operators_of_one_version(model):
    graph = written(model)
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 14)]
    assert {node.domain for node in graph.graph.node} == {""}
    assert {node.op_type for node in graph.graph.node} == {
        "Add", "Clip", "Concat", "Conv", "GlobalAveragePool", "HardSwish", "Mul", "Relu",
        "Reshape", "Resize", "Sigmoid", "Transpose"}


@pytest.mark.parametrize("input_dtype", ["float32", "uint8"])
def test_file_and_sidecar(tmp_path, path, pairs, input_dtype):
    output = tmp_path / "student.onnx"
    options = litert.ExportOptions(input_dtype=input_dtype)
    content = onnx_file.export_onnx(path, output, options, pairs)
    assert content["verification"]["passed"]
    assert content["input"]["dtype"] == input_dtype and content["upsample"] == "bilinear"
    file = onnx.load(output)
    [image], [depth] = file.graph.input, file.graph.output
    assert (image.name, depth.name) == ("image", "depth_m")
    sidecar = json.loads((tmp_path / "student.onnx.json").read_text())
    assert sidecar == content and sidecar["size_bytes"] == output.stat().st_size
    [entry] = file.metadata_props
    assert entry.key == METADATA_NAME and json.loads(entry.value).items() <= content.items()


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_one_line(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"--format=onnx: .*{package}.*pip install"):
        onnx_file.check_packages()


@pytest.mark.parametrize("layer", [
    keras.layers.MaxPooling2D(2, name="odd"), keras.layers.ReLU(negative_slope=0.1, name="odd")])
def test_a_layer_that_no_student_has_is_named(model, layer):
    parts = take_apart(model, "")
    grid = keras.Input((128, 160, 3))
    writer = onnx_graph._Writer()
    writer._write_grid(parts, "float32")
    [step] = onnx_graph.steps_of(keras.Model(grid, layer(grid)))
    with pytest.raises(UserError, match=f"--format=onnx: the layer odd .{type(layer).__name__}"):
        writer._write_step(step)
