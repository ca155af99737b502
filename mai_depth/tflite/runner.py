"""A `.tflite` depth network from one picture to metres.

Needs NumPy and ai-edge-litert alone and imports no TensorFlow.
"""

import contextlib
import os
import subprocess
import sys

import numpy as np

from mai_depth.errors import UserError
from mai_depth.errors import died_of
from mai_depth.tflite.depth_graph import DepthGraph
from mai_depth.tflite.graph import without_greeting

_TRIAL_S = 120  # for one picture, with the start of Python
_TRIAL = "import sys; from mai_depth.tflite.runner import try_here; try_here(sys.argv[1])"


class TfliteNetwork(DepthGraph):
    """A `.tflite` file from which a depth map and nothing else comes out (see `DepthNetwork`).

    LiteRT's start-up message on stderr is dropped.

    Args:
        path: The file, with one input [1, H, W, 3] for RGB 0..255 and one output [1, h, w, 1] or
            [1, h, w].
        num_threads: 1..64.

    Raises:
        UserError: The file cannot be opened or is not such a graph.
    """

    def __init__(self, path: str | os.PathLike, num_threads: int = 1):
        with without_greeting():
            super().__init__(path, num_threads)
        shapes = [[int(side) for side in detail["shape"]] for detail in self._outputs]
        maps = [1, *self.output_size], [1, *self.output_size, 1]
        if len(shapes) > 1 or shapes[0] not in maps:
            raise self._no_map(", ".join(map(str, shapes)))

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Answers with metres, see `DepthNetwork`; `UserError` if the graph cannot be run."""
        return self.predict(rgb)


def try_graph(path: str | os.PathLike) -> None:
    """Runs a graph once in a child process: a damaged one can crash LiteRT or hang it.

    Args:
        path: A `.tflite` file that is not shipped with the package.

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
        raise UserError(f"{path}: {died_of(code)}; the file is broken, export or copy it again")


def try_here(path: str | os.PathLike) -> None:
    """The child's side of `try_graph`; what it can say, the parent will say."""
    with contextlib.suppress(UserError):
        network = TfliteNetwork(path)
        network(np.zeros((*network.input_size, 3), np.uint8))
