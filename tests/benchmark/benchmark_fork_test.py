"""benchmark.fork: what comes back of a fork, and how its death is passed on."""

import os
import signal
import subprocess
import sys

import pytest

from benchmark.fork import forked


def test_a_value_comes_back_and_nothing_else():
    seen = []
    pid, value = forked(lambda: [os.getpid(), seen.append(1) or "x" * 200_000])
    assert pid != os.getpid() and len(value) == 200_000
    assert not seen


@pytest.mark.parametrize("body,code,word", [
    ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, ""),
    ("sys.exit(3)", 1, "SystemExit: 3"),
    ("1 / 0", 1, "ZeroDivisionError"),
    ("object()", 1, "JSON")])
def test_its_death_is_the_death_of_this_process(body, code, word):
    program = ("import os, signal, sys\nfrom benchmark.fork import forked\n"
               f"forked(lambda: {body})\nprint('alive')")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code
    assert word in done.stderr and "alive" not in done.stdout
