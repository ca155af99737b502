"""The connected pages: each is sent the newest frame once it has drawn the one before."""

import asyncio
import contextlib
import json
import math
import time
from typing import Any

from starlette.websockets import WebSocket
from starlette.websockets import WebSocketDisconnect

from mai_depth.live.drawing import color_table
from mai_depth.live.inference import DepthLoop
from mai_depth.live.inference import LiveFrame
from mai_depth.live.measuring import Calibration

MAX_WATCHERS = 64

_STATUS_S = 0.5  # between two looks at the camera's status
_FULL = 1013  # close code of WebSockets: try again later
_GARBAGE = 1007  # close code: invalid data
_FARTHEST_M = 10_000.0


class Hub:
    """Carries frames from the loop's thread to all watchers.

    Args:
        loop: The inference.
        calibration: Shared by all watchers.
        alert_below_m: The alert's limit, for the page's text; None for no alert.
    """

    def __init__(self, loop: DepthLoop, calibration: Calibration, alert_below_m: float | None):
        self.loop, self.calibration, self._alert_below_m = loop, calibration, alert_below_m
        self.watchers: set[Watcher] = set()
        self._news = asyncio.Event()
        self._event_loop: asyncio.AbstractEventLoop | None = None

    def connect(self) -> None:
        """Starts carrying frames; call it in the server's event loop."""
        self._event_loop = asyncio.get_running_loop()
        self.loop.publish = self._from_thread

    def disconnect(self) -> None:
        """Stops carrying frames."""
        self.loop.publish = lambda frame: None

    def hello(self) -> dict:
        """Returns the first message to a page."""
        return {"type": "hello", "colors": color_table().tolist(),
                "alert_below_m": self._alert_below_m}

    def frame(self, number: int) -> LiveFrame | None:
        """Returns the frame of that number if a page still holds it, else None."""
        held = [frame for watcher in self.watchers for frame in watcher.held]
        return next((frame for frame in held if frame.number == number), None)

    async def newer_than(self, number: int) -> LiveFrame | None:
        """Waits for a frame with a higher number; returns None if that takes long."""
        news = self._news
        newest = self.loop.newest
        if newest is None or newest.number <= number:
            await _wait(news)
            newest = self.loop.newest
        return newest if newest is not None and newest.number > number else None

    async def tell_calibration(self) -> None:
        """Tells all watchers of a new calibration, which also holds for what they have drawn."""
        for watcher in list(self.watchers):
            await watcher.tell(self.calibration.told())
            await watcher.rescale()

    def count(self) -> None:
        """Tells the loop whether anyone is watching; if not, nothing is drawn."""
        self.loop.watched = bool(self.watchers)

    def _from_thread(self, frame: LiveFrame) -> None:
        if self._event_loop is not None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                self._event_loop.call_soon_threadsafe(self._announce)

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Watcher:
    """The connection of one page.

    Attributes:
        held: The frame that the page has drawn and the one on its way.
    """

    def __init__(self, socket: WebSocket, hub: Hub):
        self._socket, self._hub = socket, hub
        self._sent: LiveFrame | None = None
        self._drawn: LiveFrame | None = None
        self._free = asyncio.Event()
        self._free.set()
        self._writing = asyncio.Lock()

    @property
    def held(self) -> list[LiveFrame]:
        return [frame for frame in (self._drawn, self._sent) if frame is not None]

    async def run(self) -> None:
        """Serves the page until it disconnects; raises `ValueError` on an invalid message."""
        await self.tell(self._hub.hello())
        await self.tell(self._hub.calibration.told())
        tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._receive())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def tell(self, message: dict) -> None:
        """Sends a message; does nothing if the page is gone."""
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            async with self._writing:
                await self._socket.send_text(json.dumps(message))

    async def rescale(self) -> None:
        """Sends the drawn frame again in a new calibration: a frozen page gets no other."""
        again = {frame: self._hub.loop.rescaled(frame) for frame in self.held}
        self._sent = again[self._sent] if self._sent else None
        if self._drawn is None:
            return
        self._drawn = again[self._drawn]
        message = await self._drawn.ready_message()
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            async with self._writing:
                await self._socket.send_bytes(message)

    async def _send(self) -> None:
        number, status = 0, None  # not "", so that a new page is told that the camera is well
        while True:
            frame = await self._hub.newer_than(number)
            if self._hub.loop.status != status:
                status = self._hub.loop.status
                await self.tell({"type": "status", "text": status})
            if frame is None:
                continue
            if not self._free.is_set():
                await _wait(self._free)
                continue
            message = await frame.ready_message()
            self._free.clear()
            self._sent, number = frame, frame.number
            async with self._writing:
                await self._socket.send_bytes(message)

    async def _receive(self) -> None:
        while True:
            message = _parsed(await self._socket.receive_text())
            if "ack" in message:
                await self._acknowledged(message)
            elif message.get("type") == "calibrate":
                await self._calibrate(message)
            elif message.get("type") == "reset":
                self._hub.calibration.reset()
                await self._hub.tell_calibration()
            else:
                raise ValueError("no such message")

    async def _acknowledged(self, message: dict[str, Any]) -> None:
        """Handles the acknowledgement of a frame, or a point chosen in the one already drawn.

        While a page is frozen, no further frame is sent to it.
        """
        if self._sent is not None and message["ack"] == self._sent.number:
            self._drawn = self._sent
            if not message.get("frozen"):
                self._free.set()
            if message.get("lag"):
                lag_ms = 1000 * (time.monotonic() - self._drawn.captured.at)
                await self.tell({"type": "lag", "ms": lag_ms})
        if message.get("x") is not None:
            await self._tell_distance(message)

    async def _tell_distance(self, message: dict[str, Any]) -> None:
        if self._drawn is not None:
            depth_m = self._drawn.depth_at(*_share(message))
            await self.tell({"type": "distance", "distance_m": depth_m or None})

    async def _calibrate(self, message: dict[str, Any]) -> None:
        metres = float(message["distance_m"])
        frame = self._drawn
        if not (math.isfinite(metres) and 0 < metres <= _FARTHEST_M):
            await self.tell({"type": "error", "text": "Type a distance in metres, more than 0."})
            return
        depth_m = frame.depth_at(*_share(message)) if frame is not None else 0.0
        if frame is None or not depth_m > 0:
            await self.tell({"type": "error", "text": "There is no depth at this point."})
            return
        self._hub.calibration.add(frame.captured.picture, depth_m / frame.scale, metres)
        await self._hub.tell_calibration()
        await self._tell_distance(message)


async def watch(socket: WebSocket, hub: Hub) -> str:
    """Serves a connection.

    Args:
        socket: The connection, not accepted yet.
        hub: Source of the frames.

    Returns:
        Why it was refused; empty if it ended by itself.
    """
    if len(hub.watchers) >= MAX_WATCHERS:
        await socket.close(_FULL)
        return f"more than {MAX_WATCHERS} pages at once"
    watcher = Watcher(socket, hub)
    hub.watchers.add(watcher)  # before the handshake, during which others may connect
    hub.count()
    try:
        await socket.accept()
        await watcher.run()
    except WebSocketDisconnect:
        pass
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        with contextlib.suppress(RuntimeError):
            await socket.close(_GARBAGE)
        return "a message that the page never sends"
    except RuntimeError:  # Starlette: the page went while something was being sent
        pass
    finally:
        hub.watchers.discard(watcher)
        hub.count()
    return ""


async def _wait(event: asyncio.Event) -> None:
    """Waits, but not long; `asyncio.wait_for` of Python 3.11 can swallow a cancellation."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_STATUS_S):
            await event.wait()


def _parsed(text: str) -> dict[str, Any]:
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return message


def _share(message: dict[str, Any]) -> tuple[float, float]:
    x, y = float(message["x"]), float(message["y"])
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError("a point outside the picture")
    return x, y
