"""A depth graph as a function: an RGB picture in, metres out, whatever its number formats."""

import os
from typing import Any

import numpy as np
from PIL import Image

from mai_depth.errors import UserError
from mai_depth.tflite.graph import open_interpreter
from mai_depth.tflite.tensor_format import dequantize
from mai_depth.tflite.tensor_format import is_known
from mai_depth.tflite.tensor_format import is_raw
from mai_depth.tflite.tensor_format import write_picture


class DepthGraph:
    """An opened .tflite graph from one picture to one depth map.

    Attributes:
        interpreter: The LiteRT interpreter.
        input_size: (height, width) of its input.
        output_size: (height, width) of its depth map.
        notes: What a reader of its figures must know.

    Args:
        path: A .tflite file with one input [1, height, width, 3] that takes RGB 0..255.
        num_threads: 1..64.
        use_xnnpack: Whether the XNNPACK delegate is used.

    Raises:
        UserError: The file cannot be opened or is not such a graph.
    """

    def __init__(self, path: str | os.PathLike, num_threads: int = 1, use_xnnpack: bool = True):
        self.interpreter = open_interpreter(path, num_threads, use_xnnpack)
        self._input = _picture_input(path, self.interpreter.get_input_details())
        self._output = self.interpreter.get_output_details()[0]
        self.notes = []
        if len(self.interpreter.get_output_details()) > 1:
            self.notes.append(f"several outputs; the first ({self._output['name']}) is taken")
        for side, detail in (("input", self._input), ("output", self._output)):
            _check_dtype(path, side, detail)
            if is_raw(detail):
                self.notes.append(f"{side} {detail['dtype'].__name__} without a scale: "
                                  "taken as it is")
        height, width = (int(side) for side in self._input["shape"][1:3])
        self.input_size = height, width
        self.output_size = _map_size(path, self._output["shape"])

    def set_picture(self, rgb: np.ndarray) -> None:
        """Writes a picture into the input.

        Args:
            rgb: uint8 [height, width, 3]; another size than the input's is resized (Pillow's
                bilinear filter, which averages when it shrinks).
        """
        if rgb.shape[:2] != self.input_size:
            height, width = self.input_size
            resized = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
            rgb = np.asarray(resized)
        write_picture(rgb, self.interpreter.tensor(self._input["index"])(), self._input)

    def depth(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """Reads the result of the last invoke.

        Args:
            size: (height, width) to resize to (bilinear), or None for the graph's own.

        Returns:
            float32 [height, width] in metres.
        """
        values = self.interpreter.get_tensor(self._output["index"])
        depth = dequantize(values, self._output).reshape(self.output_size)
        if size is None or size == self.output_size:
            return depth
        return np.asarray(Image.fromarray(depth).resize(size[::-1], Image.Resampling.BILINEAR))

    def predict(self, rgb: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Predicts the depth of one picture.

        Args:
            rgb: uint8 [height, width, 3].
            size: As in `depth`.

        Returns:
            float32 [height, width] in metres.
        """
        self.set_picture(rgb)
        self.interpreter.invoke()
        return self.depth(size)


def sample_picture() -> np.ndarray:
    """Makes the picture that is used for timing: gradients and noise, always the same.

    Returns:
        uint8 [480, 640, 3].
    """
    height, width = 480, 640
    rows, columns = np.mgrid[0:height, 0:width]
    base = np.stack([255 * rows / height, 255 * columns / width, 128 + 0 * rows], axis=-1)
    noise = np.random.default_rng(0).normal(0, 20, base.shape)
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def _picture_input(path: str | os.PathLike, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    if len(inputs) != 1:
        raise UserError(f"{path}: has {len(inputs)} inputs; a depth graph takes one picture")
    shape = [int(n) for n in inputs[0]["shape"]]
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
        raise UserError(f"{path}: its input is {shape}; a depth graph takes one RGB picture "
                        "[1, height, width, 3]")
    return inputs[0]


def _map_size(path: str | os.PathLike, shape: np.ndarray) -> tuple[int, int]:
    """Finds [height, width] in [1, h, w, 1], [1, h, w], [1, 1, h, w] or [h, w]."""
    sides = [int(n) for n in shape]
    inner = list(sides)
    if len(inner) == 4 and inner[3] == 1:
        inner = inner[:3]
    while len(inner) > 2 and inner[0] == 1:
        inner = inner[1:]
    if len(inner) != 2:
        raise UserError(f"{path}: its output is {sides}; a depth graph gives one map "
                        "[1, height, width, 1]")
    return inner[0], inner[1]


def _check_dtype(path: str | os.PathLike, side: str, detail: dict[str, Any]) -> None:
    if not is_known(detail):
        name = np.dtype(detail["dtype"]).name
        raise UserError(f"{path}: its {side} holds {name}; export it with float32, float16, "
                        "int8, uint8 or int16")
