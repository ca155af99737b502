"""What the entry files share: one line for every fault that a user can mend, and an exit code."""

import errno
import os
import sys
from collections.abc import Callable
from collections.abc import Sequence
from typing import NoReturn

from absl import app
from absl import flags

from mai_depth.errors import UserError
from mai_depth.stopping import Stopped
from mai_depth.stopping import stops_at_once

FAULT = 1
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
SIGNALLED = 128  # and the signal's number: what a shell reports


def run(main: Callable[[], int | None]) -> NoReturn:
    """Parses the flags, calls `main()` and exits with its code.

    A `UserError`, a full disk, SIGTERM and Ctrl-C become one line on stderr; a bug stays a
    traceback.

    Args:
        main: Takes nothing; returns the exit code or None for 0.
    """
    app.run(lambda _: _exit_code(main), flags_parser=_parse)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv, known_only=False)
    except (flags.Error, UnicodeDecodeError, OSError, RecursionError) as error:
        _say(f"flags: {_one_line(error)}; --help lists the flags")
        sys.exit(FAULT)
    if rest[1:]:
        _say(f"flags: {rest[1]!r} is not a flag; flags start with -- (also in a flagfile)")
        sys.exit(FAULT)
    return rest


def _exit_code(main: Callable[[], int | None]) -> int:
    try:
        with stops_at_once():
            return main() or 0
    except UserError as error:
        _say(str(error))
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return SIGNALLED + stop.signum
    except OSError as error:
        if error.errno not in FULL:
            raise
        _say(f"{error.filename or 'disk'}: {os.strerror(error.errno)}; free some space or write "
             "elsewhere")
    return FAULT


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _say(message: str) -> None:
    print(f"error: {_one_line(Exception(message))}", file=sys.stderr)
