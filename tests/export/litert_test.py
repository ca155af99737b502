"""Conversion: exact forms, builtin operators, whole graphs, and what is refused."""

import functools
import json

import keras
import numpy as np
import pytest

from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError
from mai_depth.export import conversion
from mai_depth.export import litert
from mai_depth.export import sidecar
from mai_depth.export import stages as rewrite
from mai_depth.export import verify
from mai_depth.network import model_file
from mai_depth.network import student
from mai_depth.tflite import editor as tflite_edit
from mai_depth.tflite import graph as tflite_file
from mai_depth.tflite.runner import TfliteNetwork

RANDOM = np.random.default_rng(0)


def pictures(count):
    """Soft blobs of color with some noise, uint8."""
    small = RANDOM.uniform(0, 255, (count, 6, 8, 3))
    smooth = keras.ops.image.resize(small.astype(np.float32), (480, 640))
    return np.clip(np.asarray(smooth) + RANDOM.normal(0, 3, (480, 640, 1)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images():
    return pictures(32)


@pytest.fixture(scope="module")
def pairs(images):
    depth = np.broadcast_to(np.arange(500, 980, dtype=np.uint16)[:, None], (480, 640))
    return Pairs(
        names=tuple(str(index) for index in range(4)), rgb=images[:4],
        depth=np.repeat(depth[None], 4, axis=0), units_per_m=100.0, fingerprint="none")


@pytest.fixture(scope="module")
def path(tmp_path_factory, images):
    """A student whose BatchNorm statistics fit its weights, as training leaves them."""
    keras.utils.set_random_seed(0)
    model = student.build_student(
        alpha=0.35, decoder_filters=(8, 8, 8, 8), max_depth_m=10.0, antialias=True)
    momenta = [layer for layer in model.layers if hasattr(layer, "momentum")]
    for layer in momenta:
        layer.momentum = 0.0
    model(images[:8].astype(np.float32), training=True)
    path = tmp_path_factory.mktemp("student") / "student.keras"
    model_file.save_model(model, path)
    path.with_suffix(".json").write_text(json.dumps({"metrics": {"si_rmse": 0.5}, "other": 1}))
    return path


@pytest.fixture(scope="module")
def parts(path):
    return rewrite.take_apart(model_file.load_model(path), path)


@pytest.fixture(scope="module")
def export(tmp_path_factory, path, pairs):
    """Converts with the given options, once for all tests; returns the file and its sidecar."""
    folder = tmp_path_factory.mktemp("exported")

    @functools.cache
    def once(options):
        output = folder / f"{len(list(folder.iterdir()))}.tflite"
        return output, litert.export_tflite(path, output, options, pairs, allow_inaccurate=True)

    return lambda **options: once(litert.ExportOptions(**options))


def picture_types(path):
    """The numbers of the tensors that have the size of the camera's picture."""
    tensors = tflite_file.TfliteFile(path).tensors()
    return [tensor.dtype for tensor in tensors if tensor.elements == 480 * 640 * 3]


def run(path, image):
    return TfliteNetwork(path)(image)


def test_anatomy(parts):
    assert parts.image_size == (480, 640)
    assert parts.grid_size == (128, 160)
    assert parts.antialias
    assert parts.max_depth_m == 10.0
    assert parts.core.output.shape == (None, 64, 80, 1)


def test_other_depth_models_are_refused():
    image = keras.Input((480, 640, 3))
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(image))
    with pytest.raises(UserError, match="'view' is missing"):
        rewrite.take_apart(model, "a.keras")


@pytest.mark.parametrize("antialias", [True, False])
def test_rebuilt_model_equals_the_student(images, antialias):
    model = student.build_student(alpha=0.35, decoder_filters=(8, 8, 8, 8), antialias=antialias)
    fast = rewrite.rebuild(rewrite.take_apart(model, ""), "fast_bilinear")
    image = images[:1].astype(np.float32)
    difference = fast.predict_on_batch(image) - model.predict_on_batch(image)
    assert np.abs(difference).max() < 1e-4  # of 40 m


@pytest.mark.parametrize(("upsample", "input_dtype"), [
    ("bilinear", "float32"), ("nearest", "float32"), ("fast_bilinear", "float32"),
    ("fast_nearest", "float32"), ("fast_bilinear", "uint8"), ("nearest", "uint8"),
    pytest.param("bilinear", "uint8", marks=pytest.mark.slow),
    pytest.param("fast_nearest", "uint8", marks=pytest.mark.slow)])
def test_float_file(export, upsample, input_dtype):
    output, content = export(upsample=upsample, input_dtype=input_dtype)
    assert content["delegate_partitions"] <= 2
    assert content["input"]["dtype"] == input_dtype
    assert content["verification"]["passed"]
    assert content["verification"]["mean_difference_m"] < 1e-4
    interpreter = tflite_file.open_interpreter(output)
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["depth_m"]}
    }


def test_sidecar_and_embedded_description(export):
    output, _ = export()
    content = json.loads(output.with_name(f"{output.name}.json").read_text())
    assert content["sha256"] == tflite_file.TfliteFile(output).sha256()
    assert content["size_bytes"] == output.stat().st_size
    assert content["metrics"] == {"si_rmse": 0.5}
    assert content["input"] == {
        "name": "image", "shape": [1, 480, 640, 3], "dtype": "float32", "range": [0, 255],
        "unit": "RGB, camera values",
    }
    assert content.pop("sha256") and content.pop("protocols")
    assert json.loads(tflite_edit.read_metadata(output.read_bytes())) == content


@pytest.mark.parametrize(("quantization", "share"), [("float16", 0.6), ("dynamic", 0.6)])
def test_small_weights(export, quantization, share):
    full, _ = export()
    small, content = export(quantization=quantization)
    assert content["delegate_partitions"] <= 2
    assert small.stat().st_size < share * full.stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("input_dtype", ["float32", "uint8"])
def test_int8(tmp_path, path, pairs, images, input_dtype):
    output = tmp_path / "student.tflite"
    options = litert.ExportOptions(quantization="int8", input_dtype=input_dtype)
    content = litert.export_tflite(
        path, output, options, pairs, calibration=images, allow_inaccurate=True)
    assert content["delegate_partitions"] <= 2
    file = tflite_file.TfliteFile(output)
    convolutions = [op for op in file.ops() if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    assert {file.tensors()[op.outputs[0]].dtype for op in convolutions[2:]} == {"INT8"}
    assert picture_types(output) == [input_dtype.upper()]
    # Whatever the weights, depth keeps its order: quantization is no random map.
    expected = model_file.load_model(path).predict_on_batch(images[:1].astype(np.float32))
    assert np.corrcoef(run(output, images[0]).ravel(), expected.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("quantization", ["float16", "dynamic"])
def test_bytes_are_reduced_as_bytes_where_numbers_are_rounded_anyway(
    export, images, quantization
):
    as_floats, _ = export(quantization=quantization)
    as_bytes, _ = export(quantization=quantization, input_dtype="uint8")
    assert picture_types(as_bytes) == ["UINT8"]
    expected, found = run(as_floats, images[0]), run(as_bytes, images[0])
    assert 0 < np.abs(found - expected).mean() < 0.01 * np.ptp(expected)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "0 pictures"),
        (np.zeros((0, 480, 640, 3)), "0 pictures"),
        (np.zeros((31, 480, 640, 3), np.uint8), "31 pictures"),
        (np.zeros((32, 480, 640, 3), np.uint8), "one color"),
        (np.full((32, 4, 4, 3), np.nan), "NaN"),
        (np.full((32, 4, 4, 3), 300.0), "outside 0..255"),
    ],
)
def test_bad_calibration(calibration, message):
    with pytest.raises(UserError, match=message):
        conversion.check_calibration(calibration)


def test_float_convolutions_are_found(parts, tmp_path):
    (tmp_path / "a.tflite").write_bytes(conversion.convert(parts).data())
    with pytest.raises(UserError, match="convolutions are not int8"):
        litert.check_graph(tmp_path / "a.tflite", "int8")


def test_an_operator_that_is_not_builtin_is_named(tmp_path):
    """The converter writes such a graph for anyone who allows custom operators."""
    import tensorflow as tf

    function = tf.function(tf.math.betainc, input_signature=[tf.TensorSpec((1, 8, 8, 3))] * 3)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.allow_custom_ops = True
    (tmp_path / "a.tflite").write_bytes(converter.convert())
    with pytest.raises(UserError, match="needs Betainc, which is not a LiteRT builtin"):
        litert.check_graph(tmp_path / "a.tflite", "none")


def test_inaccurate_file_is_not_written(tmp_path, path, pairs, monkeypatch, capsys):
    monkeypatch.setitem(verify._MEAN_LIMITS, "none", 0.0)
    output = tmp_path / "student.tflite"
    with pytest.raises(UserError, match="not accurate"):
        litert.export_tflite(path, output, litert.ExportOptions(), pairs)
    assert list(tmp_path.iterdir()) == []
    litert.export_tflite(path, output, litert.ExportOptions(), pairs, allow_inaccurate=True)
    assert "NOT ACCURATE" in capsys.readouterr().out
    assert output.exists()


def test_an_answer_that_is_not_finite_is_never_allowed(path, pairs):
    model = model_file.load_model(path)
    with pytest.raises(UserError, match="picture 0 is not finite"):
        verify.verify(lambda image: np.full(image.shape[:2], np.nan), model, pairs, "int8")


def test_full_disk_keeps_the_old_file(tmp_path, path, pairs, monkeypatch):
    output = tmp_path / "student.tflite"
    output.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        litert.export_tflite(path, output, litert.ExportOptions(), pairs)
    assert output.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_description_reads_the_file(parts, tmp_path):
    (tmp_path / "a.tflite").write_bytes(conversion.convert(parts).data())
    described = sidecar.describe_tflite(tmp_path / "a.tflite")
    assert described["output"] == {
        "name": "depth_m", "shape": [1, 480, 640, 1], "dtype": "float32", "unit": "metre"}
    assert described["not_delegated"] == []
    assert described["macs"] > 1e6
