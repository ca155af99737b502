"""What the process must find around it, checked before TensorFlow is loaded: that takes seconds."""

import importlib.metadata
import importlib.util
import os
import re

from mai_depth.errors import UserError

_OLDEST = {"tensorflow": (2, 21), "keras": (3, 15)}


def check_environment() -> None:
    """Checks the settings and the versions under which everything here works.

    Raises:
        UserError: Another backend of Keras or Keras 2 is asked for, or a package is missing or too
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
