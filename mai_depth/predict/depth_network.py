"""A trained network from one picture to metres: a `.keras` or a `.tflite` file."""

import contextlib
import os
import pathlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from mai_depth.checksum import check_checksum
from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.errors import UserError
from mai_depth.network.pretrained import default_pretrained
from mai_depth.network.pretrained import is_pretrained
from mai_depth.network.pretrained import named_file
from mai_depth.network.pretrained import pretrained_path
from mai_depth.network.pretrained import suffix_that_runs
from mai_depth.paths import expand
from mai_depth.tflite.graph import read_tflite
from mai_depth.tflite.runner import TfliteNetwork
from mai_depth.tflite.runner import try_graph


class DepthNetwork(Protocol):
    """From a picture to its depth.

    Attributes:
        input_size: (height, width) of the picture that it takes.
    """

    input_size: tuple[int, int]

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Answers with depth.

        Args:
            rgb: uint8 [height, width, 3] of `input_size`.

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


def check_graph(path: str | os.PathLike, say: Callable[[str], None]) -> None:
    """Checks a `.tflite` before LiteRT sees it: a damaged one can end the process silently.

    A checksum reveals a damaged file, but whoever made the graph has written it too, so a graph
    that is not shipped with the package is tried in a child process as well.

    Args:
        path: The file.
        say: Called with a warning.

    Raises:
        UserError: It cannot be used.
    """
    read_tflite(path)
    if is_pretrained(path):
        return
    warning = check_checksum(path)
    if warning:
        say(f"warning: {warning}")
    try_graph(path)


def chosen_network(value: str | None, say: Callable[[str], None]) -> pathlib.Path:
    """Finds the network that `--model` names, and tries a graph before it is trusted.

    Args:
        value: A path, or the name of a shipped network, whose integers are taken where there is
            no TensorFlow; None for the first of the shipped networks.
        say: Called with what is doubtful, see `check_graph`.

    Returns:
        The file.

    Raises:
        UserError: Missing, damaged, or a graph that does not run.
    """
    if value is None:
        return pretrained_path(default_pretrained())
    if (shipped := named_file(value, suffix_that_runs())) is not None:
        return shipped
    path = expand(value, "model")
    if path.suffix == ".tflite":
        check_graph(path, say)
    return path


class KerasNetwork:
    """A `.keras` file (see `DepthNetwork`).

    Attributes:
        input_size: (height, width).

    Args:
        path: The file, of any Keras model from [1, H, W, 3] RGB 0..255 to [1, H, W, 1] metres.
        num_threads: Takes effect for the first network of a process only.

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
        from mai_depth.network.model_file import load_model

        self._model = load_model(path)
        self.input_size = tuple(self._model.inputs[0].shape[1:3])

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Answers with metres, see `DepthNetwork`."""
        return self._model.predict_on_batch(rgb[None].astype(np.float32))[0, ..., 0]
