"""A `.tflite` depth network from one picture to metres.

Needs NumPy and ai-edge-litert alone and imports no TensorFlow.
"""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np

from mai_depth.errors import UserError
from mai_depth.tflite.graph import open_quietly
from mai_depth.tflite.tensor_format import dequantize
from mai_depth.tflite.tensor_format import is_known
from mai_depth.tflite.tensor_format import write_picture

_TRIAL_S = 120  # for one picture, with the start of Python
_TRIAL = "import sys; from mai_depth.tflite.runner import try_here; try_here(sys.argv[1])"


class TfliteNetwork:
    """A `.tflite` file with numbers of any kind (see `DepthNetwork`).

    Attributes:
        picture_size: (width, height).

    Args:
        path: The file, with one input [1, H, W, 3] for RGB 0..255 and one output [1, h, w, 1].
        num_threads: 1..64.

    Raises:
        UserError: The file cannot be opened or is not such a graph.
    """

    def __init__(self, path: str | os.PathLike, num_threads: int = 1):
        self._path = path
        self._interpreter = open_quietly(path, num_threads)
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        shapes = [[[int(side) for side in detail["shape"]] for detail in details]
                  for details in (inputs, outputs)]
        if not _is_picture(shapes[0]) or not _is_map(shapes[1]):
            raise UserError(f"{path}: not a depth network: expected one picture [1, H, W, 3] in and"
                            f" one map [1, H, W, 1] out, found {shapes[0]} in and {shapes[1]} out")
        self._input, self._output = inputs[0], outputs[0]
        for detail in (self._input, self._output):
            if not is_known(detail):
                raise UserError(f"{path}: {detail['name']} holds {np.dtype(detail['dtype']).name}; "
                                "export it with float32, int8 or uint8")
        self.picture_size = (shapes[0][0][2], shapes[0][0][1])

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Answers with metres, see `DepthNetwork`; `UserError` if the graph cannot be run."""
        try:
            write_picture(rgb, self._interpreter.tensor(self._input["index"])(), self._input)
            self._interpreter.invoke()
            depth = self._interpreter.get_tensor(self._output["index"])
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{self._path}: LiteRT cannot run it ({reason}); export it again"
                            ) from error
        return dequantize(depth, self._output).reshape(depth.shape[1:3])


def try_graph(path: str | os.PathLike) -> None:
    """Runs a graph once in a child process: a damaged one can kill LiteRT or keep it for ever.

    Args:
        path: A `.tflite` file that the package does not bring.

    Raises:
        UserError: The child died of a signal or did not end.
    """
    command = [sys.executable, "-c", _TRIAL, os.fspath(path)]
    try:
        code = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            timeout=_TRIAL_S).returncode
    except subprocess.TimeoutExpired:
        raise UserError(f"{path}: no answer within {_TRIAL_S} s; the file is broken or too slow "
                        "for this machine") from None
    if code < 0:
        raise UserError(f"{path}: native code died of {signal.Signals(-code).name}; the file is "
                        "broken, export or copy it again")


def try_here(path: str | os.PathLike) -> None:
    """The child's side of `try_graph`; what it can say, the parent will say."""
    with contextlib.suppress(UserError):
        network = TfliteNetwork(path)
        width, height = network.picture_size
        network(np.zeros((height, width, 3), np.uint8))


def _is_picture(shapes: list[list[int]]) -> bool:
    return len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][0] == 1 and shapes[0][3] == 3


def _is_map(shapes: list[list[int]]) -> bool:
    return len(shapes) == 1 and shapes[0][:1] == [1] and (
        len(shapes[0]) == 3 or (len(shapes[0]) == 4 and shapes[0][3] == 1))
