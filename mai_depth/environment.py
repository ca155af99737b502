"""Checks of the environment, made before TensorFlow is loaded, which takes seconds."""

import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from typing import Any

from mai_depth.errors import UserError
from mai_depth.errors import reason_of
from mai_depth.streams import without_lines

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_CHATTER = "WARNING: All log messages before absl|I[0-9]{4} "
_NO_DRIVER = "E[0-9]{4} .* failed call to cuInit"  # an error only where there is a driver
_NVIDIA_DRIVER = "/proc/driver/nvidia"
_OLDEST = {"tensorflow": (2, 21), "keras": (3, 15)}


def check_environment() -> None:
    """Checks the settings and versions that this project needs.

    Raises:
        UserError: Another backend of Keras or Keras 2 is selected, or a package is missing or too
            old.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise UserError(f"KERAS_BACKEND={backend}: this needs the TensorFlow backend of Keras; "
                        "unset the variable")
    if os.environ.get("TF_USE_LEGACY_KERAS", "0").lower() in ("1", "true"):
        raise UserError("TF_USE_LEGACY_KERAS is set: this needs Keras 3; unset the variable")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # ~/.keras/keras.json may name another
    for package, oldest in _OLDEST.items():
        _check_version(package, oldest)


def start_tensorflow() -> None:
    """Imports TensorFlow without its start-up messages and warnings.

    Errors are shown, and all messages if TF_CPP_MIN_LOG_LEVEL is 0.

    Raises:
        UserError: TensorFlow is installed only in part, as after a full disk.
    """
    if "tensorflow" in sys.modules:
        return
    if os.environ.setdefault(_LOG_LEVEL, "2") == "0":  # 2: errors
        _import_tensorflow()
        return
    # TensorFlow obeys the variable only once it is loaded.
    dropped = _CHATTER if os.path.exists(_NVIDIA_DRIVER) else f"{_CHATTER}|{_NO_DRIVER}"
    with without_lines(dropped):
        tensorflow = _import_tensorflow()
        tensorflow.config.list_physical_devices()
    # Else several networks, each compiled once, are taken for one that is compiled again and again.
    tensorflow.get_logger().setLevel("ERROR")


def _import_tensorflow() -> Any:
    try:
        return importlib.import_module("tensorflow")
    except ImportError as error:
        raise UserError(f"tensorflow cannot be imported ({reason_of(error)}); install it again: "
                        "pip install --force-reinstall tensorflow") from error


def compute_deterministically() -> None:
    """Starts TensorFlow so that results are bit-identical each time; slower. Call it first.

    TensorFlow's own switch is not enough: with two operations at once, the default teacher's
    gradients differed in their last bits from call to call. So operations run one at a time, each
    on all cores.
    """
    start_tensorflow()
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _check_version(package: str, oldest: tuple[int, int]) -> None:
    needed = f"{package}>={'.'.join(map(str, oldest))}"
    if importlib.util.find_spec(package) is None:
        raise UserError(f"{package} is not installed; pip install '{needed}'")
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return  # the same code is also published as tensorflow-cpu and under other names
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < oldest:
        raise UserError(f"{package} {version} is too old; pip install '{needed}'")
