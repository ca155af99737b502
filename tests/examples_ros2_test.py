"""examples/ros2_depth.py with a stand-in for rclpy: what it publishes for what it gets."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY

pytest.importorskip("rosbags", reason="rosbags, which has ROS 2's message types, is not installed")

import ros2_messages

from mai_depth.errors import UserError
from mai_depth.network.pretrained import pretrained_path
from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.prediction import predict
from mai_depth.tflite.runner import TfliteNetwork

RGB = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8).repeat(40, 0).repeat(40, 1)


@pytest.fixture
def example(monkeypatch):
    ros2_messages.install(monkeypatch)
    path = REPOSITORY / "examples" / "ros2_depth.py"
    spec = importlib.util.spec_from_file_location("ros2_depth", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start(example, monkeypatch):
    def start(**parameters):
        monkeypatch.setattr(ros2_messages.Node, "parameters", parameters)
        return example.DepthNode()

    return start


def depth_of(message):
    assert message.encoding == "32FC1" and message.step == 4 * message.width
    return message.data.view(np.float32).reshape(message.height, message.width)


@pytest.fixture(scope="module")
def expected():
    return TfliteNetwork(pretrained_path("indoor_student_90m_int8"))(RGB)


@pytest.mark.parametrize(("encoding", "padding"), [("rgb8", 0), ("bgr8", 0), ("bgra8", 8)])
def test_depth_is_that_of_python(start, expected, encoding, padding):
    pixels = RGB if encoding == "rgb8" else RGB[..., ::-1]
    if encoding == "bgra8":
        pixels = np.concatenate([pixels, pixels[..., :1]], axis=-1)
    node = start()
    node.callbacks["image_raw"](ros2_messages.image(pixels, encoding, padding))
    [message] = node.published["depth/image"]
    np.testing.assert_array_equal(depth_of(message), expected)
    assert message.header.frame_id == "camera" and message.header.stamp.sec == 3
    assert list(node.published) == ["depth/image"]  # nothing is known of the camera


def test_info_is_scaled_and_metres_are_those_of_the_lens(start):
    node, large = start(points=True), RGB.repeat(2, 0).repeat(2, 1)
    expected = predict(node.network, from_array(large)).depth_m((640, 480))
    node.callbacks["camera_info"](ros2_messages.camera_info(1280, 960, 1038.08 / 2, 639.5, 479.5))
    node.callbacks["image_raw"](ros2_messages.image(large, "rgb8"))
    [info], [image] = node.published["depth/camera_info"], node.published["depth/image"]
    assert (info.width, info.height) == (image.width, image.height) == (640, 480)
    np.testing.assert_allclose(info.k, [259.52, 0, 319.5, 0, 259.52, 239.5, 0, 0, 1])
    np.testing.assert_allclose(info.p[[0, 2, 5, 6]], [259.52, 319.5, 259.52, 239.5])
    np.testing.assert_array_equal(info.d, [0.1, 0, 0, 0, 0])
    half = depth_of(image)  # half the focal length of the network's camera: half as far
    np.testing.assert_allclose(half, expected / 2, rtol=1e-5)
    [cloud] = node.published["depth/points"]
    points = cloud.data.view(np.float32).reshape(480, 640, 3)
    assert [field.name for field in cloud.fields] == ["x", "y", "z"]
    np.testing.assert_array_equal(points[..., 2], half)
    x, y, z = points[100, 600]
    assert x == pytest.approx((600 - 319.5) / 259.52 * z) and y == pytest.approx(
        (100 - 239.5) / 259.52 * z)


def test_the_lens_of_any_network_is_known(start, tmp_path):
    """Of a shipped one by its name or file, of an exported one by its sidecar."""
    mine = tmp_path / "student.tflite"
    content = bytearray(pretrained_path("indoor_fast_int8").read_bytes())
    content[len(content) // 2] ^= 4
    mine.write_bytes(content)
    for model, focal_length in (
            ("indoor_fast", 0.811), (str(pretrained_path("indoor_fast_int8")), 0.811),
            (str(mine), 0.0)):
        assert start(model=model).focal_length == focal_length
    (tmp_path / "student.tflite.json").write_text('{"focal_length": 1.1}')
    assert start(model=str(mine)).focal_length == 1.1


def test_a_wide_picture_keeps_its_aspect(start):
    node = start(max_side=320)
    node.callbacks["camera_info"](ros2_messages.camera_info(640, 360, 519.04, 319.5, 179.5))
    node.callbacks["image_raw"](ros2_messages.image(RGB[60:420], "rgb8"))
    [image], [info] = node.published["depth/image"], node.published["depth/camera_info"]
    assert (image.height, image.width) == (180, 320) and np.isfinite(depth_of(image)).all()
    assert info.k[5] == pytest.approx(89.5)


def test_another_encoding_is_told_and_passed_over(start):
    node = start()
    message = ros2_messages.image(RGB[..., :2], "yuv422")
    short = ros2_messages.image(RGB[:10], "rgb8")
    short.height = 480
    for one in (message, short):
        node.callbacks["image_raw"](one)
    assert not node.published and "encoding yuv422 of 640x480 is not read" in node.warnings[0]


def test_a_missing_model_is_one_line(start, example, monkeypatch):
    with pytest.raises(UserError, match=r"no\.tflite"):
        start(model="no.tflite")
    monkeypatch.setattr(example.rclpy, "spin", lambda node: None, raising=False)
    with pytest.raises(SystemExit, match=r"error: no\.tflite"):
        example.main()


def test_no_tensorflow_is_loaded():
    code = ("import sys; sys.path.insert(0, 'tests'); sys.argv = ['x']; import pytest, runpy\n"
            "import ros2_messages; ros2_messages.install(pytest.MonkeyPatch())\n"
            "runpy.run_path('examples/ros2_depth.py')\n"
            "assert not {'tensorflow', 'keras'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
