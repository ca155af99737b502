"""A folder of procedural rooms, seen across and from near: what `--data_dir=rooms` means.

`train/rgb/NAME.jpg`, `train/depth/NAME.png` (uint16, mm, 640x480) and `dataset.json`: kind, unit,
the arguments that made the pictures, and for each `train/NAME` the focal length in picture widths,
unrounded, since every picture has a camera of its own.
"""

import os
import pathlib

import numpy as np

from mai_depth.atomic import write_json_atomic
from mai_depth.data.description import DATASET
from mai_depth.data.generated_folder import generated_folder
from mai_depth.data.processes import make_all
from mai_depth.data.scenes import sensor
from mai_depth.data.scenes.near import near
from mai_depth.data.scenes.rooms import room
from mai_depth.data.scenes.shading import render
from mai_depth.data.scenes.viewpoint import NEAREST_M
from mai_depth.data.synthetic import write_pair
from mai_depth.json_file import read_json

NAME = "rooms"
"""Such a folder's name on the command line and in the cache."""
VERSION = 1  # of the pictures; a folder of another version is rebuilt

_STREAM = 2  # 0 and 1 are the splits of the default data set: no scene is in both
# Around that of the RealSense D405 (18 mm), which measures nearer than stereo cameras for rooms.
_NEAR_BASELINES_M = (0.012, 0.03)
_NEAR_BRIGHTNESS = (0.24, 0.8)  # in photographs, tops of white laminate are often nearly white


def make_view(seed: tuple[int, int, int], from_near: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Makes one picture of a random room, its depth, and the focal length.

    Args:
        seed: Another seed gives another room.
        from_near: Look at a table top, desk, worktop or shelf from 0.3 to 1.5 m, instead of across
            the room.

    Returns:
        RGB, uint8 [480, 640, 3]; z depth, float32 [480, 640] in metres, rounded to millimetres,
        0 = missing, at least 0.15 (from near) or 0.4; focal length in picture widths.
    """
    random = np.random.default_rng(seed)
    scene = (near if from_near else room)(random)
    color, depth, shine = render(scene)
    camera = scene.camera
    seen = (depth, color, shine, camera.focal, random)
    if from_near:
        rgb = sensor.photograph(color, random, _NEAR_BRIGHTNESS)
        measured = sensor.measure(*seen, NEAREST_M, _NEAR_BASELINES_M)
    else:
        rgb = sensor.photograph(color, random)
        measured = sensor.measure(*seen)
    return rgb, measured, float(camera.focal / camera.size[1])


def rooms_folder(
    cache_dir: str | os.PathLike, *, count: int = 2400, near_share: float = 0.5, seed: int = 0
) -> pathlib.Path:
    """Returns the folder of rooms in a cache; the first call makes it, on all cores.

    Args:
        cache_dir: The folder that holds it, as `rooms`.
        count: See `make_rooms`.
        near_share: See `make_rooms`.
        seed: See `make_rooms`.

    Returns:
        The folder.

    Raises:
        UserError: It holds something else, or cannot be written.
    """
    folder = pathlib.Path(cache_dir) / NAME
    return make_rooms(folder, count=count, near_share=near_share, seed=seed)


def make_rooms(
    folder: str | os.PathLike,
    *,
    count: int,
    near_share: float = 0.5,
    seed: int = 0,
    workers: int | None = None,
) -> pathlib.Path:
    """Writes a folder of rooms; it appears when it is complete, or not at all.

    A folder that was written with the same arguments is kept. What a killed process left is
    removed.

    Args:
        folder: Where to put it; its parents are made.
        count: Number of pairs; a larger folder begins with the pairs of a smaller one.
        near_share: Share of near views, 0..1; their names begin with `near`, the others' with
            `room`.
        seed: Another seed gives other rooms.
        workers: Number of processes; all cores when None. The pictures do not depend on it.

    Returns:
        The folder.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    record = {"version": VERSION, "count": count, "near_share": near_share, "seed": seed}
    return generated_folder(
        folder, record, _read_record, lambda made: _write(made, record, workers))


def _read_record(folder: pathlib.Path) -> dict | None:
    try:
        return read_json(folder / DATASET).get(NAME)
    except (OSError, ValueError, AttributeError):
        return None


def _write(folder: pathlib.Path, record: dict, workers: int | None) -> None:
    split = folder / "train"
    for kind in ("rgb", "depth"):
        (split / kind).mkdir(parents=True)
    tasks = [
        (split, index, record["seed"], _is_near(index, record["near_share"]))
        for index in range(record["count"])
    ]
    focal_lengths = dict(make_all(_write_view, tasks, workers, "procedural rooms"))
    description = {"kind": "metric", "unit": "mm", NAME: record, "focal_lengths": focal_lengths}
    write_json_atomic(folder / DATASET, description)


def _is_near(index: int, share: float) -> bool:
    """Spreads the near views evenly, so that every beginning of the folder has its share."""
    return int((index + 1) * share) > int(index * share)


def _write_view(task: tuple[pathlib.Path, int, int, bool]) -> tuple[str, float]:
    """Writes one pair; returns its name and focal length."""
    split, index, seed, from_near = task
    rgb, depth_m, focal_length = make_view((seed, _STREAM, index), from_near)
    name = f"{'near' if from_near else 'room'}_{index:05d}"
    write_pair(split, name, rgb, depth_m)
    return f"{split.name}/{name}", focal_length
