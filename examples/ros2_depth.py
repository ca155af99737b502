"""A ROS 2 node: a camera's pictures in, depth in metres out. One file, without TensorFlow.

    python examples/ros2_depth.py --ros-args -r image_raw:=/camera/image_raw \\
        -r camera_info:=/camera/camera_info -p model:=student.tflite -p points:=true

It reads `image_raw` (sensor_msgs/Image: rgb8, bgr8, rgba8, bgra8 or mono8, of any size) and
`camera_info`, which may be missing. It writes `depth/image` (32FC1, metres along the optical axis,
NaN = missing, as REP 118 says), `depth/camera_info` (the camera's, scaled to the depth's size) and,
with `points:=true`, `depth/points` (sensor_msgs/PointCloud2: x right, y down, z ahead). Parameters:

* `model`: a `.tflite` of export.py, or the name of a shipped network, of which the integers are
  run; `indoor_student_90m` where it is left out.
* `num_threads`: 2.
* `max_side`: 640, the longer side of the depth; of larger pictures it is this size.
* `focal_length`: of the camera that the network was trained for, in picture widths. With
  camera_info, depth is multiplied by fx / (width * focal_length); 0 leaves it as it is. What the
  network's sidecar says (0.811 for the shipped ones), 0 where there is none.
* `points`: false.

Distortion is passed on and not undone: remap `image_raw` to a rectified topic where it matters.
"""

import array
import copy
import sys

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from sensor_msgs.msg import PointField

from mai_depth.errors import UserError
from mai_depth.network.pretrained import named_file
from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.focal_length import network_focal_length
from mai_depth.predict.prediction import predict
from mai_depth.tflite.runner import TfliteNetwork

SHIPPED = "indoor_student_90m"
CHANNELS = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "rgba8": (0, 1, 2), "bgra8": (2, 1, 0),
            "mono8": (0, 0, 0)}
PIXEL_BYTES = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}


class DepthNode(Node):
    """Answers each picture with its depth; pictures that come meanwhile are dropped."""

    def __init__(self):
        super().__init__("mai_depth")
        model = self.declare_parameter("model", "").value or SHIPPED
        path = named_file(model, ".tflite") or model
        focal_length = network_focal_length(path) or 0.0
        self.focal_length = self.declare_parameter("focal_length", focal_length).value
        self.max_side = self.declare_parameter("max_side", 640).value
        self.points = self.declare_parameter("points", False).value
        num_threads = self.declare_parameter("num_threads", 2).value
        self.network = TfliteNetwork(path, num_threads)
        self.info = None
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.depth_publisher = self.create_publisher(Image, "depth/image", newest)
        self.info_publisher = self.create_publisher(CameraInfo, "depth/camera_info", newest)
        self.points_publisher = self.create_publisher(PointCloud2, "depth/points", newest)
        self.create_subscription(CameraInfo, "camera_info", self.on_info, newest)
        self.create_subscription(Image, "image_raw", self.on_image, newest)

    def on_info(self, info):
        """Keeps what is known of the camera."""
        self.info = info

    def on_image(self, message):
        """Publishes the depth of a picture, under its own time and frame."""
        rgb = to_rgb(message)
        if rgb is None:
            self.get_logger().warning(
                f"image_raw: encoding {message.encoding} of {message.width}x{message.height} is "
                f"not read; give one of {', '.join(CHANNELS)}", once=True)
            return
        picture = from_array(rgb)
        prediction = predict(self.network, picture)
        depth = prediction.depth_m(picture.view_size(self.max_side))
        known, factor = self.info is not None and self.info.k[0] > 0, 1.0
        if known and self.focal_length:
            left, _, right, _ = prediction.placement.network
            factor = self.info.k[0] / self.info.width * (right - left) / self.focal_length
        depth = np.where(depth > 0, depth * np.float32(factor), np.float32(np.nan))
        self.depth_publisher.publish(depth_image(message.header, depth))
        if known:
            info = scaled_info(self.info, message.header, depth.shape)
            self.info_publisher.publish(info)
            if self.points:
                self.points_publisher.publish(point_cloud(message.header, depth, info.k))


def to_rgb(message):
    """Reads an Image message.

    Args:
        message: A sensor_msgs/Image.

    Returns:
        uint8 [height, width, 3], or None where it is in none of `CHANNELS` or too short.
    """
    size = PIXEL_BYTES.get(message.encoding)
    if not size or len(message.data) < message.height * message.step or (
            message.step < message.width * size) or not message.height * message.width:
        return None
    rows = np.frombuffer(message.data, np.uint8)[: message.height * message.step]
    rows = rows.reshape(message.height, message.step)[:, : message.width * size]
    pixels = rows.reshape(message.height, message.width, size)
    return np.ascontiguousarray(pixels[..., CHANNELS[message.encoding]])


def depth_image(header, depth):
    """Makes the 32FC1 message of float32 [height, width] metres."""
    height, width = depth.shape
    return Image(
        header=header, height=height, width=width, encoding="32FC1",
        is_bigendian=int(sys.byteorder == "big"), step=4 * width, data=as_bytes(depth))


def scaled_info(info, header, shape):
    """Brings a camera's matrices to a depth map of [height, width] = `shape`.

    The middle of the first pixel is at 0: a centre c goes to (c + 0.5) * scale - 0.5.
    """
    scaled = copy.deepcopy(info)
    scaled.header, scaled.height, scaled.width = header, shape[0], shape[1]
    scales = shape[1] / info.width, shape[0] / info.height
    for name, columns in (("k", 3), ("p", 4)):
        matrix = np.array(getattr(info, name), np.float64).reshape(3, columns)
        for row, scale in enumerate(scales):
            matrix[row] *= scale
            matrix[row, 2] += 0.5 * scale - 0.5 if matrix.any() else 0.0
        setattr(scaled, name, matrix.reshape(-1))
    return scaled


def point_cloud(header, depth, k):
    """Makes an organised cloud of float32 [height, width] metres, NaN where depth is missing."""
    height, width = depth.shape
    points = np.empty((height, width, 3), np.float32)
    points[..., 0] = (np.arange(width) - k[2]) / k[0] * depth
    points[..., 1] = (np.arange(height)[:, None] - k[5]) / k[4] * depth
    points[..., 2] = depth
    fields = [PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
              for index, name in enumerate("xyz")]
    return PointCloud2(
        header=header, height=height, width=width, fields=fields,
        is_bigendian=sys.byteorder == "big", point_step=12, row_step=12 * width,
        data=as_bytes(points), is_dense=False)


def as_bytes(values):
    """The bytes of an array in the one type that rclpy takes without looking at each."""
    return array.array("B", np.ascontiguousarray(values, np.float32).tobytes())


def main():
    """Spins until Ctrl-C."""
    rclpy.init()
    try:
        rclpy.spin(DepthNode())
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
