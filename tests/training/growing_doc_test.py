"""The TF_CONFIG example of docs/growing.md, as two machines would run it."""

import json
import re
import shlex
import socket
import subprocess
import sys

import pytest
from conftest import REPOSITORY

TRAIN = "python train.py --flagfile=student.flags"


def example():
    """The block of shell that sets TF_CONFIG and trains."""
    page = (REPOSITORY / "docs" / "growing.md").read_text()
    (block,) = [block for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
                if "TF_CONFIG=" in block and TRAIN in block]
    return block


def on_this_machine(index, settings):
    """The example for one of two processes here."""
    script = example().replace("index=0", f"index={index}").replace("192.168.0.11:12345", "{0}")
    script = script.replace("192.168.0.12:12345", "{1}")
    for number, port in enumerate(settings["ports"]):
        script = script.replace(f"{{{number}}}", f"127.0.0.1:{port}")
    command = [sys.executable, "train.py", "--flagfile=student.flags", *settings["flags"]]
    return script.replace(TRAIN, shlex.join(map(str, command)))


@pytest.mark.slow
def test_the_example_trains_a_student_on_two(tiny_data, tmp_path):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    flags = [f"--data_dir={tiny_data}", f"--workdir={tmp_path / 'runs' / 'student'}",
             f"--cache_dir={tmp_path / 'cache'}", "--student=student_28m", "--epochs=1",
             "--batch_size=4", "--encoder_weights=none", "--teacher=nyuv2_student_28m"]
    two = [subprocess.Popen(
        ["bash", "-c", on_this_machine(index, {"ports": ports, "flags": flags})], cwd=REPOSITORY,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for index in range(2)]
    said = [one.communicate(timeout=500) for one in two]
    assert [one.returncode for one in two] == [0, 0], said
    record = json.loads((tmp_path / "runs" / "student" / "student.json").read_text())
    assert record["finished"] and record["epoch"] == 1
    assert "the student; " in said[0][0] and "the student; " not in said[1][0]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"student"}
