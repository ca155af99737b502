"""What an exported file says about itself: a JSON beside it, and the same inside it."""

import os
import pathlib
from importlib import metadata
from typing import Any

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
    if "other_metrics" in known:  # a path would tell strangers of the machine that trained
        known["other_metrics"] = {
            pathlib.Path(name).name: row for name, row in known["other_metrics"].items()}
    return known


def read_focal_length(keras_path: str | os.PathLike) -> dict[str, Any]:
    """Reads for which camera a student answers.

    It stands in the JSON beside an exported file alone, not inside it: what is known of a camera
    shall not change the bytes of a network.

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
