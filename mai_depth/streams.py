"""stdout and stderr that survive a closed reader and escape terminal commands."""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

# A name in an untrusted model could retitle the terminal or write to the clipboard. Only what
# progress bars need passes: colours, going up a line, backspace, carriage return.
_COMMANDS = re.compile(
    r"\x1b(?!\[(?:[0-9;]*m|A))|[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e"
    r"\u2066-\u2069]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def open_streams() -> None:
    """Makes printing safe; call it before any file is opened.

    A descriptor that the shell has closed (`>&-`) becomes /dev/null; otherwise the next file to be
    opened would get its number and everything that is printed. Output that cannot be written
    because nobody reads it (`| head`) or the disk is full is dropped, and the work continues.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None or getattr(sys, name) is getattr(sys, f"__{name}__"):
            setattr(sys, name, Lines(descriptor))


def printable(text: str) -> str:
    """Turns a text into one line: spaces for white space, escapes for control characters."""
    return _CONTROL.sub(_escaped, " ".join(text.split()))


@contextlib.contextmanager
def without_lines(pattern: str) -> Iterator[None]:
    """Drops lines that native code writes to stderr; the others pass, even if the process dies.

    Args:
        pattern: A POSIX regular expression for the start of the lines to drop.
    """
    command = ["sed", "-u", "-E", f"/^({pattern})/d"]
    try:
        # In its own session, or Ctrl-C would end it before the process that it serves.
        sieve = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, start_new_session=True)
    except OSError:  # a system without sed shows all lines
        yield
        return
    with sieve:
        sys.stderr.flush()
        before = os.dup(2)
        os.dup2(sieve.stdin.fileno(), 2)  # type: ignore[union-attr]  # it is a pipe
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)


def begin_line() -> None:
    """Ends the unfinished line of a progress bar, so that a message gets its own line."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "is_line_open", False):
            print(file=stream, flush=True)


class Lines(io.TextIOWrapper):
    """A text stream to a file descriptor.

    Attributes:
        is_line_open: Whether the last line is unfinished.

    Args:
        descriptor: 1 or 2; left open.
    """

    def __init__(self, descriptor: int):
        before = sys.stdout if descriptor == 1 else sys.stderr
        super().__init__(
            io.BufferedWriter(_Unbroken(descriptor, "w", closefd=False)),
            encoding=getattr(before, "encoding", None) or "utf-8", errors="backslashreplace",
            line_buffering=descriptor == 2 or os.isatty(descriptor))
        self.is_line_open = False

    def write(self, text: str, /) -> int:
        """Writes text, with terminal commands escaped."""
        if text:
            self.is_line_open = not text.endswith(("\n", "\r"))
        return super().write(_COMMANDS.sub(_escaped, text))


class _Unbroken(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _escaped(match: re.Match) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
