"""A child process that answers calls over a pipe, so that a native crash ends only the child.

`serve` is the child's side, `ChildProcess` the parent's. A call is a line of JSON.
"""

import inspect
import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from mai_depth.errors import UserError
from mai_depth.errors import died_of

SILENCE_S = 600.0  # a child that is silent for so long hangs
_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


class ChildCrash(UserError):
    """The child died; the message names its subject and the signal or the exit code."""


def serve(handlers: dict[str, Callable[..., Any]]) -> None:
    """Answers calls from stdin until it closes. The child's side.

    Args:
        handlers: By name, functions of JSON values that return JSON values. A generator's yields
            are sent as progress and what it returns is the answer. A `UserError` is passed on.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # native code may print; the pipe is ours

    def send(kind: str, value: Any) -> None:
        print(json.dumps({kind: value}), file=answers, flush=True)

    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            value = handlers[name](**arguments)
            if inspect.isgenerator(value):
                value = _drain(value, lambda step: send("progress", step))
        except UserError as error:
            send("fault", str(error))
        else:
            send("value", value)


def _drain(steps: Any, send: Callable[[Any], None]) -> Any:
    while True:
        try:
            send(next(steps))
        except StopIteration as end:
            return end.value


class ChildProcess:
    """Runs a module that calls `serve`, and calls its handlers. The parent's side.

    Args:
        module: Its name, run as `python -m MODULE ARGUMENTS`.
        arguments: Command line.
        environment: Variables set for the child beside ours.
        subject: What the child is about, named in messages (a file).
        python: Which one runs it; this process's own by default.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        subject: str = "",
        python: str = sys.executable,
    ):
        self.subject = subject or module
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._buffer = b""
        paths = [str(_REPOSITORY), os.environ.get("PYTHONPATH", "")]
        self._process: Any = subprocess.Popen(
            [python, "-m", module, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                 **(environment or {})})

    def __enter__(self) -> "ChildProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(
        self, name: str, progress: Callable[[Any], None] | None = None, **arguments: Any
    ) -> Any:
        """Calls a handler and waits for its answer.

        Args:
            name: The handler.
            progress: Called with each step that the handler yields.
            **arguments: Its arguments, JSON values.

        Returns:
            What the handler returned.

        Raises:
            ChildCrash: The child died or hangs.
            UserError: The handler raised it.
        """
        try:
            self._process.stdin.write(json.dumps([name, arguments]).encode() + b"\n")
        except BrokenPipeError:
            raise self._crash() from None
        while True:
            answer = json.loads(self._read_line())
            if "value" in answer:
                return answer["value"]
            if "fault" in answer:
                raise UserError(answer["fault"])
            if progress:
                progress(answer["progress"])

    def close(self) -> None:
        """Ends the child."""
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._stderr.close()

    def _read_line(self) -> bytes:
        while b"\n" not in self._buffer:
            if not select.select([self._process.stdout], [], [], SILENCE_S)[0]:
                self._process.kill()
                raise ChildCrash(f"{self.subject}: no answer in {SILENCE_S:.0f} s; "
                                 "the graph hangs or is too slow for this machine")
            chunk = self._process.stdout.read(65536)
            if not chunk:
                raise self._crash()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _crash(self) -> ChildCrash:
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if code < 0:
            return ChildCrash(f"{self.subject}: {died_of(code)}; the file is broken or LiteRT has "
                              "a fault")
        return ChildCrash(f"{self.subject}: its process ended with code {code} ({last})")
