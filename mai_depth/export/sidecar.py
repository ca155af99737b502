"""What an exported file says about itself: a JSON beside it, and the same inside it."""

import hashlib
import os
import pathlib
from importlib import metadata
from typing import Any

from mai_depth.atomic import write_bytes_atomic
from mai_depth.atomic import write_json_atomic
from mai_depth.json_file import read_json
from mai_depth.tflite.graph import TfliteFile
from mai_depth.tflite.graph import delegate_partitions
from mai_depth.tflite.graph import open_quietly

_PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "mai-depth")
_TRAINING = ("metrics", "other_metrics", "builder", "sources")


def describe_tflite(path: str | os.PathLike) -> dict[str, Any]:
    """Reads from the file itself what a user of it must know.

    Args:
        path: A .tflite file of one picture in and one depth map out.

    Returns:
        Input, output, operators, partitions of the XNNPACK delegate, costs.
    """
    file = TfliteFile(path)
    interpreter = open_quietly(path)
    partitions, left = delegate_partitions(interpreter)
    operators: dict[str, int] = {}
    for op in file.ops():
        operators[op.name] = operators.get(op.name, 0) + 1
    return {
        "input": _tensor(interpreter.get_input_details()[0])
        | {"range": [0, 255], "unit": "RGB, camera values"},
        "output": _tensor(interpreter.get_output_details()[0]) | {"unit": "metre"},
        "operators": operators,
        "delegate_partitions": partitions,
        "not_delegated": list(left),
        "macs": file.macs(),
        "parameters": file.parameters(),
    }


def describe_tensors(
    image_size: tuple[int, int], dtype: str, *, batch_size: int | None = 1
) -> dict[str, Any]:
    """What goes in and comes out, of formats whose file is not asked.

    Args:
        image_size: Height and width of the picture.
        dtype: Of its numbers.
        batch_size: Pictures at a time; None for any number.
    """
    return {
        "input": {"name": "image", "shape": [batch_size, *image_size, 3], "dtype": dtype,
                  "range": [0, 255], "unit": "RGB, camera values"},
        "output": {"name": "depth_m", "shape": [batch_size, *image_size, 1], "dtype": "float32",
                   "unit": "metre"},
    }


def write_with_sidecar(
    output: str | os.PathLike, data: bytes, description: dict[str, Any],
    model_path: str | os.PathLike, protocols: dict[str, Any],
) -> dict[str, Any]:
    """Writes an exported file and the JSON beside it.

    Args:
        output: The file.
        data: Its bytes.
        description: What the file says of itself.
        model_path: The `.keras` file that was exported.
        protocols: Of `verify.Verification`.

    Returns:
        The content of the JSON: the description, and what cannot or must not stand inside.
    """
    sidecar = description | read_focal_length(model_path) | {
        "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
        "protocols": protocols}
    write_bytes_atomic(output, data)
    write_json_atomic(f"{os.fspath(output)}.json", sidecar)
    return sidecar


def _tensor(detail: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": detail["name"],
        "shape": [int(side) for side in detail["shape"]],
        "dtype": detail["dtype"].__name__,
    }


def versions() -> dict[str, str]:
    """The versions of the packages that an exported file depends on."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def read_training(keras_path: str | os.PathLike) -> dict[str, Any]:
    """Reads what training wrote beside a student.

    Args:
        keras_path: The `.keras` file.

    Returns:
        `metrics`, `other_metrics`, `builder` (the builder's arguments) and `sources` (of the data
        and labels, with their licences) of the `.json` beside it, as far as they are there.
    """
    known = _beside(keras_path, _TRAINING)
    # Of paths the last part: the whole would reveal the machine that trained.
    if "other_metrics" in known:
        known["other_metrics"] = {
            pathlib.Path(name).name: row for name, row in known["other_metrics"].items()}
    if "builder" in known:
        known["builder"] = {key: _last_part(value) for key, value in known["builder"].items()}
    return known


def _last_part(value: Any) -> Any:
    """The last part of a path, or of each in a list; what is no text stays as it is."""
    if isinstance(value, list):
        return [_last_part(each) for each in value]
    return pathlib.Path(value).name if isinstance(value, str) else value


def read_focal_length(keras_path: str | os.PathLike) -> dict[str, Any]:
    """Reads for which camera a student answers.

    It stands in the JSON beside an exported file alone, not inside it: what is known of a camera
    must not change the bytes of a network.

    Args:
        keras_path: The `.keras` file.

    Returns:
        `focal_length` in picture widths of the `.json` beside it, if it is there.
    """
    return _beside(keras_path, ("focal_length",))


def _beside(keras_path: str | os.PathLike, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        content = read_json(pathlib.Path(keras_path).with_suffix(".json"))
    except (OSError, ValueError):
        return {}
    return {key: content[key] for key in keys if key in content}
