"""The frames of a video file or a camera, read with OpenCV, which is loaded on demand."""

import os
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from mai_depth.errors import UserError

# Read when the library is loaded, which TensorFlow's packages may do first.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATIENCE_MS = 5000  # with a stream that says nothing; FFmpeg's own is 30 seconds
_USUAL_FRAME_RATE = 30.0  # for a camera that does not say


def read_frames(
    source: str | int, *, upright: bool = True
) -> tuple[Iterator[np.ndarray], float, int | None]:
    """Opens a video file or a camera.

    Args:
        source: A file, the number of a camera, or the address of its stream.
        upright: Turn the frames as the file says; else leave them as the sensor read them.

    Returns:
        Frames as RGB uint8 [height, width, 3]; frames per second of the recording; the number of
        frames, None for a camera or a stream.

    Raises:
        UserError: OpenCV is not installed, or the source cannot be opened.
    """
    cv2 = load_opencv()
    if is_address(source):
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _PATIENCE_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC, _PATIENCE_MS])
    else:
        capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise UserError(f"--input={source}: {_remedy(source)}")
    if not upright:
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    rate = capture.get(cv2.CAP_PROP_FPS)
    has_end = isinstance(source, str) and not is_address(source)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if has_end else None
    rate = rate if 0 < rate < 1000 else _USUAL_FRAME_RATE
    return _frames(cv2, capture), rate, count


def is_address(source: str | int) -> bool:
    """Whether a source is an address: `rtsp://`, `http://` and others that FFmpeg reads."""
    return isinstance(source, str) and bool(_ADDRESS.match(source))


def load_opencv() -> ModuleType:
    """Loads OpenCV, whose log is switched off.

    Returns:
        The module `cv2`.

    Raises:
        UserError: It is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        # Not the extra `video`: on a board it would install TensorFlow as well.
        raise UserError("--input: a video needs OpenCV; pip install opencv-python-headless"
                        ) from error
    return cv2


def _frames(cv2: ModuleType, capture: Any) -> Iterator[np.ndarray]:
    try:
        while True:
            good, frame = capture.read()
            if not good:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def _remedy(source: str | int) -> str:
    if isinstance(source, int):
        return "no such camera, or another program uses it"
    if is_address(source):
        return "no stream that OpenCV can read; check the address in a video player"
    return "not a video that OpenCV can read; convert it to .mp4"
