"""Students whose decoder stops early: every format, in one partition, the same function."""

import keras
import numpy as np
import pytest
from normalized_student import normalize
from normalized_student import pictures

from mai_depth.export.conversion import convert
from mai_depth.export.litert import check_graph
from mai_depth.export.sidecar import describe_tflite
from mai_depth.export.stages import take_apart
from mai_depth.network.student import build_student
from mai_depth.quantize.integer_form import integer_form
from mai_depth.quantize.ranges import measure_ranges
from mai_depth.quantize.ranges import measure_scales
from mai_depth.tflite.runner import TfliteNetwork

GRAPHS = {
    "concat at 16, a small grid": {"decoder_stride": 16, "grid_size": (96, 128)},
    "add at 8": {"decoder_stride": 8, "fusion": "add"},
    # 640 is no multiple of 56: the map is enlarged without the convolution.
    "depthwise at 4, an odd grid": {
        "decoder_stride": 4, "fusion": "add_depthwise", "grid_size": (96, 224)},
    "concat at 4, slim": {"decoder_stride": 4, "slim": True},
    "add at 2, slim": {"fusion": "add", "slim": True, "grid_size": (96, 128)},
}


FAST = "add at 8"  # the one that runs without --slow


def student(name):
    keras.utils.set_random_seed(0)
    model = build_student(alpha=0.35, **GRAPHS[name], max_depth_m=10.0)
    normalize(model)
    return model


@pytest.fixture(scope="module")
def images():
    return np.rint(pictures(32)).astype(np.uint8)


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name == FAST else [pytest.mark.slow]) for name in GRAPHS])
def test_every_format_is_one_partition_and_the_same_function(tmp_path, images, name):
    model = student(name)
    parts = take_apart(model, "student.keras")
    expected = model.predict_on_batch(images[:2].astype(np.float32))[..., 0]
    # Of the answers' spread: 16-bit weights, and 8-bit numbers of a network that was not trained.
    for quantization, limit in (("none", 1e-3), ("float16", 0.02), ("int8", 0.35)):
        path = tmp_path / f"{quantization}.tflite"
        path.write_bytes(convert(parts, quantization=quantization, calibration=images).data())
        check_graph(path, quantization)
        assert describe_tflite(path)["delegate_partitions"] == 1
        found = np.stack([TfliteNetwork(path)(image) for image in images[:2]])
        error = np.sqrt(np.mean((found - expected) ** 2)) / expected.std()
        assert error < limit, (quantization, error)


def test_a_sum_in_integers_has_its_relu_and_shares_its_scales():
    model = student("add at 2, slim")
    core = take_apart(model, "student.keras").core
    grids = pictures(4, (96, 128)) / 127.5 - 1
    form = integer_form(core)
    scales = measure_scales(form, grids)
    scaled = integer_form(core, scales)
    expected = core.predict_on_batch(grids)
    np.testing.assert_allclose(
        scaled.predict_on_batch(grids), expected, atol=1e-4 * np.ptp(expected))
    for level in ("p4", "p1"):
        np.testing.assert_array_equal(
            scales[f"decoder_{level}_coarse"], scales[f"decoder_{level}_skip"])
        ranges = measure_ranges(scaled, grids)
        assert ranges[f"decoder_{level}_relu"][0] == 0
        assert (ranges[f"decoder_{level}_upsample_fourfold"]
                == ranges[f"decoder_{level}_coarse"])
