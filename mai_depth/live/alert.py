"""The alert when something is too near: a mark on the page and the user's command."""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable

from mai_depth.errors import UserError

DISTANCE_VARIABLE = "MAI_DEPTH_NEAREST_M"

_PERIOD_S = 1.0


class Alert:
    """Compares the nearest distance with a limit, and runs a command below it.

    Args:
        below_m: The limit in metres; None disables the alert.
        command: What to run, with the distance in `MAI_DEPTH_NEAREST_M`: at most once a second, and
            not while the last one runs; None for nothing.
        say: Called with a line if the command can no longer be started.

    Raises:
        UserError: The command is not found.
    """

    def __init__(self, below_m: float | None, command: str | None, say: Callable[[str], None]):
        self.below_m, self._say = below_m, say
        self._command = _words(command) if command else None
        self._running: subprocess.Popen | None = None
        self._last = -_PERIOD_S

    def check(self, nearest_m: float | None) -> bool:
        """Returns whether something is too near, and if so runs the command."""
        if self.below_m is None or nearest_m is None or nearest_m >= self.below_m:
            return False
        if self._command and time.monotonic() - self._last >= _PERIOD_S:
            self._run(self._command, nearest_m)
        return True

    def _run(self, command: list[str], nearest_m: float) -> None:
        if self._running is not None and self._running.poll() is None:
            return
        self._last = time.monotonic()
        try:
            self._running = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, DISTANCE_VARIABLE: f"{nearest_m:.2f}"})
        except OSError as error:
            self._say(f"--alert_command: cannot be started ({error.strerror}); not tried again")
            self._command = None


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"--alert_command={command}: {error}; check its quotes") from error
    if not words or shutil.which(words[0]) is None:
        raise UserError(f"--alert_command={command}: no such command; give a program and its "
                        "arguments")
    return words
