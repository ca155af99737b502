"""How often something happens."""

import collections
import time

_WINDOW_S = 2.0


class Rate:
    """Counts the events of the last two seconds. One thread ticks; any may ask."""

    def __init__(self) -> None:
        self._times: collections.deque[float] = collections.deque(maxlen=512)

    def tick(self, now: float | None = None) -> None:
        """Counts an event."""
        self._times.append(time.monotonic() if now is None else now)

    def per_second(self, now: float | None = None) -> float:
        """Returns events per second; 0 with fewer than two in the window."""
        now = time.monotonic() if now is None else now
        recent = [at for at in list(self._times) if now - at <= _WINDOW_S]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0])
