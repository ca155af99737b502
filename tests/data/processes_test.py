"""Work on all cores: the order of the results, and signals that come at a bad moment."""

import multiprocessing.context
import operator
import os
import signal
import subprocess
import sys

import pytest

from mai_depth.data.processes import in_parallel
from mai_depth.errors import UserError


def test_results_are_in_the_order_of_the_tasks():
    assert list(in_parallel(operator.neg, [3, 1, 2], 1)) == [-3, -1, -2]
    assert list(in_parallel(operator.neg, [3, 1, 2], 2)) == [-3, -1, -2]


def test_a_killed_process_is_one_line():
    with pytest.raises(UserError, match="run the same command again"):
        list(in_parallel(os._exit, [1, 1], 2))


def test_a_script_without_a_guard_learns_what_it_lacks(tmp_path):
    """Each process imports the script, which would start processes of its own."""
    script = tmp_path / "unguarded.py"
    script.write_text("import operator\nfrom mai_depth.data.processes import in_parallel\n"
                      "list(in_parallel(operator.neg, [1, 2], 2))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    # Not always the last line: Python may report the semaphores of the processes that ended.
    error, = [line for line in done.stderr.splitlines() if line.startswith(
        f"{UserError.__module__}.{UserError.__name__}: ")]
    assert done.returncode and error.endswith("needs if __name__ == '__main__':")


def test_ctrl_c_while_a_process_starts_is_the_parents_alone(monkeypatch, capfd):
    """A terminal sends it to all processes; one that is still loading would end in a traceback."""
    start, started = multiprocessing.context.SpawnProcess.start, []

    def start_and_interrupt(process):
        start(process)
        os.kill(process.pid, signal.SIGINT)
        started.append(process.pid)

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", start_and_interrupt)
    assert list(in_parallel(operator.neg, [3, 1, 2], 2)) == [-3, -1, -2]
    assert len(started) == 2 and "Traceback" not in capfd.readouterr().err
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
