"""A thin stand-in for rclpy, with the message types of ROS 2 Jazzy from rosbags.

Messages are checked when they are published, by conversion to the wire format (CDR) and back.
"""

import array
import sys
import types
from typing import ClassVar

import numpy as np
from rosbags.typesys import Stores
from rosbags.typesys import get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
_NAMES = ("Image", "CameraInfo", "PointCloud2", "PointField")


def message_type(name):
    """A class of sensor_msgs/msg with keyword arguments, as in rclpy, that accepts byte arrays."""
    base = STORE.types[f"sensor_msgs/msg/{name}"]

    def make(self, **fields):
        for key, value in fields.items():
            if isinstance(value, array.array):
                fields[key] = np.frombuffer(value, np.uint8)
        base.__init__(self, **fields)

    return type(name, (base,), {"__init__": make})


MESSAGES = types.SimpleNamespace(**{name: message_type(name) for name in _NAMES})


def header(frame="camera", sec=3):
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=sec, nanosec=7)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)


def image(pixels, encoding, padding=0):
    """A sensor_msgs/Image of uint8 [height, width, channels] with bytes after each row."""
    height, width = pixels.shape[:2]
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (0, padding)))
    return MESSAGES.Image(
        header=header(), height=height, width=width, encoding=encoding, is_bigendian=0,
        step=rows.shape[1], data=rows.reshape(-1))


def camera_info(width, height, fx, cx, cy):
    region = STORE.types["sensor_msgs/msg/RegionOfInterest"](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return MESSAGES.CameraInfo(
        header=header(), height=height, width=width, distortion_model="plumb_bob",
        d=np.array([0.1, 0, 0, 0, 0.0]), k=np.array([fx, 0, cx, 0, fx, cy, 0, 0, 1.0]),
        r=np.eye(3).reshape(-1), p=np.array([fx, 0, cx, 0, 0, fx, cy, 0, 0, 0, 1.0, 0]),
        binning_x=0, binning_y=0, roi=region)


class Node:
    """Records messages and warnings; parameters are those of the class."""

    parameters: ClassVar[dict] = {}

    def __init__(self, name):
        self.name, self.published, self.callbacks, self.warnings = name, {}, {}, []

    def declare_parameter(self, name, default):
        value = type(self).parameters.get(name, default)
        assert type(value) is type(default)  # rclpy refuses another type
        return types.SimpleNamespace(value=value)

    def create_publisher(self, kind, topic, qos):
        def publish(message):
            assert isinstance(message, kind)
            name = f"sensor_msgs/msg/{kind.__name__}"
            sent = STORE.serialize_cdr(message, name)
            self.published.setdefault(topic, []).append(STORE.deserialize_cdr(sent, name))

        assert qos.depth == 1
        return types.SimpleNamespace(publish=publish)

    def create_subscription(self, kind, topic, callback, qos):
        assert qos.depth == 1
        self.callbacks[topic] = callback

    def get_logger(self):
        return types.SimpleNamespace(
            warning=lambda text, once=False: self.warnings.append(text))


class QoSProfile:
    def __init__(self, *, depth, reliability):
        self.depth, self.reliability = depth, reliability


def install(monkeypatch):
    """Replaces rclpy and sensor_msgs by the stand-ins."""
    modules = {
        "rclpy": {"init": lambda: None, "try_shutdown": lambda: None},
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {"QoSProfile": QoSProfile,
                      "ReliabilityPolicy": types.SimpleNamespace(BEST_EFFORT=2)},
        "sensor_msgs": {},
        "sensor_msgs.msg": vars(MESSAGES),
    }
    for name, content in modules.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
