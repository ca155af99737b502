"""benchmark.conditions: a Raspberry Pi made of files, and this machine."""

import dataclasses
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from benchmark.conditions import Conditions
from benchmark.conditions import read_conditions
from benchmark.conditions import read_load_average

PI = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": "processor\t: 0\nCPU part\t: 0xd08\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}
CALM = Conditions(
    cpu="a CPU", cores=4, governor="performance", cpu_mhz=None, temperature_c=None, throttled="no",
    load_average=0.1, system="Linux", versions={}, date="2026-11-22", num_threads=2,
    use_xnnpack=True)


def read(root):
    return read_conditions(1, True, 0.1, root)


@pytest.fixture
def root(tmp_path):
    for name, text in PI.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_raspberry_pi_is_read(root):
    conditions = read(root)
    assert conditions.cpu == "Raspberry Pi 4 Model B Rev 1.4"
    assert conditions.governor == "ondemand"
    assert conditions.cpu_mhz == 1500
    assert conditions.temperature_c == pytest.approx(48.312)
    # 0x50005: bits 0, 2, 16, 18
    assert conditions.throttled == (
        "under-voltage, throttled, under-voltage before, throttled before")


def test_a_pi_that_is_well(root):
    (root / "sys/devices/platform/soc/soc:firmware/get_throttled").write_text("0\n")
    assert read(root).throttled == "no"


def test_a_board_without_a_name_shows_its_part(root):
    (root / "proc/device-tree/model").unlink()
    assert read(root).cpu.endswith("part 0xd08")


def test_nothing_told_is_none(tmp_path):
    conditions = read(tmp_path)
    for name in ("governor", "cpu_mhz", "temperature_c", "throttled"):
        assert getattr(conditions, name) is None
    assert conditions.cpu


def test_this_machine():
    conditions = read_conditions(2, False, 0.1)
    assert conditions.cpu and conditions.cores >= 1
    assert conditions.versions["numpy"][0].isdigit()
    assert (conditions.num_threads, conditions.use_xnnpack) == (2, False)
    assert read_load_average() >= 0


def test_warnings_by_hand():
    assert CALM.warnings() == []
    busy = dataclasses.replace(CALM, load_average=2.6, governor="ondemand", throttled="hot")
    assert [line.split(":")[0] for line in busy.warnings()] == [
        "load average 2.6 on 4 cores", "governor ondemand", "throttled"]


def test_more_threads_than_cores_is_a_warning():
    two = dataclasses.replace(CALM, cores=2, governor=None, throttled=None)
    assert two.warnings() == []
    assert dataclasses.replace(two, num_threads=4).warnings() == [
        "4 threads on 2 cores: they wait for each other"]


def test_threads_in_words():
    assert CALM.threads == "2 threads"
    assert dataclasses.replace(CALM, num_threads=1).threads == "1 thread"


def test_the_peak_of_memory_grows_and_is_reset():
    """In a process of its own: where the reset is refused, this one's old peak would stay."""
    code = """
from benchmark.conditions import peak_memory_bytes, reset_peak_memory
before = reset_peak_memory()
block = b"x" * 50_000_000
grown = peak_memory_bytes()
del block
print(before, grown, reset_peak_memory())
"""
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    before, grown, after = map(int, output.stdout.split())
    assert grown >= before + 45_000_000
    assert after <= grown
