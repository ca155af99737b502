"""Runs a command in a fork of one process that has imported TensorFlow already.

`train.py` takes six seconds to start, nearly all of them for imports. A fork of a process that has
imported everything but computed nothing is as good as a new one, and starts at once. What is
decided before the import, as by `KERAS_BACKEND`, needs a new process.
"""

import contextlib
import importlib
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT_S = 500
IMPORTS = ("keras_cv", "mai_depth.training.runs", "mai_depth.export.saved_model",
           "mai_depth.export.litert", "mai_depth.predict.prediction", "benchmark.peers.files")


class Commands:
    """Starts the process to fork; call it to run a command in a fork. Close it at the end."""

    def __init__(self):
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL, cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)})

    def __call__(self, *command, cwd=REPOSITORY, **environment) -> subprocess.CompletedProcess:
        """Runs a script of the repository, or `-m MODULE`, with its arguments.

        Args:
            *command: The words after `python`.
            cwd: The folder to run it in.
            **environment: Additional environment variables.

        Returns:
            The exit code (negative: a signal) and the printed text.
        """
        command = [str(word) for word in command]
        with tempfile.TemporaryDirectory() as folder:
            request = {"command": command, "cwd": str(cwd), "folder": folder,
                       "environment": {**os.environ, **environment}}
            print(json.dumps(request), file=self._server.stdin, flush=True)
            code = json.loads(self._server.stdout.readline())
            outputs = [pathlib.Path(folder, name).read_text(errors="replace")
                       for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(command, code, *outputs)

    def close(self) -> None:
        """Ends the process."""
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


def _serve() -> None:
    for name in IMPORTS:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(request)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    os._exit(0)  # shutting TensorFlow down takes seconds


def _become(request: dict) -> None:
    """Turns this fork into the command; never returns."""
    code = 1
    try:
        signal.alarm(TIMEOUT_S)  # not handled, so that it kills a command that hangs
        for number, name in ((1, "stdout"), (2, "stderr")):
            path = os.path.join(request["folder"], name)
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        code = _run(request["command"])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _run(command: list[str]) -> int:
    is_module = command[0] == "-m"
    sys.argv = command[is_module:]
    try:
        if is_module:
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(REPOSITORY / command[0]), run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    return 0


if __name__ == "__main__":
    _serve()
