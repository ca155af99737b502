"""mai_depth.predict.point_cloud: geometry of the pinhole camera and the file."""

import numpy as np
import pytest

from mai_depth.predict.point_cloud import point_cloud
from mai_depth.predict.point_cloud import write_ply


def test_points_by_hand():
    # 90 degrees over 4 pixels: the focal length is 2 pixels.
    depth = np.array([[2.0, 0.0, np.nan, 4.0], [0.0, 0.0, 1.0, 0.0]])
    rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    points = point_cloud(rgb, depth, 90.0)
    np.testing.assert_allclose(points["z"], [2, 4, 1])
    np.testing.assert_allclose(points["x"], [-1.5, 3, 0.25])
    np.testing.assert_allclose(points["y"], [-0.5, -1, 0.25])
    assert points["red"].tolist() == [0, 9, 18]
    assert points["blue"].tolist() == [2, 11, 20]


def test_a_wall_is_as_wide_as_the_angle_says():
    for size in ((48, 64), (64, 48)):
        points = point_cloud(np.zeros((*size, 3), np.uint8), np.full(size, 3.0), 60.0)
        axis = "x" if size[1] > size[0] else "y"
        width = np.ptp(points[axis]) * 64 / 63  # from border to border
        assert width == pytest.approx(2 * 3.0 * np.tan(np.pi / 6), rel=1e-6)


def test_the_file_can_be_read_by_its_header(tmp_path):
    points = point_cloud(np.full((2, 2, 3), 9, np.uint8), np.array([[1.0, 0], [2.0, 3.0]]), 60.0)
    write_ply(tmp_path / "x.ply", points)
    header, body = (tmp_path / "x.ply").read_bytes().split(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert "element vertex 3" in lines
    types = {"float": "<f4", "uchar": "u1"}
    fields = [(line.split()[2], types[line.split()[1]]) for line in lines
              if line.startswith("property")]
    read = np.frombuffer(body, np.dtype(fields))
    np.testing.assert_array_equal(read["z"], np.float32([1, 2, 3]))
    assert (read["green"] == 9).all()


def test_no_depth_is_an_empty_cloud(tmp_path):
    points = point_cloud(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), 60.0)
    write_ply(tmp_path / "x.ply", points)
    assert (tmp_path / "x.ply").read_bytes().endswith(b"end_header\n")
