"""Where live pictures come from: a camera, its stream, a clip in a loop, a folder as slide show."""

import dataclasses
import os
import pathlib
import urllib.parse
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np

from mai_depth.errors import UserError
from mai_depth.png_file import is_marked
from mai_depth.predict.camera_picture import CameraPicture
from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.camera_picture import read_picture
from mai_depth.predict.picture_list import SUFFIXES
from mai_depth.predict.picture_list import VIDEO_SUFFIXES
from mai_depth.video_frames import is_address
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
        open: Opens it. Returns its pictures and the seconds between two of them, None if the
            camera sets the pace. Raises `UserError` if that fails.
        ends: Whether it ends and starts again; a camera that ends has vanished.
        stills: Whether its pictures are unrelated.
    """

    name: str
    open: Callable[[], tuple[Iterator[CameraPicture], float | None]]
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
    if is_address(value):
        # Not the address itself: it may hold a password, and the page shows the name.
        host = urllib.parse.urlsplit(value).hostname or "the stream"
        return Source(host, lambda: (_in_memory(read_frames(value)[0]), None), ends=False)
    if not path.exists():
        raise UserError(f"--input={value}: no such file or folder; give a video, a folder of "
                        "pictures, the number of a camera, or the address of its stream")
    if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
        return Source(path.name, lambda: _open_clip(path), ends=True)
    return Source(path.name, lambda: _open_pictures(path), ends=True, stills=True)


def _open_camera(number: int) -> tuple[Iterator[CameraPicture], None]:
    return _in_memory(read_frames(number)[0]), None


def _open_clip(path: pathlib.Path) -> tuple[Iterator[CameraPicture], float]:
    frames, rate, _ = read_frames(os.fspath(path))
    return _in_memory(frames), 1.0 / rate


def _in_memory(frames: Iterator[np.ndarray]) -> Iterator[CameraPicture]:
    for rgb in frames:
        yield from_array(rgb)


def _open_pictures(path: pathlib.Path) -> tuple[Iterator[CameraPicture], float]:
    paths = [path] if path.is_file() else sorted(
        found for found in path.rglob("*")
        if found.suffix.lower() in SUFFIXES and not is_marked(found))
    if not paths:
        raise UserError(f"--input={path}: no pictures in this folder")
    return _pictures(paths), _SHOWN_S


def _pictures(paths: list[pathlib.Path]) -> Iterator[CameraPicture]:
    """Yields the pictures that can be read; raises the last fault if none can."""
    count, fault = 0, None
    for path in paths:
        try:
            picture = read_picture(path)
        except UserError as error:
            fault = error
            continue
        count += 1
        yield picture
    if not count and fault:
        raise fault


def _open_picamera2() -> tuple[Iterator[CameraPicture], None]:
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
    return _in_memory(_picamera_frames(camera)), None


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
