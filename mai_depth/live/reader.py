"""Reads a source in its own thread and keeps the newest picture: nothing delays the camera."""

import itertools
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

from mai_depth.errors import UserError
from mai_depth.live.rate import Rate
from mai_depth.live.sources import Source
from mai_depth.predict.camera_picture import CameraPicture

_RETRY_S = 1.0
_LONGEST_READ_S = 0.8  # how long Ctrl-C waits for the current picture
_NOTICE_S = 2.0  # how long a restart is shown; not at all for a clip shorter than this


class Captured(NamedTuple):
    """A picture: its number, arrival (`time.monotonic`), time to read it, and itself."""

    number: int
    at: float
    read_ms: float
    picture: CameraPicture


class FrameReader:
    """Reads a source forever: restarts it at its end, and tries again when it is lost.

    Attributes:
        rate: Pictures per second.

    Args:
        source: The source.
        say: Called with a line when the source is lost and when it is back.

    Raises:
        UserError: The source cannot be opened, or gives no picture.
    """

    def __init__(self, source: Source, say: Callable[[str], None]):
        self._source, self._say = source, say
        self._opened = self._open_first()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._news = threading.Condition()
        self._newest: Captured | None = None
        self._stop = threading.Event()
        self._lost, self._ended_at, self._said_end = False, -_NOTICE_S, False
        self.rate = Rate()

    @property
    def status(self) -> str:
        """The state of the source in words for the page; empty while all is well."""
        if self._lost:
            return f"No picture from {self._source.name}; trying again."
        if time.monotonic() - self._ended_at < _NOTICE_S:
            return f"{self._source.name} has ended and starts again."
        return ""

    def start(self) -> None:
        """Starts reading."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread after its current picture, and waits for that.

        A thread that is inside OpenCV when Python exits takes the process down with SIGABRT.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_LONGEST_READ_S)

    def newer_than(self, number: int, timeout_s: float) -> Captured | None:
        """Waits for a picture with a higher number; returns None if none comes in time."""
        with self._news:
            self._news.wait_for(
                lambda: self._newest is not None and self._newest.number > number, timeout_s)
            newest = self._newest
        return newest if newest is not None and newest.number > number else None

    def _open_first(self) -> tuple[Iterator[CameraPicture], float | None]:
        """Opens the source in the caller's thread, up to its first picture."""
        frames, period_s = self._source.open()
        first = next(frames, None)
        if first is None:
            raise UserError(f"--input: {self._source.name} gives no picture; check it, or give "
                            "another")
        return itertools.chain([first], frames), period_s

    def _run(self) -> None:
        opened = self._opened
        while not self._stop.is_set():
            begin = time.monotonic()
            count = self._read(*opened)
            self._note_end(count, time.monotonic() - begin)
            while not self._stop.is_set():
                try:
                    opened = self._source.open()
                    break
                except Exception:  # drivers and decoders raise many types; the thread must survive
                    self._note_loss()
                    self._stop.wait(_RETRY_S)

    def _read(self, frames: Iterator[CameraPicture], period_s: float | None) -> int:
        """Reads an opened source to its end, at its own pace; returns the number of pictures."""
        count, due = 0, time.monotonic()  # due: when the next picture is to be shown
        while not self._stop.is_set():
            begin = time.monotonic()
            try:
                picture = next(frames, None)
            except Exception:  # as above, or all pictures of a folder have become unreadable
                return 0
            read_ms = 1000 * (time.monotonic() - begin)
            if period_s is not None:  # also after the last picture, which is to be seen as long
                self._stop.wait(max(0.0, due - time.monotonic()))
                due = max(due, time.monotonic() - 2 * period_s) + period_s
            if picture is None:
                break
            count += 1
            self._publish(picture, read_ms)
        getattr(frames, "close", lambda: None)()
        return count

    def _publish(self, picture: CameraPicture, read_ms: float) -> None:
        if self._lost:
            self._lost = False
            self._say(f"{self._source.name}: is back")
        with self._news:
            number = self._newest.number + 1 if self._newest else 1
            self._newest = Captured(number, time.monotonic(), read_ms, picture)
            self._news.notify_all()
        self.rate.tick()

    def _note_end(self, count: int, lasted_s: float) -> None:
        if self._stop.is_set():
            return
        if not self._source.ends or not count:
            self._note_loss()
            self._stop.wait(_RETRY_S)
            return
        if lasted_s > _NOTICE_S and not self._source.stills:
            self._ended_at = time.monotonic()
        if not self._said_end:
            self._said_end = True
            self._say(f"{self._source.name}: has ended and starts again, now and at every end")

    def _note_loss(self) -> None:
        if not self._lost:
            self._lost = True
            self._say(f"{self._source.name}: no picture; trying again every {_RETRY_S:.0f} s")
