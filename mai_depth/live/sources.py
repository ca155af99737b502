"""Where live pictures come from: a camera, a clip in a loop, or a folder as a slide show."""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np

from mai_depth.errors import UserError
from mai_depth.predict.camera_picture import read_picture
from mai_depth.predict.picture_list import SUFFIXES
from mai_depth.predict.picture_list import VIDEO_SUFFIXES
from mai_depth.video_frames import read_frames

PICAMERA2 = "picamera2"

_SHOWN_S = 2.0  # for each picture of a folder
_PICAMERA_SIZE = (640, 480)
_CAMERA_DIGITS = 4


@dataclasses.dataclass(frozen=True)
class Source:
    """A source of pictures.

    Attributes:
        name: Its name in messages.
        open: Opens it. Returns its pictures, RGB uint8 [height, width, 3], and the seconds between
            two of them, None if the camera sets the pace. Raises `UserError` if that fails.
        ends: Whether it ends and starts again; a camera that ends has vanished.
        stills: Whether its pictures are unrelated.
    """

    name: str
    open: Callable[[], tuple[Iterator[np.ndarray], float | None]]
    ends: bool
    stills: bool = False


def find_source(value: str, path: pathlib.Path) -> Source:
    """Interprets `--input`.

    Args:
        value: What the user typed.
        path: The same as a path.

    Returns:
        The source, not opened yet.

    Raises:
        UserError: There is no such source.
    """
    if value == PICAMERA2 and not path.exists():
        return Source("picamera2", _open_picamera2, ends=False)
    if value.isdecimal() and not path.exists():
        if len(value) > _CAMERA_DIGITS:
            raise UserError(f"--input={value}: no camera has such a number; give 0 for the first")
        return Source(f"camera {int(value)}", lambda: _open_camera(int(value)), ends=False)
    if not path.exists():
        raise UserError(f"--input={value}: no such file or folder; give a video, a folder of "
                        "pictures, or the number of a camera")
    if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
        return Source(path.name, lambda: _open_clip(path), ends=True)
    return Source(path.name, lambda: _open_pictures(path), ends=True, stills=True)


def _open_camera(number: int) -> tuple[Iterator[np.ndarray], None]:
    return read_frames(number)[0], None


def _open_clip(path: pathlib.Path) -> tuple[Iterator[np.ndarray], float]:
    frames, rate, _ = read_frames(os.fspath(path))
    return frames, 1.0 / rate


def _open_pictures(path: pathlib.Path) -> tuple[Iterator[np.ndarray], float]:
    paths = [path] if path.is_file() else sorted(
        found for found in path.rglob("*") if found.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"--input={path}: no pictures in this folder")
    return _pictures(paths), _SHOWN_S


def _pictures(paths: list[pathlib.Path]) -> Iterator[np.ndarray]:
    """Yields the pictures that can be read; raises the last fault if none can."""
    count, fault = 0, None
    for path in paths:
        try:
            rgb = np.asarray(read_picture(path).rgb)
        except UserError as error:
            fault = error
            continue
        count += 1
        yield rgb
    if not count and fault:
        raise fault


def _open_picamera2() -> tuple[Iterator[np.ndarray], None]:
    try:
        from picamera2 import Picamera2
    except Exception as error:  # its imports fail in many ways, for instance on NumPy's version
        raise UserError(f"--input=picamera2: cannot be loaded ({type(error).__name__}: {error}); "
                        "apt install python3-picamera2, in a venv made with --system-site-packages"
                        ) from error
    try:
        camera = Picamera2()
        camera.configure(camera.create_video_configuration(
            {"size": _PICAMERA_SIZE, "format": "BGR888"}))  # RGB in memory
        camera.start()
    except Exception as error:
        raise UserError(f"--input=picamera2: the camera cannot be opened ({error}); another "
                        "program may be using it, or its cable is loose") from error
    return _picamera_frames(camera), None


def _picamera_frames(camera: Any) -> Iterator[np.ndarray]:
    try:
        while True:
            try:
                rgb = camera.capture_array()
            except Exception:  # the cable was pulled: the reader then finds that it has ended
                return
            yield rgb
    finally:
        camera.close()
