"""Depth of a video file or a camera, as a coloured .mp4 whose colours do not flicker."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from mai_depth.atomic import atomic_path
from mai_depth.colormap import depth_range
from mai_depth.errors import UserError
from mai_depth.predict.announced import Announced
from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.depth_network import DepthNetwork
from mai_depth.predict.prediction import Style
from mai_depth.predict.prediction import draw
from mai_depth.predict.prediction import predict
from mai_depth.video_frames import load_opencv

_MEMORY_FRAMES = 20  # the colour range follows the scene in about that many frames


class SteadyRange:
    """The colour range of a video: an exponential average of each frame's own.

    Args:
        memory_frames: After that many frames 63 % of a change of the scene has been followed.
    """

    def __init__(self, memory_frames: float = _MEMORY_FRAMES):
        self._share = 1.0 / memory_frames
        self._limits: np.ndarray | None = None

    def update(self, depth_m: np.ndarray) -> tuple[float, float]:
        """Takes in a frame.

        Args:
            depth_m: [height, width] in metres.

        Returns:
            (near, far) in metres.
        """
        limits = np.array(depth_range(depth_m))
        if self._limits is None:
            self._limits = limits
        self._limits = self._limits + self._share * (limits - self._limits)
        near, far = (float(limit) for limit in self._limits)
        return near, far


def write_video(
    path: str | os.PathLike,
    frames: Iterator[np.ndarray],
    frame_rate: float,
    network: DepthNetwork,
    *,
    fit: str,
    style: Style,
    beside: bool,
    scale: Announced | None = None,
    ends_with_interrupt: bool = False,
) -> int:
    """Writes the coloured depth of frames as .mp4, atomically.

    Args:
        path: The file.
        frames: RGB uint8 [height, width, 3] each.
        frame_rate: Frames per second of the result.
        network: Of `open_network`.
        fit: See `placement.place`.
        style: Colours; what is not fixed is averaged over the frames.
        beside: Put the frame to the left.
        scale: Makes metres of this camera.
        ends_with_interrupt: Ctrl-C completes the file, as a camera has no end; else it removes it.

    Returns:
        How many frames were written.

    Raises:
        UserError: There is no frame, or OpenCV cannot write the file.
    """
    steady, count = SteadyRange(), 0
    stop = KeyboardInterrupt if ends_with_interrupt else ()
    with atomic_path(path) as temporary, _Writer(temporary, frame_rate) as writer:
        try:
            for frame in frames:
                prediction = predict(network, from_array(frame), fit)
                if scale is not None:
                    prediction = scale(prediction, network)
                limits = style.limits(steady.update(prediction.depth_m(network.input_size[::-1])))
                writer.write(draw(prediction, limits, style.colormap, beside))
                count += 1
        except stop:
            pass
        if not count:
            raise UserError(f"{path}: the video has no frame that can be read; replace the video")
    return count


class _Writer:
    """An .mp4 that is opened by its first frame."""

    def __init__(self, path: pathlib.Path, frame_rate: float):
        self._path, self._frame_rate, self._cv2 = path, frame_rate, load_opencv()
        self._writer: Any = None
        self._count = 0

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if kind is None and not self._is_whole():
            raise UserError(f"{self._path}: OpenCV could not write it to its end; free some space "
                            "or give another --output")

    def write(self, rgb: np.ndarray) -> None:
        """Appends a frame; the codec wants even sides, so an odd row or column is cut off."""
        height, width = (side // 2 * 2 for side in rgb.shape[:2])
        if self._writer is None:
            codec = self._cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = self._cv2.VideoWriter(
                str(self._path), codec, self._frame_rate, (width, height))
            if not self._writer.isOpened():
                raise UserError(f"{self._path}: this OpenCV cannot write .mp4; install "
                                "opencv-python-headless from PyPI")
        bgr = rgb[:height, :width, ::-1]
        self._writer.write(np.ascontiguousarray(bgr))
        self._count += 1

    def _is_whole(self) -> bool:
        """Whether the file has all frames: OpenCV does not tell when the disk is full."""
        capture = self._cv2.VideoCapture(str(self._path))
        try:
            return int(capture.get(self._cv2.CAP_PROP_FRAME_COUNT)) == self._count
        finally:
            capture.release()
