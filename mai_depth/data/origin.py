"""Origin and licence of the training data, which are passed on with a network."""

import pathlib
from typing import Any

from mai_depth.data.description import DATASET
from mai_depth.data.description import LABELS
from mai_depth.data.nyu import NAME as NYU_DEPTH_V2
from mai_depth.data.room_folder import NAME as ROOMS
from mai_depth.data.sources import SCENES
from mai_depth.data.sources import DataOptions
from mai_depth.data.sources import parse_share
from mai_depth.errors import UserError
from mai_depth.json_file import read_json

_RENDERED = {"depth": "rendered by mai_depth", "license": "Apache-2.0", "origin": "mai_depth"}
_BUILT_IN = {
    SCENES: _RENDERED,
    ROOMS: _RENDERED,
    NYU_DEPTH_V2: {
        "depth": "measured", "license": "a research data set; see its page",
        "origin": "Silberman et al., ECCV 2012; "
                  "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"},
}


def data_origins(data: DataOptions) -> list[dict[str, Any]]:
    """Describes the training folders, as far as they are known.

    Args:
        data: Where the pairs come from.

    Returns:
        For each folder `name`, `depth` (`measured`, or how it was made), `license` and `origin`
        (None if unknown); for a labelled one also `teachers`, with `name` and `license` of each.

    Raises:
        UserError: A folder's `dataset.json` or `labels.json` is damaged.
    """
    names = [parse_share(text)[0] for text in data.data_dir] or [SCENES]
    return [_origin(name) for name in names]


def _origin(name: str) -> dict[str, Any]:
    folder = pathlib.Path(name)
    if name in _BUILT_IN and (name == NYU_DEPTH_V2 or not folder.exists()):
        return {"name": name, **_BUILT_IN[name]}
    for file in (LABELS, DATASET):
        if (folder / file).is_file():
            return _said(folder, folder / file)
    return {"name": folder.resolve().name, "depth": "measured", "license": None, "origin": None}


def _said(folder: pathlib.Path, path: pathlib.Path) -> dict[str, Any]:
    try:
        said = read_json(path)
        origin = {"name": folder.resolve().name,
                  "depth": "measured" if path.name == DATASET else "said by teachers",
                  "license": said.get("license"), "origin": said.get("origin")}
        if ROOMS in said:
            return origin | _RENDERED
        if path.name == LABELS:
            origin["teachers"] = [{"name": teacher["name"], "license": teacher.get("license")}
                                  for teacher in said["teachers"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); make the folder again, or remove the "
                        "file") from error
    return origin
