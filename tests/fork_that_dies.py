"""For the drivers that kill a command's work at every step of its writing."""

import os
import signal
import sys
from collections.abc import Callable


def attempt(work: Callable[[], None], name: str, dies_before: int) -> bool:
    """Works in a fork that dies by SIGKILL before call number `dies_before` of `os.NAME`.

    Returns:
        Whether it finished.
    """
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        original, calls = getattr(os, name), []

        def call(*arguments, **settings):
            if len(calls) == dies_before:
                os.kill(os.getpid(), signal.SIGKILL)
            calls.append(1)
            return original(*arguments, **settings)

        setattr(os, name, call)
        work()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status and not os.WIFSIGNALED(status):
        sys.exit(f"an attempt failed with status {status}")
    return status == 0
