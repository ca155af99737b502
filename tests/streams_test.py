"""mai_depth.streams: printing that survives a closed reader and escapes terminal commands."""

import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from mai_depth import streams

# What a command does: it prints, writes a file, prints more than a pipe holds, and is done.
WORK = """
import sys
from absl import flags
from mai_depth import command
from tqdm import tqdm

def main():
    print("begun", flush=True)
    with open("result", "w") as file:
        for _ in tqdm(range(3)):
            print("x" * 100_000, flush=True)
            print("y" * 100_000, file=sys.stderr)
        file.write("whole")

command.run(main)
"""


def run(code, tmp_path, redirect=""):
    """Runs Python code through a shell, with a redirection."""
    (tmp_path / "script.py").write_text(code)
    return subprocess.run(
        ["bash", "-c", f"{sys.executable} script.py {redirect}"], cwd=tmp_path, capture_output=True,
        text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})


@pytest.mark.parametrize("redirect", [
    ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full",
    "| head -1; exit ${PIPESTATUS[0]}", "2>&1 >&- | head -1; exit ${PIPESTATUS[0]}"])
def test_work_goes_on_whoever_reads(tmp_path, redirect):
    done = run(WORK, tmp_path, redirect)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "result").read_text() == "whole"
    assert "Traceback" not in done.stderr


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    code = """
from mai_depth.streams import open_streams
import os, subprocess
open_streams()
with open("result", "w") as file:
    assert file.fileno() > 2
    os.system("echo from a child; echo error >&2")
    subprocess.run(["sh", "-c", "echo from another"])
"""
    assert run(code, tmp_path, "<&- >&- 2>&-").returncode == 0
    assert (tmp_path / "result").read_text() == ""


def test_what_nobody_can_encode_is_escaped(tmp_path):
    code = """
from mai_depth.streams import open_streams
open_streams()
print("a\\udcffb.png")
"""
    assert run(code, tmp_path).stdout == "a\\udcffb.png\n"


HOSTILE = "a\x1b]0;title\x07b\x1b[2Jc\x1b]52;c;aGk=\x07d\x9b31me\u202ef\rg\nh"


def test_one_line_commands_no_terminal():
    shown = streams.printable(HOSTILE)
    assert shown == r"a\x1b]0;title\x07b\x1b[2Jc\x1b]52;c;aGk=\x07d\x9b31me\u202ef g h"
    assert streams.printable("größe 日本 ━ é") == "größe 日本 ━ é"


def test_streams_let_through_what_progress_bars_need(tmp_path):
    code = f"""
from mai_depth.streams import open_streams
open_streams()
print("\\r\\x1b[1m1/3\\x1b[0m \\x1b[32m━\\x1b[0m\\x1b[A\\b", end="")
print({HOSTILE!r})
"""
    (tmp_path / "script.py").write_text(code)
    shown = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}).stdout.decode()
    bar, names = shown[: shown.index("a\\x1b")], shown[shown.index("a\\x1b") :]
    assert bar == "\r\x1b[1m1/3\x1b[0m \x1b[32m━\x1b[0m\x1b[A\b"
    assert not re.search("[\x1b\x07\x9b\u202e]", names)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_error_begins_its_own_line(tmp_path, stream):
    code = f"""
import sys
from absl import flags
from mai_depth import command
from mai_depth.errors import UserError

def main():
    print("\\r1/3 ━━━━", end="", file=sys.{stream}, flush=True)
    raise UserError("a.png: broken\\x1b]0;x\\x07; replace it")

command.run(main)
"""
    done = run(code, tmp_path, "2>&1")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == r"error: a.png: broken\x1b]0;x\x07; replace it"


def test_a_bar_ends_before_the_error_is_told(tmp_path):
    code = """
from absl import flags
from mai_depth import command
from mai_depth.errors import UserError
from tqdm import tqdm

def main():
    for index in tqdm(range(3)):
        if index:
            raise UserError("picture 1: broken")

command.run(main)
"""
    done = run(code, tmp_path)
    assert done.stderr.endswith("\nerror: picture 1: broken\n")


def test_lines_are_dropped_and_errors_pass_even_before_a_crash(tmp_path):
    code = """
from mai_depth.streams import without_lines
import os
os.write(2, b"I0000 before\\n")
with without_lines("I[0-9]{4} |INFO: "):
    os.write(2, b"I0000 chatter\\nE0000 fault\\nINFO: chatter\\n  I0000 quoted\\n")
os.write(2, b"I0000 after\\n")
with without_lines("I[0-9]{4} "):
    os.write(2, b"I0000 chatter\\nF0000 no AVX\\n")
    os.abort()
"""
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.splitlines() == [
        "I0000 before", "E0000 fault", "  I0000 quoted", "I0000 after", "F0000 no AVX"]


def test_a_warning_of_ours_is_one_line(tmp_path):
    code = """
import warnings
import numpy as np
from mai_depth import command
from mai_depth.depth import write_depth

def main():
    write_depth("deep.png", np.full((4, 4), 70.0))
    warnings.warn("of a library", RuntimeWarning)

command.run(main)
"""
    ours, other = run(code, tmp_path).stderr.splitlines()
    assert ours.startswith("warning: deep.png: 16 pixels are deeper than 65.534 m")
    assert "RuntimeWarning: of a library" in other
