"""mai_depth.predict.placement: a picture in a network's input, depth back at its own size."""

import numpy as np
import pytest
from PIL import Image

from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.placement import FITS
from mai_depth.predict.placement import from_network
from mai_depth.predict.placement import place
from mai_depth.predict.placement import rows_from_network
from mai_depth.predict.placement import to_network

VGA = (640, 480)


def gradient(width=96, height=64):
    """Red rises to the right, green downwards, blue is constant."""
    rows, columns = np.mgrid[0:height, 0:width]
    rgb = np.stack([255 * columns / width, 255 * rows / height, 0 * rows + 90], axis=-1)
    return rgb.astype(np.uint8)


def test_portrait_is_padded_at_both_sides():
    placement = place((480, 640), VGA, "pad")
    assert placement.network == (140 / 640, 0.0, 500 / 640, 1.0)
    assert (placement.picture, placement.magnification) == ((0.0, 0.0, 1.0, 1.0), 1.0)


def test_portrait_is_cropped_above_and_below():
    placement = place((480, 640), VGA, "crop")
    assert placement.picture == pytest.approx((0.0, 0.21875, 1.0, 0.78125))
    # Its width fills 640 pixels rather than the 360 of a padded one.
    assert placement.magnification == pytest.approx(640 / 360)


def test_padding_mirrors():
    seen = to_network(from_array(gradient(48, 64)), place((48, 64), VGA, "pad"), VGA)
    assert seen.shape == (480, 640, 3)
    np.testing.assert_array_equal(seen[:, 139], seen[:, 140])
    np.testing.assert_array_equal(seen[:, 40], seen[:, 239])


def test_picture_of_the_networks_size_is_left_alone():
    rgb = gradient(*VGA)
    for fit in FITS:
        placement = place(VGA, VGA, fit)
        np.testing.assert_array_equal(to_network(from_array(rgb), placement, VGA), rgb)
        depth = rgb[..., 0].astype(np.float32)
        np.testing.assert_array_equal(from_network(depth, placement, VGA), depth)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("answer_size", [VGA, (160, 128)])
@pytest.mark.parametrize("size", [(96, 64), (64, 96), (1200, 300), (333, 1000), (640, 480)])
def test_answer_comes_back_to_where_it_was_asked(size, fit, answer_size):
    rgb = gradient(*size)
    placement = place(size, VGA, fit)
    seen = to_network(from_array(rgb), placement, VGA)
    for channel in (0, 1):
        answer = Image.fromarray(seen[..., channel]).convert("F").resize(
            answer_size, Image.Resampling.BILINEAR)
        depth = from_network(np.asarray(answer), placement, size) / placement.magnification
        assert depth.shape == rgb.shape[:2]
        shown = np.zeros(depth.shape, bool)
        left, top, right, bottom = placement.picture
        shown[round(top * size[1]) : round(bottom * size[1]),
              round(left * size[0]) : round(right * size[0])] = True
        difference = np.abs(depth - rgb[..., channel])
        assert difference[shown].mean() < 2
        assert not depth[~shown].any()


def test_what_is_not_finite_is_missing():
    answer = np.full((480, 640), 2.0, np.float32)
    answer[:100], answer[100:200] = np.nan, np.inf
    depth = from_network(answer, place(VGA, VGA, "pad"), VGA)
    assert not depth[:200].any()
    assert (depth[200:] == 2.0).all()


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(1300, 977), (640, 480), (301, 900), (64, 48)])
def test_rows_are_those_of_the_whole_map_to_the_bit(fit, size):
    answer = np.random.default_rng(0).uniform(0.5, 9, (120, 160)).astype(np.float32)
    answer[40:44, 7] = np.nan
    placement = place(size, VGA, fit)
    rows = list(rows_from_network(answer, placement, size))
    assert max(map(len, rows)) == 16
    np.testing.assert_array_equal(
        np.concatenate(rows), from_network(answer, placement, size), strict=True)
