"""benchmark.conditions: a Raspberry Pi made of files, and this machine."""

import subprocess
import sys

import pytest
from conftest import REPOSITORY

from benchmark.conditions import read_conditions
from benchmark.conditions import warnings

PI = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": "processor\t: 0\nCPU part\t: 0xd08\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}


@pytest.fixture
def root(tmp_path):
    for name, text in PI.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_raspberry_pi_is_read(root):
    conditions = read_conditions(root)
    assert conditions["cpu"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert conditions["governor"] == "ondemand"
    assert conditions["cpu_mhz"] == 1500
    assert conditions["temperature_c"] == pytest.approx(48.312)
    # 0x50005: bits 0, 2, 16, 18
    assert conditions["throttled"] == (
        "under-voltage, throttled, under-voltage before, throttled before")


def test_a_pi_that_is_well(root):
    (root / "sys/devices/platform/soc/soc:firmware/get_throttled").write_text("0\n")
    assert read_conditions(root)["throttled"] == "no"


def test_a_board_without_a_name_shows_its_part(root):
    (root / "proc/device-tree/model").unlink()
    assert read_conditions(root)["cpu"].endswith("part 0xd08")


def test_nothing_told_is_none(tmp_path):
    conditions = read_conditions(tmp_path)
    for name in ("governor", "cpu_mhz", "temperature_c", "throttled"):
        assert conditions[name] is None
    assert conditions["cpu"]


def test_this_machine():
    conditions = read_conditions()
    assert conditions["cpu"] and conditions["cores"] >= 1
    assert conditions["versions"]["numpy"][0].isdigit()


def test_warnings_by_hand():
    calm = {"cores": 4, "load_average": 0.1, "governor": "performance", "throttled": "no"}
    assert warnings(calm, 2) == []
    busy = {"cores": 4, "load_average": 2.6, "governor": "ondemand", "throttled": "hot"}
    assert [line.split(":")[0] for line in warnings(busy, 2)] == [
        "load average 2.6 on 4 cores", "governor ondemand", "throttled"]


def test_more_threads_than_cores_is_a_warning():
    calm = {"cores": 2, "load_average": 0.1, "governor": None, "throttled": None}
    assert warnings(calm, 2) == []
    assert warnings(calm, 4) == ["4 threads on 2 cores: they wait for each other"]


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
