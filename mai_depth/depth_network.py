"""A trained network from one picture to metres: a `.keras` or a `.tflite` file.

The `.tflite` path needs NumPy and ai-edge-litert alone and imports no TensorFlow.
"""

import contextlib
import hashlib
import os
import pathlib
import signal
import subprocess
import sys
from typing import Protocol

import numpy as np

from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.errors import UserError
from mai_depth.json_file import read_json
from mai_depth.tensor_format import dequantize
from mai_depth.tensor_format import is_known
from mai_depth.tensor_format import write_picture
from mai_depth.tflite_file import open_quietly

_TRIAL_S = 120  # for one picture, with the start of Python
_TRIAL = "import sys; from mai_depth.depth_network import try_here; try_here(sys.argv[1])"


class DepthNetwork(Protocol):
    """From a picture to its depth.

    Attributes:
        picture_size: (width, height) of the picture that it takes.
    """

    picture_size: tuple[int, int]

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Answers with depth.

        Args:
            rgb: uint8 [height, width, 3] of `picture_size`.

        Returns:
            float32 [height', width'] in metres.
        """


def open_network(path: str | os.PathLike, num_threads: int = 1) -> DepthNetwork:
    """Opens a depth network by the suffix of its file.

    Args:
        path: A `.keras` or `.tflite` file.
        num_threads: Threads for one picture.

    Returns:
        The network.

    Raises:
        UserError: Missing, broken, or not a depth network.
    """
    suffix = pathlib.Path(path).suffix
    if suffix == ".tflite":
        return TfliteNetwork(path, num_threads)
    if suffix == ".keras":
        return KerasNetwork(path, num_threads)
    raise UserError(f"--model={path}: give a .keras or .tflite file")


class KerasNetwork:
    """A `.keras` file (see `DepthNetwork`).

    Attributes:
        picture_size: (width, height).

    Args:
        path: The file, of any Keras model from [1, H, W, 3] RGB 0..255 to [1, H, W, 1] metres.
        num_threads: Has an effect on the first network of a process alone.

    Raises:
        UserError: The file cannot be loaded, or TensorFlow is not installed or unfit.
    """

    def __init__(self, path: str | os.PathLike, num_threads: int):
        check_environment()
        start_tensorflow()
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow has started its threads already
            tf.config.threading.set_intra_op_parallelism_threads(num_threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        from mai_depth.model_file import load_model

        self._model = load_model(path)
        height, width = self._model.inputs[0].shape[1:3]
        self.picture_size = (width, height)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Answers with metres, see `DepthNetwork`."""
        return self._model.predict_on_batch(rgb[None].astype(np.float32))[0, ..., 0]


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


def check_checksum(path: str | os.PathLike) -> str | None:
    """Compares a `.tflite` file with the sha256 in the JSON file beside it.

    Of 150 files with three flipped bits 119 still ran, with wrong depth.

    Args:
        path: The `.tflite` file; `export.py` writes `PATH.json`.

    Returns:
        A warning if there is no checksum to compare with, else None.

    Raises:
        UserError: The file is not the one of the checksum.
    """
    sidecar = pathlib.Path(f"{path}.json")
    try:
        expected = read_json(sidecar)["sha256"]
    except FileNotFoundError:
        return f"{sidecar}: not there, so nobody knows whether {path} is intact"
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{sidecar}: holds no sha256 ({error}); export the graph again or remove "
                        "the file") from error
    check_sha256(path, expected, "export or copy it again")
    return None


def check_sha256(path: str | os.PathLike, expected: str, remedy: str) -> None:
    """Checks that a file is intact.

    Args:
        path: The file.
        expected: Its sha256 in hexadecimal.
        remedy: What to do if it is not.

    Raises:
        UserError: Missing or changed.
    """
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    if found != expected:
        raise UserError(f"{path}: changed or damaged (its sha256 starts with {found[:8]}, not "
                        f"{str(expected)[:8]}); {remedy}")


def _is_picture(shapes: list[list[int]]) -> bool:
    return len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][0] == 1 and shapes[0][3] == 3


def _is_map(shapes: list[list[int]]) -> bool:
    return len(shapes) == 1 and shapes[0][:1] == [1] and (
        len(shapes[0]) == 3 or (len(shapes[0]) == 4 and shapes[0][3] == 1))
