"""The loop that turns the newest picture into a frame, once for all pages."""

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mai_depth.colormap import ticks
from mai_depth.errors import UserError
from mai_depth.live.alert import Alert
from mai_depth.live.drawing import Painter
from mai_depth.live.drawing import nearest_in_middle
from mai_depth.live.measuring import Calibration
from mai_depth.live.rate import Rate
from mai_depth.live.reader import Captured
from mai_depth.live.reader import FrameReader
from mai_depth.predict.camera_picture import CameraPicture
from mai_depth.predict.depth_network import DepthNetwork
from mai_depth.predict.placement import place
from mai_depth.predict.placement import to_network
from mai_depth.predict.prediction import Prediction
from mai_depth.predict.scale import Scale
from mai_depth.predict.steady import SteadyDepth
from mai_depth.predict.video import SteadyRange

_VIEW_SIDE = 640  # px; the networks see no finer detail
_SPARSE = 8  # every eighth row and column is enough for the range of colours
_TICKS = 6
_WAIT_S = 0.25


class LiveFrame:
    """A picture with its depth, and the message that shows both.

    Attributes:
        captured: The picture.
        depth_m: float32 [height, width], scaled to this camera's metres.
        scale: The factor that was applied to the network's depth.
        head: What the message says beside the two pictures.
    """

    def __init__(self, captured: Captured, depth_m: np.ndarray, scale: float, head: dict[str, Any],
                 paint: Callable[["LiveFrame"], bytes]):
        self.captured, self.depth_m, self.scale, self.head = captured, depth_m, scale, head
        self._paint = paint

    @property
    def number(self) -> int:
        """The picture's number."""
        return self.captured.number

    @functools.cached_property
    def message(self) -> bytes:
        """The message for the page, made on first use."""
        return self._paint(self)

    async def ready_message(self) -> bytes:
        """Returns `message`; makes it in a thread, so that the event loop goes on."""
        if "message" in vars(self):
            return self.message
        return await asyncio.to_thread(getattr, self, "message")

    def depth_at(self, x: float, y: float) -> float:
        """Returns the depth at a point in metres, 0 = missing.

        Args:
            x: From the left, as a share of the width, 0 to 1.
            y: From the top, as a share of the height.
        """
        height, width = self.depth_m.shape
        return float(self.depth_m[min(int(y * height), height - 1), min(int(x * width), width - 1)])


class DepthLoop:
    """Predicts depth in its own thread and publishes frames.

    Args:
        reader: Source of the pictures.
        network: The network.
        scale: The camera's scale, as the flags give it.
        calibration: Points clicked on the page; they override `scale`.
        smooth: Filter depth over time, see `SteadyDepth`.
        stills: The pictures are unrelated: depth is not filtered, and each picture gets its own
            range of colours.
        alert: Checked with the nearest distance of each frame.
        say: Called with each fault once.
    """

    def __init__(self, reader: FrameReader, network: DepthNetwork, scale: Scale,
                 calibration: Calibration, *, smooth: bool, alert: Alert,
                 say: Callable[[str], None], stills: bool = False):
        self._reader, self._network, self._scale = reader, network, scale
        self._calibration, self._alert, self._say = calibration, alert, say
        self._steady = SteadyDepth() if smooth and not stills else None
        self._range = SteadyRange(1) if stills else SteadyRange()
        self._painter, self._rate = Painter(), Rate()
        self._thread = threading.Thread(target=self._run, name="depth", daemon=True)
        self._stop, self._said = threading.Event(), set[str]()
        self._drawing_ms = 0.0
        self.watched = False
        self.newest: LiveFrame | None = None
        self.publish: Callable[[LiveFrame], None] = lambda frame: None

    @property
    def status(self) -> str:
        """The state of the camera in words for the page; empty while all is well."""
        return self._reader.status

    def start(self) -> None:
        """Starts reading and predicting."""
        self._reader.start()
        self._thread.start()

    def rescaled(self, frame: LiveFrame) -> LiveFrame:
        """Returns a frame in the metres of the calibration as it is by now."""
        factor = self._factor(frame.captured.picture)
        ratio = factor / frame.scale
        near_m, far_m, nearest_m = (
            length and ratio * length
            for length in (frame.head[name] for name in ("near_m", "far_m", "nearest_m")))
        head = {**frame.head, **self._lengths(near_m, far_m, nearest_m), "again": True}
        return LiveFrame(
            frame.captured, frame.depth_m * np.float32(ratio), factor, head, self._paint)

    def stop(self) -> None:
        """Stops the camera's thread and its own after their current picture."""
        self._reader.stop()
        self._stop.set()
        self._thread.join(_WAIT_S)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            captured = self._reader.newer_than(number, _WAIT_S)
            if captured is None:
                continue
            number = captured.number
            try:
                frame = self._frame(captured)
                if self.watched:
                    _ = frame.message  # made here, once, before clients ask for it
            except UserError as error:
                self._say_once(str(error))
                continue
            # What is imported on the first use cannot be while a crowd holds all file handles.
            except (OSError, ImportError) as error:
                self._say_once(f"a picture is left out ({getattr(error, 'strerror', 0) or error})")
                continue
            self._rate.tick()
            self.newest = frame
            self.publish(frame)

    def _frame(self, captured: Captured) -> LiveFrame:
        begin = time.perf_counter()
        picture, size = captured.picture, self._network.input_size[::-1]
        placement = place(picture.size, size, "pad")
        shown = to_network(picture, placement, size)
        asked = time.perf_counter()
        answer = self._network(shown)
        answered = time.perf_counter()
        if self._steady:
            answer = self._steady(shown, answer)
        factor = self._factor(picture)
        prediction = Prediction(picture, placement, answer).scaled(factor)
        depth_m = _whole(prediction, picture.view_size(_VIEW_SIDE))
        nearest_m = nearest_in_middle(depth_m)
        near_m, far_m = self._range.update(depth_m[::_SPARSE, ::_SPARSE])
        head = {
            "number": captured.number, **self._lengths(near_m, far_m, nearest_m),
            "fps": self._rate.per_second(), "camera_fps": self._reader.rate.per_second(),
            "camera_ms": captured.read_ms, "network_ms": 1000 * (answered - asked),
            "around_ms": 1000 * (time.perf_counter() - answered + asked - begin),
        }
        return LiveFrame(captured, depth_m, factor, head, self._paint)

    def _factor(self, picture: CameraPicture) -> float:
        size = self._network.input_size[::-1]
        if (camera := self._calibration.camera) is not None:
            return camera.factor(picture.size, picture.focal_px, size)
        factor, line = self._scale.of(picture, size)
        if line:
            self._say_once(line)
        return factor

    def _lengths(self, near_m: float, far_m: float, nearest_m: float | None) -> dict[str, Any]:
        """What a message's head says of distances."""
        return {"near_m": near_m, "far_m": far_m, "ticks": ticks(near_m, far_m, _TICKS),
                "nearest_m": nearest_m, "alert": self._alert.check(nearest_m)}

    def _paint(self, frame: LiveFrame) -> bytes:
        begin = time.perf_counter()
        height, width = frame.depth_m.shape
        rgb = np.asarray(frame.captured.picture.rgb)
        photo = self._painter.reduce(rgb, (width, height))
        colors = self._painter.color(frame.depth_m, frame.head["near_m"], frame.head["far_m"])
        # The head is written before the JPEG files are complete: it holds the last frame's time.
        message = self._painter.message(
            {**frame.head, "drawing_ms": self._drawing_ms}, photo, colors)
        self._drawing_ms = 1000 * (time.perf_counter() - begin)
        return message

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)


def _whole(prediction: Prediction, size: tuple[int, int]) -> np.ndarray:
    """The depth of a prediction; not resized if the network saw the picture unchanged."""
    answer, placement = prediction.answer, prediction.placement
    is_plain = (answer.shape == size[::-1] and placement.magnification == 1
                and placement.picture == placement.network == (0.0, 0.0, 1.0, 1.0))
    return answer if is_plain and np.isfinite(answer).all() else prediction.depth_m(size)
