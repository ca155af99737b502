"""Describes a network to the page, which runs it in the browser."""

import os
from typing import Any

import numpy as np

from mai_depth.errors import UserError
from mai_depth.live.drawing import color_table
from mai_depth.tflite.graph import TfliteFile
from mai_depth.tflite.runner import TfliteNetwork

MODEL_FILE = "model.tflite"  # its name on the server and in the static site

_FLOATS = ("float32", "float16 weights")  # WebGPU was off by 0.06 to 0.13 m with integers


def describe(path: str | os.PathLike, alert_below_m: float | None) -> dict[str, Any]:
    """Describes a network for the page.

    Args:
        path: A checked `.tflite` file.
        alert_below_m: Distance below which the page raises its alert; None for never.

    Returns:
        The value of `here` in `page.json`.

    Raises:
        UserError: LiteRT.js cannot handle its tensors: the input is neither float32 nor plain
            uint8, or the output is not float32.
    """
    network, file = TfliteNetwork(path), TfliteFile(path)
    [taken] = network.interpreter.get_input_details()
    [given] = network.interpreter.get_output_details()
    if given["dtype"] != np.float32:
        raise _unfit(path, "output", given)
    is_bytes = taken["dtype"] == np.uint8 and taken["quantization"] in ((0.0, 0), (1.0, 0))
    if not (is_bytes or taken["dtype"] == np.float32):
        raise _unfit(path, "input", taken)
    model = {
        "file": MODEL_FILE, "name": os.path.basename(path), "sha256": file.sha256(),
        "height": network.input_size[0], "width": network.input_size[1],
        "input": "uint8" if is_bytes else "float32", "output": list(network.output_size),
        "webgpu": file.number_format() in _FLOATS}
    return {"model": model, "colors": color_table().tolist(), "alert_below_m": alert_below_m}


def _unfit(path: str | os.PathLike, side: str, detail: dict[str, Any]) -> UserError:
    return UserError(f"--model={os.fspath(path)}: its {side} is {np.dtype(detail['dtype']).name}, "
                     "which LiteRT.js cannot handle; export it again with export.py (float32 or "
                     "uint8 in, float32 out)")
