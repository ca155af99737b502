"""A .tflite graph as a function: an RGB picture in, metres out, whatever its number formats.

Needs NumPy and ai-edge-litert alone.
"""

import os
from typing import Any

import numpy as np

from mai_depth.errors import UserError
from mai_depth.errors import reason_of
from mai_depth.tflite.graph import open_interpreter
from mai_depth.tflite.tensor_format import dequantize
from mai_depth.tflite.tensor_format import is_known
from mai_depth.tflite.tensor_format import is_raw
from mai_depth.tflite.tensor_format import write_picture


class DepthGraph:
    """An opened .tflite graph from one picture to one depth map.

    It takes whatever can be read as depth, and notes what is doubtful; `runner.TfliteNetwork` is
    strict.

    Attributes:
        path: The file.
        interpreter: The LiteRT interpreter.
        input_size: (height, width) of the picture that it takes.
        output_size: (height, width) of its depth map.
        notes: What a reader of its figures must know.

    Args:
        path: A .tflite file with one input [1, height, width, 3] that takes RGB 0..255. Its first
            output is depth [1, h, w, 1], [1, h, w], [1, 1, h, w] or [h, w].
        num_threads: 1..64.
        use_xnnpack: Whether the XNNPACK delegate is used.

    Raises:
        UserError: The file cannot be opened or is not such a graph.
    """

    def __init__(self, path: str | os.PathLike, num_threads: int = 1, use_xnnpack: bool = True):
        self.path = path
        self.interpreter = open_interpreter(path, num_threads, use_xnnpack)
        inputs = self.interpreter.get_input_details()
        self._outputs = self.interpreter.get_output_details()
        self.input_size = self._picture_size(inputs)
        self._input, self._output = inputs[0], self._outputs[0]
        self.output_size = self._map_size(self._output["shape"])
        self.notes = self._notes()

    def set_picture(self, rgb: np.ndarray) -> None:
        """Writes a picture into the input.

        Args:
            rgb: uint8 [height, width, 3] of `input_size`.

        Raises:
            ValueError: It has another size.
        """
        write_picture(rgb, self.interpreter.tensor(self._input["index"])(), self._input)

    def depth(self) -> np.ndarray:
        """Reads the result of the last invoke.

        Returns:
            float32 [height, width] in metres.
        """
        values = self.interpreter.get_tensor(self._output["index"])
        return dequantize(values, self._output).reshape(self._map_size(values.shape))

    def predict(self, rgb: np.ndarray) -> np.ndarray:
        """Predicts the depth of one picture.

        Args:
            rgb: uint8 [height, width, 3] of `input_size`.

        Returns:
            float32 [height, width] in metres.

        Raises:
            UserError: LiteRT cannot run the graph on it.
        """
        try:
            self.set_picture(rgb)
            self.interpreter.invoke()
            return self.depth()
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{self.path}: LiteRT cannot run it ({reason_of(error)}); export it "
                            "again") from error

    def _picture_size(self, inputs: list[dict[str, Any]]) -> tuple[int, int]:
        if len(inputs) != 1:
            raise self._no_picture(f"it has {len(inputs)} inputs")
        shape = [int(side) for side in inputs[0]["shape"]]
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
            raise self._no_picture(f"its input is {shape}")
        return shape[1], shape[2]

    def _map_size(self, shape: Any) -> tuple[int, int]:
        sides = inner = [int(side) for side in shape]
        if len(inner) == 4 and inner[3] == 1:
            inner = inner[:3]
        while len(inner) > 2 and inner[0] == 1:
            inner = inner[1:]
        if len(inner) != 2:
            raise self._no_map(str(sides))
        return inner[0], inner[1]

    def _notes(self) -> list[str]:
        notes = []
        if len(self._outputs) > 1:
            notes.append(f"several outputs; the first ({self._output['name']}) is taken")
        for side, detail in (("input", self._input), ("output", self._output)):
            name = np.dtype(detail["dtype"]).name
            if not is_known(detail):
                raise UserError(f"{self.path}: its {side} holds {name}; export it with float32, "
                                "float16, int8, uint8 or int16")
            if is_raw(detail):
                notes.append(f"{side} {name} without a scale: taken as it is")
        return notes

    def _no_picture(self, found: str) -> UserError:
        return UserError(f"{self.path}: not a depth network: {found}, not one picture "
                         "[1, height, width, 3]")

    def _no_map(self, shapes: str) -> UserError:
        return UserError(f"{self.path}: not a depth network: its output is {shapes}, not one map "
                         "[1, height, width, 1]")
