"""The default data set: procedural rooms and streets with exact depth, written once, no download.

A scene is a pure function of (seed, split, index), on any number of cores. The pictures come from
the ray caster in `mai_depth.data.scenes`.
"""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mai_depth.atomic import write_json_atomic
from mai_depth.data.generated_folder import generated_folder
from mai_depth.data.processes import make_all
from mai_depth.data.scenes import sensor
from mai_depth.data.scenes.rooms import room
from mai_depth.data.scenes.shading import render
from mai_depth.data.scenes.streets import street
from mai_depth.json_file import read_json

VERSION = 1  # of the pictures; a folder of another version is rebuilt
_RECORD = "synthetic.json"
_SPLITS = ("train", "validation")
_SHARE_OF_ROOMS = 0.65


def make_scene(seed: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Makes one picture of a random room or street, and its depth as a stereo sensor measures it.

    Args:
        seed: One or several integers >= 0.

    Returns:
        RGB, uint8 [480, 640, 3], and z depth, float32 [480, 640] in metres, 0.4 to 40, rounded to
        millimetres, 0 = missing.
    """
    random = np.random.default_rng(seed)
    scene = (room if random.random() < _SHARE_OF_ROOMS else street)(random)
    color, depth, shine = render(scene)
    rgb = sensor.photograph(color, random)
    return rgb, sensor.measure(depth, color, shine, scene.camera.focal, random)


def write_synthetic(
    folder: str | os.PathLike,
    *,
    train: int = 300,
    validation: int = 60,
    seed: int = 0,
    workers: int | None = None,
) -> pathlib.Path:
    """Writes the data set as `SPLIT/rgb/NAME.jpg` and `SPLIT/depth/NAME.png` (uint16, mm).

    The folder appears when it is complete, or not at all. A folder that was written with the same
    arguments is kept.

    Args:
        folder: Where to put it; its parents are made.
        train: Number of training pairs.
        validation: Number of validation pairs; no scene is in both splits.
        seed: Another seed gives other scenes.
        workers: Number of processes; all cores when None. The pictures do not depend on it.

    Returns:
        The folder.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    record = {"version": VERSION, "train": train, "validation": validation, "seed": seed}
    return generated_folder(
        folder, record, _read_record, lambda made: _write_splits(made, record, workers))


def _read_record(folder: pathlib.Path) -> dict | None:
    try:
        return read_json(folder / _RECORD)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return {}  # damaged, but ours


def _write_splits(folder: pathlib.Path, record: dict, workers: int | None) -> None:
    tasks = []
    for number, split in enumerate(_SPLITS):
        for kind in ("rgb", "depth"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(record[split]):
            tasks.append((folder / split, index, (record["seed"], number, index)))
    for _ in make_all(_write_scene, tasks, workers, "synthetic scenes"):
        pass
    write_json_atomic(folder / _RECORD, record)


def _write_scene(task: tuple[pathlib.Path, int, tuple[int, int, int]]) -> None:
    folder, index, seed = task
    write_pair(folder, f"{index:04d}", *make_scene(seed))


def write_pair(folder: pathlib.Path, name: str, rgb: np.ndarray, depth_m: np.ndarray) -> None:
    """Writes one pair into the folders `rgb` and `depth` of a split, depth in millimetres."""
    Image.fromarray(rgb).save(folder / "rgb" / f"{name}.jpg", quality=92)
    units = np.rint(depth_m * 1000).astype(np.uint16)
    Image.fromarray(units).save(folder / "depth" / f"{name}.png", compress_level=1)
