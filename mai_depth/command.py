"""What the entry files share: one line for every error that a user can fix, and an exit code."""

import contextlib
import errno
import itertools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from absl import app
from absl import flags

from mai_depth.atomic import FULL
from mai_depth.errors import UserError
from mai_depth.errors import UserNotice
from mai_depth.stopping import Stopped
from mai_depth.stopping import stops_at_once
from mai_depth.streams import begin_line
from mai_depth.streams import open_streams
from mai_depth.streams import printable

FAULT = 1
SIGNALLED = 128  # and the signal's number: what a shell reports

flags.disclaim_key_flags()  # a flag belongs to the entry file that calls
# Grain reports at each start, in each process that reads data, that it does not find JAX.
logging.getLogger("absl").addFilter(lambda record: "jax profiler" not in record.getMessage())

_replaceable: set[str] = set()


def _say_uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Ctrl-C while an entry file still imports is one line, as it is later."""
    if issubclass(kind, KeyboardInterrupt):
        _say("stopped")
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _say_uncaught


def run(main: Callable[[], int | None]) -> None:
    """Parses the flags, calls `main()` and exits with its code.

    A `UserError`, a full disk, SIGTERM and Ctrl-C become one line on stderr; a bug stays a
    traceback.

    Args:
        main: Takes nothing; returns the exit code or None for 0.
    """
    open_streams()
    warnings.showwarning = _warn
    app.run(lambda _: _exit_code(main), flags_parser=_parse)


def define_replaceable(name: str, help_text: str) -> flags.FlagHolder:
    """Defines a flag that may be repeated; the command line's values replace those of flagfiles.

    Args:
        name: The flag.
        help_text: What `--help` says.

    Returns:
        The flag; its value is a list, empty where it is not given.
    """
    _replaceable.add(name)
    return flags.DEFINE_multi_string(name, [], help_text)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        rest = flags.FLAGS([argv[0], *_with_replacements(argv[1:])], known_only=False)
    except (flags.Error, UnicodeDecodeError, OSError, RecursionError) as error:
        _say(f"error: flags: {str(error) or type(error).__name__}; --help lists the flags")
        sys.exit(FAULT)
    if rest[1:]:
        remedy = ("--input=PATH takes one path; for several pictures give their folder"
                  if "input" in flags.FLAGS and os.path.exists(rest[1]) else
                  "flags start with -- (also in a flagfile)")
        _say(f"error: flags: {rest[1]!r} is not a flag; {remedy}")
        sys.exit(FAULT)
    return rest


def _with_replacements(arguments: Sequence[str]) -> list[str]:
    """The arguments with all flagfiles read, less what the command line has replaced."""
    expanded = flags.FLAGS.read_flags_from_files(list(arguments), force_gnu=False)
    for name in _replaceable:
        if own := _split(arguments, name)[0]:
            expanded = own + _split(expanded, name)[1]
    return expanded


def _split(arguments: Sequence[str], name: str) -> tuple[list[str], list[str]]:
    """The arguments that give one flag, and all others."""
    own: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument in (f"--{name}", f"-{name}"):
            own += [argument, *itertools.islice(remaining, 1)]
        elif argument.startswith((f"--{name}=", f"-{name}=")):
            own.append(argument)
        else:
            rest.append(argument)
    return own, rest


def _exit_code(main: Callable[[], int | None]) -> int:
    code, message = _outcome(main)
    if message:  # only now: the progress bars have closed with their frames
        _say(message)
    return code


def _outcome(main: Callable[[], int | None]) -> tuple[int, str]:
    """Runs `main()`: the exit code, and the message for a fault."""
    try:
        with stops_at_once():
            return main() or 0, ""
    except UserError as error:
        return FAULT, f"error: {error}"
    except Stopped as stop:
        return SIGNALLED + stop.signum, str(stop)
    except OSError as error:
        if error.errno not in (*FULL, errno.EROFS):
            raise
        return FAULT, (f"error: {error.filename or 'disk'}: {os.strerror(error.errno)}; free some "
                       "space or write elsewhere")


def _warn(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Prints this package's warnings in one line; other warnings keep their place in the code."""
    if issubclass(category, UserNotice):
        _say(f"warning: {message}")
    else:
        _say(warnings.formatwarning(message, category, *where[:2]))


def _say(message: str) -> None:
    begin_line()
    with contextlib.suppress(OSError):  # in a log both streams stand in one file, in their order
        sys.stdout.flush()
    print(printable(message), file=sys.stderr)
