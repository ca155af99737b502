"""Processes that train together on this machine: same weights, one writer, no lost peer."""

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
    """One of some, or one alone, with what it says."""

    def __init__(self, index, ports, folder, *words):
        addresses = [f"127.0.0.1:{port}" for port in ports]
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config), "TF_CPP_MIN_LOG_LEVEL": "3",
                       "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
        folder.mkdir(exist_ok=True, parents=True)
        self.said = folder / f"said_{index}_{time.monotonic_ns()}"
        self.errors = self.said.with_suffix(".errors")
        with open(self.said, "w") as out, open(self.errors, "w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *words], env=environment, cwd=REPOSITORY, stdout=out,
                stderr=errors)

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

    def results(self):
        code, last = self.end()
        assert code == 0, last
        return [json.loads(line) for line in self.said.read_text().splitlines()
                if line.startswith("{")]

    def result(self):
        return self.results()[-1]


def fit(index, ports, data, folder, epochs=EPOCHS, seconds=0.0, batch_size=4):
    """Starts a process of a whole run."""
    return Process(
        index, ports, folder, "tests/strategy_driver.py", "fit",
        "multi_worker" if ports else "one", data, folder / "run", str(epochs), str(seconds),
        str(batch_size))


@pytest.fixture()
def start(tiny_data, tmp_path):
    """Starts processes and ends at the latest with the test."""
    started = []

    def start_two(seconds=0.0, epochs=EPOCHS, indices=(0, 1), folders=("chief", "worker")):
        ports = free_ports(2)
        two = [fit(index, ports, tiny_data, tmp_path / folders[index], epochs, seconds)
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
    two = [fit(index, ports, tiny_data, folder / str(index)) for index in range(2)]
    chief, worker = (one.result() for one in two)
    assert chief["chief"] and not worker["chief"] and chief["replicas"] == 2
    assert chief["digest"] == worker["digest"]
    return chief["digest"], folder


def test_two_processes_learn_what_one_does(unbroken, tiny_data, tmp_path):
    alone = fit(0, [], tiny_data, tmp_path)
    assert alone.result()["replicas"] == 1
    one, two = (keras.saving.load_model(folder / "run" / "student.keras", compile=False)
                for folder in (tmp_path, unbroken[1] / "0"))
    assert one.to_json() == two.to_json()
    for value, other in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(value, other, atol=1e-4)


def test_three_processes_have_the_same_bits(tiny_data, tmp_path):
    ports = free_ports(3)
    three = [fit(index, ports, tiny_data, tmp_path / str(index), epochs=2, batch_size=6)
             for index in range(3)]
    results = [one.result() for one in three]
    assert [one["chief"] for one in results] == [True, False, False]
    assert {one["replicas"] for one in results} == {3}
    assert len({one["digest"] for one in results}) == 1


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """What fifty steps in float64 give on one device and on two of one process."""
    folder = tmp_path_factory.mktemp("exact")
    return Process(0, [], folder, "tests/exact_driver.py", "devices").results()


def assert_same(found, expected):
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["weights"], expected["weights"], rtol=0, atol=1e-9)


def test_two_devices_do_exactly_what_one_does(exact):
    one, mirrored = exact
    assert (one["replicas"], mirrored["replicas"]) == (1, 2)
    assert len(one["losses"]) == 50 and one["losses"][-1] < one["losses"][0] - 0.5
    assert_same(mirrored, one)


@pytest.mark.parametrize("count", [2, 3])
def test_processes_do_exactly_what_one_does(exact, tmp_path, count):
    ports = free_ports(count)
    all_of_them = [
        Process(index, ports, tmp_path / str(index), "tests/exact_driver.py", "process")
        for index in range(count)]
    results = [one.result() for one in all_of_them]
    assert len({one["digest"] for one in results}) == 1
    for found in results:
        assert found["replicas"] == count
        assert_same(found, exact[0])


def test_with_statistics_of_their_own_processes_do_exactly_what_devices_do(exact, tmp_path):
    devices = Process(0, [], tmp_path, "tests/exact_driver.py", "separate").result()
    ports = free_ports(2)
    two = [Process(index, ports, tmp_path / str(index), "tests/exact_driver.py", "process",
                   "separate") for index in range(2)]
    chief, worker = (one.result() for one in two)
    assert chief["replicas"] == worker["replicas"] == devices["replicas"] == 2
    # The digest is also of the moving statistics: what is saved is the mean of both.
    assert chief["digest"] == worker["digest"] == devices["digest"]
    assert chief["losses"] == devices["losses"]
    assert np.abs(np.subtract(exact[1]["losses"], devices["losses"])).max() > 1e-4


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
