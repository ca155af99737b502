"""Two processes that train together on this machine: same weights, one writer, no lost peer."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from conftest import REPOSITORY

pytestmark = pytest.mark.slow

EPOCHS = 6
STEPS = 3  # in an epoch of `small_run`
LOST = "has ended or does not answer; see its output, then start all processes again"


class Process:
    """One of two, or one alone, with what it says."""

    def __init__(self, index, ports, data, folder, epochs=EPOCHS, seconds=0.0):
        addresses = [f"127.0.0.1:{port}" for port in ports]
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config), "TF_CPP_MIN_LOG_LEVEL": "3",
                       "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
        folder.mkdir(exist_ok=True, parents=True)
        self.said = folder / f"said_{index}_{time.monotonic_ns()}"
        self.errors = self.said.with_suffix(".errors")
        with open(self.said, "w") as out, open(self.errors, "w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "tests/strategy_driver.py", "fit",
                 "multi_worker" if ports else "one", data, folder / "run", str(epochs),
                 str(seconds)], env=environment, cwd=REPOSITORY, stdout=out, stderr=errors)

    def steps(self):
        return self.errors.read_text().count("step ")

    def wait_for(self, steps, timeout_s=300):
        deadline = time.monotonic() + timeout_s
        while self.steps() < steps:
            assert self.process.poll() is None, self.errors.read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def end(self, timeout_s=300):
        """The exit code and the last line of the errors; there is no traceback."""
        code = self.process.wait(timeout_s)
        errors = self.errors.read_text()
        assert "Traceback" not in errors, errors[-3000:]
        return code, errors.splitlines()[-1]

    def result(self):
        code, last = self.end()
        assert code == 0, last
        return json.loads(self.said.read_text().splitlines()[-1])


@pytest.fixture()
def start(tiny_data, tmp_path):
    """Starts processes and ends at the latest with the test."""
    started = []

    def start_two(seconds=0.0, epochs=EPOCHS, indices=(0, 1), folders=("chief", "worker")):
        ports = free_ports(2)
        two = [Process(index, ports, tiny_data, tmp_path / folders[index], epochs, seconds)
               for index in indices]
        started.extend(two)
        return two

    yield start_two
    for one in started:
        one.process.kill()
        one.process.wait()


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def unbroken(tiny_data, tmp_path_factory):
    """The weights that two undisturbed processes give, the same in both; the chief's folder."""
    folder, ports = tmp_path_factory.mktemp("unbroken"), free_ports(2)
    two = [Process(index, ports, tiny_data, folder / str(index)) for index in range(2)]
    chief, worker = (one.result() for one in two)
    assert chief["chief"] and not worker["chief"] and chief["replicas"] == 2
    assert chief["digest"] == worker["digest"]
    return chief["digest"], folder


def test_two_processes_learn_what_one_does(unbroken, tiny_data, tmp_path):
    alone = Process(0, [], tiny_data, tmp_path)
    assert alone.result()["replicas"] == 1
    one, two = (keras.saving.load_model(folder / "run" / "student.keras", compile=False)
                for folder in (tmp_path, unbroken[1] / "0"))
    assert one.to_json() == two.to_json()
    for value, other in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(value, other, atol=1e-4)


def test_the_chief_alone_writes(unbroken):
    names = {path.name for path in (unbroken[1] / "0" / "run").iterdir()}
    assert names == {"student.keras", "student.json", "log.csv"}
    assert not list((unbroken[1] / "1" / "run").iterdir())


@pytest.mark.parametrize(("lost", "signum"), [
    (1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGSTOP)],
    ids=["worker killed", "chief killed", "worker stopped"])
def test_a_lost_process_ends_the_other_and_all_go_on_later(start, unbroken, lost, signum):
    two = start(seconds=0.3)
    for one in two:
        one.wait_for(STEPS + 2)
    two[lost].process.send_signal(signum)
    begin = time.monotonic()
    code, line = two[1 - lost].end()
    print(f"ended after {time.monotonic() - begin:.0f} s: {line}")
    assert code == 1 and line.startswith("error: ") and LOST in line
    assert time.monotonic() - begin < 60
    two[lost].process.kill()
    assert [one.result()["digest"] for one in start()] == [unbroken[0]] * 2


def test_a_signal_to_one_stops_both_after_the_same_step(start, unbroken):
    two = start(seconds=0.3)
    for one in two:
        one.wait_for(STEPS + 2)
    two[1].process.send_signal(signal.SIGTERM)
    for one in two:
        code, line = one.end()
        assert code == 128 + signal.SIGTERM and line.startswith("stopped; "), line
    assert two[0].steps() == two[1].steps()
    assert [one.result()["digest"] for one in start()] == [unbroken[0]] * 2


def test_a_process_that_never_comes_is_waited_for_and_named(start):
    (chief,) = start(indices=(0,))
    begin = time.monotonic()
    code, line = chief.end()
    assert code == 1 and time.monotonic() - begin < 90
    assert line.startswith("error: worker 1 (127.0.0.1:") and "did not start within 30 s" in line
