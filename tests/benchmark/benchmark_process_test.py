"""benchmark.process: answers, progress, faults, and a child that dies of a signal."""

import textwrap

import pytest

from benchmark.process import ChildCrash
from benchmark.process import ChildProcess
from mai_depth.errors import UserError

CHILD = """
    import os, sys
    from benchmark.process import serve
    from mai_depth.errors import UserError

    def steps(count):
        for k in range(count):
            yield k
        return "done"

    def fault():
        raise UserError("x.tflite: is wrong")

    serve({
        "echo": lambda value: value,
        "noise": lambda: os.write(1, b"native code prints\\n"),
        "steps": steps,
        "fault": fault,
        "crash": lambda number: os.kill(os.getpid(), number),
        "bug": lambda: 1 / 0,
        "leave": lambda: os._exit(3),
    })
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    (tmp_path / "a_child.py").write_text(textwrap.dedent(CHILD))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with ChildProcess("a_child", subject="x.tflite") as process:
        yield process


def test_values_pass_both_ways(child):
    value = {"text": "ä\n", "list": [1, 2.5, None], "big": "x" * 200000}
    assert child.call("echo", value=value) == value
    assert child.call("echo", value=7) == 7


def test_what_native_code_prints_does_not_disturb(child):
    assert child.call("noise") > 0
    assert child.call("echo", value=1) == 1


def test_progress_and_the_result_of_a_generator(child):
    seen = []
    assert child.call("steps", progress=seen.append, count=3) == "done"
    assert seen == [0, 1, 2]


def test_a_user_fault_is_passed_on_and_the_child_lives(child):
    with pytest.raises(UserError, match=r"x.tflite: is wrong"):
        child.call("fault")
    assert child.call("echo", value=1) == 1


@pytest.mark.parametrize("number, name", [(11, "SIGSEGV"), (6, "SIGABRT"), (9, "SIGKILL")])
def test_a_crash_names_the_signal_and_the_file(child, number, name):
    with pytest.raises(ChildCrash, match=f"x.tflite: .*{name}"):
        child.call("crash", number=number)
    with pytest.raises(ChildCrash):
        child.call("echo", value=1)


def test_an_exception_or_an_exit_names_the_reason(child):
    with pytest.raises(ChildCrash, match=r"code 1 .*ZeroDivisionError"):
        child.call("bug")


def test_an_exit_of_the_child_names_its_code(child):
    with pytest.raises(ChildCrash, match="code 3"):
        child.call("leave")


def test_a_child_that_hangs_is_ended(child, monkeypatch):
    monkeypatch.setattr("benchmark.process.SILENCE_S", 0.3)
    with pytest.raises(ChildCrash, match="no answer"):
        child.call("crash", number=19)  # SIGSTOP


def test_the_child_ends_with_its_parent_end_of_the_pipe(child):
    child.call("echo", value=1)
    child.close()
    assert child._process.returncode == 0
