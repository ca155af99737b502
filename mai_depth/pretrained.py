"""The trained networks that the package brings, described by `pretrained/index.json`.

The index is a list of `{"name", "file", "sha256", "metrics", "recipe", "license"}`; `metrics` holds
`data` and the numbers of `mai_depth.metrics`. Importing this module loads no TensorFlow.
"""

import importlib.util
import json
import pathlib
from typing import TYPE_CHECKING
from typing import Any

from mai_depth.depth_network import check_sha256
from mai_depth.errors import UserError

if TYPE_CHECKING:
    import keras

FOLDER = pathlib.Path(__file__).parent / "pretrained"

_INDEX = "index.json"
_REINSTALL = "install mai_depth again"


def list_pretrained() -> list[dict[str, Any]]:
    """Describes the networks that the package brings.

    Returns:
        Their entries of the index: `name`, `file`, `sha256`, `metrics`, `recipe`, `license`.

    Raises:
        UserError: The index is missing or broken.
    """
    path = FOLDER / _INDEX
    try:
        entries = json.loads(path.read_text())
        if not all({"name", "file", "sha256", "metrics"} <= entry.keys() for entry in entries):
            raise ValueError("an entry without name, file, sha256 or metrics")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: broken ({error}); {_REINSTALL}") from error
    return entries


def pretrained_path(name: str) -> pathlib.Path:
    """Finds the file of a network, `.keras` or `.tflite`, and checks that it is intact.

    Args:
        name: A `name` of `list_pretrained`, for instance `nyuv2_student_90m`.

    Returns:
        The file.

    Raises:
        UserError: No such network, or its file is missing or damaged.
    """
    entries = {entry["name"]: entry for entry in list_pretrained()}
    if name not in entries:
        names = ", ".join(sorted(entries)) or "none yet"
        raise UserError(f"{name}: no such pretrained network; there are: {names}")
    path = FOLDER / entries[name]["file"]
    check_sha256(path, entries[name]["sha256"], _REINSTALL)
    return path


def load_pretrained(name: str) -> "keras.Model":
    """Loads a network that was trained already, without a download.

    Args:
        name: A `name` of `list_pretrained` whose file is a `.keras`.

    Returns:
        The model, not compiled: `image` [batch, 480, 640, 3] float32 RGB 0..255 to `depth_m`
        [batch, 480, 640, 1] float32 metres.

    Raises:
        UserError: No such network, it is a `.tflite`, or its file is damaged.
    """
    path = pretrained_path(name)
    if path.suffix != ".keras":
        raise UserError(f"{name}: a {path.suffix} file, not a Keras model; "
                        f"pretrained_path({name!r}) names it for an interpreter")
    from mai_depth.model_file import load_model

    return load_model(path)


def best_pretrained() -> str:
    """Names the network with the lowest si-RMSE that this installation can run.

    Returns:
        Its name; without TensorFlow only `.tflite` files count.

    Raises:
        UserError: There is none.
    """
    has_tensorflow = importlib.util.find_spec("tensorflow") is not None
    usable = [entry for entry in list_pretrained()
              if has_tensorflow or entry["file"].endswith(".tflite")]
    if not usable:
        raise UserError("--model: this package brings no trained network; give a .keras or .tflite "
                        "file")
    return min(usable, key=lambda entry: entry["metrics"]["si_rmse"])["name"]
