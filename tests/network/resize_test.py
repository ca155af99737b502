"""The fast forms against the plain ones, and golden values that a reader can redo by hand."""

import keras
import numpy as np
import pytest

from mai_depth.network import resize


def run(inputs, build, shape):
    image = keras.Input(shape)
    return keras.Model(image, build(image)).predict_on_batch(inputs)


def upsampled(depth, size, method):
    return run(depth, lambda x: resize.upsample(x, size, method), depth.shape[1:])


def test_phase_filters_golden():
    np.testing.assert_allclose(
        resize.phase_filters(4),
        [[0.375, 0.125, 0, 0], [0.625, 0.875, 0.875, 0.625], [0, 0, 0.125, 0.375]],
    )


def test_bilinear_golden():
    depth = np.array([[1.0, 3.0]], np.float32).reshape(1, 1, 2, 1)
    for method in ("bilinear", "fast_bilinear"):
        wide = upsampled(depth, (1, 4), method)
        np.testing.assert_allclose(wide.ravel(), [1.0, 1.5, 2.5, 3.0])


@pytest.mark.parametrize("small", [(64, 80), (128, 160), (32, 40), (60, 640)])
@pytest.mark.parametrize(("method", "limit"), [("bilinear", 1e-5), ("nearest", 0.0)])
def test_fast_form_equals_resizing(small, method, limit):
    depth = np.random.default_rng(0).uniform(0, 10, (2, *small, 1)).astype(np.float32)
    expected = upsampled(depth, (480, 640), method)
    difference = np.abs(upsampled(depth, (480, 640), f"fast_{method}") - expected)
    assert difference.max() <= limit


def test_width_must_be_a_multiple():
    with pytest.raises(ValueError, match="multiple of 3"):
        upsampled(np.zeros((1, 2, 3, 1), np.float32), (4, 7), "fast_bilinear")
    with pytest.raises(ValueError, match="unknown upsample"):
        upsampled(np.zeros((1, 2, 3, 1), np.float32), (4, 6), "cubic")


def test_shrink_averages_every_pixel():
    image = np.zeros((1, 8, 8, 3), np.float32)
    image[0, 3, 4] = 16.0  # one bright pixel of a 4x4 block
    plain = run(image, lambda x: resize.shrink(
        x, (2, 2), antialias=False), (8, 8, 3))
    smooth = run(image, lambda x: resize.shrink(
        x, (2, 2), antialias=True), (8, 8, 3))
    assert plain.max() == 0.0  # bilinear looks at the middle of each block alone
    np.testing.assert_allclose(smooth[0, :, :, 0], [[0, 1], [0, 0]])


@pytest.mark.parametrize("convolution", [True, False])
def test_average_in_parts_equals_shrink(convolution):
    image = np.random.default_rng(0).uniform(0, 255, (1, 24, 32, 3)).astype(np.float32)

    def shrunk(x):
        grid = resize.shrink(x, (6, 8), antialias=True)
        return keras.layers.Rescaling(2.0, -1.0)(grid)

    def in_parts(x):
        view = keras.layers.Resizing(12, 16, interpolation="bilinear")(x)
        rows = resize.average_rows(view)
        return resize.average_columns(
            rows, scale=2.0, offset=-1.0, convolution=convolution)

    expected = run(image, shrunk, (24, 32, 3))
    np.testing.assert_allclose(run(image, in_parts, (24, 32, 3)), expected, atol=1e-3)
