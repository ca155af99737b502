"""How pictures and depth are stored in the input and the output of a .tflite graph, of any type.

Needs NumPy alone.
"""

from typing import Any

import numpy as np

_FLOATS = (np.float16, np.float32)
_INTEGERS = (np.int8, np.uint8, np.int16)


def is_known(detail: dict[str, Any]) -> bool:
    """Whether a tensor's numbers are understood here: floats of 16 or 32, integers of 8 or 16 bits.

    Args:
        detail: Of the interpreter's `get_input_details()` or `get_output_details()`.

    Returns:
        True or False.
    """
    return detail["dtype"] in (*_FLOATS, *_INTEGERS)


def is_raw(detail: dict[str, Any]) -> bool:
    """Whether a tensor holds integers that no scale turns into another unit (see `is_known`)."""
    return detail["dtype"] in _INTEGERS and not detail["quantization"][0]


def write_picture(rgb: np.ndarray, target: np.ndarray, detail: dict[str, Any]) -> None:
    """Writes a picture into an input, in its numbers.

    Straight into its memory: another copy of the picture as floats takes a tenth of the network's
    time.

    Args:
        rgb: uint8 [height, width, 3].
        target: The input's own memory, `interpreter.tensor(index)()`, [1, height, width, 3].
        detail: As in `is_known`. Without a scale uint8 and int16 take 0..255, int8 -128..127.

    Raises:
        ValueError: The picture has another size than the input.
    """
    if rgb.shape != target.shape[1:]:  # NumPy would repeat a single row or column
        raise ValueError(f"a picture {rgb.shape} for an input {target.shape}")
    dtype, (scale, zero_point) = detail["dtype"], detail["quantization"]
    if dtype in _FLOATS:
        target[0] = rgb
        return
    if is_raw(detail):
        scale, zero_point = 1.0, -128 if dtype == np.int8 else 0
    limits = np.iinfo(dtype)
    if limits.bits == 8 and scale == 1 and zero_point == limits.min:
        # The camera's bytes: for uint8 as they are, for int8 with the highest bit turned (- 128).
        np.bitwise_xor(rgb, np.uint8(-limits.min), out=target[0].view(np.uint8))
        return
    # A picture has 256 values: a table is exact and faster than arithmetic on every pixel.
    table = np.rint(np.arange(256) / scale) + zero_point
    target[0] = np.clip(table, limits.min, limits.max).astype(dtype).take(rgb)


def dequantize(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Reads the numbers of an output.

    Args:
        values: Of any shape, as the interpreter gives them.
        detail: As in `is_known`.

    Returns:
        float32 in the unit that the scale leads to; raw integers as they are.
    """
    scale, zero_point = detail["quantization"]
    values = values.astype(np.float32, copy=False)
    if detail["dtype"] in _FLOATS or is_raw(detail):
        return values
    return (values - np.float32(zero_point)) * np.float32(scale)
