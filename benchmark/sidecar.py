"""What lies beside a graph: GRAPH.tflite.json of an export, NAME.json of a peer."""

import os
import pathlib
from typing import Any

from mai_depth.errors import UserError
from mai_depth.json_file import read_json


def read_sidecar(path: str | os.PathLike) -> dict[str, Any]:
    """Reads the JSON file beside a graph.

    Args:
        path: The .tflite file.

    Returns:
        Its content; {} if there is none.

    Raises:
        UserError: It is there but broken.
    """
    sidecar = pathlib.Path(f"{path}.json")
    if not sidecar.exists():
        sidecar = pathlib.Path(path).with_suffix(".json")
    try:
        return read_json(sidecar)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{sidecar}: not readable as JSON ({error}); export the graph again or "
                        "remove the file") from error


def has_random_weights(sidecar: dict[str, Any]) -> bool:
    """Whether the graph is there for its speed alone, as the peers are."""
    return str(sidecar.get("weights", "")).startswith("random")
