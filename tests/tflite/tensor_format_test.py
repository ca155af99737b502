"""mai_depth.tflite.tensor_format: numbers of a picture and of a map, by hand."""

import numpy as np
import pytest

from mai_depth.tflite.tensor_format import dequantize
from mai_depth.tflite.tensor_format import write_picture

# One row of a picture: [1, 2, 3] bytes.
RGB = np.array([[[0, 1, 127], [128, 200, 255]]], np.uint8)


@pytest.mark.parametrize("dtype, quantization, expected", [
    (np.float32, (0.0, 0), [0, 1, 127, 128, 200, 255]),
    (np.float16, (0.0, 0), [0, 1, 127, 128, 200, 255]),
    (np.uint8, (1.0, 0), [0, 1, 127, 128, 200, 255]),
    (np.uint8, (0.0, 0), [0, 1, 127, 128, 200, 255]),
    (np.int8, (1.0, -128), [-128, -127, -1, 0, 72, 127]),
    (np.int8, (0.0, 0), [-128, -127, -1, 0, 72, 127]),
    (np.int8, (2.0, -128), [-128, -128, -64, -64, -28, 0]),  # halves go to the even number
    (np.uint8, (0.5, 0), [0, 2, 254, 255, 255, 255]),  # beyond the type's range: its end
    (np.uint8, (1.0, 3), [3, 4, 130, 131, 203, 255]),
    (np.int16, (0.0, 0), [0, 1, 127, 128, 200, 255]),
    (np.int16, (0.25, -4), [-4, 0, 504, 508, 796, 1016]),
])
def test_a_picture_in_the_numbers_of_an_input(dtype, quantization, expected):
    target = np.full((1, *RGB.shape), 99, dtype)
    write_picture(RGB, target, {"dtype": dtype, "quantization": quantization})
    assert target.dtype == dtype
    assert target.ravel().tolist() == expected


def test_a_read_only_picture_and_a_part_of_one_are_written():
    wide = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    wide.flags.writeable = False
    part = wide[:, ::2]
    for dtype, quantization, zero in ((np.uint8, (1.0, 0), 0), (np.int8, (1.0, -128), -128)):
        target = np.zeros((1, *part.shape), dtype)
        write_picture(part, target, {"dtype": dtype, "quantization": quantization})
        np.testing.assert_array_equal(target[0], part.astype(int) + zero)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int16])
@pytest.mark.parametrize("shape", [(1, 2, 3), (4, 1, 3), (2, 4, 3), (4, 2), (8, 3)])
def test_a_picture_of_another_size_is_refused(dtype, shape):
    target = np.zeros((1, 4, 2, 3), dtype)
    with pytest.raises(ValueError, match="for an input"):
        write_picture(np.ones(shape, np.uint8), target, {"dtype": dtype, "quantization": (0.0, 0)})
    assert not target.any()


def test_metres_of_an_output():
    detail = {"dtype": np.int8, "quantization": (0.5, -2)}
    metres = dequantize(np.array([-2, 0, 4], np.int8), detail)
    assert metres.dtype == np.float32 and metres.tolist() == [0.0, 1.0, 3.0]
    plain = np.array([1.5, 2.5], np.float32)
    assert dequantize(plain, {"dtype": np.float32, "quantization": (0.0, 0)}) is plain
    raw = dequantize(np.array([7], np.uint8), {"dtype": np.uint8, "quantization": (0.0, 0)})
    assert raw.dtype == np.float32 and raw.tolist() == [7.0]
