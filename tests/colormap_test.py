"""mai_depth.colormap: colours, automatic ranges and the legend."""

import numpy as np
import pytest

from mai_depth import colormap


@pytest.mark.parametrize(("name", "expected"), [
    ("turbo", [(144, 12, 0), (150, 250, 79), (35, 23, 27)]),
    ("inferno", [(252, 255, 164), (188, 55, 84), (0, 0, 4)]),
])
def test_near_is_warm_and_far_is_cold(name, expected):
    colors = colormap.colorize(np.array([[1.0, 2.0, 3.0]]), 1.0, 3.0, name)[0].astype(int)
    np.testing.assert_allclose(colors, expected, atol=6)


@pytest.mark.parametrize("name", colormap.COLORMAPS)
def test_missing_is_black_and_outside_is_clipped(name):
    depth = np.array([[0.0, np.nan, np.inf, -1.0, 0.5, 1.0, 3.0, 9.0]])
    colors = colormap.colorize(depth, 1.0, 3.0, name)[0]
    assert not colors[:4].any()
    np.testing.assert_array_equal(colors[4], colors[5])
    np.testing.assert_array_equal(colors[6], colors[7])


def test_range_is_of_what_is_measured_and_never_empty():
    depth = np.concatenate([np.linspace(1, 5, 101), np.zeros(50), [np.nan]])
    assert colormap.depth_range(depth) == pytest.approx((1.08, 4.92))
    near, far = colormap.depth_range(np.full((4, 4), 2.0))
    assert near < 2.0 < far
    assert far / near == pytest.approx(1.05)
    assert colormap.depth_range(np.zeros((4, 4))) == (0.0, 1.0)


@pytest.mark.parametrize(("near", "far", "count", "labels"), [
    (0.73, 4.2, 5, ["1", "2", "3", "4 m"]),
    (0.73, 4.2, 2, ["2", "4 m"]),
    (0.5, 10.0, 7, ["2", "4", "6", "8", "10 m"]),
    (1.97, 2.08, 7, ["1.98", "2.00", "2.02", "2.04", "2.06", "2.08 m"]),
    (12.0, 310.0, 4, ["100", "200", "300 m"]),
])
def test_ticks_are_round(near, far, count, labels):
    assert [label for label, _ in colormap.ticks(near, far, count)] == labels


@pytest.mark.parametrize("near", [0.0, 0.013, 2.0, 777.0])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 0.37, 40.0, 5000.0])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_there_are_ticks_for_every_range(near, spread, count):
    ticks = colormap.ticks(near, near + spread, count)
    assert 1 <= len(ticks) <= count
    assert all(near - 1e-6 <= value <= near + spread + 1e-6 for _, value in ticks)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (1536, 2048), (20, 300), (500, 20)])
def test_legend_stands_beside_the_picture(height, width):
    picture = np.full((height, width, 3), 7, np.uint8)
    drawn = colormap.add_legend(picture, 1.0, 4.0)
    np.testing.assert_array_equal(drawn[:height, :width], picture)
    assert drawn.shape[0] == max(height, 96)
    bar = drawn[:, width + (32 if height > 1000 else 12)].astype(int)
    colored = bar[(bar != 255).any(axis=-1)]
    ends = colormap.colorize(np.array([[4.0, 1.0]]), 1.0, 4.0)[0]
    np.testing.assert_array_equal(colored[[0, -1]], ends)  # far on top, near below
