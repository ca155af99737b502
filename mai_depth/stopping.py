"""SIGTERM and Ctrl-C: a training finishes its step, everything else stops at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end: Ctrl-C or another that is handled in the same way.

    Attributes:
        signum: Its number; a shell expects the exit code 128 + signum.
    """

    def __init__(self, signum: int, message: str = "stopped"):
        super().__init__(message)
        self.signum = signum


class Request:
    """A signal to handle once the current step is done; `signum` is None until one arrives."""

    signum: int | None = None


@contextlib.contextmanager
def stops_at_once() -> Iterator[None]:
    """Turns SIGTERM and Ctrl-C into `Stopped`, so that temporary files are removed."""
    def stop(signum: int, frame: object) -> NoReturn:
        raise Stopped(signum)

    with _handled_by(stop):
        yield


@contextlib.contextmanager
def stops_between_steps() -> Iterator[Request]:
    """Records SIGTERM and Ctrl-C for the training loop; a second one stops at once."""
    request = Request()

    def note(signum: int, frame: object) -> None:
        if request.signum is not None:
            raise Stopped(signum)
        request.signum = signum

    with _handled_by(note):
        yield request


@contextlib.contextmanager
def _handled_by(handler) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread handle signals
        return
    before = {signum: signal.signal(signum, handler) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)
